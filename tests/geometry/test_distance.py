"""homography_distance: Frobenius at determinant 1."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from diar_ops import DtypeError, ShapeError, homography_distance
from tests.geometry.test_transform import random_homographies
from tests.harness import Call, OpTests, assert_close


class TestHomographyDistance(OpTests):
    op = "homography_distance"
    infinite = "inf where a homography is singular"

    def call(self, device: torch.device, dtype: torch.dtype) -> Call:
        names = ("distance a", "distance b")
        return Call(tuple(random_homographies(n, 4, dtype=dtype, device=device) for n in names))

    def gradcheck_call(self, device: torch.device) -> tuple[Any, tuple[Tensor, ...]]:
        args, _ = self.call(device, torch.float64)
        return homography_distance, tuple(a.requires_grad_() for a in args)

    def test_exception(self) -> None:
        with pytest.raises(ShapeError, match="other must have shape"):
            homography_distance(torch.eye(3), torch.eye(4))
        with pytest.raises(ShapeError, match="leading sizes must broadcast"):
            homography_distance(torch.eye(3).expand(2, 3, 3), torch.eye(3).expand(3, 3, 3))
        with pytest.raises(DtypeError, match="floating point"):
            homography_distance(torch.eye(3), torch.eye(3).long())

    @pytest.mark.parametrize(
        ("first", "second", "expected"), [((), (), ()), ((0,), (0,), (0,)), ((1,), (5,), (5,)), ((2, 1), (3,), (2, 3))]
    )
    def test_cardinality(self, first: tuple[int, ...], second: tuple[int, ...], expected: tuple[int, ...]) -> None:
        a, b = torch.eye(3).expand(*first, 3, 3), torch.eye(3).expand(*second, 3, 3)
        assert homography_distance(a, b).shape == expected

    def test_oracle_numpy(self, device: torch.device, dtype: torch.dtype) -> None:
        args, _ = self.call(device, dtype)
        h, g = (a.double().cpu().numpy() for a in args)
        h, g = (m / np.cbrt(np.linalg.det(m))[:, None, None] for m in (h, g))
        assert_close(homography_distance(*args), np.linalg.norm(h - g, axis=(1, 2)))

    @given(st.integers(0, 1000), st.sampled_from([-1.0, 4.0, -1e-6]))
    def test_property_is_a_scale_free_metric(self, seed: int, scale: float) -> None:
        a, b, c = random_homographies(f"metric {seed}", 3)
        distance = homography_distance(a, b)
        assert_close(homography_distance(b * scale, a), distance)
        assert homography_distance(a, a * scale) < 1e-9
        assert distance <= homography_distance(a, c) + homography_distance(c, b) + 1e-9

    def test_nan_and_singular_are_infinitely_far(self) -> None:
        a = torch.eye(3).repeat(4, 1, 1)
        a[1, 0, 0] = torch.nan
        a[2] = torch.ones(3, 3)
        a.requires_grad_()
        distance = homography_distance(a, torch.eye(3))
        assert distance.tolist() == [0.0, torch.inf, torch.inf, 0.0]
        distance[[0, 3]].sum().backward()
        assert a.grad is not None
        assert a.grad.eq(0).all()
