"""Bounds of what the faithful network estimates beside the weights of pixels."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = [
    "MOST_CORRECTION",
    "MOST_DETAIL",
    "MOST_HAZE",
    "MOST_LIGHT",
    "MOST_SHARED",
    "USUAL_HAZE",
    "VEIL_UNIT",
    "bound",
    "bound_light",
    "haze_veil",
]

#: Bounds of log factors and veils (see :func:`relight`), by where they apply: a frame's light, what
#: the pass over pixels adds to it, and the picture. The last two are linear between the centres of
#: tokens: they shade, and cannot draw.
MOST_LIGHT, MOST_DETAIL, MOST_CORRECTION = (2.0, 0.2), (0.4, 0.05), (0.2, 0.02)
#: How far the light that the picture itself suggests may move its brightness.
MOST_SHARED = 0.2
#: A usual veil, in light; and how many times the darkest of the picture it may be, since veils
#: differ.
USUAL_HAZE, MOST_HAZE = 0.015, 2.0
#: Veils are dim: the outputs of layers are in this unit.
VEIL_UNIT = 0.05


def bound(x: Tensor, most: float) -> Tensor:
    """Bound values smoothly to -most .. most."""
    return most * torch.tanh(x / most)


def bound_light(x: Tensor, most: tuple[float, float], dim: int) -> Tensor:
    """Bound log factors and veils, the two halves of ``x`` along ``dim``."""
    gain, veil = x.chunk(2, dim=dim)
    return torch.cat((bound(gain, most[0]), bound(VEIL_UNIT * veil, most[1])), dim=dim)


def haze_veil(logs: Tensor, darkest: Tensor) -> Tensor:
    """Return the veil of haze, in light: about the usual one, less over a picture with blacks.

    Args:
        logs: Logs of factors on the usual veil.
        darkest: Log of the darkest value of the picture, broadcastable to ``logs``.
    """
    logs = math.log(USUAL_HAZE) + logs.clamp(-8, 4)
    # The smaller of the usual and the most, smoothly; logs, as squares leave half precision.
    excess = (logs - math.log(MOST_HAZE) - 2.4 * darkest).clamp(-5, 5)
    return logs.exp() * (1 + (2 * excess).exp()).rsqrt()
