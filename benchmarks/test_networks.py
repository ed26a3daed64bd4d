"""Ten frames of 256 px to one picture: the network in the box, the paper's, the classical rivals.

``ours`` is ``load_pretrained("diar")``. The others' weights do not change their time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from diar_ops import DIAR, DeepResidualSets, intrinsic_aggregate, load_pretrained, median_aggregate, rpca_aggregate
from diar_ops.data import SequenceDataset


def demo_frames() -> Tensor:
    """Return ten frames of the bundled sequence, a part of 256 px."""
    item = SequenceDataset("examples/demo_sequence", crop=(256, 256))[0]
    return item["frames"][None].contiguous()


def method_of(name: str, device: str) -> Callable[[Tensor], Any]:
    if name == "ours":
        network = load_pretrained("diar").to(device)
        return lambda frames: network(frames).image
    if name in ("DIAR", "DeepResidualSets"):
        other = (DIAR if name == "DIAR" else DeepResidualSets)().eval().to(device)
        return lambda frames: other(frames).image
    return {
        "rpca_aggregate": rpca_aggregate,
        "intrinsic_aggregate": intrinsic_aggregate,
        "median_aggregate": median_aggregate,
    }[name]


METHODS = ["ours", "DIAR", "DeepResidualSets", "rpca_aggregate", "intrinsic_aggregate", "median_aggregate"]


@pytest.mark.benchmark(group="reconstruction of ten frames of 256 px")
@pytest.mark.parametrize("method", METHODS)
def test_reconstruction(
    benchmark: Any, request: pytest.FixtureRequest, peak_memory: Callable[..., float], method: str
) -> None:
    device = request.config.getoption("--bench-device")
    frames = demo_frames().to(device)
    restore = method_of(method, device)
    with torch.no_grad():
        benchmark.extra_info["peak MiB"] = peak_memory(restore, frames)
        benchmark.pedantic(restore, (frames,), rounds=9, warmup_rounds=2)
