"""Aggregating 10 frames of 3 x 512 x 512 against torch and NumPy, with and without a mask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from diar_ops import mean_aggregate, median_aggregate


def frames(masked: bool, device: str) -> tuple[Tensor, Tensor | None]:
    rng = torch.Generator().manual_seed(0)
    features = torch.rand(1, 10, 3, 512, 512, generator=rng)
    if not masked:
        return features.to(device), None
    valid = torch.rand(1, 10, 1, 512, 512, generator=rng) < 0.7
    valid[:, 0] = True
    return features.to(device), valid.to(device)


def median_of(name: str, features: Tensor, valid: Tensor | None) -> Callable[[], Any]:
    if name == "ours":
        return lambda: median_aggregate(features, valid)
    holed = features if valid is None else features.masked_fill(~valid, torch.nan)
    if name == "torch.nanmedian":  # of an even count it takes the lower one
        return lambda: holed.nanmedian(dim=1).values
    if name == "torch.nanquantile":
        return lambda: holed.nanquantile(0.5, dim=1)
    import numpy as np

    array = holed.cpu().numpy()
    if valid is None:
        return lambda: np.median(array, axis=1)
    return lambda: np.nanmedian(array, axis=1)


def mean_of(name: str, features: Tensor, valid: Tensor | None) -> Callable[[], Any]:
    if name == "ours":
        return lambda: mean_aggregate(features, valid)
    holed = features if valid is None else features.masked_fill(~valid, torch.nan)
    return lambda: holed.nanmean(dim=1)


@pytest.mark.benchmark(group="median")
@pytest.mark.parametrize("mask", [False, True], ids=["all valid", "masked"])
@pytest.mark.parametrize("method", ["ours", "torch.nanmedian", "torch.nanquantile", "numpy"])
def test_median(benchmark: Any, request: pytest.FixtureRequest, method: str, mask: bool) -> None:
    device = request.config.getoption("--bench-device")
    benchmark.pedantic(median_of(method, *frames(mask, device)), rounds=5, warmup_rounds=1)


@pytest.mark.benchmark(group="mean")
@pytest.mark.parametrize("mask", [False, True], ids=["all valid", "masked"])
@pytest.mark.parametrize("method", ["ours", "torch.nanmean"])
def test_mean(benchmark: Any, request: pytest.FixtureRequest, method: str, mask: bool) -> None:
    device = request.config.getoption("--bench-device")
    benchmark.pedantic(mean_of(method, *frames(mask, device)), rounds=5, warmup_rounds=1)
