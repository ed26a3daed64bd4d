"""Random numbers, choices and colours."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")
#: R, G, B in [0, 1].
Colour = tuple[float, float, float]
BLACK: Colour = (0.0, 0.0, 0.0)
WHITE: Colour = (1.0, 1.0, 1.0)


class Rng:
    """A seeded random number generator."""

    def __init__(self, seed: int) -> None:
        self._generator = np.random.default_rng(seed)

    def uniform(self, low: float, high: float) -> float:
        """Return a number between ``low`` and ``high``."""
        return low + (high - low) * float(self._generator.random())

    def logarithmic(self, low: float, high: float) -> float:
        """Return a number whose logarithm is uniform."""
        return float(np.exp(self.uniform(float(np.log(low)), float(np.log(high)))))

    def integer(self, low: int, high: int) -> int:
        """Return an integer from ``low`` to ``high``, both included."""
        return low + int(self._generator.random() * (high - low + 1))

    def chance(self, share: float) -> bool:
        """Return True in that share of calls."""
        return bool(self._generator.random() < share)

    def pick(self, choices: Sequence[T]) -> T:
        """Return one of ``choices``."""
        return choices[int(self._generator.random() * len(choices))]

    def array(self, *shape: int, low: float = 0.0, high: float = 1.0) -> NDArray[np.float32]:
        """Return uniform numbers."""
        return low + (high - low) * self._generator.random(shape, dtype=np.float32)

    def normal(self, *shape: int) -> NDArray[np.float64]:
        """Return standard normal numbers."""
        return self._generator.standard_normal(shape)

    def shuffle(self, values: Any) -> None:
        """Shuffle a list or the rows of an array in place."""
        self._generator.shuffle(values)

    def seed(self) -> int:
        """Return a seed for another generator."""
        return int(self._generator.integers(2**62))

    def hsv(
        self,
        hue: float | None = None,
        saturation: tuple[float, float] = (0.0, 1.0),
        value: tuple[float, float] = (0.0, 1.0),
    ) -> Colour:
        """Return a colour; hue goes around once from 0 to 1."""
        hue = self.uniform(0, 1) if hue is None else hue % 1
        return colorsys.hsv_to_rgb(hue, self.uniform(*saturation), self.uniform(*value))

    def paper(self) -> Colour:
        """Return the colour of a sheet: mostly near white, sometimes tinted or aged."""
        if self.chance(0.12):
            return self.hsv(None, (0.05, 0.25), (0.85, 1.0))
        return self.hsv(self.uniform(0.07, 0.16), (0.0, 0.1), (0.88, 1.0))

    def ink(self) -> Colour:
        """Return a dark colour: mostly near black."""
        if self.chance(0.15):
            return self.hsv(None, (0.5, 1.0), (0.2, 0.5))
        return self.hsv(None, (0.0, 0.25), (0.02, 0.22))

    def palette(self, count: int) -> list[Colour]:
        """Return colours that a designer could have put together, from dark to light."""
        base = self.uniform(0, 1)
        spread = self.pick((0.0, 0.04, 0.08, 1 / 3, 0.5, 0.5))
        muted = self.uniform(0.25, 1.0)
        colours = []
        for i in range(count):
            value = 0.12 + 0.86 * (i + self.uniform(0, 0.8)) / count
            saturation = muted * self.uniform(0.35, 1.0) * (1.15 - 0.75 * value)
            hue = base + spread * self.pick((-1, 0, 0, 1)) + self.uniform(-0.03, 0.03)
            colours.append(colorsys.hsv_to_rgb(hue % 1, min(1.0, saturation * 1.4), value))
        return colours


def luminance(colour: Colour) -> float:
    """Return how light a colour looks, 0 to 1."""
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]


def mix(colour: Colour, other: Colour, share: float) -> Colour:
    """Return the colour that is ``share`` of the way from one to another."""
    r, g, b = (a + share * (z - a) for a, z in zip(colour, other, strict=True))
    return r, g, b
