"""Joint adjustment: frames tie each other where the reference does not show the picture."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from diar_ops import corner_error, refine_homography
from diar_ops.pipeline._align.adjust import adjust_frames
from diar_ops.pipeline._align.refine import RefinedFrame
from diar_ops.pipeline._align.tie_points import NEIGHBOURS, TiePoints, _neighbours, tie_anchors, tie_neighbours
from diar_ops.pipeline._frames import Frame, WorkingCopies
from diar_ops.pipeline._lens import Lens
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
    frames: list[Tensor], placed: dict[int, RefinedFrame], shown: dict[int, Tensor] | None = None
) -> list[TiePoints]:
    """Return all ties, after making sure that progress ends where it said."""
    steps: list[tuple[str, int, int]] = []
    beside = tie_neighbours(
        placed,
        0,
        shown or dict.fromkeys(placed, EVERYTHING),
        WorkingCopies([Frame(frame, None) for frame in frames], 1024, torch.device("cpu")),
        LENS,
        lambda *step: steps.append(step),
    )
    assert [step[1:] for step in steps] == [(n + 1, len(steps)) for n in range(len(steps))]
    return [*tie_anchors(placed, LENS), *beside]


def start_of(placed: dict[int, RefinedFrame]) -> Tensor:
    eye = torch.eye(3, dtype=torch.float64)
    return torch.stack([eye, *(placed[t].homography_reference_frame for t in sorted(placed))])


def errors(ties: list[TiePoints], placed: dict[int, RefinedFrame], true: Tensor) -> Tensor:
    """Corner errors after adjustment to the ties."""
    adjusted = adjust_frames(ties, start_of(placed), [(SIZE, SIZE)] * len(true), 0).homography
    return corner_error(adjusted, true, size=(SIZE, SIZE))


def placed_near(frames: list[Tensor], true: Tensor, anchors: dict[int, int] | None = None) -> dict[int, RefinedFrame]:
    """Frames off by a pixel or so, and where they show the same as their anchors."""
    rng, placed = photos.random("near"), {}
    for t in range(1, len(true)):
        near, anchor = shifted(true[t], *rng.uniform(-1, 1, 2)), (anchors or {}).get(t, 0)
        start = torch.linalg.inv(true[anchor]) @ near
        one, other = (frames[k][None].float() / 255 for k in (t, anchor))
        refined = refine_homography(one, other, start[None])
        keep = refined.matches.valid[0]
        points = (refined.matches.points0[0, keep], refined.matches.points1[0, keep])
        placed[t] = RefinedFrame(near, True, torch.zeros(5), anchor, *points)
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
    alone = errors([tie for tie in ties if tie.frame1 == 0], placed, true)
    assert together[1:].mean() < alone[1:].mean()


def test_a_frame_that_one_frame_alone_ties_moves_with_it() -> None:
    frames, true = scene()
    placed = placed_near(frames, true, anchors={3: 2})
    shown = {1: EVERYTHING, 2: EVERYTHING, 3: torch.zeros(4, dtype=torch.bool)}
    assert errors(ties_between(frames, placed, shown), placed, true).max() < 0.2


def test_a_frame_without_ties_stays() -> None:
    frames, true = scene()
    placed = placed_near(frames, true)
    ties = [tie for tie in tie_anchors(placed, LENS) if tie.frame0 != 2]
    adjusted = adjust_frames(ties, start_of(placed), [(SIZE, SIZE)] * 4, 0).homography
    assert torch.equal(adjusted[2], placed[2].homography_reference_frame)


def test_pairs_share_what_they_show() -> None:
    """Others than the anchor, and only where they show the same."""
    left, right = torch.zeros(10, dtype=torch.bool), torch.zeros(10, dtype=torch.bool)
    left[:5], right[5:] = True, True
    shown = {1: left, 2: left, 3: right, 4: right}
    empty = torch.zeros(0, 2)
    placed = {t: RefinedFrame(torch.eye(3), True, torch.zeros(5), 0, empty, empty) for t in range(1, 31)}
    assert _neighbours(placed, shown) == [(1, 2), (3, 4)]
    assert _neighbours(placed | {2: placed[2]._replace(anchor=1)}, shown) == [(3, 4)]
    many = dict.fromkeys(range(1, 31), left)
    assert len(_neighbours(placed, many)) <= 30 * NEIGHBOURS
