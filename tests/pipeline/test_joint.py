"""Joint adjustment: frames tie each other where the reference does not show the picture."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from diar_ops import align_sequence, corner_error, refine_homography
from diar_ops.pipeline import align as align_module
from diar_ops.pipeline._frames import Photo, working_copy
from diar_ops.pipeline._joint import (
    NEIGHBOURS,
    TILE,
    Adjusted,
    Tie,
    _neighbours,
    _tile_corners,
    adjust,
    look_closer,
    tie_neighbours,
    ties_of,
)
from diar_ops.pipeline._lens import Lens
from diar_ops.pipeline._refine import Refined
from tests import photos

SIZE = 160


def scene(hidden: tuple[int, int, int] | None = None) -> tuple[list[Tensor], Tensor]:
    """Four photos and their true homographies onto the first, of which a disc may hide a part."""
    image = photos.picture("poster", SIZE)
    H = np.stack([photos.homography(name, SIZE) for name in photos.CORNERS])
    views = [
        photos.view(image, h, occluder=hidden if t == 0 else None, noise=name)
        for t, (h, name) in enumerate(zip(H, photos.CORNERS, strict=True))
    ]
    return [photos.as_frame(v) for v in views], torch.from_numpy(H[0] @ np.linalg.inv(H))


def shifted(homography: Tensor, x: float, y: float) -> Tensor:
    shift = torch.eye(3, dtype=torch.float64)
    shift[0, 2], shift[1, 2] = x, y
    return shift @ homography


LENS = Lens(0.0, [(SIZE, SIZE)] * 4)
EVERYTHING = torch.ones(4, dtype=torch.bool)


def ties_between(
    frames: list[Tensor], placed: dict[int, Refined], shown: dict[int, Tensor] | None = None
) -> list[Tie]:
    """Return all ties, after making sure that progress ends where it said."""
    steps: list[tuple[str, int, int]] = []
    beside = tie_neighbours(
        placed,
        shown or dict.fromkeys(placed, EVERYTHING),
        lambda t: working_copy(frames[t], None, 1024, torch.device("cpu")),
        LENS,
        lambda *step: steps.append(step),
    )
    assert [step[1:] for step in steps] == [(n + 1, len(steps)) for n in range(len(steps))]
    return [*ties_of(placed, LENS), *beside]


def start_of(placed: dict[int, Refined]) -> Tensor:
    eye = torch.eye(3, dtype=torch.float64)
    return torch.stack([eye, *(placed[t].homography_reference_frame for t in sorted(placed))])


def errors(ties: list[Tie], placed: dict[int, Refined], true: Tensor) -> Tensor:
    """Corner errors after adjustment to the ties."""
    found = adjust(ties, start_of(placed), [(SIZE, SIZE)] * len(true), 0).homography
    return corner_error(found, true, size=(SIZE, SIZE))


def placed_near(
    frames: list[Tensor], true: Tensor, anchors: dict[int, int] | None = None
) -> dict[int, Refined]:
    """Frames off by a pixel or so, and where they show the same as their anchors."""
    rng, placed = photos.random("near"), {}
    for t in range(1, len(true)):
        near, anchor = shifted(true[t], *rng.uniform(-1, 1, 2)), (anchors or {}).get(t, 0)
        start = torch.linalg.inv(true[anchor]) @ near
        one, other = (frames[k][None].float() / 255 for k in (t, anchor))
        found = refine_homography(one, other, start[None])
        keep = found.matches.valid[0]
        points = (found.matches.points0[0, keep], found.matches.points1[0, keep])
        placed[t] = Refined(near, True, torch.zeros(5), anchor, points)
    return placed


def test_frames_fall_into_place() -> None:
    frames, true = scene()
    placed = placed_near(frames, true)
    assert corner_error(start_of(placed)[1:], true[1:], size=(SIZE, SIZE)).min() > 0.4
    assert errors(ties_between(frames, placed), placed, true).max() < 0.1


def test_others_tie_what_the_reference_hides() -> None:
    """Two thirds of the reference are hidden: with it alone, corners are extrapolated."""
    frames, true = scene(hidden=(110, 110, 75))
    placed = placed_near(frames, true)
    ties = ties_between(frames, placed)
    together = errors(ties, placed, true)
    assert together.max() < 0.6
    alone = errors([tie for tie in ties if tie.other == 0], placed, true)
    assert together[1:].mean() < alone[1:].mean()


def test_a_frame_that_one_frame_alone_ties_moves_with_it() -> None:
    frames, true = scene()
    placed = placed_near(frames, true, anchors={3: 2})
    shown = {1: EVERYTHING, 2: EVERYTHING, 3: torch.zeros(4, dtype=torch.bool)}
    assert errors(ties_between(frames, placed, shown), placed, true).max() < 0.2


def test_a_frame_without_ties_stays() -> None:
    frames, true = scene()
    placed = placed_near(frames, true)
    ties = [tie for tie in ties_of(placed, LENS) if tie.frame != 2]
    found = adjust(ties, start_of(placed), [(SIZE, SIZE)] * 4, 0).homography
    assert torch.equal(found[2], placed[2].homography_reference_frame)


def test_tiles_lie_where_matches_are() -> None:
    points = torch.rand(500, 2, generator=torch.Generator().manual_seed(0)) * 400
    corners = _tile_corners(points.double(), (1000, 1200))
    assert 0 < len(corners) <= 9
    assert all(
        0 <= top <= 400 - TILE // 2 and 0 <= left <= 400 - TILE // 2 for top, left in corners
    )
    edge = torch.tensor([[1199.0, 999.0]]).repeat(20, 1)
    assert _tile_corners(edge, (1000, 1200)) == [(1000 - TILE, 1200 - TILE)]
    assert _tile_corners(edge[:3], (1000, 1200)) == []
    assert _tile_corners(points.double(), (TILE - 1, 1200)) == []


def test_large_photos_are_looked_at_closely() -> None:
    """Tiles of the photos themselves mend what their copies could not see."""
    rng = photos.random("large")
    image = photos.picture("large", 700)
    # Detail that is gone in a copy.
    image = (image + 0.1 * rng.standard_normal(image.shape)).clip(0, 1)
    H = np.stack([photos.homography(name, 700) for name in ("front", "left")])
    given = [photos.as_frame(photos.view(image, h, noise="large")) for h in H]
    true = torch.from_numpy(H[0] @ np.linalg.inv(H[1]))
    near = torch.stack([torch.eye(3, dtype=torch.float64), shifted(true, 0.7, -0.6)])
    y, x = torch.meshgrid(torch.linspace(50, 650, 20), torch.linspace(50, 650, 20), indexing="ij")
    there = torch.stack((x, y), -1).reshape(-1, 2).double()
    mask = torch.ones(1, 700, 700, dtype=torch.bool)
    mask[..., :100] = False
    sizes = [(700, 700)] * 2
    (tie,) = look_closer(
        [Tie(1, 0, there, there)],
        Adjusted(near, Lens(0.0, sizes), 0.0),
        [Photo(photo, mask) for photo in given],
        torch.device("cpu"),
        lambda *step: None,
    )
    assert len(tie.here) > 5000
    assert (tie.there[:, 0] > 95).all()
    assert (tie.here[:, 0] > 95).all()
    found = adjust([tie], near, sizes, 0).homography
    assert corner_error(found[1], true, size=(700, 700)) < 0.05


def test_a_tie_without_tiles_adds_nothing() -> None:
    nowhere = Tie(1, 0, torch.zeros(3, 2).double(), torch.zeros(3, 2).double())
    blank = Photo(torch.zeros(3, 300, 300, dtype=torch.uint8), None)
    eyes = torch.eye(3, dtype=torch.float64).repeat(2, 1, 1)
    at = Adjusted(eyes, Lens(0.0, [(300, 300)] * 2), 0.0)
    there = torch.rand(300, 2).double() * 300
    for tie in (nowhere, Tie(1, 0, there, there)):
        assert look_closer([tie], at, [blank] * 2, torch.device("cpu"), lambda *s: None) == []


def test_align_sequence_looks_closer_at_large_photos() -> None:
    image = photos.picture("closer", 400)
    H = np.stack([photos.homography(name, 400) for name in ("front", "left", "right")])
    given = [photos.as_frame(photos.view(image, h, noise="closer")) for h in H]
    true = torch.from_numpy(H[0] @ np.linalg.inv(H))
    steps = []
    found = align_sequence(
        given,
        reference=0,
        matching_size=200,
        refinement_size=200,
        progress=lambda step, done, total: steps.append(step),
    )
    assert "looking closer" in steps
    plain = align_sequence(given, reference=0, matching_size=200, refinement_size=399)
    assert align_module.LARGE * 399 > 400
    for alignment in (found, plain):
        error = corner_error(alignment.homography_reference_frame, true, size=(400, 400))
        assert error.max() < 0.1


def test_pairs_share_what_they_show() -> None:
    """Others than the anchor, and only where they show the same."""
    left, right = torch.zeros(10, dtype=torch.bool), torch.zeros(10, dtype=torch.bool)
    left[:5], right[5:] = True, True
    shown = {1: left, 2: left, 3: right, 4: right}
    nowhere = (torch.zeros(0, 2), torch.zeros(0, 2))
    placed = {t: Refined(torch.eye(3), True, torch.zeros(5), 0, nowhere) for t in range(1, 31)}
    assert _neighbours(shown, placed) == [(1, 2), (3, 4)]
    assert _neighbours(shown, placed | {2: placed[2]._replace(anchor=1)}) == [(3, 4)]
    many = dict.fromkeys(range(1, 31), left)
    assert len(_neighbours(many, placed)) <= 30 * NEIGHBOURS
