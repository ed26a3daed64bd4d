"""The camera on frames of 256 x 256: everything, each effect alone; JPEG against kornia and Pillow.

``ours`` photographs with the default ranges. The others are the same function with one effect on
top of clipping and the transfer function, which ``ours, plain`` is. Pillow encodes and decodes
8-bit pixels in C, without a gradient; kornia's codec halves chroma like ours does.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from diar_ops import jpeg_compress, photograph
from diar_ops.scene import CameraRanges

SIDE = 256
SEQUENCES, FRAMES = 2, 10
PLAIN, FULL = CameraRanges.plain(), CameraRanges()
EFFECTS = {
    "ours": FULL,
    "ours, plain": PLAIN,
    "ours, metering": dataclasses.replace(PLAIN, metering=FULL.metering),
    "ours, vignetting": dataclasses.replace(PLAIN, vignetting=FULL.vignetting),
    "ours, blur and motion": dataclasses.replace(PLAIN, blur=FULL.blur, motion=FULL.motion),
    "ours, noise": dataclasses.replace(PLAIN, shot_noise=FULL.shot_noise, read_noise=FULL.read_noise),
    "ours, knee": dataclasses.replace(PLAIN, knee=FULL.knee),
    "ours, jpeg": dataclasses.replace(PLAIN, quality=FULL.quality),
}


@pytest.mark.benchmark(group="photograph")
@pytest.mark.parametrize("method", EFFECTS)
def test_photograph(benchmark: Any, request: pytest.FixtureRequest, peak_memory: Any, method: str) -> None:
    device = request.config.getoption("--bench-device")
    rng = torch.Generator(device).manual_seed(0)
    radiance = torch.rand(SEQUENCES, FRAMES, 3, SIDE, SIDE, generator=rng, device=device)

    def function() -> None:
        photograph(radiance, ranges=EFFECTS[method], generator=rng)
        if device != "cpu":
            torch.cuda.synchronize()

    if device == "cpu":
        benchmark.extra_info["peak MiB"] = round(peak_memory(function))
    benchmark.pedantic(function, rounds=7, warmup_rounds=1)
    frames = SEQUENCES * FRAMES
    if benchmark.stats:  # none with --benchmark-disable
        benchmark.extra_info["ms per frame"] = round(benchmark.stats["median"] * 1e3 / frames, 2)


def codec(name: str, image: Tensor) -> Callable[[], Any]:
    if name == "ours":
        return lambda: jpeg_compress(image, quality=75)
    if name == "kornia":
        from kornia.enhance import jpeg_codec_differentiable

        quality = torch.full((len(image),), 75.0, device=image.device)
        return lambda: jpeg_codec_differentiable(image, quality)
    from PIL import Image

    frames = [Image.fromarray((i * 255).to(torch.uint8).permute(1, 2, 0).numpy()) for i in image.cpu()]

    def pillow() -> None:
        for frame in frames:
            file = io.BytesIO()
            frame.save(file, "JPEG", quality=75)
            Image.open(file).load()

    return pillow


@pytest.mark.benchmark(group="jpeg")
@pytest.mark.parametrize("method", ["ours", "kornia", "pillow"])
def test_jpeg(benchmark: Any, request: pytest.FixtureRequest, method: str) -> None:
    device = request.config.getoption("--bench-device")
    rng = torch.Generator().manual_seed(0)
    coarse = torch.rand(FRAMES, 3, 17, 17, generator=rng)
    image = torch.nn.functional.interpolate(coarse, (SIDE, SIDE), mode="bilinear").to(device)
    function = codec(method, image)

    def synchronised() -> None:
        function()
        if device != "cpu":
            torch.cuda.synchronize()

    benchmark.pedantic(synchronised, rounds=7, warmup_rounds=1)
    if benchmark.stats:
        benchmark.extra_info["ms per frame"] = round(benchmark.stats["median"] * 1e3 / FRAMES, 2)
