"""The transfer function of sRGB, against its definition, and both ways."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diar_ops._errors import DtypeError
from diar_ops.colour import linear_to_srgb, srgb_to_linear

Function = Callable[[torch.Tensor], torch.Tensor]


def coded(linear: float) -> float:
    return 12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055


@pytest.mark.parametrize("linear", [-0.2, 0.0, 1e-4, 0.0031, 0.0032, 0.18, 0.5, 1.0, 7.0])
def test_encoding_is_the_standards(linear: float) -> None:
    assert float(linear_to_srgb(torch.tensor(linear, dtype=torch.float64))) == pytest.approx(coded(linear), abs=1e-12)


def test_known_values_of_the_standard() -> None:
    assert float(linear_to_srgb(torch.tensor(0.214041))) == pytest.approx(0.5, abs=1e-6)
    assert float(srgb_to_linear(torch.tensor(0.5))) == pytest.approx(0.214041, abs=1e-6)
    ends = torch.tensor([0.0, 1.0])
    torch.testing.assert_close(linear_to_srgb(ends), ends, rtol=0, atol=1e-6)
    torch.testing.assert_close(srgb_to_linear(ends), ends, rtol=0, atol=1e-6)


@given(st.floats(-1, 20))
def test_round_trip(value: float) -> None:
    x = torch.tensor(value, dtype=torch.float64)
    # The constants of the standard do not meet exactly: a gap of 3e-8 where the two parts join.
    assert float(srgb_to_linear(linear_to_srgb(x)) - x) == pytest.approx(0, abs=1e-7)
    assert float(linear_to_srgb(srgb_to_linear(x)) - x) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("function", [srgb_to_linear, linear_to_srgb])
def test_gradient_is_finite_and_positive_everywhere(function: Function) -> None:
    x = torch.linspace(-1, 3, 4001, requires_grad=True)  # holds 0
    (gradient,) = torch.autograd.grad(function(x).sum(), x)
    assert gradient.isfinite().all()
    assert (gradient > 0).all()
    with torch.no_grad():
        assert (function(x).diff() > 0).all()


@pytest.mark.parametrize("function", [srgb_to_linear, linear_to_srgb])
def test_nan_stays_where_it_is_and_integers_are_refused(function: Function) -> None:
    out = function(torch.tensor([0.2, float("nan"), 0.7]))
    assert out.isnan().tolist() == [False, True, False]
    with pytest.raises(DtypeError, match="floating"):
        function(torch.zeros(3, dtype=torch.uint8))
