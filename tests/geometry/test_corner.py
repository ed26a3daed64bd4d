"""corner_error: pixels between projected corners."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from diar_ops import DtypeError, OptionError, ShapeError, corner_error
from tests.geometry.test_transform import random_homographies
from tests.harness import Call, OpTests, assert_close


class TestCornerError(OpTests):
    op = "corner_error"
    infinite = "inf where the horizon crosses the image"

    def call(self, device: torch.device, dtype: torch.dtype) -> Call:
        names = ("corner a", "corner b")
        args = tuple(random_homographies(n, 4, dtype=dtype, device=device) for n in names)
        return Call(args, {"size": (80, 100)})

    def gradcheck_call(self, device: torch.device) -> tuple[Any, tuple[Tensor, ...]]:
        args, kwargs = self.call(device, torch.float64)
        return lambda h, g: corner_error(h, g, **kwargs), tuple(a.requires_grad_() for a in args)

    def test_exception(self) -> None:
        eye = torch.eye(3)
        with pytest.raises(ShapeError, match="homography must have shape"):
            corner_error(torch.zeros(3), eye, size=(4, 4))
        with pytest.raises(ShapeError, match="leading sizes must broadcast"):
            corner_error(eye.expand(2, 3, 3), eye.expand(3, 3, 3), size=(4, 4))
        with pytest.raises(DtypeError, match="floating point"):
            corner_error(eye.int(), eye, size=(4, 4))
        with pytest.raises(OptionError, match=r"a positive size \(height, width\), got \(0, 4\)"):
            corner_error(eye, eye, size=(0, 4))

    @pytest.mark.parametrize(
        ("first", "second", "expected"), [((), (), ()), ((0,), (0,), (0,)), ((1,), (5,), (5,)), ((2, 1), (3,), (2, 3))]
    )
    def test_cardinality(self, first: tuple[int, ...], second: tuple[int, ...], expected: tuple[int, ...]) -> None:
        a, b = torch.eye(3).expand(*first, 3, 3), torch.eye(3).expand(*second, 3, 3)
        assert corner_error(a, b, size=(5, 7)).shape == expected

    def test_oracle_opencv(self, device: torch.device, dtype: torch.dtype) -> None:
        args, kwargs = self.call(device, dtype)
        corners = np.array([[[0.0, 0], [99, 0], [99, 79], [0, 79]]])
        expected = [
            np.linalg.norm(cv2.perspectiveTransform(corners, h) - cv2.perspectiveTransform(corners, g), axis=-1).mean()
            for h, g in zip(*(a.double().cpu().numpy() for a in args), strict=True)
        ]
        assert_close(corner_error(*args, **kwargs), torch.tensor(expected, dtype=dtype))

    @given(st.floats(-50, 50), st.floats(-50, 50), st.sampled_from([-1.0, 1.0, 1e-3]))
    def test_property_a_shift_is_its_length(self, dx: float, dy: float, scale: float) -> None:
        shift = torch.eye(3).double()
        shift[0, 2], shift[1, 2] = dx, dy
        error = corner_error(scale * shift, torch.eye(3).double(), size=(480, 640))
        assert_close(error, np.hypot(dx, dy), rtol=1e-9, atol=1e-9)

    def test_nan_and_the_horizon_give_inf_alone(self) -> None:
        a = torch.eye(3).repeat(6, 1, 1)
        a[1, 2, 0] = -0.1  # the horizon x = 10 crosses the image
        a[2, 1, 1] = torch.nan
        a[3] = 0
        a[4, 2, 0] = -1 / 99  # two corners exactly on the horizon
        a[5] *= -1
        a.requires_grad_()
        error = corner_error(a, torch.eye(3), size=(80, 100))
        assert error.tolist() == [0.0, torch.inf, torch.inf, torch.inf, torch.inf, 0.0]
        error[[0, 5]].sum().backward()
        assert a.grad is not None
        assert a.grad.isfinite().all()
