"""Gradients, and landscapes in layers of them."""

from __future__ import annotations

import numpy as np

from diar_ops.textures._procedural.canvas import Image
from diar_ops.textures._procedural.fractal import fractal_noise
from diar_ops.textures._procedural.rng import Colour, Rng


def ramp(values: Image, colours: list[Colour]) -> Image:
    """Map (H, W) values in [0, 1] to (H, W, 3), linear between evenly spaced ``colours``."""
    stops = np.linspace(0, 1, len(colours))
    table = np.asarray(colours, np.float32)
    fine = np.linspace(0, 1, 512)
    lut = np.stack([np.interp(fine, stops, table[:, c]) for c in range(3)], axis=1)
    index = (np.clip(values, 0, 1) * 511).astype(np.int32)
    return lut.astype(np.float32)[index]


def pixel_grid(size: tuple[int, int]) -> tuple[Image, Image]:
    """Return x and y of the pixels, the shorter side from -1 to 1."""
    height, width = size
    short = max(1, min(size))
    y = (np.arange(height, dtype=np.float32)[:, None] - (height - 1) / 2) * 2 / short
    x = (np.arange(width, dtype=np.float32)[None] - (width - 1) / 2) * 2 / short
    return x, y


def gradient(rng: Rng, size: tuple[int, int]) -> Image:
    """Return colours that run into each other along a line, a circle, an angle or a surface."""
    x, y = pixel_grid(size)
    kind = rng.pick(("linear", "radial", "corners", "mesh", "angle", "bands"))
    colours = rng.palette(rng.integer(2, 5))
    rng.shuffle(colours)
    if kind == "mesh":
        image = fractal_noise(rng, size, cells=rng.uniform(1, 3), count=1, channels=3)
        return np.clip(ramp(0.5 + 0.6 * image[..., 0], colours) + 0.1 * image, 0, 1)
    if kind == "corners":
        corners = np.asarray(rng.palette(4), np.float32)
        rng.shuffle(corners)
        u, v = _unit(x)[..., None], _unit(y)[..., None]
        top = corners[0] * (1 - u) + corners[1] * u
        below = corners[2] * (1 - u) + corners[3] * u
        return np.asarray(top * (1 - v) + below * v, np.float32)
    cx, cy = rng.uniform(-0.8, 0.8), rng.uniform(-0.8, 0.8)
    turn = rng.uniform(0, 2 * np.pi)
    if kind == "radial":
        position = np.hypot(x - cx, y - cy) * rng.uniform(0.4, 0.9)
    elif kind == "angle":
        colours.append(colours[0])
        position = (np.arctan2(y - cy, x - cx) + turn) / (2 * np.pi) % 1
    else:
        position = 0.5 + 0.5 * (np.cos(turn) * x + np.sin(turn) * y) / 1.3
    if kind == "bands":
        count = rng.integer(3, 14)
        jitter = 0.15 * rng.integer(0, 1) * np.sin(5 * x)
        position = np.floor(position * count + jitter) / count
        colours = rng.palette(count)
    image = ramp(position + 0 * x + 0 * y, colours)
    grain = rng.pick((0.0, 0.0, 0.01, 0.03))
    return image + grain * rng.array(*size, 1, low=-1, high=1) if grain else image


def landscape(rng: Rng, size: tuple[int, int]) -> Image:
    """Return a landscape in layers, something like a photo."""
    height, width = size
    y = np.linspace(0, 1, height, dtype=np.float32)[:, None] * np.ones((1, width), np.float32)
    grey = rng.chance(0.4)
    sky = [rng.hsv(0.58, (0.1, 0.6), (0.6, 1.0)), rng.hsv(0.1, (0.0, 0.3), (0.8, 1.0))]
    image = ramp(y * 1.4, sky)
    clouds = fractal_noise(rng, size, cells=3, count=5)
    image += 0.12 * np.clip(clouds, 0, 1)[..., None]
    layers = rng.integer(2, 5)
    hue = rng.uniform(0.05, 0.45)
    for layer in range(layers):
        depth = (layer + 1) / layers
        line = fractal_noise(rng, (1, width), cells=rng.uniform(2, 6), count=6)[0]
        horizon = 0.35 + 0.5 * depth * rng.uniform(0.5, 1) + 0.12 * line
        colour = np.asarray(rng.hsv(hue, (0.2 + 0.4 * depth, 0.7), (0.75 - 0.6 * depth, 0.8 - 0.5 * depth)), np.float32)
        texture = 1 + 0.25 * depth * fractal_noise(rng, size, cells=8 + 10 * depth, count=4)
        inside = np.clip((y - horizon) * height, 0, 1)[..., None]
        image += inside * (colour * texture[..., None] - image)
    if grey:
        image = image.mean(axis=2, keepdims=True).repeat(3, axis=2)
    return np.clip(image, 0, 1)


def _unit(values: Image) -> Image:
    low, high = float(values.min()), float(values.max())
    return (values - low) / max(1e-6, high - low)
