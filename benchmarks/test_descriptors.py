"""Dense descriptors of one picture of 512 px: coarse ones to match by, fine ones to refine with.

``ours`` is the trained `DualDescriptor`. Coarse cells lie 8 pixels apart: against dense SIFT and
ResNet-18's second stage, whose weights do not change its time. Fine cells lie 2 pixels apart:
against dense SIFT; ``ours`` then gives the coarse ones from the same pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from diar_ops import DenseDescriptor, DenseSIFT, DualDescriptor, ResNetTrunk, dense_stages
from diar_ops.data import SequenceDataset

METHODS = {
    "coarse": {
        "ours": lambda: DenseDescriptor(DualDescriptor(), stages="coarse"),
        "dense SIFT": lambda: DenseDescriptor(DenseSIFT(stride=8)),
        "ResNet-18": lambda: DenseDescriptor(ResNetTrunk("resnet18"), stages=2),
    },
    "fine": {"ours": lambda: Both(DualDescriptor()), "dense SIFT": lambda: DenseDescriptor(DenseSIFT(stride=2))},
}


class Both(torch.nn.Module):
    """Coarse and fine descriptors from one pass."""

    def __init__(self, trunk: DualDescriptor) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, images: Tensor) -> Any:
        return dense_stages(images, self.trunk, stages=("coarse", "fine"))


@pytest.mark.benchmark(group="descriptors of 512 px")
@pytest.mark.parametrize(
    ("cells", "method"), [(cells, method) for cells, methods in METHODS.items() for method in methods]
)
def test_descriptors(
    benchmark: Any, bench_device: torch.device, peak_memory: Callable[..., float], cells: str, method: str
) -> None:
    image = SequenceDataset("examples/demo_sequence")[0]["frames"][:1].to(bench_device)
    descriptor = METHODS[cells][method]().to(bench_device).eval()

    def describe() -> Any:
        features = descriptor(image)
        if bench_device.type == "cuda":
            torch.cuda.synchronize(bench_device)
        return features

    with torch.no_grad():
        benchmark.extra_info["peak MiB"] = peak_memory(describe)
        benchmark.pedantic(describe, rounds=11, warmup_rounds=2)
