"""The measures of real photos, on pictures of which the answers are known."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchmarks.quality.real_photos import HEADS, SHOWN, SQUARE, Photos, colour_cast, ghost_share, main, strip
from diar_ops._files import write_image
from diar_ops._pixels import fit_size, to_bytes
from tests import photos
from tests.harness import generator

SIZE = 96


def reflected(count: int = 4) -> tuple[Tensor, Photos]:
    """A picture (1, 3, H, W), and photos of it, each with a bright bar of its own."""
    picture = 0.2 + 0.3 * torch.rand(1, 3, SIZE, SIZE, generator=generator("real photos"))
    frames = picture[:, None].repeat(1, count, 1, 1, 1)
    for t in range(count):
        frames[:, t, :, 20 * t : 20 * t + 8, 20:70] += 0.4
    return picture, Photos(frames, torch.ones(1, count, 1, SIZE, SIZE, dtype=torch.bool))


def test_ghosts_of_a_mean_and_of_the_truth() -> None:
    picture, given = reflected()
    assert abs(ghost_share(picture, given)) < 0.02
    assert abs(ghost_share(given.frames.mean(dim=1), given) - 0.25) < 0.05


def test_a_cast_is_measured_where_it_is() -> None:
    picture, given = reflected()
    assert colour_cast(picture, given)[0] < 1e-6
    tinted = picture.clone()
    tinted[:, 0, :12, :12] += 0.06
    mean, worst = colour_cast(tinted, given)
    assert worst == pytest.approx(0.06 * (2 / 3) ** 0.5, abs=1e-3)
    assert mean == pytest.approx(worst / 64, rel=0.05)
    assert colour_cast(picture + 0.1, given)[1] < 1e-6  # brighter is no colour


def test_strip_shows_three_pictures_in_three_rows() -> None:
    picture, given = reflected()
    sheet = strip(given.frames[0, 0], given.frames[0, 1], picture[0])
    assert sheet.dtype == torch.uint8
    assert sheet.shape[2] == 3 * 480


@pytest.mark.parametrize(("width", "squares"), [(SQUARE - 20, 1), (2 * SQUARE - 20, 1), (2 * SQUARE + 60, 2)])
def test_squares_do_not_overlap(width: int, squares: int) -> None:
    """A second one is shown only where there is room beside the first, in which all differs."""
    before = torch.zeros(3, SQUARE, width)
    after = before.clone()
    after[:, :, 20:SQUARE] = 0.5  # in the first place only
    sheet = strip(before, before, after)
    shown = fit_size((SQUARE, width), SHOWN)[0] + 8
    assert sheet.shape[1] == shown + squares * (SHOWN + 8)
    assert not (sheet[:, shown + SHOWN + 8 :] == 128).any()


def test_program(tmp_path: Path) -> None:
    folder = tmp_path / "sequence"
    folder.mkdir()
    _, views, _ = photos.sequence(SIZE, 3)
    for t, view in enumerate(views):
        write_image(folder / f"{t}.png", to_bytes(photos.as_frame(view).float() / 255))
    out = tmp_path / "out"
    assert main([str(folder), "--out", str(out), "--methods", "mean", "median"]) == 0
    lines = (out / "real.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0].split(",") == list(HEADS)
    assert len(lines) == 3
    assert (out / "sequence.png").is_file()
