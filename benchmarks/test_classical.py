"""Robust PCA and Weiss's intrinsic image of 10 frames of 3 x 256 x 256 against plain versions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.fft
import torch
from torch import Tensor

from diar_ops import intrinsic_aggregate, rpca_aggregate

#: In float32 the plain loop may never reach 1e-7: both stop here at the latest.
MOST = 100


def frames(device: torch.device) -> Tensor:
    """A smooth picture under gains, with noise and a dark and a bright block in each frame."""
    rng = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 3, 32, 32, generator=rng)
    picture = torch.nn.functional.interpolate(coarse, size=(256, 256), mode="bilinear")
    x = picture[:, None] * (0.6 + 0.6 * torch.rand(1, 10, 3, 1, 1, generator=rng))
    x += 0.01 * torch.randn(x.shape, generator=rng)
    corners = torch.randint(0, 160, (10, 4), generator=rng).tolist()
    for t, (i, j, k, m) in enumerate(corners):
        x[0, t, :, i : i + 90, j : j + 60] *= 0.3
        x[0, t, :, k : k + 40, m : m + 80] = 1.0
    return x.clamp(0, 1).to(device)


def full_svd(x: Tensor, tolerance: float) -> Tensor:
    """Inexact ALM as it is written down: a singular value decomposition of all rows each time."""
    D = x[0].flatten(1).T.contiguous()
    sparsity = 1 / math.sqrt(D.shape[0])
    norm, total = float(torch.linalg.matrix_norm(D, 2)), float(D.norm())
    Y = D / max(norm, float(D.abs().max()) / sparsity)
    L, mu, largest = torch.zeros_like(D), 1.25 / norm, 1.25e7 / norm
    for _ in range(MOST):
        S = torch.nn.functional.softshrink(D - L + Y / mu, sparsity / mu)
        U, values, Vh = torch.linalg.svd(D - S + Y / mu, full_matrices=False)
        L = (U * (values - 1 / mu).clamp_min(0)) @ Vh
        rest = D - L - S
        Y = Y + mu * rest
        mu = min(1.5 * mu, largest)
        if float(rest.norm()) <= tolerance * total:
            break
    return L.mean(1).view(1, *x.shape[2:])


def weiss_scipy(x: np.ndarray) -> np.ndarray:
    log = np.log(np.maximum(x[0], 1 / 255))
    across, down = np.median(np.diff(log, axis=3), axis=0), np.median(np.diff(log, axis=2), axis=0)
    right = np.zeros(log.shape[1:])
    right[:, :, 1:] += across
    right[:, :, :-1] -= across
    right[:, 1:] += down
    right[:, :-1] -= down
    H, W = right.shape[1:]
    cosines = [np.cos(np.pi * np.arange(n) / n) for n in (H, W)]
    spectrum = 4 - 2 * cosines[0][:, None] - 2 * cosines[1]
    spectrum[0, 0] = np.inf
    picture = scipy.fft.idctn(scipy.fft.dctn(right, axes=(1, 2)) / spectrum, axes=(1, 2))
    offset = np.median(log - picture, axis=(0, 2, 3))
    return np.exp(picture + offset[:, None, None])[None]


@pytest.mark.benchmark(group="robust PCA")
@pytest.mark.parametrize("tolerance", [1e-5, 1e-7], ids=["1e_5", "1e_7"])
@pytest.mark.parametrize("method", ["ours", "full SVD"])
def test_rpca(
    benchmark: Any, bench_device: torch.device, peak_memory: Callable[..., float], method: str, tolerance: float
) -> None:
    x = frames(bench_device)

    def ours(x: Tensor, tolerance: float) -> Tensor:
        return rpca_aggregate(x, tolerance=tolerance, max_iterations=MOST)

    function = ours if method == "ours" else full_svd
    exact = rpca_aggregate(x.double(), tolerance=1e-9)
    error = (function(x, tolerance).double() - exact).abs().max()
    benchmark.extra_info["error 1/255"] = 255 * float(error)
    benchmark.extra_info["peak MiB"] = peak_memory(function, x, tolerance)
    benchmark.pedantic(function, args=(x, tolerance), rounds=3, warmup_rounds=0)


@pytest.mark.benchmark(group="intrinsic")
@pytest.mark.parametrize("method", ["ours", "numpy and scipy"])
def test_intrinsic(benchmark: Any, bench_device: torch.device, peak_memory: Callable[..., float], method: str) -> None:
    x = frames(bench_device)
    function: Callable[[Any], Any] = intrinsic_aggregate if method == "ours" else weiss_scipy
    data = x if method == "ours" else x.cpu().numpy()
    error = np.abs(np.asarray(torch.as_tensor(function(data)).cpu()) - weiss_scipy(x.cpu().numpy()))
    benchmark.extra_info["error 1/255"] = 255 * float(error.max())
    benchmark.extra_info["peak MiB"] = peak_memory(function, data)
    benchmark.pedantic(function, args=(data,), rounds=5, warmup_rounds=1)
