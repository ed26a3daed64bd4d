"""Attention within windows of a (T, H, W) map, with a learned bias on the fast kernel."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from diar_ops._checks import is_exporting, under_transform
from diar_ops._custom_op import custom_op
from diar_ops.aggregate._swin.windows import (
    Region,
    cut_map,
    expand_bias,
    from_windows,
    pad_axis,
    reduce_bias,
    to_windows,
)

#: Attention scores that are held at a time on a CPU. Fewer fit a smaller cache and cost a few
#: percent less on one thread; more mean fewer operations in which threads wait for each other.
SCORES = 2**21
#: Where scaled_dot_product_attention is slow as soon as its bias requires a gradient.
FAST_DEVICE = "cpu"
#: softmax((query key^T) / sqrt(d) + mask) value, of (M, heads, N, d) each.
Attention = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def window_attention(
    qkv: Tensor, table: Tensor, usable: Tensor | None, window: tuple[int | None, int, int], shift: bool, heads: int
) -> Tensor:
    """Attend within windows.

    Args:
        qkv: (B, T, H, W, 3 C): queries, keys and values, each (heads, C / heads).
        table: Relative position bias, see :func:`expand_bias`.
        usable: Optional (B, T, H, W) bool; other tokens are no keys. A window without any gives 0.
        window: (t, h, w), t ``None`` for all frames.
        shift: Whether the windows are shifted by half a window.
        heads: Number of heads.

    Returns:
        (B, T, H, W, C).
    """
    table = table.to(qkv.dtype)
    if under_transform():
        return _attend_plainly(qkv, table, usable, window, shift, heads, _attend_by_softmax)
    if qkv.device.type != FAST_DEVICE or is_exporting():
        return _attend_plainly(qkv, table, usable, window, shift, heads, F.scaled_dot_product_attention)
    t, h, w = window
    frames = qkv.shape[1] if t is None else t
    out: Tensor = _attend(qkv, table, usable, frames, h, w, shift, heads)
    return out


def _attend_plainly(
    qkv: Tensor,
    table: Tensor,
    usable: Tensor | None,
    window: tuple[int | None, int, int],
    shift: bool,
    heads: int,
    attend: Attention,
) -> Tensor:
    """Attend by torch's own differentiable ops; see :func:`window_attention`.

    The map is padded until windows of one size tile it, with tokens that are no keys: the same
    few operations whatever its size, so that a graph of them holds for other sizes too.
    """
    sides = (qkv.shape[1], qkv.shape[2], qkv.shape[3])
    axes = [pad_axis(*axis, shift) for axis in zip(sides, window, strict=True)]
    padding = [n for before, after, _ in reversed(axes) for n in (before, after)]
    keys = qkv.new_ones(qkv.shape[:4]) if usable is None else usable.to(qkv.dtype)
    keys = F.pad(keys, padding) > 0
    padded = F.pad(qkv, [0, 0, *padding])
    out = _attend_region(padded, table, keys, Region(*(run for *_, run in axes)), heads, attend)
    for dim, ((before, _, _), side) in enumerate(zip(axes, sides, strict=True), start=1):
        out = out.narrow(dim, before, side)
    return out


def _attend_region(qkv: Tensor, table: Tensor, usable: Tensor, region: Region, heads: int, attend: Attention) -> Tensor:
    """Return the attention (B, T, H, W, C) of windows that tile the whole map."""
    windows = to_windows(_by_head(qkv, 3, heads), region)
    q, k, v = windows.flatten(4, 6).flatten(0, 3).permute(2, 0, 3, 1, 4)  # [M, heads, N, d] each
    keys = to_windows(usable, region).reshape(q.shape[0], 1, 1, -1)
    out = attend(q, k, v, _mask(expand_bias(table, region)[None], keys)) * keys.any(-1, keepdim=True)
    # A copy, whatever the kernel left: exporters put other kernels in its place, of other strides.
    out = out.transpose(1, 2).clone(memory_format=torch.contiguous_format)
    return from_windows(out.view(*windows.shape[:7], heads * windows.shape[-1]))


def _attend_by_softmax(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """As ``scaled_dot_product_attention``, as often differentiable as is asked for."""
    score = torch.matmul(q * q.shape[-1] ** -0.5, k.mT) + mask
    return torch.matmul(score.softmax(-1), v)


def _mask(bias: Tensor, keys: Tensor) -> Tensor:
    """Return the bias (M, heads, N, N) that shuts out all but ``keys`` (M, 1, 1, N).

    A large finite number: its softmax is exactly 0 next to any key, and never NaN without one.
    """
    return torch.where(keys, bias, torch.finfo(bias.dtype).min / 2)


def _chunks(grid: tuple[int, ...], scores: int) -> Iterator[tuple[int | slice, ...]]:
    """Yield indices into the windows (B, nt, nh, nw) that keep one axis, a few windows long."""
    axis = max(range(4), key=lambda i: grid[i])
    largest = max(1, SCORES // scores)
    # Equal shares: a short rest costs as much overhead as a whole chunk.
    step = -(-grid[axis] // -(-grid[axis] // largest))
    index: list[list[int | slice]] = [list(range(n)) for n in grid]
    index[axis] = [slice(i, i + step) for i in range(0, grid[axis], step)]
    yield from itertools.product(*index)


def _regions(qkv: Tensor, window: tuple[int, int, int], shift: bool) -> Iterator[Region]:
    if qkv.numel():
        for plane in cut_map((qkv.shape[1], qkv.shape[2], qkv.shape[3]), window, shift):
            for strip in plane:
                yield from strip


def _by_head(x: Tensor, *groups: int) -> Tensor:
    """Return the view (..., *groups, d) of ``x`` (..., C)."""
    return x.view(*x.shape[:-1], *groups, x.shape[-1] // math.prod(groups))


def _gather(windows: Tensor) -> Tensor:
    """Return (groups, m, heads, N, d) of ``windows`` (m, t, h, w, groups, heads, d).

    The copy keeps the channels of a token together and so moves whole rows of a window; the
    heads are strided views of it, which products of matrices read without another copy.
    """
    return windows.flatten(1, 3).permute(2, 0, 3, 1, 4)


def _scatter(target: Tensor, values: Tensor) -> None:
    """Write ``values`` (m, heads, N, d) to ``target`` (m, t, h, w, heads, d)."""
    target.copy_(values.transpose(1, 2).view(target.shape))


def _chunk_mask(bias: Tensor, keys: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Return the bias (1 or m, heads, N, N), and (m, 1, 1, 1) where windows have a key."""
    if keys is None or keys.all():
        return bias[None], None
    flat = keys.reshape(len(keys), 1, 1, -1)
    return _mask(bias[None], flat), flat.any(-1, keepdim=True)


@custom_op("window_attention")
def _attend(
    qkv: Tensor, table: Tensor, usable: Tensor | None, t: int, h: int, w: int, shift: bool, heads: int
) -> Tensor:
    out = qkv.new_empty(*qkv.shape[:-1], qkv.shape[-1] // 3)
    for region in _regions(qkv, (t, h, w), shift):
        bias = expand_bias(table, region)
        source = to_windows(_by_head(qkv, 3, heads), region)
        target = to_windows(_by_head(out, heads), region)
        keys = None if usable is None else to_windows(usable, region)
        for index in _chunks(source.shape[:4], bias.numel()):
            q, k, v = _gather(source[index])
            mask, any_key = _chunk_mask(bias, None if keys is None else keys[index])
            part = F.scaled_dot_product_attention(q, k, v, mask.expand(q.shape[0], -1, -1, -1))
            _scatter(target[index], part if any_key is None else part * any_key)
    return out


@_attend.register_fake
def _(qkv: Tensor, *_: object) -> Tensor:
    return qkv.new_empty(*qkv.shape[:-1], qkv.shape[-1] // 3)


@custom_op("window_attention_backward")
def _attend_backward(
    grad: Tensor, qkv: Tensor, table: Tensor, usable: Tensor | None, t: int, h: int, w: int, shift: bool, heads: int
) -> tuple[Tensor, Tensor]:
    grad_qkv, grad_table = torch.empty_like(qkv), torch.zeros_like(table)
    for region in _regions(qkv, (t, h, w), shift):
        bias = expand_bias(table, region)
        grad_bias = torch.zeros_like(bias)
        source = to_windows(_by_head(qkv, 3, heads), region)
        target = to_windows(_by_head(grad_qkv, 3, heads), region)
        grad_windows = to_windows(_by_head(grad, 1, heads), region)
        keys = None if usable is None else to_windows(usable, region)
        scratch: list[Tensor] = []
        for index in _chunks(source.shape[:4], bias.numel()):
            mask, any_key = _chunk_mask(bias, None if keys is None else keys[index])
            (g,) = _gather(grad_windows[index])
            g = g if any_key is None else g * any_key
            parts = _differentiate_chunk(g, _gather(source[index]), mask, grad_bias, scratch)
            for i, part in enumerate(parts):
                _scatter(target[index][..., i, :, :], part)
        grad_table += reduce_bias(grad_bias, table, region)
    return grad_qkv, grad_table


def _differentiate_chunk(
    grad: Tensor, qkv: Tensor, mask: Tensor, grad_bias: Tensor, scratch: list[Tensor]
) -> list[Tensor]:
    """Return the gradients (m, heads, N, d) of q, k and v of a chunk; add to ``grad_bias``.

    Every score is computed again, softmax and all, and is read by the three gradients and by the
    bias's while it is in the cache.

    Args:
        grad: (m, heads, N, d), of the output.
        qkv: (3, m, heads, N, d).
        mask: (1 or m, heads, N, N), added to the scores.
        grad_bias: (heads, N, N), changed.
        scratch: Memory for the scores, kept from chunk to chunk: memory that is given back and
            taken anew costs as much as a product of matrices.
    """
    _, m, heads, n, d = qkv.shape
    q, k, v = qkv.flatten(1, 2)
    g, scale = grad.reshape(m * heads, n, d), d**-0.5
    if not scratch or len(scratch[0]) < m * heads:
        scratch[:] = [q.new_empty(m * heads, n, n) for _ in range(2)]
    share, score = (x[: m * heads] for x in scratch)
    share.view(m, heads, n, n).copy_(mask)
    share.baddbmm_(q, k.mT, alpha=scale)
    torch.softmax(share, -1, out=share)
    torch.bmm(g, v.mT, out=score)
    grad_v = torch.bmm(share.mT, g)
    torch._softmax_backward_data(score, share, -1, share.dtype, grad_input=score)
    # Their sum over the windows, without a copy of it.
    grad_bias.view(-1).addmv_(score.view(m, -1).T, score.new_ones(m))
    grad_q = torch.baddbmm(q, score, k, beta=0, alpha=scale)
    grad_k = torch.baddbmm(k, score.mT, q, beta=0, alpha=scale)
    return [x.view(m, heads, n, d) for x in (grad_q, grad_k, grad_v)]


@_attend_backward.register_fake
def _(grad: Tensor, qkv: Tensor, table: Tensor, *_: object) -> tuple[Tensor, Tensor]:
    return torch.empty_like(qkv), torch.empty_like(table)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:3])
    ctx.options = inputs[3:]


def _differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    qkv, table, usable = ctx.saved_tensors
    if not torch.is_grad_enabled():
        grad_qkv, grad_table = _attend_backward(grad, qkv, table, usable, *ctx.options)
    else:  # the gradient is to be differentiated in turn
        *window, shift, heads = ctx.options
        out = _attend_plainly(qkv, table, usable, (window[0], window[1], window[2]), shift, heads, _attend_by_softmax)
        wanted = [x for x in (qkv, table) if x.requires_grad]
        grads = iter(torch.autograd.grad(out, wanted, grad, create_graph=True))
        grad_qkv, grad_table = (next(grads) if x.requires_grad else None for x in (qkv, table))
    return grad_qkv, grad_table, *(None,) * 6


_attend.register_autograd(_differentiate, setup_context=_save)
