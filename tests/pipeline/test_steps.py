"""The steps of the alignment one by one: whatever replaces one, the rest stays."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from diar_ops import (
    Alignment,
    DenseSIFT,
    DiarError,
    DtypeError,
    Matches,
    OptionError,
    Reason,
    ShapeError,
    align_sequence,
    corner_error,
    load_pretrained,
    transform_points,
)
from diar_ops.pipeline import (
    AlignOptions,
    chain_pairs,
    choose_reference,
    frame_sharpness,
    judge_frames,
    match_pairs,
    place_frames,
    verify_pairs,
)
from tests import photos
from tests.harness import generator, tensors_of
from tests.modes import assert_identical

SIZE = 128


def scene(count: int = 3) -> tuple[list[Tensor], Tensor]:
    """Photos, and the true ``homography_reference_frame`` with frame 0 as the reference."""
    _, views, H = photos.sequence(SIZE, count)
    truth = photos.exact_alignment(H, (SIZE, SIZE)).homography_reference_frame
    return [photos.as_frame(view) for view in views], truth


def worst(alignment: Alignment, true: Tensor) -> float:
    return float(corner_error(alignment.homography_reference_frame, true, size=(SIZE, SIZE)).max())


def true_matcher(true: Tensor, frames: list[Tensor]) -> Any:
    """A matcher that knows the truth of whole frames, and nothing of turned ones."""

    def match(image0: Tensor, image1: Tensor) -> Matches:
        assert image0.shape[:2] == image1.shape[:2] == (1, 3)
        index = [likeliest(image, frames) for image in (image0, image1)]
        H = torch.linalg.inv(true[index[1]]) @ true[index[0]]
        points = torch.rand(1, 150, 2, generator=generator("true matcher")) * SIZE
        partners = transform_points(points, H[None].float()).points
        return Matches(points, partners, torch.ones(1, 150), torch.ones(1, 150, dtype=torch.bool))

    return match


def likeliest(image: Tensor, frames: list[Tensor]) -> int:
    return min(range(len(frames)), key=lambda t: float((frames[t].float() / 255 - image[0]).abs().mean()))


def test_the_steps_are_the_whole() -> None:
    frames, _ = scene()
    whole = align_sequence(frames)
    pairs = match_pairs(frames)
    sizes = torch.tensor([[SIZE, SIZE]] * 3, dtype=torch.float64)
    reference = choose_reference(pairs, frame_sharpness(frames), sizes)
    initial = torch.full((3, 3, 3), torch.nan, dtype=torch.float64)
    for t, H in chain_pairs(pairs, 3, reference).items():
        initial[t] = H
    placement = place_frames(frames, initial, reference, pairs=pairs)
    found = judge_frames(pairs, placement, [True] * 3, reference)
    assert_identical(tensors_of(found), tensors_of(whole))


def test_another_matcher() -> None:
    frames, true = scene()
    options = AlignOptions(matching_size=256)  # whose half are the frames themselves
    found = align_sequence(frames, reference=0, matcher=true_matcher(true, frames), options=options)
    assert bool(found.success.all())
    assert worst(found, true) < 0.3
    assert int(found.inliers.min()) > 50


def test_matches_on_what_is_masked_do_not_count() -> None:
    frames, true = scene()
    mask = torch.ones(1, SIZE, SIZE, dtype=torch.bool)
    mask[..., : SIZE // 4] = False
    options = AlignOptions(matching_size=256)
    pairs = match_pairs(frames, matcher=true_matcher(true, frames), valid=[mask, None, None], options=options)
    of_frame_0 = pairs.frames[:, 0] == 0
    points0, valid = pairs.matches.points0[of_frame_0], pairs.matches.valid[of_frame_0]
    assert valid.sum(dim=1).min() > 50
    assert points0[valid][:, 0].min() > SIZE // 4 - 1
    assert pairs.estimate.success.all()


def verified(true: Tensor, index: list[tuple[int, int]]) -> Any:
    points = torch.rand(len(index), 150, 2, generator=generator("pairs")) * SIZE
    H = torch.stack([torch.linalg.inv(true[j]) @ true[i] for i, j in index]).float()
    matches = Matches(
        points, transform_points(points, H).points, points[..., 0], torch.ones(len(index), 150, dtype=torch.bool)
    )
    return verify_pairs(torch.tensor(index).reshape(-1, 2), matches, [(SIZE, SIZE)] * len(true))


def test_pairs_from_elsewhere() -> None:
    frames, true = scene(4)
    pairs = verified(true, [(1, 0), (2, 1)])
    assert pairs.estimate.homography.dtype == torch.float64
    found = align_sequence(frames, reference=0, pairs=pairs)
    assert found.success.tolist() == [True, True, True, False]
    assert found.reason[3] == Reason.UNCONNECTED
    assert worst(Alignment(*(x[:3] if isinstance(x, Tensor) else x for x in found)), true[:3]) < 0.3


@pytest.mark.parametrize("plane", [torch.eye(3), torch.tensor([[2.0, 0.1, 5.0], [0.0, 1.5, -3.0], [0.0, 1e-4, 1.0]])])
def test_initial_homographies_into_any_plane(plane: Tensor) -> None:
    frames, true = scene(4)
    rough = true.clone()
    rough[1:, :2, 2] += torch.tensor([[3.0, -2.0], [-2.0, 2.0], [1.0, 3.0]])
    initial = plane.double() @ rough
    initial[3] = torch.nan
    found = align_sequence(frames, reference=0, initial=initial)
    assert found.success.tolist() == [True, True, True, False]
    assert found.reason[3] == Reason.UNCONNECTED
    assert len(found.pairs.frames) == 0
    assert worst(found._replace(homography_reference_frame=found.homography_reference_frame[:3]), true[:3]) < 0.3


def test_a_wrong_start_is_refused_by_the_pixels() -> None:
    frames, true = scene()
    wrong = true.clone()
    wrong[1, :2, 2] += 70.0
    found = align_sequence(frames, reference=0, initial=wrong)
    assert found.success.tolist() == [True, False, True]
    assert found.reason[1] == Reason.PIXELS_DISAGREE


@pytest.mark.parametrize("build", [DenseSIFT, lambda: load_pretrained("dual")])
def test_a_trunk_serves_as_descriptor(build: Any) -> None:
    frames, true = scene()
    assert worst(align_sequence(frames, reference=0, descriptor=build()), true) < 0.3


class Trunk(nn.Module):
    """A map of stride 8, stated as given."""

    stride = 8
    offset = 3.5

    def forward(self, images: Tensor) -> Tensor:
        return nn.functional.avg_pool2d(images, 8)


PAIRS = verified(torch.eye(3, dtype=torch.float64).repeat(3, 1, 1), [(0, 1)])


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"descriptor": 3}, OptionError, "descriptor to be callable, got 3"),
        ({"descriptor": nn.Flatten()}, DtypeError, "the descriptor Flatten to return a FeatureMap, got Tensor"),
        ({"matcher": lambda a, b: (a, b)}, DtypeError, "the matcher function to return Matches, got tuple"),
        ({"pairs": 3}, OptionError, "pairs to be PairMatches, such as verify_pairs returns, got 'int'"),
        ({"pairs": PAIRS._replace(frames=torch.tensor([[0, 5]]))}, OptionError, "two of the 3 frames, got .*5"),
        ({"pairs": PAIRS._replace(frames=torch.tensor([[0, 1], [0, 2]]))}, ShapeError, "pairs.matches.points0"),
        ({"initial": torch.eye(3).expand(2, 3, 3)}, ShapeError, r"initial must have shape \(3 3 3\)"),
        ({"initial": torch.eye(3).expand(3, 3, 3), "reference": "auto"}, OptionError, "reference of the initial"),
        ({"initial": torch.full((3, 3, 3), torch.nan)}, OptionError, r"initial\[0\], of the reference, to be finite"),
        ({"initial": torch.ones(3, 3, 3)}, OptionError, "initial homographies that can be inverted"),
        ({"initial": torch.ones(3, 3, 3, dtype=torch.int64)}, DtypeError, "initial must be floating point"),
    ],
)
def test_what_does_not_fit_is_told_what_is_expected(
    options: dict[str, Any], error: type[DiarError], words: str
) -> None:
    frames, _ = scene()
    with pytest.raises(error, match=words):
        align_sequence(frames, **{"reference": 0, **options})


def test_verify_pairs_refuses_frames_without_a_size() -> None:
    with pytest.raises(OptionError, match="frames among the 1 that have a size"):
        verify_pairs(torch.tensor([[0, 1]]), PAIRS.matches, [(SIZE, SIZE)])


def test_alignment_from_homographies() -> None:
    H = torch.eye(3).repeat(4, 1, 1)
    H[1, 0, 2] = SIZE / 2  # shows the right half of the reference
    H[2] = torch.nan
    found = Alignment.from_homographies(H, [(SIZE, SIZE)] * 4, success=torch.tensor([True, True, True, False]))
    assert found.success.tolist() == [True, True, False, False]
    assert found.reason.tolist() == [Reason.OK, Reason.OK, Reason.NOT_FINITE, Reason.UNCONNECTED]
    assert found.overlap.tolist() == [1.0, 0.5, 0.0, 0.0]
    assert found.homography_reference_frame.dtype == torch.float64
    assert torch.equal(found.homography_reference_frame[2:], torch.eye(3, dtype=torch.float64).expand(2, 3, 3))
    assert found.size == (SIZE, SIZE)
    with pytest.raises(OptionError, match="4 sizes, got 1"):
        Alignment.from_homographies(H, [(SIZE, SIZE)])
    with pytest.raises(OptionError, match="reference to be a frame from 0 to 3, got 4"):
        Alignment.from_homographies(H, [(SIZE, SIZE)] * 4, reference=4)
