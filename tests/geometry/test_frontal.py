"""frontal_homography: the normal of a plane that several cameras saw."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from diar_ops import DtypeError, OptionError, Reason, ShapeError, frontal_homography, homography_dlt, transform_points
from tests.geometry.test_rectify import SIZE, Views, rectangles
from tests.harness import Call, OpTests, assert_close, generator


def normals(scene: Views) -> tuple[Tensor, Tensor]:
    """Return the planes' normals (B, 3) in the first camera, and its calibration (B, 3, 3)."""
    focal = scene.focal[:, 0]
    K = torch.diag_embed(torch.stack((focal, focal, torch.ones_like(focal)), -1))
    K[:, 0, 2], K[:, 1, 2] = (SIZE[1] - 1) / 2, (SIZE[0] - 1) / 2
    axes = torch.linalg.inv(K) @ scene.homography_view_plane[:, 0]
    return upwards(torch.linalg.cross(axes[:, :, 0], axes[:, :, 1])), K


def upwards(vectors: Tensor) -> Tensor:
    return vectors / vectors.norm(dim=-1, keepdim=True) * vectors[:, 2:].sign()


def angles(homography: Tensor, scene: Views) -> Tensor:
    """Return the angles (B,) between the true normals and those that the frontal views (B, 3, 3) stand for."""
    normal, K = normals(scene)
    found = upwards((homography[:, None, 2] @ K)[:, 0])  # the vanishing line is its last row
    return torch.atan2(torch.linalg.cross(found, normal).norm(dim=-1), (found * normal).sum(-1))


class TestFrontalHomography(OpTests):
    op = "frontal_homography"
    module = "FrontalHomography"
    infinite = "the standard deviation of a normal that no view tells"
    free = ((0, 1), (0,))
    half_bounds = {torch.float16: (5e-2, 2.0), torch.bfloat16: (3e-1, 20.0)}  # homographies of three digits

    def call(self, device: torch.device, dtype: torch.dtype) -> Call:
        scene = rectangles("frontal call", 3, 4, tilt=0.4)
        args = scene.homography_view_image, scene.focal[:, 0]
        return Call(tuple(a.to(device, dtype) for a in args), {"size": SIZE})

    def gradcheck_call(self, device: torch.device) -> tuple[Any, tuple[Tensor, ...]]:
        scene = rectangles("frontal gradcheck", 1, 3, tilt=0.4)
        # A step of 1e-6 is large for the last row, which is per pixel.
        unit = torch.tensor([[1.0, 1.0, 1.0], [1.0, 1.0, 1.0], [1e-3, 1e-3, 1.0]], dtype=torch.float64, device=device)
        args = scene.homography_view_image.to(device) / unit, scene.focal[:, 0].to(device)

        def function(views: Tensor, focal: Tensor) -> tuple[Tensor, ...]:
            found = frontal_homography(views * unit, focal, size=SIZE)
            return found.homography, found.focal

        return function, tuple(a.requires_grad_() for a in args)

    def test_exception(self) -> None:
        views = rectangles("frontal errors", 2).homography_view_image
        with pytest.raises(ShapeError, match="homography_view_image must have shape"):
            frontal_homography(views[:, 0], size=SIZE)
        with pytest.raises(ShapeError, match="focal must have shape"):
            frontal_homography(views, torch.ones(3), size=SIZE)
        with pytest.raises(DtypeError, match="floating point"):
            frontal_homography(views.long(), size=SIZE)
        with pytest.raises(OptionError, match="view_sigma > 0"):
            frontal_homography(views, size=SIZE, view_sigma=0.0)
        with pytest.raises(OptionError, match="positive size"):
            frontal_homography(views, size=(0, 3))

    @pytest.mark.parametrize(("batch", "views"), [(0, 2), (1, 0), (2, 3)])
    def test_cardinality(self, batch: int, views: int) -> None:
        scene = rectangles("frontal sizes", 2, 3)
        found = frontal_homography(scene.homography_view_image[:batch, :views], size=SIZE)
        assert found.homography.shape == (batch, 3, 3)
        assert found.tilt.shape == found.reason.shape == (batch,)
        assert found.success.all() == (views > 0)

    @pytest.mark.parametrize(("known", "shared", "views"), [(True, True, 2), (False, True, 3), (False, False, 6)])
    def test_oracle_cameras(self, *, known: bool, shared: bool, views: int) -> None:
        """The cameras' own normals are found, however they lie, and the image's focal length."""
        scene = rectangles("frontal cameras", 60, views, shared=shared, tilt=0.5)
        found = frontal_homography(
            scene.homography_view_image,
            scene.focal[:, 0] if known else None,
            size=SIZE,
            view_sigma=1e-3,
            shared_focal=shared,
        )
        assert found.success.all()
        sure = found.sigma < 0.01
        assert sure.float().mean() > 0.9
        assert angles(found.homography, scene)[sure].max() < 0.01
        assert_close(found.focal[sure], scene.focal[sure, 0], rtol=0.02, atol=0)
        normal, _ = normals(scene)
        assert_close(found.tilt[sure], normal[sure, 2].acos(), rtol=0, atol=0.01)

    @pytest.mark.parametrize("known", [True, False])
    def test_oracle_sigma_is_that_of_the_errors(self, *, known: bool) -> None:
        """Corners of the views a third of a pixel off: errors are as large as sigma says."""
        scene = rectangles("frontal noise", 300, 5, shared=known, tilt=0.4)
        corners = torch.tensor([[0.0, 0], [639, 0], [639, 479], [0, 479]]).double()
        seen = transform_points(corners.expand(300, 5, 4, 2), scene.homography_view_image.inverse()).points
        noise = 0.3 * torch.randn(seen.shape, generator=generator("view noise"), dtype=torch.float64)
        H = homography_dlt(seen.flatten(0, 1), (corners + noise).flatten(0, 1)).unflatten(0, (300, 5))
        found = frontal_homography(H, scene.focal[:, 0] if known else None, size=SIZE, shared_focal=known)
        sure = found.sigma < 0.03
        assert sure.float().mean() > 0.9
        # The angle has two dimensions, and sigma is that of the longer one: between 1 and sqrt(2).
        deviation = (angles(found.homography, scene) / found.sigma)[sure]
        assert 0.6 < deviation.square().mean().sqrt() < 1.6
        assert deviation.max() < 7

    def test_property_one_view_leaves_two_normals(self) -> None:
        """Both explain two views of known focal length: sigma is the angle between them."""
        scene = rectangles("frontal two", 60, 1, shared=True, tilt=0.5)
        found = frontal_homography(scene.homography_view_image, scene.focal[:, 0], size=SIZE, shared_focal=True)
        wrong = angles(found.homography, scene) > 0.1
        assert wrong.any()
        assert (found.sigma[wrong] > 0.1).all()

    def test_property_views_in_one_direction_tell_nothing(self) -> None:
        shift = torch.eye(3).double().repeat(1, 3, 1, 1)
        shift[0, :, 0, 2] = torch.tensor([100.0, 200.0, -150.0])
        found = frontal_homography(shift, size=SIZE)
        assert found.sigma > 0.3

    def test_property_the_middle_stays_and_keeps_its_size(self) -> None:
        scene = rectangles("frontal middle", 20, 5, tilt=0.5)
        found = frontal_homography(scene.homography_view_image, scene.focal[:, 0], size=SIZE)
        middle = torch.tensor([(SIZE[1] - 1) / 2, (SIZE[0] - 1) / 2]).double()
        around = middle + 0.01 * torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]).double()
        seen = transform_points(around.expand(20, 3, 2), found.homography).points
        assert_close(seen[:, 0], middle.expand(20, 2), rtol=0, atol=1e-6)
        u, v = ((seen[:, i] - seen[:, 0]) / 0.01 for i in (1, 2))
        assert_close(u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0], torch.ones(20).double(), rtol=1e-3, atol=0)

    @given(st.integers(0, 100), st.sampled_from([0.5, 3.0]), st.permutations(range(5)))
    def test_property_scale_and_order(self, seed: int, scale: float, order: list[int]) -> None:
        """Images of another size, and views in another order: the same plane."""
        scene = rectangles(f"frontal scale {seed}", 2, 5, shared=True, tilt=0.4)
        first = frontal_homography(scene.homography_view_image, scene.focal[:, 0], size=SIZE, shared_focal=True)
        larger = torch.tensor([[scale, 0, (scale - 1) / 2], [0, scale, (scale - 1) / 2], [0, 0, 1]]).double()
        second = frontal_homography(
            larger @ scene.homography_view_image[:, order] @ larger.inverse(),
            scene.focal[:, 0] * scale,
            size=(int(SIZE[0] * scale), int(SIZE[1] * scale)),
            view_sigma=0.3 * scale,
            shared_focal=True,
        )
        assert_close(second.tilt, first.tilt, rtol=0, atol=1e-5)
        assert_close(second.sigma, first.sigma, rtol=1e-3, atol=0)
        back = larger.inverse() @ second.homography @ larger
        assert_close(back / back[:, 2:, 2:], first.homography / first.homography[:, 2:, 2:], rtol=1e-4, atol=1e-4)

    def test_nan_views_are_left_out(self) -> None:
        scene = rectangles("frontal finite", 2, 4, tilt=0.4)
        views = scene.homography_view_image.clone()
        views[0, 1], views[1] = torch.nan, torch.inf
        found = frontal_homography(views, scene.focal[:, 0], size=SIZE)
        alone = frontal_homography(views[:1, [0, 2, 3]], scene.focal[:1, 0], size=SIZE)
        assert_close(found.homography[:1], alone.homography, rtol=1e-4, atol=1e-6)
        assert found.success.tolist() == [True, False]
        assert found.reason.tolist() == [Reason.OK, Reason.NOT_FINITE]
        assert torch.equal(found.homography[1], torch.eye(3).double())
