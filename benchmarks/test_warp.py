"""Warping 10 x 3 x 1024 x 1024 against kornia, OpenCV and bare grid_sample.

Only ours returns the validity and averages where the warp shrinks; the peers do not. ``ours`` is
the default call, ``ours, no antialias`` computes what the peers compute, and the validity on top.
OpenCV receives float32 images in its own layout and works on one at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from diar_ops import warp_homography

SIDE = 1024
FRAMES = 10
#: What a hand-held photo does: a few per cent of zoom, turn and tilt, nothing shrinks by 1.25.
HAND_HELD = [[1.02, 0.01, 5.3], [-0.01, 1.015, 3.0], [2e-5, -1e-5, 1.0]]
#: From a photo to half its size: every output pixel covers 2 x 2 source pixels.
HALF = [[0.5, 0.0, -0.25], [0.0, 0.5, -0.25], [0.0, 0.0, 1.0]]


def checkerboard_error(out: Any) -> float:
    """Root mean square distance of a shrunken 1 px checkerboard from its mean, 0.25."""
    return float((torch.as_tensor(out) - 0.25).square().mean().sqrt())


def images(device: str) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(0)
    board = torch.zeros(1, 3, SIDE, SIDE)
    board[..., ::2, ::2] = 1
    return torch.rand(FRAMES, 3, SIDE, SIDE, generator=rng).to(device), board.to(device)


def method_of(name: str, image: Tensor, h: Tensor, side: int, mode: str) -> Callable[[], Any]:
    size = (side, side)
    batch = h.expand(len(image), 3, 3).contiguous()
    if name.startswith("ours"):
        antialias = name == "ours"
        return lambda: warp_homography(image, batch, size=size, mode=mode, antialias=antialias)[0]
    if name == "kornia":
        from kornia.geometry import warp_perspective

        return lambda: warp_perspective(image, batch, size, mode=mode)
    if name == "opencv":
        import cv2
        import numpy as np

        flag = {"bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC}[mode]
        frames = [np.ascontiguousarray(i.permute(1, 2, 0).numpy()) for i in image.cpu()]
        matrix = h[0].double().cpu().numpy()
        return lambda: np.stack([cv2.warpPerspective(f, matrix, (side, side), flags=flag) for f in frames])
    grid = torch.nn.functional.affine_grid(
        torch.eye(2, 3, device=image.device).expand(len(image), 2, 3), [len(image), 3, side, side], align_corners=False
    )
    return lambda: torch.nn.functional.grid_sample(image, grid, mode=mode, padding_mode="border", align_corners=False)


@pytest.mark.benchmark(group="warp")
@pytest.mark.parametrize("case", ["hand-held bilinear", "hand-held bicubic", "half size bilinear"])
@pytest.mark.parametrize("method", ["ours", "ours, no antialias", "kornia", "opencv", "bare grid_sample"])
def test_warp(benchmark: Any, request: pytest.FixtureRequest, method: str, case: str) -> None:
    device = request.config.getoption("--bench-device")
    mode = case.split()[-1]
    half = case.startswith("half")
    h = torch.tensor([HALF if half else HAND_HELD], device=device)
    image, board = images(device)
    side = SIDE // 2 if half else SIDE
    if half and method != "bare grid_sample":
        shrunken = method_of(method, board, h, side, mode)()
        benchmark.extra_info["checkerboard RMS error"] = round(checkerboard_error(shrunken), 3)
    function = method_of(method, image, h, side, mode)

    def synchronised() -> None:
        function()
        if device != "cpu":
            torch.cuda.synchronize()

    benchmark.pedantic(synchronised, rounds=5, warmup_rounds=1)
