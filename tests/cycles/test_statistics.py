"""Statistics count what the masks say and measure what the pixels say."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from diar_ops import OptionError
from diar_ops._files import write_image
from diar_ops.cycles import dataset_statistics, statistics_table
from diar_ops.data import SequenceDataset
from tests.sequences import write_dataset, write_sequence

MASKS = ("occluded", "flags")


def test_an_aligned_set_against_numpy(tmp_path: Path) -> None:
    write_dataset(tmp_path, 2, kind="aligned", frames=3)
    label = SequenceDataset(tmp_path)[1]["label"]
    write_image(tmp_path / "000001" / "01.png", label * 0.5, bit_depth=16, overwrite=True)
    write_image(tmp_path / "000001" / "02.png", label * 0.4, bit_depth=16, overwrite=True)
    dataset = SequenceDataset(tmp_path, masks=MASKS)
    done: list[int] = []
    result = dataset_statistics(dataset, progress=done.append)
    assert done == [1, 2]
    for n in range(2):
        item = dataset[n]
        occluded, flags = item["occluded"].numpy(), item["flags"].numpy()
        expected = [np.ones(3)] + [mask.mean(axis=(1, 2, 3)) for mask in (occluded, flags & 1, flags & 2, flags & 4)]
        expected[3], expected[4] = expected[3] / 2, expected[4] / 4
        np.testing.assert_allclose(result.shares[n].T, expected, atol=1e-6)
        times = (~occluded & (flags == 0)).sum(axis=0)
        shares = [(times == count).mean() for count in range(4)]
        np.testing.assert_allclose(result.clean[n], shares, atol=1e-12)
    values = label.double().numpy()
    for factor, measured in zip((0.5, 0.4), result.frame_psnr[1, 1:].tolist(), strict=True):
        error = np.mean((values * (1 - factor)) ** 2)
        assert measured == pytest.approx(-10 * math.log10(error), abs=1e-3)
    assert result.frame_psnr[:, 0].tolist() == [math.inf, math.inf]
    assert result.median_psnr[1] == pytest.approx(float(result.frame_psnr[1, 1]), abs=1e-3)
    assert result.median_psnr_gain[1] > 80, "one factor makes up for the dark"


def test_a_misaligned_set_is_laid_over_the_label(tmp_path: Path) -> None:
    write_dataset(tmp_path, 2)
    dataset = SequenceDataset(tmp_path, masks=MASKS)
    result = dataset_statistics(dataset)
    assert result.shares.shape == (2, 4, 5)
    assert (result.frame_psnr[:, 1:] > 40).all(), "resampled bilinearly, nothing else"
    assert (result.median_psnr > 40).all()
    visible = result.shares[..., 0]
    assert (visible[:, 0] == 1).all()
    assert (visible[:, 1:] < 1).any()
    torch.testing.assert_close(result.clean.sum(dim=1), torch.ones(2, dtype=torch.float64))
    # A pixel is clean in a frame if it is seen (visible) and, by chance, unspoiled: 0.8 / 8.
    mean = (result.clean * torch.arange(5)).sum(dim=1)
    torch.testing.assert_close(mean, visible.sum(dim=1) * 0.1, rtol=0.1, atol=0)


def test_the_table_says_it_in_words(tmp_path: Path) -> None:
    write_dataset(tmp_path, 2, frames=3)
    text = statistics_table(dataset_statistics(SequenceDataset(tmp_path, masks=MASKS)))
    assert re.search(r"^\| something in front \| (19|20|21)\.\d % \|", text, re.MULTILINE)
    assert "of 3 frames on average" in text
    assert "| clean in so many frames | 0 | 1 | 2 | 3 |" in text
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) == 2
    for lines in tables:
        assert len({line.count("|") for line in lines}) == 1


def test_many_frames_are_counted_together(tmp_path: Path) -> None:
    write_dataset(tmp_path, 1, frames=21)
    text = statistics_table(dataset_statistics(SequenceDataset(tmp_path, masks=MASKS)))
    heading, _, shares = text.split("\n\n")[-1].splitlines()
    assert (
        heading
        == "| clean in so many frames | " + " | ".join([*(f"{n}-{n + 1}" for n in range(0, 20, 2)), "20-21"]) + " |"
    )
    assert sum(map(float, shares.split("|")[2:-1])) == pytest.approx(100, abs=1)


def test_what_cannot_be_measured_is_refused(tmp_path: Path) -> None:
    write_sequence(tmp_path / "a", frames=2)
    write_sequence(tmp_path / "b", frames=3)
    with pytest.raises(OptionError, match="equally many frames in all sequences, got 3"):
        dataset_statistics(SequenceDataset(tmp_path, masks=MASKS))
    with pytest.raises(OptionError, match=r'masks=\("occluded", "flags"\)'):
        dataset_statistics(SequenceDataset(tmp_path, frames=2))
    with pytest.raises(OptionError, match="at least one sequence"):
        dataset_statistics([])
