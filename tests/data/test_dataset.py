"""The dataset reads what was written; what is random depends on its seed alone."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from diar_ops._pixels import image_to_float
from diar_ops.data import ImageError, SequenceDataset, read_flags, read_image, read_mask
from tests.data.dataset_items import CROP, MASKS, WORKERS, assert_same
from tests.sequences import SIZE, write_sequence


def test_an_item_is_what_the_files_hold(misaligned: Path) -> None:
    dataset = SequenceDataset(misaligned, masks=MASKS)
    assert len(dataset) == 3
    item = dataset[1]
    folder = misaligned / "000001"
    document = json.loads((folder / "sequence.json").read_text())
    assert item["frames"].shape == (4, 3, *SIZE)
    assert item["frames"].dtype == item["label"].dtype == torch.float32
    assert item["index"] == 1
    assert item["name"] == "000001"
    assert item["frame"].tolist() == [0, 1, 2, 3]
    assert torch.equal(item["label"], image_to_float(read_image(folder / "label.png").pixels))
    for t, entry in enumerate(document["frames"]):
        pixels = image_to_float(read_image(folder / entry["file"]).pixels)
        assert torch.equal(item["frames"][t], pixels)
        assert item["homography_frame_label"][t].tolist() == entry["homography_frame_label"]
        assert torch.equal(item["occluded"][t], read_mask(folder / entry["occluded"]))
        assert torch.equal(item["flags"][t], read_flags(folder / entry["flags"]))
    assert item["occluded"].dtype == torch.bool
    assert item["flags"].dtype == torch.uint8


def test_masks_are_read_only_if_asked_for(misaligned: Path) -> None:
    assert not {"occluded", "flags"} & SequenceDataset(misaligned)[0].keys()
    assert "flags" not in SequenceDataset(misaligned, masks=["occluded"])[0]


def test_a_dataset_is_a_sequence(misaligned: Path) -> None:
    dataset = SequenceDataset(misaligned)
    assert [item["index"] for item in dataset] == [0, 1, 2]
    assert_same(dataset[-1], dataset[2])
    with pytest.raises(IndexError):
        dataset[3]
    assert dataset.sequence(2).kind == "misaligned"
    assert repr(SequenceDataset(misaligned, frames=2)).startswith("SequenceDataset(3 sequences, frames=2, take='first'")


@pytest.mark.parametrize("frames", [1, 2, 4])
def test_prefixes(misaligned: Path, frames: int) -> None:
    whole, item = SequenceDataset(misaligned)[0], SequenceDataset(misaligned, frames=frames)[0]
    for key in ("frames", "homography_frame_label", "frame"):
        assert torch.equal(item[key], whole[key][:frames])


def test_only_the_frames_that_are_asked_for_are_read(tmp_path: Path) -> None:
    write_sequence(tmp_path / "a")
    (tmp_path / "a" / "02.png").write_text("broken")
    (tmp_path / "a" / "masks" / "00_flags.png").write_text("broken")
    dataset = SequenceDataset(tmp_path, frames=2)
    assert dataset[0]["frames"].shape[0] == 2
    with pytest.raises(ImageError, match=r"02\.png holds no picture"):
        SequenceDataset(tmp_path, frames=3)[0]


def test_batches(misaligned: Path) -> None:
    (batch,) = DataLoader(SequenceDataset(misaligned, masks=MASKS), batch_size=3)
    assert batch["frames"].shape == (3, 4, 3, *SIZE)
    assert batch["homography_frame_label"].shape == (3, 4, 3, 3)
    assert batch["homography_frame_label"].dtype == torch.float64
    assert batch["occluded"].shape == batch["flags"].shape == (3, 4, 1, *SIZE)
    assert batch["index"].tolist() == [0, 1, 2]
    assert batch["name"] == ["000000", "000001", "000002"]


def test_folders_of_every_kind(tmp_path: Path, misaligned: Path, aligned: Path) -> None:
    for name in ("10", "9", ".diar-tmp-half", "sheets"):
        shutil.copytree(misaligned / "000000", tmp_path / name)
    (tmp_path / "sheets" / "sequence.json").unlink()
    (tmp_path / "dataset.json").write_text("{}")
    assert [f.name for f in SequenceDataset(tmp_path).folders] == ["9", "10"]
    several = SequenceDataset([aligned, misaligned / "000002", str(tmp_path)])
    names = [f.name for f in several.folders]
    assert names == ["000000", "000001", "000002", "000002", "9", "10"]
    assert several.sequence(0).kind == "aligned"
    assert several.sequence(3).kind == "misaligned"


def test_a_folder_without_sequences_is_named(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(ImageError, match=r"no sequences in the folder .*looked for sequence\.json"):
        SequenceDataset(tmp_path)
    with pytest.raises(ImageError, match=r"missing does not exist"):
        SequenceDataset(tmp_path / "missing")
    (tmp_path / "file").touch()
    with pytest.raises(ImageError, match=r"cannot read .*file: not a directory"):
        SequenceDataset(tmp_path / "file")


def random_items(folder: Path, **options: Any) -> SequenceDataset:
    return SequenceDataset(folder, frames=3, take="random", crop=CROP, crop_at="random", **options)


def test_what_is_random_depends_on_seed_epoch_and_index_alone(misaligned: Path) -> None:
    one, other = random_items(misaligned), random_items(misaligned)
    backwards = [other[index] for index in (2, 1, 0)][::-1]
    torch.manual_seed(1)
    first = [one[index] for index in range(3)]
    for item, again in zip(first, backwards, strict=True):
        assert_same(item, again)
    one.set_epoch(1)
    assert not torch.equal(one[0]["label"], first[0]["label"])
    one.set_epoch(0)
    assert_same(one[0], first[0])
    labels = [random_items(misaligned, seed=seed)[0]["label"] for seed in range(3)]
    assert not torch.equal(labels[1], labels[2])


def test_random_frames_of_aligned_sequences_are_any(aligned: Path) -> None:
    dataset = SequenceDataset(aligned, frames=2, take="random")
    seen = set()
    for epoch in range(12):
        dataset.set_epoch(epoch)
        frames = dataset[0]["frame"].tolist()
        assert len(set(frames)) == 2
        seen.update(frames)
        seen.add(f"first {frames[0]}")
    assert seen == {0, 1, 2, 3, "first 0", "first 1", "first 2", "first 3"}


@pytest.mark.parametrize("says_its_kind", [True, False])
def test_the_reference_of_a_misaligned_sequence_stays_first(tmp_path: Path, says_its_kind: bool) -> None:
    document = write_sequence(tmp_path / "a")
    if not says_its_kind:
        del document["kind"]
        (tmp_path / "a" / "sequence.json").write_text(json.dumps(document))
    dataset = SequenceDataset(tmp_path, frames=3, take="random")
    drawn = set()
    for epoch in range(40):
        dataset.set_epoch(epoch)
        item = dataset[0]
        drawn.add(tuple(item["frame"].tolist()))
        assert torch.equal(item["homography_frame_label"][0], torch.eye(3).double())
    assert {frames[0] for frames in drawn} == {0}
    assert {frames[1:] for frames in drawn} == {(1, 2), (1, 3), (2, 1), (2, 3), (3, 1), (3, 2)}


@WORKERS
def test_workers_change_nothing_and_see_the_epoch(misaligned: Path) -> None:
    dataset = random_items(misaligned, masks=MASKS)
    loader = DataLoader(dataset, batch_size=None, num_workers=2, persistent_workers=True)
    alone = random_items(misaligned, masks=MASKS)
    labels = []
    for epoch in range(2):
        dataset.set_epoch(epoch)
        alone.set_epoch(epoch)
        for item, expected in zip(loader, alone, strict=True):
            assert_same(item, expected)
            labels.append(item["label"])
    assert not torch.equal(labels[0], labels[3])


def test_pickled_datasets_go_on_where_they_were(misaligned: Path) -> None:
    dataset = random_items(misaligned)
    dataset.set_epoch(5)
    again = pickle.loads(pickle.dumps(dataset))
    assert_same(again[1], dataset[1])
    assert repr(again) == repr(dataset)
