"""Joint adjustment: frames tie each other where the reference does not show the picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from diar_ops import bundle_adjust_homographies, corner_error, refine_homography
from diar_ops.pipeline import _joint
from diar_ops.pipeline._frames import working_copy
from diar_ops.pipeline._joint import NEIGHBOURS, _neighbours, adjust_jointly, trusted
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


EVERYTHING = torch.ones(4, dtype=torch.bool)


def adjust(
    frames: list[Tensor], placed: dict[int, Refined], shown: dict[int, Tensor] | None = None
) -> Any:
    steps: list[tuple[str, int, int]] = []
    found = adjust_jointly(
        placed, 0, shown or dict.fromkeys(placed, EVERYTHING), [(SIZE, SIZE)] * len(frames),
        lambda t: working_copy(frames[t], None, 1024, torch.device("cpu")),
        lambda *step: steps.append(step),
    )  # fmt: skip
    assert [step[1:] for step in steps] == [(n + 1, len(steps)) for n in range(len(steps))]
    return found


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
    found = adjust(frames, placed)
    error = corner_error(found.homography, true, size=(SIZE, SIZE))
    start = torch.stack([placed[t].homography_reference_frame for t in (1, 2, 3)])
    assert corner_error(start, true[1:], size=(SIZE, SIZE)).min() > 0.4
    assert error.max() < 0.1
    assert found.success.all()
    assert (found.corner_sigma[1:] < 0.5).all()
    assert all(trusted(found, t, (SIZE, SIZE)) for t in placed)


def test_others_tie_what_the_reference_hides(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two thirds of the reference are hidden: with it alone, corners are extrapolated."""
    frames, true = scene(hidden=(110, 110, 75))
    placed = placed_near(frames, true)
    together = corner_error(adjust(frames, placed).homography, true, size=(SIZE, SIZE))
    assert together.max() < 0.6

    def with_reference(
        index: Tensor, points0: Tensor, points1: Tensor, *rest: Any, **kw: Any
    ) -> Any:
        keep = (index == 0).any(1)
        return bundle_adjust_homographies(index[keep], points0[keep], points1[keep], *rest, **kw)

    monkeypatch.setattr(_joint, "bundle_adjust_homographies", with_reference)
    alone = corner_error(adjust(frames, placed).homography, true, size=(SIZE, SIZE))
    assert together[1:].mean() < alone[1:].mean()


def test_a_frame_that_one_frame_alone_ties_moves_with_it() -> None:
    frames, true = scene()
    nothing = torch.zeros(4, dtype=torch.bool)
    shown = {1: EVERYTHING, 2: EVERYTHING, 3: nothing}
    found = adjust(frames, placed_near(frames, true, anchors={3: 2}), shown)
    assert found.success.all()
    assert corner_error(found.homography, true, size=(SIZE, SIZE)).max() < 0.2


def test_nothing_to_adjust() -> None:
    frames, true = scene()
    assert adjust(frames, {}) is None
    assert adjust(frames[:2], {1: placed_near(frames, true)[1]}) is None


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
