"""What the two passes of the faithful network estimate."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Light(NamedTuple):
    """The light of every frame, from small copies, on coarse grids over the whole of it.

    Attributes:
        gain: (B, T, 3, h, w) log factors, see :func:`relight`.
        veil: (B, T, 3, h, w) light that is subtracted behind them.
        context: (B, T, K, h', w') features for the pass over pixels.
    """

    gain: Tensor
    veil: Tensor
    context: Tensor


class Evidence(NamedTuple):
    """Scores of the pixels, and what the pass over pixels adds to the light.

    Attributes:
        score: (B, T, 1, H, W) logits of the frames' weights.
        detail: (B, T, 6, h, w) log factors and veils beside those of :class:`Light`, one per token
            of 8 pixels.
        correction: (B, 6, h, w) log factors and veils on the picture, likewise.
    """

    score: Tensor
    detail: Tensor
    correction: Tensor
