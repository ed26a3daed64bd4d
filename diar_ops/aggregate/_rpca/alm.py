"""Inexact augmented Lagrange multipliers for robust PCA of a few long columns."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops._batching import register_batching
from diar_ops._custom_op import custom_op

#: Elements of a chunk: the four buffers that an iteration touches stay in the cache of the cores.
CHUNK_ELEMENTS = 2**16
# Penalty of the constraint low rank + sparse = data, and its growth per iteration, from the paper.
FIRST_PENALTY, LARGEST_PENALTY = 1.25, 1.25e7
GROWTH, SLOW_GROWTH = 1.5, 1.2
#: With gaps, or no more columns than this, fast growth stops short of the optimum.
FEW_COLUMNS = 8
#: Iterations between two looks at which items are finished, where looking means waiting for a device.
LOOK_EVERY = 8
#: From this penalty on singular values are shrunk by less than float32 sums can tell.
EXACT_PENALTY = 1e2


@custom_op("low_rank_part")
def low_rank_part(
    data: Tensor, observed: Tensor | None, sparsity: float, tolerance: float, max_iterations: int
) -> Tensor:
    """Return the low-rank part (B, T, C, P) of each item, a matrix of T columns with C * P rows.

    One operation for ``torch.compile`` and ``vmap``, since the number of iterations depends on
    the data. With the scaled multiplier U and the penalty mu an iteration is

        S = shrink(D - L + U, sparsity / mu),  M = D - S + U,  L = M W,  U <- M - L

    where W (T x T) shrinks the singular values of M by 1 / mu. It comes from the eigenvectors of
    the Gram matrix of M, so that the long matrices are passed over once per iteration. A Gram
    matrix squares: rounded to float32 it leaves singular values down to 3e-4 of the largest, which
    will do while they are shrunk by more than that. Then it is summed in float64, which leaves
    them down to 1e-8, what float32 data hold.

    Args:
        data: (B, T, C, P) float32 or float64, finite, 0 where not observed.
        observed: Optional (B, T, 1, P) bool. Elsewhere the sparse part is free.
        sparsity: Weight of the L1 norm of the sparse part.
        tolerance: Norm of D - L - S relative to that of D at which an item is finished.
        max_iterations: Most iterations.
    """
    if data.numel() == 0:
        return torch.zeros_like(data)
    if data.device.type != "cpu":
        return _solve(data, observed, sparsity, tolerance, max_iterations)
    # One after the other, each item stops by itself and fills the cache alone.
    items = [
        _solve(data[b : b + 1], None if observed is None else observed[b : b + 1], sparsity, tolerance, max_iterations)
        for b in range(data.shape[0])
    ]
    return torch.cat(items) if len(items) > 1 else items[0]


@low_rank_part.register_fake
def _(data: Tensor, *_: object) -> Tensor:
    return torch.empty_like(data, memory_format=torch.contiguous_format)


register_batching(low_rank_part)


class _Chunk(NamedTuple):
    """Some pixels of the scaled data, and the buffers that an iteration touches: (B, T, C * n)."""

    data: Tensor
    matrix: Tensor  # M = D - S + U
    residual: Tensor  # the last multiplier, then D - L - S, then the next M
    observed: Tensor | None  # (B, T, 1, n) 0 or 1


def _solve(data: Tensor, observed: Tensor | None, sparsity: float, tolerance: float, max_iterations: int) -> Tensor:
    B, T, C, P = data.shape
    on_cpu = data.device.type == "cpu"
    step = P if not on_cpu else max(1, CHUNK_ELEMENTS // (B * T * C))
    spans = [slice(start, start + step) for start in range(0, P, step)]
    wide = data.new_empty(B * T * C * min(step, P), dtype=torch.float64)
    norm, total = _norms(data, spans, wide)
    rate = GROWTH if observed is None and T > FEW_COLUMNS else SLOW_GROWTH
    penalty, growth = FIRST_PENALTY, rate
    chunks = _first_chunks(data, observed, spans, norm, sparsity, rate)
    gram = data.new_zeros(B, T, T, dtype=torch.float64)
    for chunk in chunks:
        _add_gram(gram, chunk.matrix, None)

    out = torch.empty_like(data, memory_format=torch.contiguous_format)
    waiting = list(range(B))
    finished: list[int] = []
    buffer = data.new_empty(chunks[0].data.numel())
    for iteration in range(max_iterations + 1):
        shrink = _singular_value_shrinkage(gram, penalty).to(data.dtype)
        if iteration == max_iterations:
            finished = waiting
        for b in finished:
            for span, chunk in zip(spans, chunks, strict=True):
                low = out[b, ..., span]
                low.copy_((shrink[b] @ chunk.matrix[b]).view_as(low)).mul_(norm[b].to(data.dtype))
        waiting = [b for b in waiting if b not in finished]
        if not waiting:
            break
        following = min(penalty * rate, LARGEST_PENALTY)
        before, growth, penalty = growth, following / penalty, following
        gram.zero_()
        square = torch.zeros_like(norm)
        for i, chunk in enumerate(chunks):
            chunks[i], part = _iterate(chunk, shrink, before, growth, sparsity / penalty, buffer)
            square += part
            _add_gram(gram, chunks[i].matrix, wide if penalty >= EXACT_PENALTY else None)
        if on_cpu or iteration % LOOK_EVERY == 0:
            done = (square.sqrt() <= tolerance * total).tolist()
            finished = [b for b in waiting if done[b]]
        else:
            finished = []
    return out


def _norms(data: Tensor, spans: list[slice], wide: Tensor) -> tuple[Tensor, Tensor]:
    """Return (B,) float64 spectral norms, 1 instead of 0, and Frobenius norms relative to them."""
    B, T = data.shape[:2]
    gram = data.new_zeros(B, T, T, dtype=torch.float64)
    for span in spans:
        _add_gram(gram, data[..., span].flatten(2), wide)
    norm = torch.linalg.eigvalsh(gram)[:, -1].clamp_min(0).sqrt()
    norm = torch.where(norm > 0, norm, 1)
    return norm, gram.diagonal(dim1=1, dim2=2).sum(1).sqrt() / norm


def _first_chunks(
    data: Tensor, observed: Tensor | None, spans: list[slice], norm: Tensor, sparsity: float, growth: float
) -> list[_Chunk]:
    """Return the data at spectral norm 1, so that all items share one sequence of penalties."""
    scale = norm.reciprocal().to(data.dtype).view(-1, 1, 1)
    largest = data.abs().amax((1, 2, 3)) / norm
    dual = 1 / largest.div(sparsity).clamp_min(1).to(data.dtype).view(-1, 1, 1)
    limit = sparsity / FIRST_PENALTY
    fill = None if observed is None else _mean_of_observed(data, observed)
    chunks = []
    for span in spans:
        part = data[..., span].flatten(2) * scale
        matrix = (part * (1 + dual / FIRST_PENALTY)).clamp_(-limit, limit)
        shown = None
        if observed is not None and fill is not None:
            shown = observed[..., span].to(data.dtype).contiguous()
            _zero_unobserved(matrix, shown)
            matrix += fill[..., span].flatten(2) * scale
        chunks.append(_Chunk(part, matrix, part * dual * (growth / FIRST_PENALTY), shown))
    return chunks


def _singular_value_shrinkage(gram: Tensor, penalty: float) -> Tensor:
    """Return W (B, T, T) that shrinks the singular values of M by 1 / penalty: L = W M."""
    values, vectors = torch.linalg.eigh(gram)
    kept = (1 - values.clamp_min(0).rsqrt() / penalty).clamp_min(0)
    shrink: Tensor = (vectors * kept.unsqueeze(1)) @ vectors.mT
    return shrink


def _iterate(
    chunk: _Chunk, shrink: Tensor, before: float, growth: float, limit: float, buffer: Tensor
) -> tuple[_Chunk, Tensor]:
    """Do an iteration in place; return the next chunk and (B,) the square of |D - L - S|."""
    d, m, r, observed = chunk
    low = torch.bmm(shrink, m, out=buffer[: m.numel()].view_as(m))
    m.sub_(low)  # the multiplier before it is rescaled to the next penalty
    torch.sub(m, r, alpha=1 / before, out=r)  # D - L - S
    square = torch.linalg.vector_norm(r.flatten(1), dim=1).double().square()
    if observed is not None:
        _zero_unobserved(m, observed)
    torch.add(d, m, alpha=1 / growth, out=r).sub_(low).clamp_(-limit, limit)
    if observed is not None:
        _zero_unobserved(r, observed)
    return _Chunk(d, r.add_(low), m, observed), square


def _add_gram(gram: Tensor, matrix: Tensor, wide: Tensor | None) -> None:
    """Add matrix @ matrix.mT, in float64 by way of the flat buffer ``wide`` if there is one."""
    if wide is None:
        gram += torch.bmm(matrix, matrix.mT)
        return
    exact = wide[: matrix.numel()].view_as(matrix).copy_(matrix)
    gram.baddbmm_(exact, exact.mT)


def _zero_unobserved(matrix: Tensor, observed: Tensor) -> None:
    """Multiply (B, T, C * n) by (B, T, 1, n) in place."""
    matrix.view(*observed.shape[:2], -1, observed.shape[3]).mul_(observed)


def _mean_of_observed(data: Tensor, observed: Tensor) -> Tensor:
    """Return (B, T, C, P), at missing values the mean of the observed ones of the pixel.

    A frame of which nothing is observed stays 0: it must not add to the rank.
    """
    count = observed.sum(1, keepdim=True).clamp_min(1)
    mean = data.sum(1, keepdim=True) / count
    missing = ~observed & observed.any(3, keepdim=True)
    return torch.where(missing, mean, 0)
