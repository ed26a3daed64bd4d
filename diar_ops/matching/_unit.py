"""Unit-length descriptors and picking some of them, shared by all matchers: unusable ones are marked, not spread."""

from __future__ import annotations

import torch
from torch import Tensor


def unit_descriptors(descriptors: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Scale descriptors to unit length along ``dim``.

    Args:
        descriptors: Floating point, any shape.
        dim: The channel dimension.

    Returns:
        The unit descriptors, and a bool mask without ``dim`` that is False where a descriptor is
        zero or not finite; those are returned as zeros, with zero gradient.
    """
    # The largest entry is divided out first, so that no square over- or underflows. Cosines do
    # not change under a positive factor, so it may be a constant to autograd.
    if descriptors.shape[dim] == 0:
        return descriptors, descriptors.new_zeros(descriptors.sum(dim).shape, dtype=torch.bool)
    largest = descriptors.detach().abs().amax(dim, keepdim=True)  # NaN if any entry is NaN
    usable = (largest >= torch.finfo(descriptors.dtype).tiny) & largest.isfinite()
    # What is left of unusable ones is 0, or NaN where they are not finite; choosing zeros for them instead
    # would take five times as long.
    scaled = (descriptors / torch.where(usable, largest, torch.inf)).nan_to_num(0.0)
    square = scaled.square().sum(dim, keepdim=True)
    unit = scaled / torch.where(usable, square, 1).sqrt()
    return unit, usable.squeeze(dim)


def pick_descriptors(descriptors: Tensor, index: Tensor) -> Tensor:
    """Return the (B, K, C) descriptors at the (B, K) indices into (B, N, C) ones.

    Copies whole descriptors, where ``gather`` goes by single entries and takes ten times as long.
    """
    start = torch.arange(descriptors.shape[0], device=index.device).unsqueeze(1) * descriptors.shape[1]
    picked = descriptors.flatten(0, 1).index_select(0, (index + start).flatten())
    return picked.view(*index.shape, descriptors.shape[2])
