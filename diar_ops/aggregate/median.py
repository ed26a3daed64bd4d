"""Median over frames."""

from __future__ import annotations

from typing import Literal, overload

import torch
from torch import Tensor

from diar_ops._checks import is_exporting
from diar_ops._module import OpModule
from diar_ops.aggregate._frames import check_frames, usable_frames
from diar_ops.aggregate._median.sorting import sort_slices

#: Elements per frame that are sorted at a time: all frames of a band stay in the cache.
BAND_ELEMENTS = 2**17
#: Up to this many frames a CPU sorts faster by a network of elementwise min and max than in
#: general: 7 times at 65 frames, 3.5 times at 256.
NETWORK_FRAMES = 256
#: The same where each of the thousands of steps of a network must be compiled or launched.
COMPILED_FRAMES = 64


@overload
def median_aggregate(
    features: Tensor, valid: Tensor | None = None, *, return_weights: Literal[False] = False
) -> Tensor: ...
@overload
def median_aggregate(
    features: Tensor, valid: Tensor | None = None, *, return_weights: Literal[True]
) -> tuple[Tensor, Tensor]: ...
@overload
def median_aggregate(
    features: Tensor, valid: Tensor | None = None, *, return_weights: bool
) -> Tensor | tuple[Tensor, Tensor]: ...


def median_aggregate(
    features: Tensor, valid: Tensor | None = None, *, return_weights: bool = False
) -> Tensor | tuple[Tensor, Tensor]:
    """Take the median of the frames of each pixel, channel by channel.

    A frame counts at a pixel where it is valid and finite in all channels. An even number of
    frames gives the mean of the two middle values, as in NumPy. Where no frame counts, the output
    is 0 with zero gradient. The order of the frames does not matter.

    Args:
        features: (B, T, C, H, W) floating point, any T >= 1.
        valid: Optional (B, T, 1, H, W) bool.
        return_weights: Also return the weights.

    Returns:
        (B, C, H, W) in the same dtype; with ``return_weights`` also weights (B, T, C, H, W): 1 for
        the frame in the middle, or 1/2 for each of the two (of equal values, the earlier frame is
        the lower one). Their products with the features sum to the output over T. The gradient
        flows to the frames with a weight.

    Raises:
        ShapeError: A shape does not fit, or T is 0.
        DtypeError: ``features`` is not floating point or ``valid`` not bool.

    Example:
        >>> frames = torch.tensor([[0.2, 0.8], [0.2, 0.8], [0.2, 0.0]]).view(1, 3, 1, 1, 2)
        >>> median_aggregate(frames)  # what hides one frame has no influence
        tensor([[[[0.2000, 0.8000]]]])
    """
    check_frames("median_aggregate", features, valid)
    dtype = features.dtype
    if return_weights or (torch.is_grad_enabled() and features.requires_grad):
        clean, usable = usable_frames(features, valid)
        median, weights = _median_by_index(clean, usable)
        return (median.to(dtype), weights.to(dtype)) if return_weights else median.to(dtype)
    if torch.compiler.is_compiling() or features.device.type != "cpu":
        return _median_of_values(features, valid).to(dtype)
    height = features.shape[3]
    rows = max(1, BAND_ELEMENTS // max(1, features[:, 0, :, :1].numel()))
    if rows >= height:
        return _median_of_values(features, valid).to(dtype)
    bands = [
        _median_of_values(
            features[:, :, :, start : start + rows], None if valid is None else valid[:, :, :, start : start + rows]
        ).to(dtype)
        for start in range(0, height, rows)
    ]
    return torch.cat(bands, dim=2)


def _median_of_values(features: Tensor, valid: Tensor | None) -> Tensor:
    """Sort the values, count those that are usable, pick the middle; no gradient."""
    clean, usable = usable_frames(features, valid)
    frames = features.shape[1]
    if usable is None:
        middle = ((frames - 1) // 2, frames // 2)
        ordered = _sort(clean, middle)
        low, high = ordered[middle[0]], ordered[middle[1]]
        return low if middle[0] == middle[1] else 0.5 * low + 0.5 * high
    last = torch.where(usable, clean, torch.inf)
    # An exported graph is one of any number of frames: a network has as many wires as there are.
    stacked = last.sort(dim=1).values if is_exporting() else torch.stack(_sort(last, None), dim=1)
    low_index, high_index, any_usable = _middle(usable, features.shape)
    median = 0.5 * stacked.gather(1, low_index) + 0.5 * stacked.gather(1, high_index)
    return torch.where(any_usable, median[:, 0], 0)


def _sort(features: Tensor, ranks: tuple[int, ...] | None) -> list[Tensor]:
    eager = features.device.type == "cpu" and not torch.compiler.is_compiling()
    if features.shape[1] <= (NETWORK_FRAMES if eager else COMPILED_FRAMES):
        return sort_slices(list(features.unbind(1)), ranks)
    return list(features.sort(dim=1).values.unbind(1))


def _median_by_index(clean: Tensor, usable: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the differentiable median and the weights (B, T, C, H, W) of the frames."""
    if usable is None:
        usable = torch.ones_like(clean[:, :, :1], dtype=torch.bool)
    order = torch.where(usable, clean.detach(), torch.inf).argsort(dim=1, stable=True)
    low_rank, high_rank, any_usable = _middle(usable, clean.shape)
    low, high = order.gather(1, low_rank), order.gather(1, high_rank)  # [B, 1, C, H, W]
    median = 0.5 * clean.gather(1, low) + 0.5 * clean.gather(1, high)
    half = (0.5 * any_usable.to(clean.dtype))[:, None].expand_as(low)
    weights = torch.zeros_like(clean).scatter_add(1, low, half).scatter_add(1, high, half)
    return torch.where(any_usable, median[:, 0], 0), weights


def _middle(usable: Tensor, shape: torch.Size) -> tuple[Tensor, Tensor, Tensor]:
    """Return the ranks (B, 1, C, H, W) of the middle values and where there are any."""
    batch, _, channels, height, width = shape
    count = usable.sum(dim=1, keepdim=True)
    low = (count - 1).clamp(min=0) // 2
    high = (count // 2).expand(batch, 1, channels, height, width)
    return low.expand_as(high), high, count[:, 0] > 0


class MedianAggregate(OpModule):
    """See :func:`median_aggregate`."""

    def __init__(self, *, return_weights: bool = False) -> None:
        super().__init__()
        self.return_weights = return_weights

    def forward(self, features: Tensor, valid: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """Aggregate (B, T, C, H, W) to (B, C, H, W)."""
        return median_aggregate(features, valid, return_weights=self.return_weights)
