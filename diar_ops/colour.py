"""The transfer function of sRGB: between coded values and linear light."""

from __future__ import annotations

import torch
from torch import Tensor

from diar_ops._checks import check_floating

#: sRGB codes light x as (1 + TOE) x^(1 / GAMMA) - TOE, but for its darkest values: a factor on light is one on
#: the coded value + TOE.
TOE, GAMMA = 0.055, 2.4


def srgb_to_linear(image: Tensor) -> Tensor:
    """Decode sRGB values to linear light.

    Args:
        image: Any shape, floating point; 0 is black, 1 white. Values above 1 continue the power
            law, values below 0 the linear toe. NaN stays NaN.

    Returns:
        The same shape and dtype; strictly increasing, with a finite gradient everywhere.

    Raises:
        DtypeError: ``image`` is not floating point.

    Source: IEC 61966-2-1, section 5.2.
    """
    check_floating("srgb_to_linear", image=image)
    # The clamp keeps the unused branch, and so its gradient, finite.
    curve = ((image.clamp_min(0.04045) + TOE) / (1 + TOE)) ** GAMMA
    return torch.where(image <= 0.04045, image / 12.92, curve)


def linear_to_srgb(linear: Tensor) -> Tensor:
    """Encode linear light as sRGB values; the inverse of :func:`srgb_to_linear`.

    Args:
        linear: Any shape, floating point; 0 is black, 1 white. Values above 1 continue the power
            law, values below 0 the linear toe: clip where a file is to be written. NaN stays NaN.

    Returns:
        The same shape and dtype; strictly increasing, with a finite gradient everywhere.

    Raises:
        DtypeError: ``linear`` is not floating point.

    Source: IEC 61966-2-1, section 5.2.
    """
    check_floating("linear_to_srgb", linear=linear)
    # The curve is the smaller right of the toe; the clamp makes it the larger left of it.
    curve = (1 + TOE) * linear.clamp_min(0.0031308) ** (1 / GAMMA) - TOE
    return torch.minimum(linear * 12.92, curve)
