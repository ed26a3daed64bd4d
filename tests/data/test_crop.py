"""Crops keep homographies exact."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from diar_ops import transform_points, warp_homography
from diar_ops._files import write_image
from diar_ops.data import ImageError, SequenceDataset
from diar_ops.data.crop import crop_homography, frame_corners
from tests.data.dataset_items import CROP, MASKS, assert_same
from tests.harness import assert_close
from tests.sequences import SIZE, grid, picture, write_sequence


def place(whole: Tensor, crop: Tensor) -> tuple[int, int]:
    """Return (y, x) of the one place where a crop (C, h, w) is found in the whole (C, H, W)."""
    windows = whole.unfold(1, crop.shape[1], 1).unfold(2, crop.shape[2], 1)
    positions = (windows == crop[:, None, None]).flatten(3).all(-1).all(0).nonzero().tolist()
    ((y, x),) = positions
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
        projected = transform_points(grid(size).flatten(0, 1)[None], torch.linalg.inv(homography)[None])
        on_label = projected.points.reshape(*size, 2) + torch.tensor([x, y])
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
    assert_same(SequenceDataset(misaligned, crop=SIZE, crop_at="random")[0], SequenceDataset(misaligned)[0])


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
        projected = transform_points(half[None, None], cropped).points[0, 0]
        full = transform_points(middle[None, None], H).points[0, 0]
        assert_close(projected, full - torch.tensor([x, y]).double())
        miss = (projected - half).abs()
        for axis, (start, last) in enumerate([(x, 79), (y, 69)]):
            assert miss[axis] <= 0.5 + 1e-9 or start in (0, last)


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
