"""Short filters against the library's convolutions."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from diar_ops._filters import filter_axis, halve_axis
from tests.harness import assert_close, generator


@pytest.mark.parametrize("axis", [-1, -2, 2, 3])
def test_filter_axis_is_a_correlation(axis: int) -> None:
    planes = torch.rand(2, 3, 9, 8, generator=generator("filter axis"), dtype=torch.float64, requires_grad=True)
    weights = torch.rand(4, generator=generator("filter weights"), dtype=torch.float64)
    shape = (1, 1, 4, 1) if axis in (-2, 2) else (1, 1, 1, 4)
    expected = F.conv2d(planes.flatten(0, 1)[:, None], weights.view(shape)).unflatten(0, (2, 3))[:, :, 0]
    assert_close(filter_axis(planes, weights.tolist(), axis), expected)
    assert torch.autograd.gradcheck(lambda x: filter_axis(x, weights.tolist(), axis), planes)


@pytest.mark.parametrize("size", [(2, 2), (6, 10)])
def test_halve_axis_smooths_and_keeps_every_other(size: tuple[int, int]) -> None:
    planes = torch.rand(3, 1, *size, generator=generator("halve axis"), dtype=torch.float64)
    weights = torch.tensor([1, 3, 3, 1], dtype=torch.float64) / 8
    expected = F.conv2d(planes, (weights[:, None] * weights)[None, None], stride=2, padding=1)
    assert_close(halve_axis(halve_axis(planes, -2), -1), expected)
    assert_close(halve_axis(halve_axis(planes, 2), 3), expected)
