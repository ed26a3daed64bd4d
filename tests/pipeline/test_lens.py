"""Bent photos: one coefficient for all, found with their homographies, and taken out everywhere."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

from diar_ops import (
    Alignment,
    AlignOptions,
    OptionError,
    align_sequence,
    distort_points,
    psnr,
    reconstruct_sequence,
    transform_points,
    undistort_points,
)
from diar_ops.pipeline import aligned_frames
from diar_ops.pipeline._align import place as place_module
from diar_ops.pipeline._frames import working_copy
from diar_ops.pipeline._lens import Lens, estimate_lens, undistorted_border
from diar_ops.pipeline._warp import warp_frame
from tests import photos
from tests.harness import assert_close

SHAPES = ((180, 240), (180, 240), (240, 180), (216, 288))
#: Where the picture lies in the photos: it fills their corners, which is where lenses bend.
CORNERS = (
    ((0.04, 0.05), (0.95, 0.03), (0.97, 0.96), (0.05, 0.97)),
    ((0.1, 0.02), (0.99, 0.1), (0.9, 0.93), (0.01, 0.99)),
    ((-0.05, 0.1), (0.93, 0.02), (1.04, 0.95), (0.02, 0.91)),
    ((0.05, -0.06), (1.05, 0.06), (0.94, 1.02), (0.07, 0.9)),
)


@cache
def scene(k: float, scale: int = 1) -> tuple[np.ndarray, list[Tensor], np.ndarray]:
    """The picture, four photos of it through a lens, and undistorted frame ~ H @ picture."""
    image = photos.picture("bent", 240 * scale)
    views, places = [], []
    for t, (corners, shape) in enumerate(zip(CORNERS, SHAPES, strict=True)):
        shape = (shape[0] * scale, shape[1] * scale)
        H = photos.homography(corners, 240 * scale, shape)
        disc = (shape[1] // 5 * (t + 1), shape[0] // 4 * (t % 3 + 1), shape[0] // 9)
        view = photos.view(image, H, shape=shape, gain=1 - 0.1 * t, occluder=disc, noise=f"bent {t}", distortion=k)
        views.append(photos.as_frame(view))
        places.append(H)
    return image, views, np.stack(places)


def laid(points: Tensor, homography: Tensor, k: float, sizes: tuple[tuple[int, int], ...]) -> Tensor:
    """Return where the reference photo (of the second size) shows points of a photo."""
    bend = torch.tensor(k, dtype=torch.float64)
    straight = undistort_points(points, bend, size=sizes[0]).points
    there = transform_points(straight, homography).points
    return distort_points(there, bend, size=sizes[1]).points


def errors(found: Alignment, frames: list[Tensor], H: np.ndarray, k: float) -> list[float]:
    """Largest error of each frame but the reference over all of it, in pixels of the reference."""
    assert found.success.all()
    worst = []
    true = torch.from_numpy(H[found.reference] @ np.linalg.inv(H))
    for t, frame in enumerate(frames):
        if t == found.reference:
            continue
        height, width = frame.shape[-2:]
        y, x = torch.meshgrid(torch.linspace(0, height - 1, 9), torch.linspace(0, width - 1, 9), indexing="ij")
        grid = torch.stack((x, y), -1).reshape(-1, 2).double()
        sizes = ((height, width), found.size)
        here = laid(grid, found.homography_reference_frame[t], found.distortion, sizes)
        worst.append(float((here - laid(grid, true[t], k, sizes)).norm(dim=-1).max()))
    return worst


def exact(k: float, scale: int = 1) -> tuple[np.ndarray, list[Tensor], np.ndarray, Alignment]:
    """The scene, and the alignment that knows the truth."""
    image, frames, H = scene(k, scale)
    size = (SHAPES[0][0] * scale, SHAPES[0][1] * scale)
    return image, frames, H, photos.exact_alignment(H, size)._replace(distortion=k)


@pytest.mark.parametrize("k", [-0.15, -0.05, 0.1])
def test_bent_photos_lie_over_each_other(k: float) -> None:
    _, frames, H = scene(k)
    result = align_sequence(frames, reference=0, distortion="shared")
    assert max(errors(result, frames, H, k)) < 0.35
    assert abs(result.distortion - k) < 0.0015
    assert 0 < result.distortion_sigma < 0.001
    assert torch.equal(result.homography_reference_frame[0], torch.eye(3, dtype=torch.float64))
    plain = align_sequence(frames, reference=0)
    assert (plain.distortion, plain.distortion_sigma) == (0, 0)
    assert max(errors(plain, frames, H, k)) > 1.5


def test_straight_photos_have_no_lens() -> None:
    """What cannot be told from none is none, to the last digit."""
    _, frames, H = scene(0.0)
    result = align_sequence(frames, reference=0, distortion="shared")
    plain = align_sequence(frames, reference=0)
    assert result.distortion == 0
    assert result.distortion_sigma > 0
    assert_close(result.homography_reference_frame, plain.homography_reference_frame)
    assert max(errors(result, frames, H, 0.0)) < 0.3


def test_two_photos_will_do() -> None:
    _, frames, H = scene(-0.1)
    result = align_sequence(frames[:2], reference=1, distortion="shared")
    assert max(errors(result, frames[:2], H[:2], -0.1)) < 0.3


def test_one_photo_alone_says_nothing() -> None:
    result = align_sequence(scene(-0.1)[1][:1], distortion="shared")
    assert (result.distortion, result.success.tolist()) == (0, [True])
    assert result.distortion_sigma == float("inf")


def test_matched_cells_alone_prove_no_lens(monkeypatch: pytest.MonkeyPatch) -> None:
    _, frames, _ = scene(-0.1)
    monkeypatch.setattr(place_module, "refine_frames", lambda *_, **options: {})
    result = align_sequence(frames, reference=0, distortion="shared")
    assert result.pairs.estimate.success.any()
    assert result.success.sum() == 1
    assert (result.distortion, result.distortion_sigma) == (0, float("inf"))


def test_tiles_of_large_photos_are_straightened() -> None:
    _, frames, H = scene(-0.08, 2)
    steps = []
    result = align_sequence(
        frames,
        reference=0,
        distortion="shared",
        options=AlignOptions(matching_size=240, refinement_size=240),
        progress=lambda step, done, total: steps.append(step),
    )
    assert place_module.LARGE * 240 < 480
    assert "looking closer" in steps
    assert max(errors(result, frames, H, -0.08)) < 0.3
    assert abs(result.distortion + 0.08) < 0.002


def test_options_are_checked() -> None:
    frames = torch.zeros(2, 3, 40, 40)
    with pytest.raises(OptionError, match="one of none, shared, got 'each'"):
        align_sequence(frames, distortion="each")
    with pytest.raises(OptionError, match="joint=True to estimate a lens, got False"):
        align_sequence(frames, distortion="shared", options=AlignOptions(joint=False))


def test_a_lens_needs_pairs() -> None:
    _, frames, H = scene(-0.1)
    result = align_sequence(frames, reference=0)
    sizes = [(int(f.shape[-2]), int(f.shape[-1])) for f in frames]
    start = dict(enumerate(torch.from_numpy(H[0] @ np.linalg.inv(H))))
    lens, chained = estimate_lens(result.pairs, start, sizes, 0)
    assert abs(lens.distortion + 0.1) < 0.03
    assert chained.keys() == start.keys()
    none = result.pairs.estimate._replace(success=result.pairs.estimate.success & False)
    lens, chained = estimate_lens(result.pairs._replace(estimate=none), start, sizes, 0)
    assert lens.distortion == 0
    assert chained == start


def test_points_go_there_and_back() -> None:
    lens = Lens(-0.1, [(180, 240), (60, 50)])
    points = torch.tensor([[0.0, 0.0], [24.5, 29.5], [49.0, 10.0]], dtype=torch.float64)
    straight = lens.undistort(points, 1)
    assert straight.valid.all()
    assert (straight.points[0] < -2).all(), "a barrel is pulled apart"
    assert_close(straight.points[1], points[1])
    back = lens.distort(straight.points, 1)
    assert back.valid.all()
    assert_close(back.points, points)
    assert torch.equal(Lens(0.0, lens.sizes).undistort(points, 1).points, points)


@pytest.mark.parametrize("k", [-0.12, 0.1])
def test_straight_copies_hold_all_of_a_photo(k: float) -> None:
    """Their corners, too, and each pixel knows where it belongs."""
    height, width = 90, 120
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    place = torch.stack((x / width, y / height, torch.zeros(height, width))).float()
    mask = torch.ones(1, height, width, dtype=torch.bool)
    mask[:, :10] = False
    copy = working_copy(place, mask, 60, torch.device("cpu"), k)
    assert copy.valid is not None
    lost = torch.tensor([[0.5, 15.0], [118.5, 15.0], [118.5, 88.5], [0.5, 88.5]]).double()
    bend = torch.tensor(k, dtype=torch.float64)
    straight = undistort_points(lost, bend, size=(height, width)).points
    at = transform_points(straight, copy.homography_copy_frame).points.round().long()
    for (u, v), (px, py) in zip(at.tolist(), lost.tolist(), strict=True):
        near = (..., slice(max(0, v - 2), v + 3), slice(max(0, u - 2), u + 3))
        around = copy.valid[0, 0][near]
        assert around.any()
        result = copy.image[0, :2][near][:, around].mean(1)
        assert float((result - torch.tensor([px / width, py / height])).abs().max()) < 0.05
    v, u = copy.valid[0, 0].nonzero().unbind(1)
    full = transform_points(torch.stack((u, v), 1).double(), torch.linalg.inv(copy.homography_copy_frame)).points
    bent = distort_points(full, bend, size=(height, width)).points
    inner = (bent > 2).all(1) & (bent[:, 0] < width - 3) & (bent[:, 1] < height - 3)
    off = copy.image[0, :2, v, u].T - bent / torch.tensor([width, height])
    assert float(off[inner].abs().max()) < 0.002
    assert float(bent[:, 1].min()) > 9


def test_the_border_of_a_photo() -> None:
    border = undistorted_border((60, 80), 0.0)
    assert border.amin(0).tolist() == [-0.5, -0.5]
    assert border.amax(0).tolist() == [79.5, 59.5]
    assert (undistorted_border((60, 80), -0.1).amin(0) < -3).all()


@pytest.mark.parametrize("k", [-0.15, 0.12])
def test_a_window_is_a_part_of_the_whole(k: float) -> None:
    """Only the pixels that a window needs are touched, and they bend around the photo's centre."""
    _, frames, _, alignment = exact(k)
    frame, H = frames[1], alignment.homography_reference_frame[1]
    whole, valid = warp_frame(frame, H, (0, 0, *alignment.size), distortion=k)
    for top, left, height, width in ((0, 0, 7, 240), (90, 10, 50, 60), (171, 200, 9, 40)):
        part, seen = warp_frame(frame, H, (top, left, height, width), distortion=k)
        cut = (..., slice(top, top + height), slice(left, left + width))
        assert torch.equal(seen, valid[cut])
        assert_close(part, whole[cut], atol=2e-4)


@pytest.mark.parametrize("k", [-0.12, 0.1])
def test_aligned_frames_are_straight(k: float) -> None:
    image, frames, H, alignment = exact(k)
    straight = photos.as_frame(photos.view(image, H[0], shape=alignment.size)).float() / 255
    for t, picture, shown in aligned_frames(frames, alignment):
        assert shown.float().mean() > 0.75
        off = (picture / (1 - 0.1 * t) ** (1 / 2.4) - straight).abs().mean(0, keepdim=True)
        assert float(off[shown].quantile(0.8)) < 0.03


@pytest.mark.parametrize("settle", [False, True])
def test_the_picture_is_straight(settle: bool) -> None:
    k = -0.1
    image, frames, H, alignment = exact(k)
    straight = photos.as_frame(photos.view(image, H[0], shape=alignment.size)).float() / 255
    reconstruction = reconstruct_sequence(frames, alignment, aggregator="median", settle=settle)
    inside = reconstruction.coverage >= 3
    assert inside.float().mean() > 0.8
    assert float(psnr(reconstruction.image[None], straight[None], inside[None])[0]) > 28
    bent = reconstruct_sequence(frames, alignment._replace(distortion=0.0), aggregator="median", settle=settle)
    assert float(psnr(bent.image[None], straight[None], inside[None])[0]) < 22
