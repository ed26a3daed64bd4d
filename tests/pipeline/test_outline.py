"""find_outline and rectified_canvas: the picture found, and shown frontally on a canvas of its own."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from diar_ops import Alignment, DiarError, OptionError, homography_from_camera, warp_homography
from diar_ops.geometry import transform_points
from diar_ops.pipeline import find_outline, mosaic_canvas, rectified_canvas
from tests.harness import assert_close, generator

SIZE, FOCAL = (180, 240), 260.0
PICTURE = (120, 90)  # (width, height) in pixels of the plane


def smooth(name: str, height: int, width: int) -> Tensor:
    noise = torch.rand(1, 3, height // 6 + 2, width // 6 + 2, generator=generator(name), dtype=torch.float32)
    return torch.nn.functional.interpolate(noise, (height, width), mode="bicubic").clamp(0, 1)[0]


def views(
    picture: Tensor, wall: Tensor, turns: list[tuple[float, float]], depth: float = 330.0
) -> tuple[list[Tensor], Tensor]:
    """Photos of a picture on a wall, the cameras turned about x and y, and ``homography_frame_plane``."""
    plane = wall.expand(3, 400, 480).clone()
    width, height = PICTURE
    plane[:, 150 : 150 + height, 180 : 180 + width] = picture
    K = torch.tensor([[FOCAL, 0, (SIZE[1] - 1) / 2], [0, FOCAL, (SIZE[0] - 1) / 2], [0, 0, 1]]).double()
    middle = torch.tensor([180 + (width - 1) / 2, 150 + (height - 1) / 2, 0.0]).double()
    frames, homographies = [], []
    for about_x, about_y in turns:
        (a, b), (c, s) = ((math.cos(t), math.sin(t)) for t in (about_x, about_y))
        about_x_axis = torch.tensor([[1, 0, 0], [0, a, -b], [0, b, a]]).double()
        R = about_x_axis @ torch.tensor([[c, 0, s], [0, 1, 0], [-s, 0, c]]).double()
        t = torch.tensor([0, 0, depth]).double() - R @ middle
        H = homography_from_camera(K, R, t)
        frames.append(warp_homography(plane[None], H[None].float(), size=SIZE).image[0])
        homographies.append(H)
    return frames, torch.stack(homographies)


def aligned(homography_frame_plane: Tensor, reference: int = 0) -> Alignment:
    H = homography_frame_plane[reference] @ torch.linalg.inv(homography_frame_plane)
    return Alignment.from_homographies(H, [SIZE] * len(H), reference=reference)


def corners_in(homography: Tensor) -> Tensor:
    (left, top), (width, height) = (179.5, 149.5), PICTURE
    corners = torch.tensor([[0, 0], [width, 0], [width, height], [0, height]]).double()
    return transform_points(corners + torch.tensor([left, top]).double(), homography).points


TURNS = [(0.1, -0.2), (0.3, 0.3), (-0.35, 0.1), (0.0, 0.45)]


def test_finds_the_corners_to_half_a_pixel_whatever_hides_or_shades_them() -> None:
    frames, H = views(smooth("outline picture", 90, 120) * 0.6, torch.tensor([0.7, 0.75, 0.8])[:, None, None], TURNS)
    frames[0][:, 20:90, 30:80] = 0.05  # something before a corner in the reference
    frames[1][:, :, :120] *= 0.6  # a shadow with an edge
    outline = find_outline(frames, aligned(H))
    assert outline.found
    assert (outline.corners - corners_in(H[0])).norm(dim=-1).max() < 0.7


def test_finds_what_lies_outside_of_the_reference_where_others_see_it() -> None:
    frames, H = views(smooth("outline beyond", 90, 120) * 0.6, torch.tensor([0.8, 0.7, 0.6])[:, None, None], TURNS)
    H = torch.cat((H, H[:1]))
    shift = torch.eye(3).double()
    shift[0, 2] = -90.0  # the left corners leave the photo
    H[4] = shift @ H[0]
    frames.append(warp_homography(frames[0][None], shift[None].float(), size=SIZE).image[0])
    valid = [None] * 4 + [torch.ones(1, *SIZE, dtype=torch.bool)]
    valid[4][..., -90:] = False
    outline = find_outline(frames, aligned(H, 4), valid=valid)
    assert outline.found
    assert outline.corners[:, 0].min() < -10
    assert (outline.corners - corners_in(H[4])).norm(dim=-1).max() < 0.7


def test_finds_in_photos_of_parts_what_the_reference_shows_nothing_of() -> None:
    frames, H = views(smooth("outline parts", 90, 120) * 0.6, torch.tensor([0.8, 0.7, 0.6])[:, None, None], TURNS[:1])
    places = [(x, y) for y in (0, 36, 72, 108) for x in (0, 40, 80, 120, 160)]  # more than are compared of one view
    parts = [frames[0][:, y : y + 72, x : x + 80] for x, y in places]
    reference = places.index((80, 72))  # the middle of the picture
    steps = torch.eye(3).double().repeat(len(places), 1, 1)
    steps[:, :2, 2] = torch.tensor(places).double() - torch.tensor(places[reference]).double()
    sizes = [(72, 80)] * len(places)
    alignment = Alignment.from_homographies(steps, sizes, reference=reference)
    outline = find_outline(parts, alignment, canvas=mosaic_canvas(alignment, sizes).canvas)
    assert outline.found
    expected = corners_in(H[0]) - torch.tensor(places[reference]).double()
    assert (outline.corners - expected).norm(dim=-1).max() < 0.7
    cropped = rectified_canvas(outline.corners, alignment, sizes).canvas.size
    assert cropped[0] * cropped[1] > 0.9 * PICTURE[0] * PICTURE[1] * (FOCAL / 330) ** 2, "larger than the reference"


@pytest.mark.parametrize("shifts", [[(0, 0)] * 3, [(0, 0), (9, 4), (-6, 11), (3, -8)]])
def test_finds_nothing_where_the_picture_fills_all_photos(shifts: list[tuple[int, int]]) -> None:
    picture = smooth("outline full", 240, 320)
    picture[:, 100:140, 120:200] = 0.9  # a label in its middle, in plain sight
    frames = [picture[:, 30 + y : 30 + y + SIZE[0], 40 + x : 40 + x + SIZE[1]] for x, y in shifts]
    H = torch.eye(3).double().repeat(len(shifts), 1, 1)
    H[:, :2, 2] = torch.tensor(shifts).double()
    assert not find_outline(frames, Alignment.from_homographies(H, [SIZE] * len(H))).found


def test_finds_nothing_in_a_plain_wall_or_a_single_colour() -> None:
    outline = find_outline(torch.full((2, 3, 90, 120), 0.5), aligned(torch.eye(3).double().repeat(2, 1, 1)))
    assert not outline.found
    assert outline.certainty == 0


def test_refuses_what_it_cannot_use() -> None:
    frames = torch.rand(2, 3, 64, 64, generator=generator("outline refused"))
    alignment = Alignment.from_homographies(torch.eye(3).repeat(2, 1, 1), [(64, 64)] * 2)
    with pytest.raises(OptionError, match="working_size >= 64"):
        find_outline(frames, alignment, working_size=8)
    with pytest.raises(DiarError, match="no frame is aligned"):
        find_outline(frames, alignment._replace(success=torch.tensor([False, False])))
    with pytest.raises(DiarError, match="convex quadrilateral"):
        rectified_canvas(torch.tensor([[0.0, 0], [10, 10], [20, 20], [0, 20]]), alignment, [(64, 64)] * 2)


def test_canvas_is_the_picture_with_its_proportions() -> None:
    _, H = views(smooth("outline canvas", 90, 120) * 0.6, torch.tensor(0.8), TURNS)
    alignment = aligned(H)
    canvas, found = rectified_canvas(corners_in(H[0]), alignment, [SIZE] * 4)
    height, width = canvas.size
    assert abs(width / height / (120 / 90) - 1) < 0.02
    assert_close(found.proportion, torch.tensor([120 / 90]).double(), rtol=0.01, atol=0)
    spanned = transform_points(corners_in(H[0]), canvas.homography_canvas_reference).points
    expected = torch.tensor([[0, 0], [width, 0], [width, height], [0, height]]).double() - 0.5
    assert_close(spanned, expected, atol=1e-6)


def test_canvas_knows_focal_lengths() -> None:
    """One photo and a copy tell the proportions as well as their focal length is known."""
    _, H = views(torch.zeros(3, 90, 120), torch.tensor(0.8), [(0.0, 0.5)] * 2)
    sizes, diagonal = [SIZE] * 2, math.hypot(*SIZE)
    unknown = rectified_canvas(corners_in(H[0]), aligned(H), sizes).rectification
    known = rectified_canvas(corners_in(H[0]), aligned(H), sizes, focal=[FOCAL / diagonal] * 2).rectification
    assert known.proportion_sigma < 0.5 * unknown.proportion_sigma
    assert_close(known.proportion, torch.tensor([120 / 90]).double(), rtol=0.02, atol=0)
