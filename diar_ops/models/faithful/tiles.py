"""The faithful network on photos of any size: light from small copies, scores tile by tile."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor, nn

from diar_ops._threads import map_threads
from diar_ops._types import Restored
from diar_ops.colour import GAMMA
from diar_ops.models.faithful.estimates import Evidence, Light
from diar_ops.models.faithful.light import whole_view
from diar_ops.models.faithful.planes import STRIDE

#: Pixels of frames that the pass over pixels works on at a time; about 500 bytes each.
TILE_PIXELS = 4_000_000
#: Tiles begin at multiples of this many pixels, so that windows of attention, shifted or not, are
#: the same ones in a tile and in the whole.
STEP = 64
#: Pixels around a tile that are worked on with it. What lies beyond has little influence on it,
#: and what is left of that the blending hides.
HALO = 64

#: Returns the warped frames (1, T, 3, h, w), 0 where not valid, and valid (1, T, 1, h, w) of a
#: window (top, left, height, width).
Warper = Callable[[tuple[int, int, int, int]], tuple[Tensor, Tensor]]
#: (top, left, bottom, right) in pixels.
Box = tuple[int, int, int, int]
Estimate = TypeVar("Estimate", Light, Evidence)


class _Network(Protocol):
    """What is asked of a network here; see :class:`FaithfulDIAR`."""

    def parameters(self) -> Iterator[nn.Parameter]: ...
    def estimate_light(self, frames: Tensor, valid: Tensor) -> Light: ...
    def score_pixels(self, frames: Tensor, valid: Tensor, light: Light, window: Tensor) -> Evidence: ...
    def compose(
        self,
        frames: Tensor,
        valid: Tensor,
        light: Light,
        evidence: Evidence,
        window: Tensor | None = None,
        evidence_window: Tensor | None = None,
    ) -> Restored: ...


class TiledRestorer:
    """A network on one aligned sequence: it judges the whole once, then restores windows of it.

    Args:
        network: The network.
        warper: Warps all frames onto windows of the working copy.
        frame_warpers: Warp one frame each.
        size: (height, width) of the working copy.
        full: (height, width) of the full picture.
        progress: Called with (name of the step, steps done, steps in all).

    Attributes:
        gain: (T, 3) geometric mean of the factors in linear light, by frame and channel.
    """

    def __init__(
        self,
        network: _Network,
        warper: Warper,
        frame_warpers: Sequence[Warper],
        size: tuple[int, int],
        full: tuple[int, int],
        progress: Callable[[str, int, int], None],
    ) -> None:
        self.network, self.full = network, full
        self.light = gather_light(network, frame_warpers, size, lambda *done: progress("judging light", *done))
        self.evidence = gather_evidence(network, warper, self.light, size, lambda *done: progress("weighing", *done))
        self.gain = (GAMMA * self.light.gain[0].mean(dim=(2, 3))).exp()

    def restore(
        self, frames: Tensor, valid: Tensor, window: tuple[int, int, int, int], prior: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the picture (1, 3, h, w) and the weights (1, T, 1, h, w) of a window.

        Args:
            frames: (1, T, 3, h, w) of the window.
            valid: (1, T, 1, h, w) bool.
            window: (top, left, height, width) in the full picture.
            prior: Optional (1, T, 1, h, w), logs of what the weights are multiplied with.
        """
        top, left, height, width = window
        box = (top, left, top + height, left + width)
        return compose_window(self.network, frames, valid, self.light, self.evidence, box, self.full, prior)


class Tile(NamedTuple):
    """A part of a picture, and what is worked on with it."""

    core: Box
    around: Box


def tiles(size: tuple[int, int], frames: int, pixels: int = TILE_PIXELS) -> list[Tile]:
    """Cut a picture of (height, width) into tiles, as large as ``frames`` times their area allows.

    The cores tile the picture; cores and surroundings begin at multiples of :data:`STEP`.
    """
    height, width = size
    if height * width * frames <= pixels:
        return [Tile((0, 0, height, width), (0, 0, height, width))]
    side = max(STEP, (math.isqrt(pixels // frames) - 2 * HALO) // STEP * STEP)
    # Tiles of about equal size: a last one of a few rows would cost as much as its halo.
    rows, columns = (STEP * math.ceil(n / math.ceil(n / side) / STEP) for n in size)
    cut = []
    for top in range(0, height, rows):
        for left in range(0, width, columns):
            bottom, right = min(height, top + rows), min(width, left + columns)
            around = (max(0, top - HALO), max(0, left - HALO), min(height, bottom + HALO), min(width, right + HALO))
            cut.append(Tile((top, left, bottom, right), around))
    return cut


def gather_light(
    network: _Network, warpers: Sequence[Warper], size: tuple[int, int], progress: Callable[[int, int], None]
) -> Light:
    """Estimate the light of frames of (height, width), each of which has a warper of its own."""
    parts, weight = [], next(network.parameters())
    for part in map_threads(lambda warper: whole_view(*warper((0, 0, *size))), warpers, weight.device):
        parts.append(part)
        progress(len(parts), len(warpers))
    frames = torch.cat([part.frames for part in parts], dim=1)
    valid = torch.cat([part.valid for part in parts], dim=1).to(weight.device)
    return _moved(network.estimate_light(frames.to(weight), valid), frames.device)


def gather_evidence(
    network: _Network,
    warper: Warper,
    light: Light,
    size: tuple[int, int],
    progress: Callable[[int, int], None],
    pixels: int = TILE_PIXELS,
) -> Evidence:
    """Score the pixels of frames of (height, width), tile by tile.

    Neighbouring tiles overlap by their halos; there the share of each falls linearly, so that no
    seam is left where they differ, to the middle of its halo: beyond, it sees too little.
    """
    frames, weight = light.gain.shape[1], next(network.parameters())
    device_light = Light(*(field.to(weight) for field in light))
    cut = tiles(size, frames, pixels)
    h, w = (-(-n // STRIDE) for n in size)
    home = light.gain.device

    def zeros(*shape: int) -> Tensor:
        return torch.zeros(*shape, dtype=torch.float32, device=home)

    score, total = zeros(1, frames, 1, *size), zeros(*size)
    detail, correction, token_total = zeros(1, frames, 6, h, w), zeros(1, 6, h, w), zeros(h, w)
    for done, tile in enumerate(cut):
        top, left, bottom, right = tile.around
        stack, valid = warper((top, left, bottom - top, right - left))
        window = _window(tile.around, size).to(weight.device)
        part = _moved(network.score_pixels(stack.to(weight), valid.to(weight.device), device_light, window), home)
        share = _ramps(tile, size, 1).to(home)
        score[..., top:bottom, left:right] += part.score * share
        total[top:bottom, left:right] += share
        share = _ramps(tile, size, STRIDE).to(home)
        rows = slice(top // STRIDE, -(-bottom // STRIDE))
        columns = slice(left // STRIDE, -(-right // STRIDE))
        detail[..., rows, columns] += part.detail * share
        correction[..., rows, columns] += part.correction * share
        token_total[rows, columns] += share
        progress(done + 1, len(cut))
    return Evidence(score.div_(total), detail.div_(token_total), correction.div_(token_total))


def _ramps(tile: Tile, size: tuple[int, int], stride: int) -> Tensor:
    """Return the share (h, w) of a tile at its cells of ``stride`` pixels, more than 0."""
    ramps = []
    for axis in (0, 1):
        first, last = tile.around[axis], tile.around[axis + 2]
        positions = (torch.arange(-(-(last - first) // stride), dtype=torch.float32) + 0.5) * stride
        ramp = torch.ones_like(positions)
        if first > 0:
            ramp = torch.minimum(ramp, positions / HALO - 0.5)
        if last < size[axis]:
            ramp = torch.minimum(ramp, (last - first - positions) / HALO - 0.5)
        ramps.append(ramp.clamp_min(1e-4))
    return ramps[0][:, None] * ramps[1]


def compose_window(
    network: _Network,
    frames: Tensor,
    valid: Tensor,
    light: Light,
    evidence: Evidence,
    window: Box,
    full: tuple[int, int],
    prior: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Compose a window of the full picture from evidence on a copy of it.

    Args:
        network: The network.
        frames: (1, T, 3, h, w) of the window.
        valid: (1, T, 1, h, w) bool.
        light: Of the whole frames.
        evidence: On the whole picture, at the size of the copy or at full size.
        window: Where the window lies in the full picture.
        full: (height, width) of the full picture.
        prior: Optional (1, T, 1, h, w), logs of what the weights are multiplied with.

    Returns:
        The picture (1, 3, h, w) and the weights (1, T, 1, h, w).
    """
    copy = (evidence.score.shape[-2], evidence.score.shape[-1])
    window_share = _window(window, full)
    share = window_share.to(frames.device)
    size = (frames.shape[-2], frames.shape[-1])
    top, left, bottom, right = window
    if copy == full:
        score = evidence.score[..., top:bottom, left:right]
    else:
        score = _enlarge(evidence.score, window_share[0].tolist(), size)
    score = score if prior is None else score + prior
    # The last tokens reach beyond the copy.
    reach = torch.tensor([n / (STRIDE * -(-n // STRIDE)) for n in copy], dtype=torch.float32).to(share)
    restored = network.compose(frames, valid, light, evidence._replace(score=score), share, share * reach.repeat(2))
    assert restored.weights is not None
    return restored.image, restored.weights


def _moved(estimate: Estimate, device: torch.device) -> Estimate:
    """Move fields in float32 to where the frames are, and pictures are composed."""
    return type(estimate)(*(field.to(device, torch.float32) for field in estimate))


def _enlarge(field: Tensor, share: list[float], size: tuple[int, int]) -> Tensor:
    """Interpolate a field of many cells linearly at a few pixels, as ``sample_field`` does."""
    for axis in (0, 1):
        count, cells, dim = size[axis], field.shape[axis - 2], axis - 2
        cell = torch.arange(count, dtype=torch.float32, device=field.device)
        positions = share[axis] + (share[axis + 2] - share[axis]) * (cell + 0.5) / count
        positions = (positions * cells - 0.5).clamp(0, cells - 1)
        low = positions.long()
        low_cells, high_cells = (field.index_select(dim, i) for i in (low, (low + 1).clamp_max(cells - 1)))
        between = positions - low
        if axis == 0:
            between = between.unsqueeze(1)
        field = torch.lerp(low_cells, high_cells, between)
    return field


def _window(box: Box, size: tuple[int, int]) -> Tensor:
    """Return a box in shares of (height, width), (1, 4)."""
    return torch.tensor([box], dtype=torch.float32) / torch.tensor(size * 2, dtype=torch.float32)
