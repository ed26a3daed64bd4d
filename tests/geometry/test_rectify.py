"""rectify_homography: the proportions of a rectangle that cameras saw, told in every way."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import cv2
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from diar_ops import (
    DtypeError,
    OptionError,
    ProportionSource,
    Reason,
    ShapeError,
    homography_from_camera,
    rectify_homography,
    transform_points,
)
from tests.harness import Call, OpTests, assert_close, generator

SIZE = (480, 640)


class Views(NamedTuple):
    """Corners (B, 4, 2) of rectangles in the first of V + 1 views, and the homographies from it to the others."""

    corners: Tensor
    homography_view_image: Tensor
    focal: Tensor  # (B, V + 1)
    proportion: Tensor
    homography_view_plane: Tensor  # (B, V + 1, 3, 3)


def rectangles(name: str, batch: int, views: int = 4, *, shared: bool = False, tilt: float = 0.7) -> Views:
    """Rectangles seen by cameras that look at them, tilted by up to ``tilt``."""
    rng = generator(name)
    proportion = (torch.rand(batch, generator=rng, dtype=torch.float64) * 2 - 1).exp()
    angle = tilt * (2 * torch.rand(batch, views + 1, 3, generator=rng, dtype=torch.float64) - 1)
    focal = 640 * (0.7 + torch.rand(batch, 1 if shared else views + 1, generator=rng, dtype=torch.float64))
    focal = focal.expand(batch, views + 1)
    R = torch.stack([torch.from_numpy(cv2.Rodrigues(v.numpy())[0]) for v in angle.flatten(0, 1)])
    R = R.unflatten(0, (batch, views + 1))
    K = torch.diag_embed(torch.stack((focal, focal, torch.ones_like(focal)), -1))
    K[..., 0, 2], K[..., 1, 2] = (SIZE[1] - 1) / 2, (SIZE[0] - 1) / 2
    # The rectangle has an area of 1 around the origin and fills about the same in each view.
    t = torch.stack((0 * focal, 0 * focal, focal / 250), -1)
    H = homography_from_camera(K, R, t)
    wide, high = proportion.sqrt() / 2, 1 / proportion.sqrt() / 2
    signs = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]]).double()
    picture = signs * torch.stack((wide, high), -1)[:, None]
    seen = transform_points(picture, H[:, 0])
    assert seen.valid.all()
    return Views(seen.points, H[:, 1:] @ H[:, :1].inverse(), focal, proportion, H)


class TestRectifyHomography(OpTests):
    op = "rectify_homography"
    module = "RectifyHomography"
    infinite = "the standard deviation of a proportion that nobody knows"
    free = ((0,), (0, 1), (0,))
    half_bounds = {torch.float16: (2e-2, 1.0), torch.bfloat16: (1e-1, 5.0)}  # corners rounded to whole pixels

    def call(self, device: torch.device, dtype: torch.dtype) -> Call:
        scene = rectangles("rectify call", 3, 2)
        args = scene.corners, scene.homography_view_image, scene.focal[:, 0]
        return Call(tuple(a.to(device, dtype) for a in args), {"size": SIZE})

    def gradcheck_call(self, device: torch.device) -> tuple[Any, tuple[Tensor, ...]]:
        scene = rectangles("rectify gradcheck", 1, 1)
        # A step of 1e-6 is large for the last row, which is per pixel.
        unit = torch.tensor([[1.0, 1.0, 1.0], [1.0, 1.0, 1.0], [1e-3, 1e-3, 1.0]], dtype=torch.float64, device=device)
        args = scene.corners.to(device), scene.homography_view_image.to(device) / unit, scene.focal[:, 0].to(device)

        def function(corners: Tensor, views: Tensor, focal: Tensor) -> tuple[Tensor, ...]:
            found = rectify_homography(corners, views * unit, focal, size=SIZE)
            return found.homography, found.size, found.proportion

        return function, tuple(a.requires_grad_() for a in args)

    def test_exception(self) -> None:
        corners = rectangles("rectify errors", 2).corners
        with pytest.raises(ShapeError, match="corners must have shape"):
            rectify_homography(corners[:, :3], size=SIZE)
        with pytest.raises(ShapeError, match="focal must have shape"):
            rectify_homography(corners, None, torch.ones(3), size=SIZE)
        with pytest.raises(DtypeError, match="floating point"):
            rectify_homography(corners.long(), size=SIZE)
        with pytest.raises(OptionError, match="corner_sigma > 0"):
            rectify_homography(corners, size=SIZE, corner_sigma=0.0)
        with pytest.raises(OptionError, match="positive size"):
            rectify_homography(corners, size=(0, 3))

    @pytest.mark.parametrize(("batch", "views"), [(0, 2), (1, 0), (2, 3)])
    def test_cardinality(self, batch: int, views: int) -> None:
        scene = rectangles("rectify sizes", 2, 3)
        found = rectify_homography(scene.corners[:batch], scene.homography_view_image[:batch, :views], size=SIZE)
        assert found.homography.shape == (batch, 3, 3)
        assert found.size.shape == (batch, 2)
        assert found.source.shape == (batch,)

    def test_oracle_known_focal_length(self) -> None:
        scene = rectangles("rectify focal", 50, 0)
        found = rectify_homography(scene.corners, None, scene.focal[:, 0], size=SIZE, corner_sigma=1e-3)
        assert_close(found.proportion, scene.proportion, rtol=1e-3, atol=0)
        assert found.success.all()

    def test_oracle_vanishing_points_of_one_view(self) -> None:
        scene = rectangles("rectify alone", 50, 0)
        found = rectify_homography(scene.corners, size=SIZE, corner_sigma=1e-4)
        sure = found.proportion_sigma < 1e-3
        assert sure.float().mean() > 0.8
        assert_close(found.proportion[sure], scene.proportion[sure], rtol=2e-3, atol=0)
        assert (found.source[sure] == ProportionSource.CORNERS).all()

    @pytest.mark.parametrize("shared", [False, True])
    def test_oracle_several_views(self, shared: bool) -> None:
        scene = rectangles("rectify views", 50, 6, shared=shared)
        found = rectify_homography(
            scene.corners, scene.homography_view_image, size=SIZE, corner_sigma=1e-3, shared_focal=shared
        )
        assert_close(found.proportion, scene.proportion, rtol=2e-3, atol=0)
        assert_close(found.focal, scene.focal[:, 0], rtol=0.2, atol=0)

    @pytest.mark.parametrize(("views", "known"), [(0, True), (0, False), (6, False)])
    def test_oracle_sigma_is_that_of_the_errors(self, views: int, known: bool) -> None:
        """Corners half a pixel off, all homographies exact: errors are as large as sigma says."""
        scene = rectangles("rectify noise", 300, views, tilt=0.5)
        noise = 0.5 * torch.randn(300, 4, 2, generator=generator("corner noise"), dtype=torch.float64)
        found = rectify_homography(
            scene.corners + noise, scene.homography_view_image, scene.focal[:, 0] if known else None, size=SIZE
        )
        deviation = (found.proportion.log() - scene.proportion.log()) / found.proportion_sigma
        assert 0.5 < deviation.square().mean().sqrt() < 1.3
        assert deviation.abs().max() < 5

    def test_oracle_frontal_homography(self) -> None:
        """The rectified view is the plane itself, but for a scale and a shift."""
        scene = rectangles("rectify frontal", 20, 0)
        found = rectify_homography(scene.corners, None, scene.focal[:, 0], size=SIZE, corner_sigma=1e-3)
        plane = found.homography @ scene.homography_view_plane[:, 0]
        plane = plane / plane[:, 2:, 2:]
        scale = plane[:, 0, 0]
        expected = torch.diag_embed(torch.stack((scale, scale, torch.ones_like(scale)), -1))
        assert_close(plane[:, :, :2] / scale[:, None, None], expected[:, :, :2] / scale[:, None, None], atol=2e-3)
        spanned = transform_points(scene.corners, found.homography).points
        assert_close(spanned[:, 0], torch.full((20, 2), -0.5).double(), atol=1e-6)
        assert_close(spanned[:, 2], found.size.flip(-1) - 0.5, atol=1e-6)

    def test_property_views_decide_where_one_does_not(self) -> None:
        """A view tilted about one axis alone has one vanishing point: it needs others, or the focal length."""
        scene = rectangles("rectify decide", 1, 6)
        K = torch.tensor([[700.0, 0, 319.5], [0, 700.0, 239.5], [0, 0, 1]]).double()
        R = torch.from_numpy(cv2.Rodrigues(torch.tensor([0.0, 0.6, 0.0]).double().numpy())[0])
        H = homography_from_camera(K, R, torch.tensor([0.0, 0.0, 2.8]).double())
        picture = transform_points(scene.corners, scene.homography_view_plane[:, 0].inverse()).points
        corners = transform_points(picture, H).points
        others = scene.homography_view_plane[:, 1:] @ H.inverse()
        alone = rectify_homography(corners, size=SIZE)
        focal = rectify_homography(corners, None, torch.tensor([700.0]).double(), size=SIZE)
        views = rectify_homography(corners, others, size=SIZE)
        assert (alone.source[0], focal.source[0], views.source[0]) == tuple(ProportionSource)
        assert alone.proportion_sigma > 0.05
        assert views.proportion_sigma < 0.01
        assert_close(views.proportion, scene.proportion, rtol=0.01, atol=0)
        assert_close(focal.proportion, scene.proportion, rtol=0.03, atol=0)

    def test_property_views_from_one_place_change_nothing(self) -> None:
        """Frontal views cannot tell the focal length, and need not."""
        scene = rectangles("rectify still", 4, 3, tilt=0.0)
        found = rectify_homography(scene.corners, scene.homography_view_image, size=SIZE)
        assert_close(found.proportion, scene.proportion, rtol=1e-4, atol=0)
        assert (found.proportion_sigma < 0.01).all()
        assert (found.source == ProportionSource.CORNERS).all()

    def test_property_contradicting_views_are_less_certain(self) -> None:
        scene = rectangles("rectify contradict", 1, 6)
        stretch = torch.diag(torch.tensor([1.0, 1.3, 1.0])).double()
        agreeing = rectify_homography(scene.corners, scene.homography_view_image, size=SIZE)
        views = scene.homography_view_image.clone()
        views[:, ::2] = stretch @ views[:, ::2]
        contradicting = rectify_homography(scene.corners, views, size=SIZE)
        assert contradicting.proportion_sigma > 3 * agreeing.proportion_sigma

    @given(st.integers(0, 100), st.sampled_from([0.5, 3.0]), st.integers(0, 3))
    def test_property_scale_and_turns(self, seed: int, scale: float, turns: int) -> None:
        """An image of another size, starting at another corner: the same rectangle, lying down or not."""
        scene = rectangles(f"rectify turns {seed}", 2, 0)
        first = rectify_homography(scene.corners, None, scene.focal[:, 0], size=SIZE)
        size = (int(SIZE[0] * scale), int(SIZE[1] * scale))
        corners = ((scene.corners + 0.5) * scale - 0.5).roll(turns, 1)
        second = rectify_homography(corners, None, scene.focal[:, 0] * scale, size=size, corner_sigma=0.5 * scale)
        expected = first.proportion if turns % 2 == 0 else 1 / first.proportion
        assert_close(second.proportion, expected, rtol=1e-4, atol=0)
        assert_close(second.proportion_sigma, first.proportion_sigma, rtol=1e-3, atol=0)

    def test_property_degenerate_corners_are_refused_with_the_reason(self) -> None:
        line = torch.tensor([[0.0, 0.0], [50.0, 50.0], [100.0, 100.0], [0.0, 100.0]])
        crossed = torch.tensor([[0.0, 0.0], [100.0, 100.0], [100.0, 0.0], [0.0, 100.0]])
        found = rectify_homography(torch.stack((line, crossed, 0 * line)), size=(120, 120))
        assert not found.success.any()
        assert (found.reason == Reason.COLLINEAR).all()
        assert torch.equal(found.homography, torch.eye(3).expand(3, 3, 3))

    def test_property_views_across_the_horizon_are_left_out(self) -> None:
        scene = rectangles("rectify horizon", 2, 3)
        across = torch.eye(3).double().repeat(2, 1, 1, 1)
        across[..., 2, 0] = -1 / 320  # w = 0 in the middle
        expected = rectify_homography(scene.corners, scene.homography_view_image, size=SIZE)
        more = torch.cat((scene.homography_view_image, across), 1)
        assert_close(rectify_homography(scene.corners, more, size=SIZE).proportion, expected.proportion)

    def test_nan_stays_in_its_item(self) -> None:
        scene = rectangles("rectify nan", 3, 2)
        args = scene.corners.clone(), scene.homography_view_image.clone(), scene.focal[:, 0].clone()
        expected = rectify_homography(*args, size=SIZE)
        args[0][1, 2, 0] = math.nan
        args[1][2, 0] = math.nan  # a view less
        args[2][2] = math.nan  # unknown
        actual = rectify_homography(*args, size=SIZE)
        assert actual.success.tolist() == [True, False, True]
        assert actual.reason[1] == Reason.NOT_FINITE
        assert_close(actual.homography[0], expected.homography[0])
        assert_close(actual.proportion[2], scene.proportion[2], rtol=0.05, atol=0)
