"""Surfaces of materials: marble, clouds, wood, stone, paper, cloth, paint."""

from __future__ import annotations

import numpy as np

from diar_ops.textures._procedural.canvas import Image
from diar_ops.textures._procedural.fractal import fractal_noise
from diar_ops.textures._procedural.patterns import pixel_grid, ramp
from diar_ops.textures._procedural.rng import Rng


def material(rng: Rng, size: tuple[int, int]) -> Image:
    """Return marble, clouds, wood, stone, paper, cloth or paint."""
    return rng.pick((_marble, _clouds, _wood, _stone, _paper, _cloth, _paint))(rng, size)


def _marble(rng: Rng, size: tuple[int, int]) -> Image:
    x, y = pixel_grid(size)
    warp = fractal_noise(rng, size, cells=rng.uniform(2, 5), count=6, fall=0.55)
    turn = rng.uniform(0, np.pi)
    phase = (np.cos(turn) * x + np.sin(turn) * y) * rng.uniform(1, 5)
    vein = 1 - np.abs(np.sin(phase + warp * rng.uniform(0.8, 2.0)))
    fine = fractal_noise(rng, size, cells=6, count=5)
    cloud = fractal_noise(rng, size, cells=2, count=4)
    dark, *lights = rng.palette(4)
    value = vein ** rng.uniform(1.5, 5) * (0.7 + 0.3 * cloud) + 0.1 * fine + 0.15 * cloud
    return ramp(1 - value, [dark, *lights])


def _clouds(rng: Rng, size: tuple[int, int]) -> Image:
    cells, fall = rng.uniform(1.5, 5), rng.uniform(0.45, 0.65)
    value = fractal_noise(rng, size, cells=cells, count=7, fall=fall)
    return ramp(0.5 + 0.5 * value, rng.palette(rng.integer(3, 5)))


def _wood(rng: Rng, size: tuple[int, int]) -> Image:
    x, y = pixel_grid(size)
    warp = fractal_noise(rng, size, cells=rng.uniform(1, 3), count=4)
    rings = np.sin(rng.uniform(8, 30) * np.hypot(x + 1.6, 0.25 * y) + 3.5 * warp)
    fibre = fractal_noise(rng, size, cells=3, count=3)
    streak = rng.array(1, size[1], low=-1, high=1) * 0.35 + 0.3 * fibre
    hue = rng.uniform(0.04, 0.11)
    colours = [rng.hsv(hue, (0.5, 0.8), (v, v + 0.05)) for v in (0.25, 0.45, 0.6, 0.75)]
    return ramp(0.5 + 0.28 * rings + 0.2 * streak, colours)


def _stone(rng: Rng, size: tuple[int, int]) -> Image:
    coarse = fractal_noise(rng, size, cells=rng.uniform(3, 8), count=3)
    speckle = fractal_noise(rng, size, cells=max(size) / rng.uniform(2, 6), count=2)
    hue, muted = rng.uniform(0, 1), (0.0, 0.2)
    colours = [rng.hsv(hue, muted, (v, v + 0.1)) for v in (0.15, 0.45, 0.6, 0.85)]
    return ramp(0.5 + 0.15 * coarse + 0.25 * speckle, colours)


def _paper(rng: Rng, size: tuple[int, int]) -> Image:
    base = np.asarray(rng.paper(), np.float32)
    value = fractal_noise(rng, size, cells=rng.uniform(2, 5), count=7, fall=0.7)
    return base * (1 - rng.uniform(0.03, 0.15) * (0.5 + 0.5 * value[..., None]))


def _cloth(rng: Rng, size: tuple[int, int]) -> Image:
    x, y = pixel_grid(size)
    pitch = rng.uniform(2.2, 6) / max(1, min(size)) * 2
    weave = np.sin(np.pi * x / pitch) * np.sin(np.pi * y / pitch)
    thread = fractal_noise(rng, size, cells=8, count=4)
    checks = np.sign(np.sin(x * rng.uniform(2, 9))) + np.sign(np.sin(y * rng.uniform(2, 9)))
    value = 0.5 + 0.12 * weave + 0.06 * thread + rng.pick((0, 0.12, 0.2)) * checks
    return ramp(value, rng.palette(3))


def _paint(rng: Rng, size: tuple[int, int]) -> Image:
    flow = fractal_noise(rng, size, cells=rng.uniform(1.5, 4), count=5, channels=3)
    bent = np.sin(flow[..., 0] * 3 + 2 * flow[..., 1])
    strokes = fractal_noise(rng, size, cells=30, count=3)
    return np.clip(ramp(0.5 + 0.5 * bent, rng.palette(5)) * (1 + 0.12 * strokes[..., None]), 0, 1)
