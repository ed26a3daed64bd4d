"""homography_from_camera: the same pixel as the explicit projection."""

from __future__ import annotations

from typing import Any

import cv2
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from diar_ops import DtypeError, ShapeError, homography_from_camera, transform_points
from tests.harness import Call, OpTests, assert_close, generator


def cameras(name: str, batch: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """K, R, t and a picture plane, in float64, the picture in front of the camera."""
    rng = generator(name)
    K = torch.tensor([[300.0, 0, 127.5], [0, 310.0, 127.5], [0, 0, 1]]).double().repeat(batch, 1, 1)
    turn = 0.5 * torch.rand(batch, 3, generator=rng, dtype=torch.float64) - 0.25
    R = torch.stack([torch.from_numpy(cv2.Rodrigues(v.numpy())[0]) for v in turn])
    t = torch.rand(batch, 3, generator=rng, dtype=torch.float64) + torch.tensor([-0.5, -0.5, 2.0])
    axes = torch.randn(batch, 3, 3, generator=rng, dtype=torch.float64)
    plane = torch.cat((0.01 * axes[..., :2], 0.2 * axes[..., 2:]), dim=-1)
    return K, R, t, plane


class TestHomographyFromCamera(OpTests):
    op = "homography_from_camera"

    def call(self, device: torch.device, dtype: torch.dtype) -> Call:
        return Call(tuple(a.to(device, dtype) for a in cameras("camera call", 3)))

    def gradcheck_call(self, device: torch.device) -> tuple[Any, tuple[Tensor, ...]]:
        args, _ = self.call(device, torch.float64)
        return homography_from_camera, tuple(a.requires_grad_() for a in args)

    def test_exception(self) -> None:
        K, R, t, plane = cameras("camera errors", 2)
        with pytest.raises(ShapeError, match="t must have shape"):
            homography_from_camera(K, R, t[..., :2])
        with pytest.raises(ShapeError, match="plane must have shape"):
            homography_from_camera(K, R, t, plane[..., :2])
        with pytest.raises(ShapeError, match="leading sizes must broadcast"):
            homography_from_camera(K, R, t.expand(3, 2, 3)[:, :1].expand(3, 3, 3))
        with pytest.raises(DtypeError, match="floating point"):
            homography_from_camera(K.long(), R, t)

    def test_cardinality(self) -> None:
        K, R, t, plane = cameras("camera sizes", 5)
        assert homography_from_camera(K[0], R[0], t[0]).shape == (3, 3)
        assert homography_from_camera(K[0], R, t, plane[:1]).shape == (5, 3, 3)
        assert homography_from_camera(K[:0], R[:0], t[:0]).shape == (0, 3, 3)
        assert homography_from_camera(K[:, None], R, t, plane).shape == (5, 5, 3, 3)

    def test_oracle_explicit_projection(self) -> None:
        K, R, t, plane = cameras("camera oracle", 4)
        uv = 40 * torch.rand(4, 25, 2, generator=generator("uv"), dtype=torch.float64)
        out = transform_points(uv, homography_from_camera(K, R, t, plane), uv[:, 0])
        assert out.valid.all()
        for b in range(4):
            world = uv[b] @ plane[b, :, :2].T + plane[b, :, 2]
            seen, _ = cv2.projectPoints(world.numpy(), cv2.Rodrigues(R[b].numpy())[0], t[b].numpy(), K[b].numpy(), None)
            assert_close(out.points[b], seen[:, 0], rtol=1e-9, atol=1e-7)

    def test_oracle_w_is_the_depth(self) -> None:
        K, R, t, _ = cameras("camera depth", 4)
        homography = homography_from_camera(K, R, t)
        expected = R @ torch.tensor([3.0, 4.0, 0.0]).double() + t
        actual = homography @ torch.tensor([3.0, 4.0, 1.0]).double()
        assert_close(actual[:, 2], expected[:, 2])

    @given(st.integers(0, 200), st.floats(0.1, 10))
    def test_property_world_units_do_not_matter(self, seed: int, unit: float) -> None:
        K, R, t, plane = cameras(f"units {seed}", 2)
        first = homography_from_camera(K, R, t, plane)
        second = homography_from_camera(K, R, t * unit, plane * unit)
        assert_close(second, first * unit)

    def test_property_half_a_pixel_off_the_principal_point_is_the_outer_corner_convention(self) -> None:
        """Both pictures from the outer corner: H_centres = S H_corners S^-1, S taking off 0.5."""
        K, R, t, plane = cameras("half pixel", 3)
        K_corner = K.clone()
        K_corner[..., :2, 2] += 0.5
        plane_corner = plane.clone()
        plane_corner[..., 2] -= 0.5 * (plane[..., 0] + plane[..., 1])
        corner = homography_from_camera(K_corner, R, t, plane_corner)
        shift = torch.tensor([[1.0, 0.0, -0.5], [0.0, 1.0, -0.5], [0.0, 0.0, 1.0]]).double()
        assert_close(homography_from_camera(K, R, t, plane), shift @ corner @ shift.inverse())

    def test_nan_stays_in_its_item(self) -> None:
        K, R, t, plane = cameras("camera nan", 3)
        expected = homography_from_camera(K, R, t, plane)
        t[1] = torch.nan
        actual = homography_from_camera(K, R, t, plane)
        assert actual[1].isnan().any()
        assert torch.equal(actual[[0, 2]], expected[[0, 2]])
