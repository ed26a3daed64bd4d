"""Procedural textures of 256 x 256, each kind, once the words that they need are kept."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from diar_ops.textures import TEXTURE_KINDS, procedural_texture

COUNT = 20
METHODS = {"ours": None, **{f"ours, {kind}": kind for kind in TEXTURE_KINDS}}


@pytest.mark.benchmark(group="textures")
@pytest.mark.parametrize("method", METHODS)
def test_textures(benchmark: Any, method: str) -> None:
    """``ours`` is the mixture that :func:`procedural_texture` draws without a kind."""
    kind = METHODS[method]
    rng = torch.Generator().manual_seed(0)

    def function() -> None:
        for _ in range(COUNT):
            procedural_texture(rng, kind=kind)

    benchmark.pedantic(function, rounds=5, warmup_rounds=10)
    if benchmark.stats:  # none with --benchmark-disable
        benchmark.extra_info["ms per texture"] = round(benchmark.stats["median"] * 1e3 / COUNT, 2)
