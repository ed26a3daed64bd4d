"""What is wrong with a data set is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from diar_ops import OptionError
from diar_ops._files import write_image
from diar_ops.data import ImageError, SequenceDataset
from tests.data.dataset_items import MASKS, WORKERS
from tests.sequences import write_dataset, write_sequence


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"frames": 0}, "frames >= 1"),
        ({"take": "last"}, "one of first, random"),
        ({"crop_at": "left"}, "one of centre, random"),
        ({"crop": (0, 4)}, "positive size"),
        ({"crop": 4}, "positive size"),
        ({"masks": "flags"}, "some of occluded, flags"),
        ({"masks": ["depth"]}, "some of occluded, flags"),
    ],
)
def test_options_are_checked(misaligned: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        SequenceDataset(misaligned, **options)


def test_no_folder_is_refused() -> None:
    with pytest.raises(OptionError, match="at least one folder"):
        SequenceDataset([])


def test_a_set_of_another_version_is_refused_at_once(tmp_path: Path) -> None:
    document = write_sequence(tmp_path / "a")
    (tmp_path / "a" / "sequence.json").write_text(json.dumps({**document, "version": 3}))
    with pytest.raises(ImageError, match=r"version 3 of the format.* reads versions 1 and 2; update"):
        SequenceDataset(tmp_path)


def resize(folder: Path) -> None:
    write_image(folder / "01.png", torch.zeros(3, 20, 30), overwrite=True)


def resize_mask(folder: Path) -> None:
    write_image(folder / "masks/03_occluded.png", torch.zeros(1, 20, 30), overwrite=True)


def cut_short(folder: Path) -> None:
    (folder / "01.png").write_bytes((folder / "01.png").read_bytes()[:900])


@pytest.mark.parametrize(
    ("damage", "options", "words"),
    [
        (resize, {}, r"01\.png has 30 x 20 pixels, sequence\.json says 64 x 48"),
        (resize_mask, {"masks": MASKS}, r"03_occluded\.png has 30 x 20 pixels, sequence\.json s"),
        (cut_short, {}, r"01\.png is truncated or damaged"),
        (lambda folder: (folder / "label.png").unlink(), {}, r"label\.png, which does not exist"),
        (lambda _: None, {"frames": 5}, r"has 4 frames, 5 were asked for"),
        (lambda _: None, {"crop": (49, 10)}, r"label\.png has 64 x 48 pixels, too few for crops"),
    ],
)
def test_what_is_wrong_with_a_sequence_is_named(
    tmp_path: Path, damage: Callable[[Path], Any], options: dict[str, Any], words: str
) -> None:
    write_dataset(tmp_path / "set", 2)
    damage(tmp_path / "set" / "000001")
    dataset = SequenceDataset(tmp_path / "set", **options)
    with pytest.raises(ImageError, match=words) as caught:
        dataset[1]
    assert "\n" not in str(caught.value)


def test_missing_masks_are_named(tmp_path: Path) -> None:
    write_sequence(tmp_path / "a", masks=("occluded",))
    assert "occluded" in SequenceDataset(tmp_path, masks=("occluded",))[0]
    with pytest.raises(ImageError, match='has no masks "flags"; do not ask for them'):
        SequenceDataset(tmp_path, masks=MASKS)[0]


@WORKERS
def test_errors_of_workers_name_the_file(tmp_path: Path) -> None:
    write_dataset(tmp_path / "set", 2)
    cut_short(tmp_path / "set" / "000001")
    loader = DataLoader(SequenceDataset(tmp_path / "set"), num_workers=1)
    with pytest.raises(ImageError, match=r"01\.png is truncated or damaged"):
        list(loader)
