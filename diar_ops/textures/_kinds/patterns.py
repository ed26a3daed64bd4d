"""Gradients, and noise that looks like materials."""

from __future__ import annotations

import numpy as np

from diar_ops.textures._kinds.canvas import Image, octaves
from diar_ops.textures._kinds.dice import Colour, Dice

__all__ = ["gradient", "noise", "picture", "ramp"]


def ramp(values: Image, colours: list[Colour]) -> Image:
    """Map (H, W) values in [0, 1] to (H, W, 3), linear between evenly spaced ``colours``."""
    stops = np.linspace(0, 1, len(colours))
    table = np.asarray(colours, np.float32)
    fine = np.linspace(0, 1, 512)
    lut = np.stack([np.interp(fine, stops, table[:, c]) for c in range(3)], axis=1)
    index = (np.clip(values, 0, 1) * 511).astype(np.int32)
    return lut.astype(np.float32)[index]


def _grid(size: tuple[int, int]) -> tuple[Image, Image]:
    """Return x and y of the pixels, the shorter side from -1 to 1."""
    height, width = size
    short = max(1, min(size))
    y = (np.arange(height, dtype=np.float32)[:, None] - (height - 1) / 2) * 2 / short
    x = (np.arange(width, dtype=np.float32)[None] - (width - 1) / 2) * 2 / short
    return x, y


def gradient(dice: Dice, size: tuple[int, int]) -> Image:
    """Return colours that run into each other along a line, a circle, an angle or a surface."""
    x, y = _grid(size)
    kind = dice.pick(("linear", "radial", "corners", "mesh", "angle", "bands"))
    colours = dice.palette(dice.integer(2, 5))
    dice.rng.shuffle(colours)
    if kind == "mesh":
        image = octaves(dice.rng, size, cells=dice.uniform(1, 3), count=1, channels=3)
        return np.clip(ramp(0.5 + 0.6 * image[..., 0], colours) + 0.1 * image, 0, 1)
    if kind == "corners":
        corners = np.asarray(dice.palette(4), np.float32)
        dice.rng.shuffle(corners)
        u, v = _unit(x)[..., None], _unit(y)[..., None]
        top = corners[0] * (1 - u) + corners[1] * u
        below = corners[2] * (1 - u) + corners[3] * u
        return np.asarray(top * (1 - v) + below * v, np.float32)
    cx, cy = dice.uniform(-0.8, 0.8), dice.uniform(-0.8, 0.8)
    turn = dice.uniform(0, 2 * np.pi)
    if kind == "radial":
        at = np.hypot(x - cx, y - cy) * dice.uniform(0.4, 0.9)
    elif kind == "angle":
        colours.append(colours[0])
        at = (np.arctan2(y - cy, x - cx) + turn) / (2 * np.pi) % 1
    else:
        at = 0.5 + 0.5 * (np.cos(turn) * x + np.sin(turn) * y) / 1.3
    if kind == "bands":
        count = dice.integer(3, 14)
        at = np.floor(at * count + 0.15 * dice.integer(0, 1) * np.sin(5 * x)) / count
        colours = dice.palette(count)
    image = ramp(at + 0 * x + 0 * y, colours)
    grain = dice.pick((0.0, 0.0, 0.01, 0.03))
    return image + grain * dice.array(*size, 1, low=-1, high=1) if grain else image


def noise(dice: Dice, size: tuple[int, int]) -> Image:
    """Return marble, clouds, wood, stone, paper or cloth."""
    kind = dice.pick(("marble", "clouds", "wood", "stone", "paper", "cloth", "paint"))
    rng = dice.rng
    x, y = _grid(size)
    if kind == "marble":
        warp = octaves(rng, size, cells=dice.uniform(2, 5), count=6, fall=0.55)
        turn = dice.uniform(0, np.pi)
        phase = (np.cos(turn) * x + np.sin(turn) * y) * dice.uniform(1, 5)
        vein = 1 - np.abs(np.sin(phase + warp * dice.uniform(0.8, 2.0)))
        fine = octaves(rng, size, cells=6, count=5)
        cloud = octaves(rng, size, cells=2, count=4)
        dark, *lights = dice.palette(4)
        value = vein ** dice.uniform(1.5, 5) * (0.7 + 0.3 * cloud) + 0.1 * fine + 0.15 * cloud
        return ramp(1 - value, [dark, lights[0], lights[1], lights[2]])
    if kind == "clouds":
        value = octaves(
            rng, size, cells=dice.uniform(1.5, 5), count=7, fall=dice.uniform(0.45, 0.65)
        )
        return ramp(0.5 + 0.5 * value, dice.palette(dice.integer(3, 5)))
    if kind == "wood":
        warp = octaves(rng, size, cells=dice.uniform(1, 3), count=4)
        rings = np.sin(dice.uniform(8, 30) * np.hypot(x + 1.6, 0.25 * y) + 3.5 * warp)
        fibre = octaves(rng, (size[0], max(1, size[1])), cells=3, count=3)
        streak = dice.array(1, size[1], low=-1, high=1) * 0.35 + 0.3 * fibre
        hue = dice.uniform(0.04, 0.11)
        colours = [dice.hsv(hue, (0.5, 0.8), (v, v + 0.05)) for v in (0.25, 0.45, 0.6, 0.75)]
        return ramp(0.5 + 0.28 * rings + 0.2 * streak, colours)
    if kind == "stone":
        coarse = octaves(rng, size, cells=dice.uniform(3, 8), count=3)
        speckle = octaves(rng, size, cells=max(size) / dice.uniform(2, 6), count=2)
        hue, muted = dice.uniform(0, 1), (0.0, 0.2)
        colours = [dice.hsv(hue, muted, (v, v + 0.1)) for v in (0.15, 0.45, 0.6, 0.85)]
        return ramp(0.5 + 0.15 * coarse + 0.25 * speckle, colours)
    if kind == "paper":
        base = np.asarray(dice.paper(), np.float32)
        value = octaves(rng, size, cells=dice.uniform(2, 5), count=7, fall=0.7)
        return base * (1 - dice.uniform(0.03, 0.15) * (0.5 + 0.5 * value[..., None]))
    if kind == "cloth":
        pitch = dice.uniform(2.2, 6) / max(1, min(size)) * 2
        weave = np.sin(np.pi * x / pitch) * np.sin(np.pi * y / pitch)
        thread = octaves(rng, size, cells=8, count=4)
        checks = np.sign(np.sin(x * dice.uniform(2, 9))) + np.sign(np.sin(y * dice.uniform(2, 9)))
        value = 0.5 + 0.12 * weave + 0.06 * thread + dice.pick((0, 0.12, 0.2)) * checks
        return ramp(value, dice.palette(3))
    # Paint: colours that flow, with strokes.
    flow = octaves(rng, size, cells=dice.uniform(1.5, 4), count=5, channels=3)
    bent = np.sin(flow[..., 0] * 3 + 2 * flow[..., 1])
    strokes = octaves(rng, (size[0], size[1]), cells=30, count=3)
    return np.clip(ramp(0.5 + 0.5 * bent, dice.palette(5)) * (1 + 0.12 * strokes[..., None]), 0, 1)


def picture(dice: Dice, size: tuple[int, int]) -> Image:
    """Return something like a photo: a landscape in layers."""
    height, width = size
    y = np.linspace(0, 1, height, dtype=np.float32)[:, None] * np.ones((1, width), np.float32)
    grey = dice.chance(0.4)
    sky = [dice.hsv(0.58, (0.1, 0.6), (0.6, 1.0)), dice.hsv(0.1, (0.0, 0.3), (0.8, 1.0))]
    image = ramp(y * 1.4, sky)
    clouds = octaves(dice.rng, size, cells=3, count=5)
    image += 0.12 * np.clip(clouds, 0, 1)[..., None]
    layers = dice.integer(2, 5)
    hue = dice.uniform(0.05, 0.45)
    for layer in range(layers):
        depth = (layer + 1) / layers
        line = octaves(dice.rng, (1, width), cells=dice.uniform(2, 6), count=6)[0]
        horizon = 0.35 + 0.5 * depth * dice.uniform(0.5, 1) + 0.12 * line
        colour = np.asarray(
            dice.hsv(hue, (0.2 + 0.4 * depth, 0.7), (0.75 - 0.6 * depth, 0.8 - 0.5 * depth)),
            np.float32,
        )
        texture = 1 + 0.25 * depth * octaves(dice.rng, size, cells=8 + 10 * depth, count=4)
        inside = np.clip((y - horizon) * height, 0, 1)[..., None]
        image += inside * (colour * texture[..., None] - image)
    if grey:
        image = image.mean(axis=2, keepdims=True).repeat(3, axis=2)
    return np.clip(image, 0, 1)


def _unit(values: Image) -> Image:
    low, high = float(values.min()), float(values.max())
    return (values - low) / max(1e-6, high - low)
