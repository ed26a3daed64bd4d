"""Pictures on a canvas: each photo goes onto it once, bends and lens included; the reference's own is as without."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from diar_ops import Alignment, Canvas, OptionError, ShapeError, reconstruct_sequence, transform_points
from diar_ops.pipeline import aligned_frames, grid_displacement
from diar_ops.pipeline._warp import AlignedSequence
from tests import photos
from tests.harness import assert_close, generator

SIZE = (40, 56)
#: Canvas of another size than the reference, seen from elsewhere, with room around it.
CANVAS = Canvas(
    torch.tensor([[1.3, 0.1, 9.0], [-0.06, 1.2, 7.0], [0.001, -0.0008, 1.0]], dtype=torch.float64), (64, 90)
)


def pixels(size: tuple[int, int]) -> Tensor:
    y, x = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in size), indexing="ij")
    return torch.stack((x, y), -1)


@pytest.fixture
def bent() -> tuple[list[Tensor], Alignment]:
    """Two frames whose values say where they were sampled, x and y; both bent."""
    frame = torch.cat((pixels(SIZE).movedim(-1, 0) / 100, torch.zeros(1, *SIZE)))
    H = torch.eye(3, dtype=torch.float64).repeat(2, 1, 1)
    H[1] = torch.tensor([[0.98, 0.03, 2.0], [-0.02, 1.01, -1.0], [0.0003, 0.0002, 1.0]])
    grid = torch.randn(2, 2, 7, 8, generator=generator("canvas bends"))
    return [frame, frame], Alignment.from_homographies(H, [SIZE] * 2)._replace(grid=grid)


def test_each_pixel_of_a_canvas_goes_to_the_reference_is_displaced_there_and_seen(
    bent: tuple[list[Tensor], Alignment],
) -> None:
    frames, alignment = bent
    assert alignment.grid is not None
    H = CANVAS.homography_canvas_reference
    in_reference = transform_points(pixels(CANVAS.size).flatten(0, 1), torch.linalg.inv(H)).points
    for t, image, valid in aligned_frames(frames, alignment, canvas=CANVAS):
        moved = grid_displacement(alignment.grid[t].double(), CANVAS.size, SIZE, torch.linalg.inv(H))
        place = in_reference + moved.flatten(1).mT
        seen = transform_points(place, torch.linalg.inv(alignment.homography_reference_frame[t])).points
        inside = ((seen > 0) & (seen < torch.tensor(SIZE).flip(0) - 1)).all(-1)
        assert valid.flatten()[inside].all()
        assert inside.sum() > 1000
        assert_close(100 * image[:2].flatten(1).mT[inside], seen[inside].float(), atol=0.01)


@pytest.mark.parametrize("scale", [1.0, -3.0])
@pytest.mark.parametrize("aggregator", ["median", "diar"])
def test_canvas_that_is_the_reference_changes_no_byte(
    bent: tuple[list[Tensor], Alignment], aggregator: str, scale: float
) -> None:
    frames, alignment = bent
    canvas = Canvas(scale * torch.eye(3), SIZE)
    plain = reconstruct_sequence(frames, alignment, aggregator=aggregator)
    same = reconstruct_sequence(frames, alignment, aggregator=aggregator, canvas=canvas)
    for one, other in zip(plain, same, strict=True):
        assert torch.equal(one, other)
    for one, other in zip(
        aligned_frames(frames, alignment), aligned_frames(frames, alignment, canvas=canvas), strict=True
    ):
        assert all(torch.equal(torch.as_tensor(x), torch.as_tensor(y)) for x, y in zip(one, other, strict=True))


def test_windows_and_copies_of_a_canvas_are_those_of_the_whole(bent: tuple[list[Tensor], Alignment]) -> None:
    frames, alignment = bent
    sequence = AlignedSequence(frames, [None, None], alignment, [0, 1], frames[0].device, CANVAS)
    whole, valid = sequence.warp((0, 0, *CANVAS.size))
    part, part_valid = sequence.warp((17, 30, 20, 40))
    window = (..., slice(17, 37), slice(30, 70))
    assert torch.equal(valid[window], part_valid)
    assert_close(part, whole[window], atol=1e-4)
    half = (CANVAS.size[0] // 2, CANVAS.size[1] // 2)
    resized = sequence.resized(half, 1000)
    small, small_valid = resized.warp((0, 0, *half))
    shrunk = torch.nn.functional.avg_pool2d(whole[0], 2)
    inner = torch.nn.functional.avg_pool2d(valid[0].float(), 2).eq(1) & small_valid[0]
    assert inner.float().mean() > 0.4
    assert ((small[0] - shrunk) * inner).abs().max() < 0.01


@pytest.mark.parametrize("options", [{"aggregator": "diar"}, {"aggregator": "mean", "settle": True}])
def test_picture_is_that_of_the_reference_seen_from_elsewhere(options: dict[str, Any]) -> None:
    _, views, H = photos.sequence(96, 4)
    alignment = photos.exact_alignment(H, (96, 96))
    frames = [photos.as_frame(view) for view in views]
    canvas = Canvas(torch.tensor([[0.0, -1, 95], [1, 0, 0], [0, 0, 1]]).double(), (96, 96))  # turned by a quarter
    plain = reconstruct_sequence(frames, alignment, **options)
    turned = reconstruct_sequence(frames, alignment, canvas=canvas, **options)
    assert turned.weights is not None
    assert turned.image.shape == (3, 96, 96)
    assert_close(turned.weights.sum(0), torch.ones(1, 96, 96), atol=1e-3)
    assert (turned.image.rot90(1, (1, 2)) - plain.image).abs().mean() < 0.02  # a network sees it turned


def test_exceptions(bent: tuple[list[Tensor], Alignment]) -> None:
    frames, alignment = bent
    eye = torch.eye(3)
    with pytest.raises(OptionError, match="canvas: Canvas, got 'str'"):
        reconstruct_sequence(frames, alignment, canvas="all")
    with pytest.raises(ShapeError, match=r"canvas\.homography_canvas_reference must have shape \(3 3\)"):
        reconstruct_sequence(frames, alignment, canvas=Canvas(eye[:2], SIZE))
    with pytest.raises(OptionError, match="positive size"):
        reconstruct_sequence(frames, alignment, canvas=Canvas(eye, (0, 5)))
    with pytest.raises(OptionError, match="can be inverted"):
        next(aligned_frames(frames, alignment, canvas=Canvas(eye * torch.tensor([1.0, 0, 1]), SIZE)))
