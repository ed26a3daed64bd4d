"""Short filters along an axis, as sums of shifted slices.

Convolutions of one channel are what torch is slowest at on a CPU: six to twenty times slower than these.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


def filter_axis(planes: Tensor, weights: Sequence[float], axis: int) -> Tensor:
    """Correlate with some weights along an axis, which gets shorter by all but one of them.

    Args:
        planes: Any shape, floating point, with at least as many values along the axis as weights.
        weights: Any number of them.
        axis: Along which.
    """
    size = planes.shape[axis] - len(weights) + 1
    result = planes.narrow(axis, 0, size) * weights[0]
    for start, weight in enumerate(weights[1:], start=1):
        result.add_(planes.narrow(axis, start, size), alpha=weight)
    return result


def halve_axis(planes: Tensor, axis: int) -> Tensor:
    """Smooth by (1, 3, 3, 1) / 8 along an axis of even size, and keep every other value; zeros continue it."""
    half = planes.shape[axis] // 2
    even, odd = (planes.movedim(axis, -1)[..., start::2].movedim(-1, axis) for start in (0, 1))
    result: Tensor = (even + odd).mul_(3 / 8)
    result.narrow(axis, 1, half - 1).add_(odd.narrow(axis, 0, half - 1), alpha=1 / 8)
    result.narrow(axis, 0, half - 1).add_(even.narrow(axis, 1, half - 1), alpha=1 / 8)
    return result
