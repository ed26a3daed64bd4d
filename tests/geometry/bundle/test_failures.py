"""Frames that a joint adjustment cannot place fail, and change nothing for the others."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from diar_ops import bundle_adjust_homographies
from tests.geometry.bundle_scene import F64, SIZE, Scene, adjust, all_pairs, error, scene, spoil, with_points1
from tests.harness import assert_close, generator

EYE = torch.eye(3, dtype=F64)


def test_frames_unconnected_to_the_reference_keep_their_initial_homography() -> None:
    s = scene("islands", count=6, pairs=[(0, 1), (1, 2), (3, 4)], number=50)
    adjusted = adjust(s)
    assert adjusted.success.tolist() == [[True, True, True, False, False, False]]
    assert torch.equal(adjusted.homography[:, 3:], s.initial[:, 3:])
    assert adjusted.corner_sigma[0, 3:].isinf().all()
    assert adjusted.residual_scale[0, 3:].isinf().all()
    assert not adjusted.inliers[0, 2].any()
    alone = Scene(*(x[:, :2] for x in s[:3]), *(x[:, :3] for x in s[3:]))
    assert_close(adjusted.homography[:, :3], adjust(alone).homography, rtol=1e-9)


def test_frames_whose_matches_are_all_wrong_fail_and_spoil_nothing() -> None:
    s = scene("stranger", count=4, number=60)
    rng = generator("stranger")
    points1 = s.points1.clone()
    for p, (_, j) in enumerate(all_pairs(4)):
        if j == 3:
            points1[0, p] = 300 * torch.rand(60, 2, generator=rng, dtype=F64)
    adjusted = adjust(with_points1(s, points1))
    assert adjusted.success.tolist() == [[True, True, True, False]]
    assert error(adjusted.homography, s.truth)[0, :3].max() < 0.5


def lost_frames(share: float = 0.5) -> tuple[Scene, Tensor, list[bool]]:
    """Frame 4's matches are all wrong and frame 3's lie on a line: the scene, and what to mask."""
    s = scene("lost frames", batch=2, count=6, number=80)
    spoiled, _ = spoil(s, share)
    points0, points1 = spoiled.points0.clone(), spoiled.points1.clone()
    far, _ = spoil(s, 1.0)
    along = torch.linspace(0, 200, 80, dtype=F64)[:, None] * torch.tensor([1.0, 0.7], dtype=F64)
    for p, pair in enumerate(all_pairs(6)):
        if 4 in pair:
            points1[0, p] = far.points1[0, p]
        elif 3 in pair:
            points0[0, p], points1[0, p] = along, along + 0.3
    bad = ((s.frames == 3) | (s.frames == 4)).any(-1)
    bad[1] = False
    expected = [True, True, True, False, False, True]
    return spoiled._replace(points0=points0, points1=points1), bad, expected


@pytest.mark.parametrize("distortion", ["none", "shared"])
def test_frames_without_success_stay_and_do_not_count(distortion: str) -> None:
    s, bad, expected = lost_frames()
    adjusted = adjust(s, distortion=distortion)
    assert adjusted.success.tolist() == [expected, [True] * 6]
    assert torch.equal(adjusted.homography[~adjusted.success], s.initial[~adjusted.success])
    assert not adjusted.inliers[bad].any()
    keep = (~bad)[..., None].expand(s.points0.shape[:-1])
    without = bundle_adjust_homographies(*s.args, keep, distortion=distortion)
    for name, a, b in zip(adjusted._fields, adjusted, without, strict=True):
        if name == "cost":
            left = bad[0].double().mean()
            assert_close(a[0], left + (1 - left) * b[0], rtol=1e-9)
        elif name == "iterations":
            assert a[0] > b[0]
            assert a[1] == b[1]
        else:
            assert torch.equal(a, b), name


def test_a_false_pair_does_not_pull() -> None:
    """One pair of many agrees within itself on a wrong homography, and has half of the matches."""
    s = scene("false pair", count=5, number=60)
    expected = adjust(s)
    wrong = scene("another picture", count=5, number=60)
    points0, points1 = s.points0.clone(), s.points1.clone()
    points0[0, 4], points1[0, 4] = wrong.points0[0, 4], wrong.points1[0, 4] + 15
    adjusted = adjust(s._replace(points0=points0, points1=points1))
    assert error(adjusted.homography, expected.homography).max() < 0.2
    assert adjusted.inliers[0, 4].double().mean() < 0.1
    assert adjusted.success.all()


@pytest.mark.parametrize("kind", ["line", "noisy line", "spot", "line and one point"])
def test_degenerate_points_are_no_success(kind: str) -> None:
    rng = generator(f"degenerate {kind}")
    t = 200 * torch.rand(200, 1, generator=rng, dtype=F64)
    points = 20 + t * torch.tensor([1.0, 0.7], dtype=F64)
    if kind == "spot":
        points = torch.full_like(points, 77.0)
    if kind == "line and one point":
        points[0] = torch.tensor([10.0, 200.0])
    noise = 0.4 * torch.randn(2, 200, 2, generator=rng, dtype=F64)
    noise = 0 * noise if kind == "line" else noise
    adjusted = bundle_adjust_homographies(
        torch.tensor([[0, 1]]),
        (points + noise[0])[None],
        (points + noise[1])[None],
        EYE.expand(2, 3, 3),
        torch.tensor([SIZE, SIZE]),
    )
    assert adjusted.success.tolist() == [True, False]
    assert adjusted.corner_sigma[1].isinf().all()
    assert adjusted.homography.isfinite().all()


def test_exactly_determined_is_not_known() -> None:
    """Four matches fit without a residual that could say how good they are."""
    s = scene("four", count=2, number=4, noise=0.0)
    adjusted = adjust(s)
    assert adjusted.success.tolist() == [[True, False]]
    assert torch.equal(adjusted.homography[:, 1], s.initial[:, 1])


def test_a_pair_of_a_frame_with_itself_and_padding_are_ignored() -> None:
    s = scene("padding", count=3, number=30).item(0)
    more = torch.tensor([[1, 1], [-1, 2], [0, 3], [7, 9]])
    noise = 100 * torch.rand(2, 4, 30, 2, generator=generator("padding"), dtype=F64)
    padded = Scene(
        torch.cat((more, s.frames)), torch.cat((noise[0], s.points0)), torch.cat((noise[1], s.points1)), *s[3:]
    )
    result, expected = adjust(padded), adjust(s)
    assert_close(result.homography, expected.homography, rtol=1e-9)
    assert_close(result.corner_sigma, expected.corner_sigma, rtol=1e-9)
    assert not result.inliers[:4].any()
