"""Means over the windows of cells."""

from __future__ import annotations

import pytest

from diar_ops.matching._texture import window_mean
from tests.harness import assert_close
from tests.matching.trunks import noise


@pytest.mark.parametrize(("stride", "offset", "window"), [(4, 7.5, 16), (3, 0.0, 5), (8, -2.0, 20)])
def test_window_mean_averages_the_part_inside(stride: int, offset: float, window: int) -> None:
    images = noise("window mean", 2, 2, 41, 50)
    actual = window_mean(images, stride=stride, offset=offset, window=window, size=(5, 6))
    for i in range(5):
        for j in range(6):
            x, y = offset + stride * j, offset + stride * i
            rows = [r for r in range(41) if y - window / 2 <= r < y + window / 2]
            columns = [c for c in range(50) if x - window / 2 <= c < x + window / 2]
            expected = images[:, :, rows][..., columns].mean(dim=(2, 3))
            assert_close(actual[:, :, i, j], expected)
