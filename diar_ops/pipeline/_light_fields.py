"""Smooth factors that bring photos of parts to a common light."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops.colour import GAMMA, TOE

#: Light is a quadratic of the place within a photo: so many numbers.
TERMS = 6


class EvenLight(NamedTuple):
    """The light of photos of parts, as factors that bring them to a common one.

    Attributes:
        coefficients: (T, 3, 6) of log factors in linear light: of 1, x, y, x^2, xy, y^2, from -1 to 1
            over the box of each photo.
        boxes: (T, 4) left, top, width and height of what each photo shows, in shares of the canvas.
    """

    coefficients: Tensor
    boxes: Tensor

    def factors(self, t: int, window: tuple[int, int, int, int], size: tuple[int, int]) -> Tensor:
        """Return (3, h, w), factors of photo ``t`` on coded values + TOE, in a window of a canvas of ``size``."""
        top, left, height, width = window
        y = (torch.arange(top, top + height, dtype=torch.float32) + 0.5) / size[0]
        x = (torch.arange(left, left + width, dtype=torch.float32) + 0.5) / size[1]
        terms = light_terms(x[None, :], y[:, None], self.boxes[t])
        return (torch.einsum("ck,khw->chw", self.coefficients[t], terms) / GAMMA).exp()

    def apply(
        self, frames: Tensor, used: list[int], window: tuple[int, int, int, int], size: tuple[int, int]
    ) -> Tensor:
        """Bring the used frames (1, T', 3, h, w) of a window, sRGB, to the common light; black stays black."""
        factors = torch.stack([self.factors(t, window, size) for t in used])[None].to(frames)
        return torch.where(frames > 0, ((frames + TOE) * factors - TOE).clamp_min(0), 0)

    def parts(self, used: list[int]) -> float:
        """Return how many of the used photos lie side by side, along a side of the canvas, in the median."""
        return 1 / float(self.boxes[used, 2:].amax(1).median())

    def mean(self) -> Tensor:
        """Return (T, 3), the mean factors in linear light."""
        squares = self.coefficients[..., 3] + self.coefficients[..., 5]
        return (self.coefficients[..., 0] + squares / 3).exp()


def light_terms(x: Tensor, y: Tensor, box: Tensor) -> Tensor:
    """Return (6, h, w), the terms at places (1, w) and (h, 1) in shares of the canvas."""
    left, top, width, height = box.unbind(-1)
    u, v = 2 * (x - left) / width - 1, 2 * (y - top) / height - 1
    # Beyond the box they would grow without end.
    u, v = u.clamp(-1.2, 1.2), v.clamp(-1.2, 1.2)
    one = torch.ones_like(u * v)
    return torch.stack([one, one * u, one * v, one * u * u, u * v, one * v * v])
