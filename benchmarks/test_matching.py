"""Mutual nearest neighbours at C = 128 against the peers, and against the bare product.

``bare product`` is ``a @ b.T`` alone: what any exact matcher has to compute, without finding a
single match. Every method gets the same unit descriptors, a noisy permutation of each other, and
reports how many of the true pairs it finds.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import kornia
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from diar_ops import mutual_nearest

CHANNELS = 128


class Problem(NamedTuple):
    descriptors0: Tensor  # (N, C)
    descriptors1: Tensor  # (N, C)
    truth: Tensor  # (N,), partner in set 1


def problem(size: int, device: torch.device) -> Problem:
    g = torch.Generator().manual_seed(size)
    base = normalize(torch.randn(size, CHANNELS, generator=g), dim=1)
    noisy = base + 0.12 * torch.randn(size, CHANNELS, generator=g)
    order = torch.randperm(size, generator=g)
    return Problem(base.to(device), normalize(noisy[order], dim=1).to(device), order.argsort().to(device))


def ours(a: Tensor, b: Tensor) -> Tensor:
    pairs = mutual_nearest(a[None], b[None])
    return torch.where(pairs.valid[0], pairs.index1[0], -1)


def ours_ratio(a: Tensor, b: Tensor) -> Tensor:
    pairs = mutual_nearest(a[None], b[None], ratio=0.95)
    return torch.where(pairs.valid[0], pairs.index1[0], -1)


def kornia_match_mnn(a: Tensor, b: Tensor) -> Tensor:
    _, index = kornia.feature.match_mnn(a, b)
    return index.new_full((len(a),), -1).scatter(0, index[:, 0], index[:, 1])


def full_matrix(a: Tensor, b: Tensor) -> Tensor:
    similarity = a @ b.T
    partner, back = similarity.argmax(1), similarity.argmax(0)
    return torch.where(back[partner] == torch.arange(len(a), device=a.device), partner, -1)


def opencv_bfmatcher(a: Tensor, b: Tensor) -> Tensor:
    matcher = cv2.BFMatcher(cv2.NORM_L2, crossCheck=True)
    partner = torch.full((len(a),), -1)
    for match in matcher.match(a.cpu().numpy(), b.cpu().numpy()):
        partner[match.queryIdx] = match.trainIdx
    return partner


def bare_product(a: Tensor, b: Tensor) -> Tensor:
    return a @ b.T


METHODS = {
    "ours": ours,
    "ours with ratio": ours_ratio,
    "bare product": bare_product,
    "full matrix": full_matrix,
    "kornia match_mnn": kornia_match_mnn,
    "OpenCV BFMatcher": opencv_bfmatcher,
}


@pytest.mark.benchmark(group="mutual matching")
@pytest.mark.parametrize("size", [1024, 4096, 16384], ids=["1k", "4k", "16k"])
@pytest.mark.parametrize("method", METHODS)
def test_mutual_matching(benchmark, peak_memory, bench_device, method, size):
    a, b, truth = problem(size, bench_device)
    function = METHODS[method]

    def call():
        result = function(a, b)
        if bench_device.type == "cuda":
            torch.cuda.synchronize(bench_device)
        return result

    with torch.no_grad():
        benchmark.extra_info["peak MiB"] = peak_memory(call)
        slow = method == "OpenCV BFMatcher" and size > 4096  # seconds a call
        rounds = 1 if slow else {1024: 30, 4096: 11, 16384: 5}[size]
        matches = benchmark.pedantic(call, rounds=rounds, warmup_rounds=2 if size < 16384 else 0)
    if method != "bare product":
        recall = (matches.to(truth) == truth).float().mean().item()
        benchmark.extra_info["true pairs"] = recall
        assert recall > 0.5
