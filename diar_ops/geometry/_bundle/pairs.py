"""The pairs of frames of a joint adjustment, and what each adds to the normal equations."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from diar_ops.geometry._bundle.projection import LensNormalization


class Pairs(NamedTuple):
    """All pairs of all items, Q in number, between all frames, F in number."""

    first: Tensor  # (Q,) int64 frame i of each, out of F
    second: Tensor  # (Q,)
    points0: Tensor  # (Q, 2, N) normalised positions in frame i; with a lens, in its units
    points1: Tensor  # (Q, 2, N)
    weight: Tensor  # (Q, N), 0 where a match does not count
    scale: Tensor  # (F,) normalised units per pixel of each frame
    lens: LensNormalization | None


class PairTerms(NamedTuple):
    """The share of each pair's matches in half the cost. 8: entries of H, by rows."""

    cost: Tensor  # (Q,)
    gradient: Tensor  # (Q, 2, 8) by H_i and H_j
    normal: Tensor  # (Q, 3, 8, 8) blocks ii, jj, ij
    lens_gradient: Tensor  # (Q,) by k
    lens_cross: Tensor  # (Q, 2, 8) between k and H_i, H_j
    lens_normal: Tensor  # (Q,)
    #: (Q, 5) sums over matches; w: their weight relative to least squares, t = e / reach^2:
    #: w, (w + t dw/dt), w t, squared weights times t, number within reach.
    sums: Tensor


def per_item(x: Tensor, batch: int) -> Tensor:
    """Return what (B P, ...) holds of all pairs as (B, P, ...), also where one of them is 0."""
    return x.reshape(batch, x.shape[0] // max(batch, 1), *x.shape[1:])
