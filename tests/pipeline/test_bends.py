"""align_sequence(bends=): what curls is laid flat, what is flat stays, what is foreign stays out."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from diar_ops import Alignment, OptionError, align_sequence, reconstruct_sequence
from diar_ops.pipeline import aligned_frames, grid_displacement, warp_frame
from diar_ops.pipeline._warp import AlignedSequence
from diar_ops.results.files import homographies_document
from tests.geometry.grid_scene import bent_pair, bulge, noisy
from tests.geometry.refine_scene import SIZE, texture


@pytest.fixture(scope="module")
def bent() -> list[Tensor]:
    """The reference, the same in other light, two photos of it bent by up to 3 pixels, and a foreign one."""
    source, destination, _ = bent_pair("bent sequence", 3.0)
    photos = [destination, 0.7 * destination + 0.1, source, 0.8 * source, texture("bent foreign", 1, 3, *SIZE)]
    return [noisy(photo, f"bent {t}")[0].float() for t, photo in enumerate(photos)]


@pytest.fixture(scope="module")
def found(bent: list[Tensor]) -> Alignment:
    return align_sequence(bent, reference=0, bends="auto")


def test_bends_are_found_and_flat_photos_have_none(found: Alignment) -> None:
    assert found.success.tolist() == [True, True, True, True, False]
    assert found.grid is not None
    assert [bool(grid.any()) for grid in found.grid] == [False, False, True, True, False]
    y, x = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in SIZE), indexing="ij")
    points = torch.stack((x, y, torch.ones_like(x)), -1)
    for t in (2, 3):
        displaced = points[..., :2] + grid_displacement(found.grid[t].double(), SIZE).movedim(0, -1)
        seen = torch.cat((displaced, points[..., 2:]), -1) @ torch.linalg.inv(found.homography_reference_frame[t]).mT
        true = points[..., :2] + bulge(3.0).movedim(0, -1)
        error = (seen[..., :2] / seen[..., 2:] - true).norm(dim=-1)[6:-6, 6:-6]
        assert error.median() < 0.1
        assert error.quantile(0.95) < 0.3


def test_aligned_frames_lie_over_the_reference(bent: list[Tensor], found: Alignment) -> None:
    flat = found._replace(grid=None)
    laid, left = (
        {t: (image - bent[0])[:, 10:-10, 10:-10].abs().mean() for t, image, _ in aligned_frames(bent, alignment)}
        for alignment in (found, flat)
    )
    assert laid[2] < 0.5 * left[2]
    assert laid[1] == left[1]


def test_windows_and_copies_take_their_part_of_the_grid(bent: list[Tensor], found: Alignment) -> None:
    sequence = AlignedSequence(list(bent), [None] * 5, found, [2, 3], bent[0].device)
    whole, valid = sequence.warp((0, 0, *SIZE))
    part, part_valid = sequence.warp((37, 21, 40, 50))
    window = (..., slice(37, 77), slice(21, 71))
    assert torch.equal(valid[window], part_valid)
    torch.testing.assert_close(whole[window], part, rtol=0, atol=1e-4)
    half = (SIZE[0] // 2, SIZE[1] // 2)
    small, _ = sequence.resized(half, 1000).warp((0, 0, *half))
    shrunk = torch.nn.functional.avg_pool2d(whole[0], 2)
    assert (small[0] - shrunk)[..., 5:-5, 5:-5].abs().mean() < 0.01


def test_reconstruction_is_sharper(bent: list[Tensor], found: Alignment) -> None:
    off = [
        (reconstruct_sequence(bent, alignment, aggregator="mean").image - bent[0])[:, 10:-10, 10:-10].square().mean()
        for alignment in (found, found._replace(grid=None))
    ]
    assert off[0] < off[1]


def test_flat_sequences_are_as_without(bent: list[Tensor]) -> None:
    flat = [bent[0], bent[1], noisy(bent[0], "flat again")]
    with_bends, without = (align_sequence(flat, reference=0, bends=bends) for bends in ("auto", "none"))
    assert with_bends.grid is None
    assert torch.equal(with_bends.homography_reference_frame, without.homography_reference_frame)


def test_what_stands_beside_the_picture_stays() -> None:
    """The picture is bent by up to 2 pixels, and the room beside it lies deeper."""
    source, destination, field = bent_pair("bent beside", 2.0)
    room = texture("bent room", 1, 3, SIZE[0], 100)
    shots = ((destination, 0), (source, 12), (0.8 * source, 16), (0.9 * source, 14))
    frames = [torch.cat((image, room[..., left : left + 50]), -1)[0].float() for image, left in shots]
    alignment = align_sequence(frames, reference=0, bends="auto")
    assert alignment.success.all()
    assert alignment.grid is not None
    size = alignment.size
    assert alignment.grid.norm(dim=1).max() <= 0.021 * math.hypot(*size)
    y, x = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in size), indexing="ij")
    points = torch.stack((x, y, torch.ones_like(x)), -1)
    for t in range(1, 4):
        moved = grid_displacement(alignment.grid[t].double(), size)
        assert moved[..., -25:].norm(dim=0).mean() < 2  # of 12 to 16 that the room has moved
        laid = torch.cat((points[..., :2] + moved.movedim(0, -1), points[..., 2:]), -1)
        seen = laid @ torch.linalg.inv(alignment.homography_reference_frame[t]).mT
        true = points[:, : SIZE[1], :2] + field.movedim(0, -1)
        error = (seen[..., :2] / seen[..., 2:])[:, : SIZE[1]] - true
        assert error.norm(dim=-1)[6:-6, 6:-20].median() < 0.1


def test_none_looks_for_none(bent: list[Tensor]) -> None:
    assert align_sequence(bent[:3], reference=0, bends="none").grid is None
    with pytest.raises(OptionError, match="bends to be one of auto, none"):
        align_sequence(bent[:3], bends="some")


def test_document_holds_the_control_points(found: Alignment) -> None:
    frames = homographies_document([f"{t}.png" for t in range(5)], found)["frames"]
    assert [frame["bend"] is None for frame in frames] == [True, True, False, False, True]
    assert found.grid is not None
    torch.testing.assert_close(torch.tensor(frames[2]["bend"]), found.grid[2], rtol=0, atol=6e-4)


def test_zero_grid_warps_as_none(bent: list[Tensor]) -> None:
    eye = torch.eye(3, dtype=torch.float64)
    plain = warp_frame(bent[0], eye, (0, 0, *SIZE))
    zeros = warp_frame(bent[0], eye, (0, 0, *SIZE), grid=torch.zeros(2, 7, 7), size=SIZE)
    assert torch.equal(plain[0], zeros[0])
