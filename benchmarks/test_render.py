"""Rendering planar scenes: torch against Cycles, the same scenes on one thread each.

Cycles renders 24 samples with its denoiser, frames without masks and label, if the environment of
``make render-env`` is there or ``DIAR_OPS_BLENDER`` names a Blender or a Python with bpy; its start
is not counted. On a GPU (``--bench-device cuda``) only ours runs there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from diar_ops import render_planar_scene
from diar_ops._files import write_image
from diar_ops.cycles import RenderError
from diar_ops.cycles.worker import BlenderProcess, blender_command
from diar_ops.scene import PlanarScene, sample_planar_scene, scene_to_document

SAMPLES = 24
#: Frames of each size: those of one sequence for Cycles, a batch for training.
SEQUENCES = {64: 16, 128: 4, 256: 1}
FRAMES = 10


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def drawn(size: int, glass: float = 0.0) -> tuple[torch.Tensor, PlanarScene]:
    generator = torch.Generator().manual_seed(20)
    options = {"frames": FRAMES, "size": (size, size), "glass": glass}
    scene = sample_planar_scene(SEQUENCES[size], generator=generator, **options)  # type: ignore[arg-type]
    noise = torch.rand(SEQUENCES[size], 3, size // 8, size // 8, generator=generator)
    texture = torch.nn.functional.interpolate(noise, (2 * size, 2 * size), mode="bicubic")
    return texture.clamp(0, 1), scene


@pytest.mark.benchmark(group="render")
@pytest.mark.parametrize("size", [64, 128, 256])
@pytest.mark.parametrize("method", ["ours", "ours, behind glass", "cycles"])
def test_render(
    benchmark: Callable[..., object],
    peak_memory: Callable[..., float],
    bench_device: torch.device,
    tmp_path: Path,
    method: str,
    size: int,
) -> None:
    texture, scene = drawn(size, glass=float(method == "ours, behind glass"))
    count = SEQUENCES[size] * FRAMES
    if method != "cycles":
        texture = texture.to(bench_device)

        def render() -> None:
            with torch.no_grad():
                render_planar_scene(texture, scene)
            if bench_device.type == "cuda":
                torch.cuda.synchronize(bench_device)

        benchmark.extra_info["peak MiB"] = peak_memory(render)
        benchmark(render)
    else:
        if size != 256:
            pytest.skip("Cycles is measured at 256 px")
        try:
            command = blender_command(os.environ.get("DIAR_OPS_BLENDER"))
        except RenderError as error:
            pytest.skip(str(error))
        process = BlenderProcess(command, "cpu")
        write_image(tmp_path / "texture.png", (texture[0] * 255).round().to(torch.uint8))
        job = {
            "document": scene_to_document(scene),
            "texture": str(tmp_path / "texture.png"),
            "folder": str(tmp_path),
            "samples": SAMPLES,
            "label_samples": 64,
            "denoise": True,
            "frames": list(range(FRAMES)),
            "label": False,
            "emission": False,
            "seed": 0,
        }
        try:
            benchmark.pedantic(
                lambda: process.render(job, timeout=600, on_frame=lambda _: None), rounds=1, iterations=1
            )
        finally:
            process.close()
    if benchmark.stats:  # none with --benchmark-disable
        benchmark.extra_info["ms per frame"] = 1e3 * benchmark.stats.stats.median / count
