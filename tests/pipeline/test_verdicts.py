"""Verdicts of align_sequence: what belongs is reached, what does not is left out with a reason."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from diar_ops import Alignment, Reason, align_sequence, corner_error
from diar_ops.pipeline._align import refine as refine_module
from tests import photos
from tests.pipeline.test_align import EYE, SIZE, errors, frames

# --- photos that do not belong ----------------------------------------------------------------


def left_out(stranger: Tensor) -> Alignment:
    """Align three good frames with a stranger in their middle; the good ones must not notice."""
    given, _ = frames()
    alone = align_sequence(given, reference=0)
    alignment = align_sequence([given[0], stranger, *given[1:]], reference=0)
    assert alignment.success.tolist() == [True, False, True, True]
    assert torch.equal(alignment.homography_reference_frame[1], EYE)
    assert float(alignment.overlap[1]) <= 1
    good = alignment.homography_reference_frame[[0, 2, 3]]
    # RANSAC draws other samples for more pairs.
    between = corner_error(good, alone.homography_reference_frame, size=(SIZE, SIZE))
    assert between.max() < 0.1
    assert align_sequence([given[0], stranger, *given[1:]]).reference != 1
    return alignment


def test_a_photo_of_something_else_is_left_out() -> None:
    other = photos.view(photos.picture("other", SIZE), np.eye(3), noise="other")
    result = left_out(photos.as_frame(other))
    assert Reason(int(result.reason[1])) in (Reason.CHANCE_LEVEL, Reason.TOO_FEW)


@pytest.mark.parametrize("level", [0, 128, 255])
def test_an_empty_photo_has_too_few_points(level: int) -> None:
    result = left_out(torch.full((3, SIZE, SIZE), level, dtype=torch.uint8))
    assert result.reason[1] == Reason.TOO_FEW
    assert result.inliers[1] == 0


@pytest.mark.parametrize("shape", [(16, 16), (1, 1), (2, 200), (33, 5)])
def test_a_tiny_photo_is_left_out(shape: tuple[int, int]) -> None:
    tiny = torch.rand(3, *shape, generator=torch.Generator().manual_seed(1))
    given, _ = frames()
    alignment = align_sequence([given[0], tiny, given[1]], reference=0)
    assert alignment.success.tolist() == [True, False, True]
    assert Reason(int(alignment.reason[1])) in (Reason.TOO_FEW, Reason.CHANCE_LEVEL, Reason.COLLINEAR)


def test_noise_hides_detail_but_not_the_picture() -> None:
    """Pixels of noisy photos hardly agree; those of smaller copies do."""
    given, H = frames(3, 256)
    random = torch.Generator().manual_seed(3)
    noisy = [f / 255 + 0.1 * torch.randn(f.shape, generator=random) for f in given]
    alignment = align_sequence([f.clamp(0, 1) for f in noisy], reference=0)
    assert alignment.success.all()
    assert errors(alignment, H, 256).max() < 0.3


def test_noise_alone_does_not_align() -> None:
    random = torch.Generator().manual_seed(2)
    alignment = align_sequence(torch.rand(4, 3, SIZE, SIZE, generator=random))
    assert alignment.success.sum() == 1
    assert not alignment.pairs.estimate.success.any()


def test_copies_of_one_photo_lie_over_it() -> None:
    alignment = align_sequence([frames()[0][0]] * 5)
    assert alignment.success.all()
    still = EYE.expand(5, 3, 3)
    # Up to the sub-pixel accuracy of the refinement: nothing tells it that they are copies.
    assert corner_error(alignment.homography_reference_frame, still, size=(SIZE, SIZE)).max() < 0.2


def zoomed(*factors: float) -> tuple[list[Tensor], np.ndarray]:
    """Frames ever closer to the middle of the picture, and frame ~ H @ picture."""
    image, middle = photos.picture("poster", SIZE), (SIZE - 1) / 2
    shift = [middle * (1 - z) for z in factors]
    H = np.array([[[z, 0, s], [0, z, s], [0, 0, 1]] for z, s in zip(factors, shift, strict=True)])
    views = [photos.view(image, h, noise=f"zoomed {h[0, 0]}") for h in H]
    return [photos.as_frame(v) for v in views], H


def test_a_frame_is_reached_through_another() -> None:
    """A detail too small in the reference to be matched there, and a photo from half way."""
    given, H = zoomed(1, 1.6, 2.56)
    direct = align_sequence([given[0], given[2]], reference=0)
    assert not direct.success[1], "the scene must make the detour necessary"
    alignment = align_sequence(given, reference=0)
    assert alignment.pairs.estimate.success.tolist() == [True, False, True]
    assert alignment.success.all()
    assert errors(alignment, H).max() < 0.2  # pixels of the reference


def test_a_frame_beside_the_reference_is_placed_by_its_neighbour() -> None:
    """Three views side by side: the last shares nothing with the first, half with the second."""
    image = photos.picture("poster", 2 * SIZE)
    H = np.array([[[1, 0, -x], [0, 1, -SIZE / 2], [0, 0, 1]] for x in (0, SIZE / 2, SIZE)])
    views = [photos.view(image, h, shape=(SIZE, SIZE), noise=f"beside {h[0, 2]}") for h in H]
    alignment = align_sequence([photos.as_frame(v) for v in views], reference=0)
    assert alignment.pairs.estimate.success.tolist() == [True, False, True]
    assert alignment.success.all()
    assert alignment.overlap[2] < 0.02
    # Half an overlap extrapolates to the far corners, twice in a row: 0.9 px were measured.
    assert errors(alignment, H).max() < 1.5  # pixels of the reference


def test_frames_that_fit_each_other_but_not_the_reference_are_unconnected() -> None:
    given, _ = frames()
    others = [
        photos.as_frame(photos.view(photos.picture("other", SIZE), h, noise="o"))
        for h in (photos.homography("front", SIZE), photos.homography("left", SIZE))
    ]
    alignment = align_sequence([given[0], *others], reference=0)
    assert alignment.success.tolist() == [True, False, False]
    assert alignment.reason.tolist() == [Reason.OK, Reason.UNCONNECTED, Reason.UNCONNECTED]


def test_a_frame_of_which_too_little_agrees_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pairs are verified, but no frame may pass whose pixels do not agree."""
    given, _ = frames()
    monkeypatch.setattr(refine_module, "RELIABILITY_BOUNDS", ((1.01, 0.0015),))
    alignment = align_sequence(given, reference=0)
    assert alignment.pairs.estimate.success.all()
    assert alignment.success.tolist() == [True, False, False]
    assert alignment.reason.tolist()[1:] == [Reason.PIXELS_DISAGREE] * 2
    assert torch.equal(alignment.homography_reference_frame, EYE.expand(3, 3, 3))
    assert alignment.overlap.tolist() == [1, 0, 0]
