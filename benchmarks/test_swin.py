"""One Swin block on ten frames of 64 x 64 features, forward and backward, against the textbook.

``textbook`` is Video Swin as it is published: padded and rolled windows, a mask, an explicit
softmax with the learned bias. ``sdpa`` is the same with scaled_dot_product_attention.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from diar_ops import SwinBlock

SHAPE = (2, 10, 96, 64, 64)
SMALL = (1, 10, 48, 64, 64)
HEADS = 4


def partition(x: Tensor, window: tuple[int, int, int]) -> Tensor:
    B, T, H, W, C = x.shape
    t, h, w = window
    x = x.view(B, T // t, t, H // h, h, W // w, w, C)
    return x.permute(0, 1, 3, 5, 2, 4, 6, 7).reshape(-1, t * h * w, C)


def merge(x: Tensor, window: tuple[int, int, int], size: tuple[int, int, int, int]) -> Tensor:
    B, T, H, W = size
    t, h, w = window
    x = x.view(B, T // t, H // h, W // w, t, h, w, -1)
    return x.permute(0, 1, 4, 2, 5, 3, 6, 7).reshape(B, T, H, W, -1)


def offsets(window: tuple[int, int, int]) -> Tensor:
    """Return the index (N, N) into a flat table (2h - 1)(2w - 1)."""
    _, h, w = window
    places = torch.cartesian_prod(*map(torch.arange, window))
    offset = places[:, None, 1:] - places[None, :, 1:] + torch.tensor([h - 1, w - 1])
    return offset[..., 0] * (2 * w - 1) + offset[..., 1]


def textbook(
    features: Tensor, block: SwinBlock, window: tuple[int, int, int], shift: bool, index: Tensor, fused: bool
) -> Tensor:
    x = features.permute(0, 1, 3, 4, 2)
    B, T, H, W, C = x.shape
    y = block.norm1(x)
    after = [-n % w for n, w in zip((T, H, W), window, strict=True)]
    y = F.pad(y, (0, 0, 0, after[2], 0, after[1], 0, after[0]))
    padded = y.shape[:4]
    step = [w // 2 if shift and n > w else 0 for n, w in zip((T, H, W), window, strict=True)]
    mask = None
    if any(step):
        y = y.roll([-s for s in step], (1, 2, 3))
        region = torch.zeros(1, *padded[1:], 1)
        for axis, (s, w) in enumerate(zip(step, window, strict=True), start=1):
            if s:
                mark = torch.zeros(padded[axis])
                mark[-w:-s], mark[-s:] = 1, 2
                region = region * 3 + mark.view([-1 if i == axis else 1 for i in range(5)])
        number = partition(region, window)[..., 0]  # [windows, N]
        mask = (number[:, None] != number[:, :, None]) * -100.0
    y = partition(y, window)
    M, N, _ = y.shape
    q, k, v = block.qkv(y).view(M, N, 3, HEADS, C // HEADS).permute(2, 0, 3, 1, 4)
    bias = block.position_bias.flatten(1)[:, index.flatten()].view(1, HEADS, N, N)
    if fused:
        if mask is not None:
            bias = (bias + mask[:, None]).repeat(B, 1, 1, 1)
        y = F.scaled_dot_product_attention(q, k, v, bias.expand(M, -1, -1, -1))
    else:
        score = (q * (C // HEADS) ** -0.5) @ k.mT + bias
        if mask is not None:
            score = (score.view(B, -1, HEADS, N, N) + mask[None, :, None]).view(score.shape)
        y = score.softmax(-1) @ v
    y = merge(block.proj(y.transpose(1, 2).reshape(M, N, C)), window, padded)
    if any(step):
        y = y.roll(step, (1, 2, 3))
    x = x + y[:, :T, :H, :W]
    x = x + block.mlp_out(F.gelu(block.mlp_in(block.norm2(x))))
    return x.permute(0, 1, 4, 2, 3)


def forward_of(
    method: str, shape: tuple[int, ...], window: tuple[int, int, int], shift: bool, device: str
) -> tuple[Callable[[], Tensor], list[Tensor]]:
    """Return the forward pass of a method and what it is differentiated by."""
    torch.manual_seed(0)
    block = SwinBlock(shape[2], window=window, shift=shift, heads=HEADS).to(device)
    features = torch.randn(shape).to(device).requires_grad_()
    leaves = [features, *block.parameters()]
    if method == "ours":
        return lambda: block(features), leaves
    index = offsets(window).to(device)
    return lambda: textbook(features, block, window, shift, index, method == "sdpa"), leaves


WINDOWS = [(10, 4, 4), (4, 8, 8)]
METHODS = ["ours", "textbook", "sdpa"]


@pytest.mark.parametrize("shift", [False, True])
def test_the_textbook_is_the_same_op(shift: bool) -> None:
    for method in METHODS[1:]:
        for window in ((10, 4, 4), (5, 8, 8)):
            ours, leaves = forward_of("ours", (1, 10, 8, 16, 24), window, shift, "cpu")
            theirs, others = forward_of(method, (1, 10, 8, 16, 24), window, shift, "cpu")
            torch.testing.assert_close(ours(), theirs(), rtol=1e-4, atol=1e-4)
            grads = torch.autograd.grad(ours().square().sum(), leaves)
            exact = torch.autograd.grad(theirs().square().sum(), others)
            torch.testing.assert_close(grads, exact, rtol=1e-3, atol=1e-2)


@pytest.mark.benchmark(group="swin training")
@pytest.mark.parametrize("shift", [False, True], ids=["unshifted", "shifted"])
@pytest.mark.parametrize("window", WINDOWS, ids=["window 10x4x4", "window 4x8x8"])
@pytest.mark.parametrize("method", METHODS)
def test_training(
    benchmark: Any,
    request: pytest.FixtureRequest,
    peak_memory: Callable[..., float],
    method: str,
    window: tuple[int, int, int],
    shift: bool,
) -> None:
    device = request.config.getoption("--bench-device")
    forward, leaves = forward_of(method, SHAPE, window, shift, device)

    def step() -> None:
        torch.autograd.grad(forward().sum(), leaves)

    benchmark.extra_info["peak MiB"] = peak_memory(step)
    benchmark.pedantic(step, rounds=3, warmup_rounds=1)


@pytest.mark.benchmark(group="swin inference")
@pytest.mark.parametrize("shift", [False, True], ids=["unshifted", "shifted"])
@pytest.mark.parametrize("method", METHODS)
def test_inference(
    benchmark: Any, request: pytest.FixtureRequest, peak_memory: Callable[..., float], method: str, shift: bool
) -> None:
    device = request.config.getoption("--bench-device")
    forward, _ = forward_of(method, SMALL, (10, 4, 4), shift, device)
    with torch.no_grad():
        benchmark.extra_info["peak MiB"] = peak_memory(forward)
        benchmark.pedantic(forward, rounds=5, warmup_rounds=1)
