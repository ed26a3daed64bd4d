"""Fractal noise."""

from __future__ import annotations

import numpy as np

from diar_ops.textures._procedural.canvas import Image
from diar_ops.textures._procedural.rng import Rng


def fractal_noise(
    rng: Rng, size: tuple[int, int], *, cells: float, count: int = 4, fall: float = 0.5, channels: int = 1
) -> Image:
    """Return smooth noise (H, W) or (H, W, C) in about [-1, 1].

    Args:
        rng: Source of randomness.
        size: (H, W).
        cells: Features of the coarsest octave along the longer side.
        count: Octaves; each is twice as fine as the one before.
        fall: Weight of each relative to the one before.
        channels: Independent fields C.
    """
    import cv2

    height, width = size
    longer = max(height, width)
    total = np.zeros((height, width, channels), np.float32)
    weight = norm = 1.0
    for octave in range(count):
        pitch = cells * 2**octave / longer
        # Finer than the pixels, an octave is plain noise.
        grid = tuple(min(side, max(2, round(side * pitch) + 1)) for side in size)
        values = rng.array(*grid, channels, low=-1, high=1)
        large = cv2.resize(values, (width, height), interpolation=cv2.INTER_CUBIC)
        total += weight * large.reshape(total.shape)
        norm += weight * weight if octave else 0
        weight *= fall
    total *= 1.6 / norm**0.5
    return total[..., 0] if channels == 1 else total
