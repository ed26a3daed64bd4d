"""torch.export and ONNX: one graph for any number of frames and items, and for other sizes."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim

from diar_ops import (
    DIAR,
    DeepResidualSets,
    DeepResidualSetsConfig,
    DIARConfig,
    DualDescriptor,
    DualDescriptorConfig,
    FaithfulDIAR,
    FaithfulDIARConfig,
    ResNetTrunk,
    SwinAggregate,
)
from tests.harness import assert_close, generator

SIZES: dict[str, Any] = {"channels": (4, 8), "blocks": (0, 1), "decoder_blocks": (0, 1)}
#: How to build each, its channels (0 for images without frames), and what height and width are
#: multiples of in an exported graph: the tokens of a window, in pixels.
MODULES: dict[str, tuple[Callable[[], nn.Module], int, int]] = {
    "SwinAggregate": (lambda: SwinAggregate(4, window=(None, 2, 2), heads=2), 4, 2),
    "DeepResidualSets": (lambda: DeepResidualSets(DeepResidualSetsConfig(**SIZES)), 3, 2),
    "DIAR": (lambda: DIAR(DIARConfig(**SIZES, window=(None, 2, 2), depth=1)), 3, 4),
    "FaithfulDIAR": (lambda: FaithfulDIAR(FaithfulDIARConfig(8, 1, 8, 4, 8, 1, 2, window=(None, 2, 2))), 3, 16),
    "DualDescriptor": (lambda: DualDescriptor(DualDescriptorConfig((4, 8, 8, 8), (0, 1, 0), 8, 4, 6)), 0, 16),
    "ResNetTrunk": (ResNetTrunk, 0, 16),
}


class Tensors(nn.Module):
    """A module whose output is tensors only: exporters know no optional fields."""

    def __init__(self, built: nn.Module) -> None:
        super().__init__()
        self.built = built

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        out = self.built(x)
        out = tuple(out.values()) if isinstance(out, dict) else out
        return (out,) if isinstance(out, Tensor) else tuple(t for t in out if t is not None)


def inputs(name: str, *sizes: int) -> Tensor:
    """Frames or images of so many items, frames, and multiples of height and width."""
    _, channels, multiple = MODULES[name]
    batch, count, height, width = sizes
    frames = (count, channels) if channels else (3,)
    shape = (batch, *frames, height * multiple, width * multiple)
    return torch.rand(shape, generator=generator(f"export {sizes}"), dtype=torch.float32)


def made(name: str) -> tuple[Tensors, Tensor, dict[int, Any]]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        built = Tensors(MODULES[name][0]()).eval()
    example, multiple = inputs(name, 2, 3, 3, 4), MODULES[name][2]
    sides = {example.dim() - 2 + i: multiple * Dim(side, min=2, max=64) for i, side in enumerate("hw")}
    return built, example, {0: Dim("b", max=64), **({1: Dim("t", max=64)} if example.dim() == 5 else {}), **sides}


def compare(name: str, built: nn.Module, program: Callable[[Tensor], Any]) -> None:
    with torch.no_grad():
        for sizes in ((2, 3, 3, 4), (1, 5, 4, 2), (3, 1, 3, 3)):
            x = inputs(name, *sizes)
            for actual, expected in zip(program(x), built(x), strict=True):
                assert_close(actual, expected, rtol=1e-4, atol=1e-5 * (1 + float(expected.abs().max())))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "strict"),
    # The strict way traces the same code: one of each kind shows it.
    [*((name, False) for name in MODULES), ("SwinAggregate", True), ("DeepResidualSets", True), ("ResNetTrunk", True)],
)
def test_one_program_holds_for_other_sizes(name: str, strict: bool) -> None:
    built, example, dims = made(name)
    program = torch.export.export(built, (example,), dynamic_shapes=(dims,), strict=strict)
    assert not [n for n in program.graph.nodes if "diar_ops" in str(n.target)], "torch's own operators only"
    compare(name, built, program.module())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SwinAggregate", "DeepResidualSets", "DIAR", "DualDescriptor", "ResNetTrunk"])
def test_onnx_gives_the_same_values(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="onnx, onnxscript and onnxruntime are of the extra diar-ops[dev]")
    runtime = pytest.importorskip("onnxruntime")
    built, example, dims = made(name)
    with warnings.catch_warnings():  # of the exporter, about torch's own ways
        warnings.simplefilter("ignore")
        program = torch.onnx.export(copy.deepcopy(built), (example,), dynamic_shapes=(dims,), dynamo=True)
    assert program is not None
    program.save(tmp_path / "net.onnx")
    session = runtime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    compare(name, built, lambda x: [torch.from_numpy(y) for y in session.run(None, {given.name: x.numpy()})])
