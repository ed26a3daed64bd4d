"""Ops of the geometry as ONNX programs: free sizes, and the same numbers in onnxruntime."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from diar_ops import transform_points, warp_homography
from tests.geometry.warp_scene import TILTED, noise
from tests.harness import assert_close, tensors_of

FREE = torch.export.Dim.DYNAMIC


class Program(nn.Module):
    def __init__(self, op: Callable[..., Any]) -> None:
        super().__init__()
        self.op = op

    def forward(self, *args: Tensor) -> list[Tensor]:
        return tensors_of(self.op(*args))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the exporter
@pytest.mark.parametrize("name", ["transform_points", "warp_homography"])
def test_exports_to_onnx(name: str) -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    h = TILTED.float()

    def example(batch: int, size: int) -> tuple[Tensor, Tensor]:
        data = noise("onnx", batch, 3, size, size + 1).float()
        return (data if name == "warp_homography" else 100 * data[:, 0, :, :2], h.repeat(batch, 1, 1))

    op = {"transform_points": transform_points, "warp_homography": lambda i, k: warp_homography(i, k, max_shrink=1.25)}
    sizes = {0: FREE, 2: FREE, 3: FREE} if name == "warp_homography" else {0: FREE, 1: FREE}
    program = torch.onnx.export(
        Program(op[name]), example(2, 12), dynamo=True, dynamic_shapes=((sizes, {0: FREE}),), verbose=False
    )
    assert program is not None
    file = io.BytesIO()
    program.save(file)
    session = runtime.InferenceSession(file.getvalue())
    for batch, size in ((2, 12), (3, 17)):
        args = example(batch, size)
        inputs = {i.name: x.numpy() for i, x in zip(session.get_inputs(), args, strict=True)}
        for actual, expected in zip(session.run(None, inputs), tensors_of(op[name](*args)), strict=True):
            assert_close(torch.from_numpy(actual), expected, rtol=1e-4, atol=1e-4)
