"""The light of frames on coarse grids, and pixels in the light of the picture."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from diar_ops._checks import check_bool, check_floating, check_shapes, read_number, solve_dtype
from diar_ops._types import WholeFrames
from diar_ops.aggregate import median_aggregate
from diar_ops.colour import GAMMA, TOE

#: Side of the small copies in which light is judged, in pixels.
WHOLE_SIZE = 64
#: Light of black in sRGB's power law.
BLACK = (TOE / (1 + TOE)) ** GAMMA
#: Bounds of log factors and veils (see :func:`relight`), by where they apply: a frame's light, what
#: the pass over pixels adds to it, and the picture. The last two are linear between the centres of
#: tokens: they shade, and cannot draw.
MOST_LIGHT, MOST_DETAIL, MOST_CORRECTION = (2.0, 0.2), (0.4, 0.05), (0.2, 0.02)
#: How far the light that the picture itself suggests may move its brightness.
MOST_SHARED = 0.2
#: A usual veil, in light; and how many times the darkest of the picture it may be, since veils
#: differ.
USUAL_HAZE, MOST_HAZE = 0.015, 2.0
#: Veils are dim: the outputs of layers are in this unit.
VEIL_UNIT = 0.05


def relight(values: Tensor, gain: Tensor, veil: Tensor) -> Tensor:
    r"""Multiply light and take a veil off it: :math:`y^{2.4} = e^{2.4 g} x^{2.4} - v`.

    ``x`` and ``y`` are (value + 0.055) / 1.055, so that their power is light but for the last
    steps above black.

    Args:
        values: Any shape, sRGB, at least 0.
        gain: Logarithm of the factor on ``value + 0.055``; 2.4 times it in light.
        veil: Light that is taken off behind it.

    Returns:
        sRGB, at least 0, not clipped at 1. What would be below black has the gradient of black.
    """
    light = to_light(values, gain, veil)
    light = torch.where(light > BLACK, light, BLACK + (light - light.detach()))
    return (1 + TOE) * light ** (1 / GAMMA) - TOE


def to_light(values: Tensor, gain: Tensor | float = 0.0, veil: Tensor | float = 0.0) -> Tensor:
    """Return the light of sRGB values, as :func:`relight` has it; it may be below 0."""
    return (GAMMA * (((values + TOE) / (1 + TOE)).log() + gain)).exp() - veil


def bound(x: Tensor, most: float) -> Tensor:
    """Bound values smoothly to -most .. most."""
    return most * torch.tanh(x / most)


def bound_light(x: Tensor, most: tuple[float, float], dim: int) -> Tensor:
    """Bound log factors and veils, the two halves of ``x`` along ``dim``."""
    gain, veil = x.chunk(2, dim=dim)
    return torch.cat((bound(gain, most[0]), bound(VEIL_UNIT * veil, most[1])), dim=dim)


def haze_veil(logs: Tensor, darkest: Tensor) -> Tensor:
    """Return the veil of haze, in light: about the usual one, less over a picture with blacks.

    Args:
        logs: Logs of factors on the usual veil.
        darkest: Log of the darkest value of the picture, broadcastable to ``logs``.
    """
    logs = math.log(USUAL_HAZE) + logs.clamp(-8, 4)
    # The smaller of the usual and the most, smoothly; logs, as squares leave half precision.
    excess = (logs - math.log(MOST_HAZE) - GAMMA * darkest).clamp(-5, 5)
    return logs.exp() * (1 + (2 * excess).exp()).rsqrt()


def compensate(frames: Tensor, gain: Tensor, veil: Tensor, window: Tensor | None = None) -> Tensor:
    """Bring frames to the light of the picture.

    Args:
        frames: (B, T, C, H, W) sRGB, a part of the whole frames.
        gain: (B, T, C, h, w) log factors over the whole frames, see :func:`relight`.
        veil: (B, T, C, h, w) what is taken off behind them.
        window: (B, 4) where the part lies, see :class:`WholeFrames`; all of it by default.

    Returns:
        (B, T, C, H, W) sRGB, not clipped at 1.
    """
    size = (frames.shape[-2], frames.shape[-1])
    return relight(frames, sample_field(gain, size, window), sample_field(veil, size, window))


def sample_field(field: Tensor, size: tuple[int, int], window: Tensor | None = None) -> Tensor:
    """Interpolate a coarse field linearly at the pixels of a part of what it lies over.

    Args:
        field: (B, T, C, h, w); its cells tile the whole, beyond the centres of the outermost
            cells it is constant.
        size: (H, W) pixels of the part.
        window: (B, 4) where the part lies, see :class:`WholeFrames`; all of it by default.

    Returns:
        (B, T, C, H, W).
    """
    if window is None:
        return F.interpolate(field.flatten(0, 1), size, mode="bilinear").view(*field.shape[:3], *size)
    # Places need all digits, in half precision too.
    exact = field.to(solve_dtype(field.dtype))
    top, left, bottom, right = window.to(exact).unbind(1)
    with torch.autocast(field.device.type, enabled=False):
        # Linear in both axes: two products with interpolation matrices, cheaper than a gather.
        down = _interpolation_matrix(top, bottom, size[0], field.shape[-2])
        across = _interpolation_matrix(left, right, size[1], field.shape[-1])
        rows = torch.einsum("btchw,bHh->btcHw", exact, down)
        return torch.einsum("btcHw,bWw->btcHW", rows, across).to(field.dtype)


def _interpolation_matrix(start: Tensor, stop: Tensor, count: int, cells: int) -> Tensor:
    """Return the weights (B, count, cells) of cells at ``count`` pixels from start to stop."""
    steps = torch.arange(count, dtype=start.dtype, device=start.device) + 0.5
    positions = (start[:, None] + (stop - start)[:, None] * (steps / count)) * cells - 0.5
    centres = torch.arange(cells, dtype=start.dtype, device=start.device)
    return (1 - (positions.clamp(0, cells - 1)[..., None] - centres).abs()).clamp_min(0)


def frame_median(x: Tensor, valid: Tensor | None) -> Tensor:
    """Return the median (B, 1, C, H, W) over frames, without a gradient."""
    with torch.no_grad():
        if valid is not None and valid.device.type == "cpu" and read_number(valid.all()):
            valid = None  # three times as fast
        return median_aggregate(x.detach(), valid)[:, None]


def whole_view(frames: Tensor, valid: Tensor, side: int = WHOLE_SIZE) -> WholeFrames:
    """Return the small copies that go with frames that are whole.

    They hold the means over valid pixels, and are valid where more than half of those are.

    Args:
        frames: (B, T, 3, H, W), 0 where not valid.
        valid: (B, T, 1, H, W) bool.
        side: Height and width of the copies, in pixels.
    """
    size, shape = (side, side), frames.shape[:2]
    share = F.interpolate(valid.flatten(0, 1).to(frames.dtype), size, mode="area")
    small = F.interpolate(frames.flatten(0, 1), size, mode="area")
    known = share > 0.5
    small = torch.where(known, small / share.clamp_min(0.5), 0)
    window = repeat_window(frames, [0.0, 0.0, 1.0, 1.0])
    return WholeFrames(small.view(*shape, 3, *size), known.view(*shape, 1, *size), window)


def repeat_window(frames: Tensor, edges: list[float]) -> Tensor:
    """Return the window (B, 4) with the same edges for all items, exact in half precision too."""
    row = torch.tensor([edges], dtype=solve_dtype(frames.dtype), device=frames.device)
    return row.expand(frames.shape[0], 4)


def token_window(frames: Tensor, window: Tensor | None, stride: int) -> Tensor | None:
    """Return the window (B, 4) of a part's tokens: the last ones may reach beyond the part."""
    height, width = frames.shape[-2:]
    beyond = (-height % stride, -width % stride)
    if not any(beyond):
        return window
    overhang = [beyond[0] / height, beyond[1] / width]
    if window is None:
        window = repeat_window(frames, [0.0, 0.0, 1.0, 1.0])
    sides = window[:, 2:] - window[:, :2]
    return torch.cat((window[:, :2], window[:, 2:] + sides * sides.new_tensor(overhang)), dim=1)


def check_whole(op: str, frames: Tensor, whole: WholeFrames | None) -> None:
    """Check that small copies have their size and are of as many frames as (B, T, 3, H, W)."""
    if whole is None:
        return
    small, valid, window = whole
    named = {
        "frames": (frames, "B T 3 H W"),
        "whole.frames": (small, f"B T 3 {WHOLE_SIZE} {WHOLE_SIZE}"),
        "whole.valid": (valid, f"B T 1 {WHOLE_SIZE} {WHOLE_SIZE}"),
        "whole.window": (window, "B 4"),
    }
    check_shapes(op, **named)
    check_floating(op, **{"whole.frames": small, "whole.window": window})
    check_bool(op, **{"whole.valid": valid})
