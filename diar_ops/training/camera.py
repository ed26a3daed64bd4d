"""An ideal camera."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from diar_ops.colour import linear_to_srgb


def ideal_photos(radiance: Tensor, factor: float = 1.0) -> Tensor:
    """Return light as an ideal camera stores it: clipped, coded and rounded to 8 bits.

    Args:
        radiance: Any shape, linear light, floating point.
        factor: Of the light.

    Returns:
        The same shape, float32, multiples of 1/255.
    """
    if radiance.dtype != torch.float16 or radiance.numel() < len(_float16_values()):
        coded = linear_to_srgb((radiance.float() * factor).clamp(0, 1))
        return (coded * 255).round() / 255
    # There are far fewer float16 values than pixels.
    table = ideal_photos(_float16_values(), factor)
    index = radiance.view(torch.int16).to(torch.int32) & 0xFFFF
    return table.index_select(0, index.flatten()).view(radiance.shape)


@lru_cache(maxsize=1)
def _float16_values() -> Tensor:
    """Return the value of each pattern of 16 bits as float16, in float32."""
    return torch.arange(2**16, dtype=torch.int32).to(torch.int16).view(torch.float16).float()
