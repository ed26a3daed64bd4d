"""Joint adjustment: frames tie each other where the reference does not show the picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from diar_ops import DenseDescriptor, DenseSIFT, bundle_adjust_homographies, corner_error
from diar_ops.pipeline import _joint
from diar_ops.pipeline._frames import working_copy
from diar_ops.pipeline._joint import NEIGHBOURS, _pairs_of, adjust_jointly, trusted
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


def adjust(frames: list[Tensor], placed: dict[int, Refined]) -> Any:
    steps: list[tuple[str, int, int]] = []
    found = adjust_jointly(
        placed, 0, [(SIZE, SIZE)] * len(frames),
        lambda t: working_copy(frames[t], None, 1024, torch.device("cpu")),
        DenseDescriptor(DenseSIFT(stride=2)), lambda *step: steps.append(step),
    )  # fmt: skip
    assert [step[1:] for step in steps] == [(n + 1, len(placed)) for n in range(len(placed))]
    return found


def placed_near(true: Tensor, anchors: dict[int, int] | None = None) -> dict[int, Refined]:
    """Frames off by a pixel or so."""
    rng, anchors = photos.random("near"), anchors or {}
    near = {t: shifted(true[t], *rng.uniform(-1, 1, 2)) for t in range(1, len(true))}
    return {t: Refined(H, True, torch.zeros(5), anchors.get(t, 0)) for t, H in near.items()}


def test_frames_fall_into_place() -> None:
    frames, true = scene()
    placed = placed_near(true)
    found = adjust(frames, placed)
    error = corner_error(found.homography, true, size=(SIZE, SIZE))
    start = torch.stack([placed[t].homography_reference_frame for t in (1, 2, 3)])
    assert corner_error(start, true[1:], size=(SIZE, SIZE)).min() > 0.4
    assert error.max() < 0.15
    assert found.success.all()
    assert (found.corner_sigma[1:] < 0.5).all()
    assert all(trusted(found, t, (SIZE, SIZE)) for t in placed)


def test_others_tie_what_the_reference_hides(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two thirds of the reference are hidden: with it alone, corners are extrapolated."""
    frames, true = scene(hidden=(110, 110, 75))
    placed = placed_near(true)
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


def test_views_beyond_the_memory_are_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    frames, true = scene()
    kept = adjust(frames, placed_near(true))
    made = []
    monkeypatch.setattr(_joint, "MOST_PIXELS", 0)
    monkeypatch.setattr(_joint, "LEAST_VIEWS", 2)
    plain = _joint._view
    monkeypatch.setattr(_joint, "_view", lambda *args: made.append(1) or plain(*args))
    again = adjust(frames, placed_near(true))
    assert len(made) > len(frames)
    assert torch.equal(again.homography, kept.homography)


def test_frames_that_one_frame_alone_ties_stay_as_they_are() -> None:
    frames, true = scene()
    found = adjust(frames, placed_near(true, anchors={3: 2}))
    assert found.success.tolist() == [True, True, True, False]
    assert not trusted(found, 3, (SIZE, SIZE))
    assert corner_error(found.homography[:3], true[:3], size=(SIZE, SIZE)).max() < 0.2
    assert adjust(frames[:2], {1: placed_near(true)[1]}) is None


def test_nothing_to_adjust() -> None:
    frames, _ = scene()
    assert adjust(frames, {}) is None


def test_pairs_share_what_they_show() -> None:
    """Every frame with the anchor; others only where they show the same."""
    left, right = torch.zeros(10, 10, dtype=torch.bool), torch.zeros(10, 10, dtype=torch.bool)
    left[:, :5], right[:, 5:] = True, True
    usable = dict(enumerate((left | right, left, left, right, right)))
    pairs = _pairs_of(usable, 0)
    assert pairs == [(1, 0), (1, 2), (2, 0), (3, 0), (3, 4), (4, 0)]
    many = dict.fromkeys(range(30), usable[0])
    assert len(_pairs_of(many, 0)) <= 29 * (1 + NEIGHBOURS)
