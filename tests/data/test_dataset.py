"""The dataset reads what was written, crops keep homographies exact, workers change nothing."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from diar_ops import ImageError, OptionError, transform_points, warp_homography
from diar_ops._files import write_image
from diar_ops._pixels import image_to_float
from diar_ops.data import SequenceDataset, read_flags, read_image, read_mask
from diar_ops.data.crop import crop_homography, frame_corners
from tests.harness import assert_close
from tests.sequences import SIZE, grid, picture, write_dataset, write_sequence

MASKS = ("occluded", "flags")
# With threads around, forking warns from Python 3.12 on; the loader forks all the same.
WORKERS = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


@pytest.fixture(scope="module")
def misaligned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("sets") / "misaligned")


@pytest.fixture(scope="module")
def aligned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("sets") / "aligned", kind="aligned")


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one.keys() == other.keys()
    for key, value in one.items():
        if isinstance(value, Tensor):
            assert torch.equal(value, other[key]), key
        else:
            assert value == other[key]


# --- what an item is --------------------------------------------------------------------------


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
    assert repr(SequenceDataset(misaligned, frames=2)).startswith(
        "SequenceDataset(3 sequences, frames=2, take='first'"
    )


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
    with pytest.raises(ImageError, match=r"02\.png is not a JPEG, PNG"):
        SequenceDataset(tmp_path, frames=3)[0]


def test_batches(misaligned: Path) -> None:
    (batch,) = DataLoader(SequenceDataset(misaligned, masks=MASKS), batch_size=3)
    assert batch["frames"].shape == (3, 4, 3, *SIZE)
    assert batch["homography_frame_label"].shape == (3, 4, 3, 3)
    assert batch["homography_frame_label"].dtype == torch.float64
    assert batch["occluded"].shape == batch["flags"].shape == (3, 4, 1, *SIZE)
    assert batch["index"].tolist() == [0, 1, 2]
    assert batch["name"] == ["000000", "000001", "000002"]


# --- folders ----------------------------------------------------------------------------------


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


# --- crops ------------------------------------------------------------------------------------

CROP = (20, 26)


def place(whole: Tensor, crop: Tensor) -> tuple[int, int]:
    """Return (y, x) of the one place where a crop (C, h, w) is found in the whole (C, H, W)."""
    windows = whole.unfold(1, crop.shape[1], 1).unfold(2, crop.shape[2], 1)
    found = (windows == crop[:, None, None]).flatten(3).all(-1).all(0).nonzero().tolist()
    ((y, x),) = found
    return y, x


@pytest.mark.parametrize("crop", [None, CROP])
@pytest.mark.parametrize("index", range(3))
def test_every_pixel_of_a_frame_is_where_its_homography_says(
    misaligned: Path, index: int, crop: tuple[int, int] | None
) -> None:
    item = SequenceDataset(misaligned, crop=crop, crop_at="random", seed=3)[index]
    y, x = place(SequenceDataset(misaligned)[index]["label"], item["label"])
    size = crop or SIZE
    assert item["label"].shape == (3, *size)
    H = item["homography_frame_label"]
    assert_close(H[:, 2, 2], torch.ones(4, dtype=torch.float64))
    for frame, homography in zip(item["frames"], H, strict=True):
        seen = transform_points(grid(size).flatten(0, 1)[None], torch.linalg.inv(homography)[None])
        on_label = seen.points.reshape(*size, 2) + torch.tensor([x, y])
        # Files of sixteen bits; a hundredth of a pixel would give 1e-3.
        assert_close(frame.double(), picture(on_label, index), atol=2e-5, rtol=0)


def test_frames_warped_back_are_the_label(misaligned: Path) -> None:
    item = SequenceDataset(misaligned, crop=CROP)[0]
    label = item["label"].double()
    back = torch.linalg.inv(item["homography_frame_label"])

    def error(back: Tensor) -> Tensor:
        image, valid = warp_homography(item["frames"].double(), back, size=CROP)
        assert (valid.flatten(1).sum(1) > 100).all(), "hardly any overlap, nothing is tested"
        missed = (image - label).abs().mean(dim=1, keepdim=True) * valid
        return missed.flatten(1).sum(1) / valid.flatten(1).sum(1)

    shift = torch.eye(3, dtype=torch.float64)
    shift[0, 2] = 0.5
    assert (error(back) < 4e-3).all()
    assert (error(shift @ back) > 3 * error(back)).all(), "half a pixel must show"


def test_crops_of_aligned_sequences_are_at_the_same_place(aligned: Path) -> None:
    whole = SequenceDataset(aligned, masks=MASKS)
    item = SequenceDataset(aligned, masks=MASKS, crop=CROP)[0]
    y, x = (SIZE[0] - CROP[0]) // 2, (SIZE[1] - CROP[1]) // 2
    for key in ("frames", "label", "occluded", "flags"):
        expected = whole[0][key][..., y : y + CROP[0], x : x + CROP[1]]
        assert torch.equal(item[key], expected)
    for seed in range(5):
        drawn = SequenceDataset(aligned, crop=CROP, crop_at="random", seed=seed)[seed % 3]
        assert torch.equal(drawn["homography_frame_label"], torch.eye(3).double().expand(4, 3, 3))
        assert_close(drawn["frames"], drawn["label"].expand_as(drawn["frames"]))


def test_masks_are_cropped_like_their_frames(misaligned: Path) -> None:
    item = SequenceDataset(misaligned, masks=MASKS, crop=CROP)[0]
    whole = SequenceDataset(misaligned, masks=MASKS)[0]
    for t in range(4):
        y, x = place(whole["frames"][t], item["frames"][t])
        for mask in MASKS:
            expected = whole[mask][t, :, y : y + CROP[0], x : x + CROP[1]]
            assert torch.equal(item[mask][t], expected)


def test_a_crop_of_everything_is_everything(misaligned: Path) -> None:
    assert_same(
        SequenceDataset(misaligned, crop=SIZE, crop_at="random")[0], SequenceDataset(misaligned)[0]
    )


def test_crops_of_frames_show_the_middle_of_the_label_s() -> None:
    """Up to half a pixel, unless the crop would leave the frame; then it touches the border."""
    H = torch.tensor([[0.9, -0.1, 5.0], [0.1, 0.8, 7.0], [0.001, 0.002, 1.0]]).double()[None]
    options = {"label_size": (90, 120), "frame_sizes": [(80, 100)]}
    half = torch.tensor([10.0, 5.0]).double()
    for corner in [(0, 0), (11, 17), (30, 60), (79, 99)]:
        ((y, x),) = frame_corners(H, corner, (11, 21), **options)
        assert 0 <= y <= 69
        assert 0 <= x <= 79
        middle = torch.tensor([corner[1], corner[0]]).double() + half
        cropped = crop_homography(H, corner, [(y, x)])
        seen = transform_points(half[None, None], cropped).points[0, 0]
        full = transform_points(middle[None, None], H).points[0, 0]
        assert_close(seen, full - torch.tensor([x, y]).double())
        miss = (seen - half).abs()
        for axis, (at, last) in enumerate([(x, 79), (y, 69)]):
            assert miss[axis] <= 0.5 + 1e-9 or at in (0, last)


def test_a_place_behind_the_camera_gives_the_middle_of_the_frame() -> None:
    H = torch.tensor([[1.0, 0, 0], [0, 1, 0], [-0.015, 0, 1]]).double()[None]
    options = {"label_size": (50, 100), "frame_sizes": [(50, 80)]}
    assert frame_corners(H, (0, 80), (10, 10), **options) == [(20, 35)]


def test_frames_of_unequal_sizes_need_crops(tmp_path: Path) -> None:
    document = write_sequence(tmp_path / "a", kind="aligned", frames=2)
    wide = (SIZE[0], SIZE[1] + 10)
    values = picture(grid(wide))
    write_image(tmp_path / "a" / "01.png", values, bit_depth=16, overwrite=True)
    document["frames"][1]["size"] = list(wide)
    (tmp_path / "a" / "sequence.json").write_text(json.dumps(document))
    with pytest.raises(ImageError, match=r"unequal sizes .64 x 48 and 74 x 48 pixels.; ask for c"):
        SequenceDataset(tmp_path)[0]
    item = SequenceDataset(tmp_path, crop=CROP)[0]
    assert_close(item["frames"][0], item["frames"][1], atol=1e-4, rtol=0)


# --- randomness -------------------------------------------------------------------------------


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
def test_the_reference_of_a_misaligned_sequence_stays_first(
    tmp_path: Path, says_its_kind: bool
) -> None:
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


# --- what is wrong ----------------------------------------------------------------------------


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
    (tmp_path / "a" / "sequence.json").write_text(json.dumps({**document, "version": 2}))
    with pytest.raises(ImageError, match=r"version 2 of the format.* reads version 1; update"):
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
