"""transform_points: exact projection, and the right side of the horizon."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from diar_ops import DtypeError, ShapeError, transform_points
from tests.harness import Call, OpTests, assert_close, generator


def random_homographies(name: str, *batch: int, dtype: torch.dtype = torch.float64, device: Any = "cpu") -> Tensor:
    """Homographies (*batch, 3, 3) whose horizon is far from a 100 px image at the origin."""
    noise = torch.rand(*batch, 3, 3, generator=generator(name), dtype=torch.float64) - 0.5
    scale = torch.tensor([[0.5, 0.5, 30.0], [0.5, 0.5, 30.0], [2e-3, 2e-3, 0.2]]).double()
    return (torch.eye(3, dtype=torch.float64) + noise * scale).to(device, dtype)


class TestTransformPoints(OpTests):
    op = "transform_points"

    def call(self, device: torch.device, dtype: torch.dtype) -> Call:
        points = torch.rand(2, 5, 2, generator=generator("points")) * 100
        homography = random_homographies("transform call", 2, dtype=dtype, device=device)
        return Call((points.to(device, dtype), homography))

    def gradcheck_call(self, device: torch.device) -> tuple[Any, tuple[Tensor, ...]]:
        args, _ = self.call(device, torch.float64)
        args[0][0, 0] = torch.tensor([1e7, 0.0])
        args[1][0, 2, 0] = -2e-3  # that point is behind the horizon: its gradient is 0
        inputs = tuple(a.requires_grad_() for a in args)
        assert not transform_points(*inputs).valid[0, 0]
        return lambda p, h: transform_points(p, h).points, inputs

    def test_exception(self) -> None:
        points, homography = torch.zeros(2, 5, 2), torch.eye(3)
        with pytest.raises(ShapeError, match="points must have shape"):
            transform_points(points[..., :1], homography)
        with pytest.raises(ShapeError, match="homography_dst_src must have shape"):
            transform_points(points, homography[:2])
        with pytest.raises(ShapeError, match="front must have shape"):
            transform_points(points, homography, torch.zeros(3))
        with pytest.raises(ShapeError, match=r"leading sizes must broadcast, got \[2\] of points"):
            transform_points(points, homography.expand(3, 3, 3))
        with pytest.raises(DtypeError, match="floating point"):
            transform_points(points.long(), homography)

    @pytest.mark.parametrize(
        ("points", "homography", "expected"),
        [
            ((4, 2), (3, 3), (4, 2)),
            ((0, 2), (3, 3), (0, 2)),
            ((2, 4, 2), (3, 3), (2, 4, 2)),
            ((4, 2), (5, 3, 3), (5, 4, 2)),
            ((7, 1, 4, 2), (5, 3, 3), (7, 5, 4, 2)),
            ((0, 4, 2), (0, 3, 3), (0, 4, 2)),
        ],
    )
    def test_cardinality(self, points: tuple[int, ...], homography: tuple[int, ...], expected: tuple[int, ...]) -> None:
        out = transform_points(torch.rand(points), torch.eye(3).expand(homography))
        assert out.points.shape == expected
        assert out.valid.shape == expected[:-1]
        assert out.valid.all()

    def test_oracle_opencv(self, device: torch.device, dtype: torch.dtype) -> None:
        args, _ = self.call(device, dtype)
        out = transform_points(*args)
        assert out.valid.all()
        for points, homography, actual in zip(*args, out.points, strict=True):
            expected = cv2.perspectiveTransform(points.double().cpu().numpy()[None], homography.double().cpu().numpy())
            assert_close(actual, expected[0])

    @given(st.integers(0, 1000), st.sampled_from([-1.0, 1.0, -1e-3, 250.0]))
    def test_property_scale_and_sign_do_not_matter(self, seed: int, scale: float) -> None:
        homography = random_homographies(f"scale {seed}")
        points = 2000 * torch.rand(50, 2, generator=generator(f"p {seed}")).double() - 1000
        first, second = (transform_points(points, h) for h in (homography, homography * scale))
        assert torch.equal(first.valid, second.valid)
        assert_close(first.points, second.points, rtol=1e-9, atol=1e-7)

    @given(st.integers(0, 1000))
    def test_property_round_trip(self, seed: int) -> None:
        homography = random_homographies(f"trip {seed}")
        points = 100 * torch.rand(20, 2, generator=generator(f"q {seed}")).double()
        there = transform_points(points, homography)
        back = transform_points(there.points, homography.inverse(), there.points[0])
        assert there.valid.all()
        assert back.valid.all()
        assert_close(back.points, points)

    def test_nan_stays_with_its_point_and_item(self) -> None:
        points = torch.ones(2, 3, 2)
        points[0, 1, 0] = torch.nan
        points[0, 2, 1] = -torch.inf
        homography = torch.eye(3).repeat(2, 1, 1).requires_grad_()
        out = transform_points(points, homography)
        assert out.valid.tolist() == [[True, False, False], [True, True, True]]
        assert out.points[0].tolist() == [[1, 1], [0, 0], [0, 0]]
        out.points.sum().backward()
        assert homography.grad is not None
        assert homography.grad.isfinite().all()
        broken = homography.detach().clone()
        broken[1, 0, 0] = torch.nan
        assert transform_points(torch.ones(2, 3, 2), broken).valid.tolist() == [[True] * 3, [False] * 3]
        assert not transform_points(torch.ones(3, 2), torch.zeros(3, 3)).valid.any()

    def test_behind_the_horizon(self) -> None:
        homography = torch.eye(3)
        homography[2, 0] = -0.01  # the horizon is x = 100
        points = torch.tensor([[50.0, 7.0], [99.0, 7.0], [100.0, 7.0], [101.0, 7.0], [1e6, 7.0]])
        for h in (homography, -homography, -3e-7 * homography):
            out = transform_points(points, h)
            assert out.valid.tolist() == [True, True, False, False, False]
            assert out.points[2:].eq(0).all()
        far_side = transform_points(points, homography, torch.tensor([500.0, 0.0]))
        assert far_side.valid.tolist() == [False, False, False, True, True]

    def test_origin_on_the_horizon_takes_the_side_that_is_not_mirrored(self) -> None:
        homography = torch.tensor([[0.0, 0.0, -1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])  # det = 1
        points = torch.tensor([[2.0, 4.0], [-2.0, 4.0]])
        for h in (homography, -homography):
            out = transform_points(points, h)
            assert out.valid.tolist() == [True, False]
            assert_close(out.points[0], [-0.5, 2.0])

    def test_flip_is_in_front(self) -> None:
        flip = torch.tensor([[-1.0, 0.0, 99.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
        out = transform_points(torch.tensor([[0.0, 5.0], [99.0, 5.0]]), flip)
        assert out.valid.all()
        assert out.points.tolist() == [[99.0, 5.0], [0.0, 5.0]]

    def test_half_precision_computes_in_float32(self) -> None:
        points = torch.tensor([[1000.0, 700.0]])
        homography = torch.tensor([[1.0, 0.0, 3000.0], [0.0, 1.0, 3000.0], [1e-3, 0.0, 2.0]])
        exact = transform_points(points, homography).points
        half = transform_points(points.half(), homography).points
        assert half.dtype == torch.float16
        assert torch.equal(half, exact.half())

    def test_vmap(self) -> None:
        homography = random_homographies("vmap", 4)
        points = torch.rand(4, 6, 2, dtype=torch.float64)
        mapped = torch.vmap(transform_points)(points, homography)
        assert_close(mapped.points, transform_points(points, homography).points)
        np.testing.assert_array_equal(mapped.valid, True)


def test_a_point_that_overflows_its_dtype_is_invalid() -> None:
    far = torch.tensor([[60000.0, 0.0]]).half()
    points, valid = transform_points(far, torch.diag(torch.tensor([2.0, 2.0, 1.0])).half())
    assert not valid.any()
    assert (points == 0).all()
