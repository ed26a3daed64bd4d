"""Windows of a (T, H, W) map, and the relative position bias of their tokens."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import torch
from torch import Tensor


class Run(NamedTuple):
    """Neighbouring windows of equal length along one axis."""

    start: int
    length: int
    windows: int

    @property
    def stop(self) -> int:
        """First index behind the run."""
        return self.start + self.length * self.windows


class Region(NamedTuple):
    """Windows of equal size that tile a box of the map."""

    t: Run
    h: Run
    w: Run

    @property
    def size(self) -> tuple[int, int, int]:
        """(t, h, w) of each window."""
        return self.t.length, self.h.length, self.w.length

    @property
    def tokens(self) -> int:
        """Tokens of each window."""
        return self.t.length * self.h.length * self.w.length

    def box(self, x: Tensor) -> Tensor:
        """Return the view of ``x`` (B, T, H, W, ...) that the windows tile."""
        t, h, w = self
        return x[:, t.start : t.stop, h.start : h.stop, w.start : w.stop]


def cut_axis(size: int, window: int | None, shift: bool) -> tuple[Run, ...]:
    """Cut an axis into windows; those at its ends may be clipped.

    An axis that fits into one window, or ``window=None``, is one window, shifted or not.
    """
    if window is None or window >= size:
        return (Run(0, size, 1),)
    first = window // 2 if shift else 0
    whole, last = (size - first) // window, (size - first) % window  # a symbolic size knows no divmod
    runs = (Run(0, first, 1), Run(first, window, whole), Run(size - last, last, 1))
    return tuple(run for run in runs if run.length and run.windows)


def pad_axis(size: int, window: int | None, shift: bool) -> tuple[int, int, Run]:
    """Return what to pad before and behind an axis so that whole windows tile it, and these.

    The windows are those of :func:`cut_axis`, but for the padding in the first and the last one.
    """
    if window is None or window >= size:
        return 0, 0, Run(0, size, 1)
    before = -(window // 2) % window if shift else 0
    windows = (before + size + window - 1) // window
    return before, windows * window - before - size, Run(0, window, windows)


def cut_map(size: tuple[int, int, int], window: tuple[int | None, int, int], shift: bool) -> list[list[list[Region]]]:
    """Cut a (T, H, W) map into regions of equal windows, nested by axis t, h, w.

    Clipped windows are windows of their own size: nothing is padded, nothing wraps around, and
    so nothing has to be masked.
    """
    t, h, w = (cut_axis(*axis, shift) for axis in zip(size, window, strict=True))
    return [[[Region(*runs) for runs in itertools.product((i,), (j,), w)] for j in h] for i in t]


def to_windows(x: Tensor, region: Region) -> Tensor:
    """Return the view (B, nt, nh, nw, t, h, w, ...) of ``x`` (B, T, H, W, ...)."""
    box = region.box(x)
    t, h, w = ((run.windows, run.length) for run in region)
    box = box.view(box.shape[0], *t, *h, *w, *box.shape[4:])
    return box.permute(0, 1, 3, 5, 2, 4, 6, *range(7, box.dim()))


def from_windows(x: Tensor) -> Tensor:
    """Return (B, T, H, W, ...) of windows (B, nt, nh, nw, t, h, w, ...)."""
    x = x.permute(0, 1, 4, 2, 5, 3, 6, *range(7, x.dim()))
    return x.flatten(5, 6).flatten(3, 4).flatten(1, 2)


def _relative_index(size: tuple[int, ...], table: Tensor, device: torch.device) -> Tensor:
    """Return the (n, n) index of the true offset of each query and key in the flat ``table``."""
    flat = torch.zeros((1, 1), dtype=torch.int64, device=device)
    for length, entries in zip(size, table.shape[1:], strict=True):
        position = torch.arange(length, device=device)
        offset = position[:, None] - position[None] + (entries - 1) // 2  # [length, length]
        n = flat.shape[0]
        flat = flat[:, None, :, None] * entries + offset[None, :, None, :]
        flat = flat.reshape(n * length, n * length)
    return flat


def expand_bias(table: Tensor, region: Region) -> Tensor:
    """Return the additive bias (heads, tokens, tokens) of the windows of a region.

    Args:
        table: (heads, 2h - 1, 2w - 1) or (heads, 2t - 1, 2h - 1, 2w - 1), by relative offset
            query - key with offset 0 in the middle. Without t it is the same for all pairs of
            frames.
        region: Windows no larger than (t, h, w).
    """
    t, size = region.t.length, region.size
    if table.dim() == 4:
        return table.flatten(1)[:, _relative_index(size, table, table.device)]
    index = _relative_index(size[1:], table, table.device)
    bias = table.flatten(1)[:, index]  # [heads, hw, hw]
    heads, n, _ = bias.shape
    return bias[:, None, :, None].expand(heads, t, n, t, n).reshape(heads, t * n, t * n)


def reduce_bias(grad: Tensor, table: Tensor, region: Region) -> Tensor:
    """Return the gradient of ``table`` from that of its :func:`expand_bias`."""
    t = region.t.length
    size: tuple[int, ...] = region.size
    if table.dim() == 3:
        heads, n = grad.shape[0], region.tokens // t
        grad, size = grad.view(heads, t, n, t, n).sum((1, 3)), size[1:]
    index = _relative_index(size, table, grad.device)
    flat = torch.zeros_like(table.flatten(1))
    return flat.index_add_(1, index.flatten(), grad.flatten(1)).view_as(table)
