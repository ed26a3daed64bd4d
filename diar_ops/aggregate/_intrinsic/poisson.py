"""The discrete Poisson problem: images from weighted differences of neighbours."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from diar_ops._batching import call_in_batch, register_batching
from diar_ops._custom_op import custom_op

#: Most conjugate gradient steps of a weighted problem; masks of rendered frames take about 20.
MAX_STEPS = 200
#: Steps between two looks at whether all is solved, where looking means waiting for a device.
LOOK_EVERY = 32


def divergence(across: Tensor, down: Tensor) -> Tensor:
    """Return the adjoint (..., H, W) of differences across (..., H, W-1) and down (..., H-1, W)."""
    pad = torch.nn.functional.pad
    x = pad(across, (1, 0)) - pad(across, (0, 1))
    return x + pad(down, (0, 0, 1, 0)) - pad(down, (0, 0, 0, 1))


@custom_op("solve_poisson")
def _solve(right: Tensor, weight_across: Tensor | None, weight_down: Tensor | None, tolerance: float) -> Tensor:
    if right.numel() == 0:
        return torch.zeros_like(right)
    H, W = right.shape[2:]
    spectrum = 4 - 2 * _cosines(H, right).unsqueeze(1) - 2 * _cosines(W, right)
    spectrum[0, 0] = torch.inf  # the mean, which no difference determines
    if weight_across is None or weight_down is None:
        return _unweighted(right, spectrum)
    u = torch.zeros_like(right)
    residual = right - right.mean((2, 3), keepdim=True)
    step = _unweighted(residual, spectrum)
    energy = start = (residual * step).sum((2, 3), keepdim=True)
    look_every = 1 if right.device.type == "cpu" else LOOK_EVERY
    for i in range(1, MAX_STEPS + 1):
        product = divergence(weight_across * step.diff(dim=3), weight_down * step.diff(dim=2))
        size = energy / (step * product).sum((2, 3), keepdim=True)
        size = torch.where(energy > tolerance**2 * start, size, 0)  # solved items stand still
        if i % look_every == 0 and not bool((size != 0).any()):
            break
        u += size * step
        residual -= size * product
        preconditioned = _unweighted(residual, spectrum)
        before, energy = energy, (residual * preconditioned).sum((2, 3), keepdim=True)
        step = preconditioned + torch.where(before > 0, energy / before, 0) * step
    return u


@_solve.register_fake
def _(right: Tensor, *_: object) -> Tensor:
    return torch.empty_like(right)


register_batching(_solve)


class _SolvePoisson(torch.autograd.Function):
    """The operator with its gradient: it is linear and symmetric, so its own adjoint."""

    @staticmethod
    def forward(right: Tensor, weight_across: Tensor | None, weight_down: Tensor | None, tolerance: float) -> Tensor:
        solution: Tensor = _solve(right, weight_across, weight_down, tolerance)
        return solution

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[1:3])
        ctx.tolerance = inputs[3]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        weight_across, weight_down = ctx.saved_tensors
        return solve_poisson(grad, weight_across, weight_down, ctx.tolerance), None, None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> tuple[Any, Any]:
        return call_in_batch(_SolvePoisson.apply, info.batch_size, in_dims, args)


def solve_poisson(right: Tensor, weight_across: Tensor | None, weight_down: Tensor | None, tolerance: float) -> Tensor:
    """Return u of mean 0 with divergence(weight * differences of u) = right - mean of right.

    That is the least squares solution of weighted differences, without a condition at the border.
    Without weights the cosine transform solves it; with weights it preconditions conjugate
    gradients, which run until every item is solved. The map is linear in ``right`` and symmetric.

    Args:
        right: (B, C, H, W) float64.
        weight_across: Optional (B, 1, H, W-1) float64, positive.
        weight_down: (B, 1, H-1, W) float64, positive; given if ``weight_across`` is.
        tolerance: Energy norm of the error that is left, relative to that of u.
    """
    args = (right, weight_across, weight_down, tolerance)
    solution: Tensor = _SolvePoisson.apply(*args)  # type: ignore[no-untyped-call]
    return solution


def _unweighted(right: Tensor, spectrum: Tensor) -> Tensor:
    waves = _cosine_transform(_cosine_transform(right, 3), 2) / spectrum
    return _inverse_cosine_transform(_inverse_cosine_transform(waves, 2), 3)


def _cosines(n: int, like: Tensor) -> Tensor:
    return torch.cos(torch.arange(n, device=like.device, dtype=like.dtype) * (math.pi / n))


def _phase(n: int, sign: int, like: Tensor) -> Tensor:
    """Return exp(sign * i * pi * k / (2 n)) for k = 0..n // 2."""
    angle = torch.arange(n // 2 + 1, device=like.device, dtype=like.dtype) * (math.pi / (2 * n))
    return torch.polar(torch.ones_like(angle), sign * angle)


def _cosine_transform(x: Tensor, dim: int) -> Tensor:
    """Return the sums of x[j] * cos(pi * k * (2 j + 1) / (2 n)) along ``dim`` (DCT-II).

    Even samples up and odd samples down make it the real part of one FFT of the same length.
    Source: Makhoul, "A fast cosine transform in one and two dimensions", 1980.
    """
    x = x.movedim(dim, -1)
    n = x.shape[-1]
    F = torch.fft.rfft(torch.cat((x[..., ::2], x[..., 1::2].flip(-1)), dim=-1)) * _phase(n, -1, x)
    return torch.cat((F.real, -F.imag[..., 1 : (n + 1) // 2].flip(-1)), dim=-1).movedim(-1, dim)


def _inverse_cosine_transform(X: Tensor, dim: int) -> Tensor:
    X = X.movedim(dim, -1)
    n = X.shape[-1]
    mirrored = torch.nn.functional.pad(X[..., (n + 1) // 2 :].flip(-1), (1, 0))
    F = torch.complex(X[..., : n // 2 + 1], -mirrored) * _phase(n, 1, X)
    y = torch.fft.irfft(F, n=n)
    x = torch.empty_like(y)
    x[..., ::2] = y[..., : (n + 1) // 2]
    x[..., 1::2] = y[..., (n + 1) // 2 :].flip(-1)
    return x.movedim(-1, dim)
