"""Give blurred frames the fine detail that the sharp ones show, so that no blur reaches the picture.

A photo out of focus, shaken, or from afar tells of light and of what hides the picture as well as any,
but not of detail. Frames are compared octave by octave (:func:`survey_sharpness`); what a soft one
lacks in an octave is added to it from the frames that are sharp there and show the same
(:class:`SharedDetail`). Every aggregator then weighs frames of equal sharpness.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from diar_ops._filters import halve_axis
from diar_ops.aggregate import median_aggregate
from diar_ops.colour import GAMMA, TOE
from diar_ops.pipeline._warp import AlignedSequence, warp_windows, window_slices

#: Octaves that are filled in pictures of up to 1024 pixels; of larger ones an octave more per octave.
OCTAVES, OCTAVES_SIZE = 4, 1024
#: Sharpness is compared in at most so many tiles along a side, of so many pixels.
MOST_TILES, TILE = 8, 128
#: Frames show the same where their coarse values, in [0, 1], differ by less.
SAME = 0.1
#: Of detail of the finest octave: a frame with less than SOFT of the sharpest ones' is filled in full,
#: one with more than SHARP not at all. A Gaussian of one pixel leaves .45.
SOFT, SHARP = 0.55, 0.7
#: Frames with this share of the best detail give theirs.
GIVING = 0.8
#: Correlation of some coarser octave of a frame with another one's, if they are of one picture.
COMMON = 0.3
#: Share of the whole picture's evidence in each tile's: where little is to be seen, it decides.
_PRIOR = 0.1
_ITERATIONS = 30


class Sharpness(NamedTuple):
    """How much of the detail of the sharpest frames each frame has.

    Attributes:
        transfer: (K, T, ny, nx) in [0, 1], by octave from the finest on, and tile.
        rows: (ny,) centres of the tiles, in pixels.
        columns: (nx,)
    """

    transfer: Tensor
    rows: Tensor
    columns: Tensor

    @property
    def filling(self) -> Tensor:
        """How far each frame is filled, (T, ny, nx) in [0, 1]."""
        return ((SHARP - self.transfer[0]) / (SHARP - SOFT)).clamp(0, 1)

    def is_filled(self, rows: tuple[int, int], columns: tuple[int, int]) -> bool:
        """Return whether a frame lacks anything between two rows and two columns."""
        near = []
        for centres, ends in ((self.rows, rows), (self.columns, columns)):
            low, high = torch.searchsorted(centres, torch.tensor(ends, device=centres.device).to(centres)).tolist()
            near.append(slice(max(0, low - 1), high + 1))
        return bool((self.filling[:, near[0], near[1]] > 0).any())

    def at(self, octave: int, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        """Return transfer and filling (T, 1, h, w), interpolated at pixels."""
        maps = torch.stack((self.transfer[octave], self.filling), dim=1)
        maps = _lerp(_lerp(maps, self.rows, rows, 2), self.columns, columns, 3)
        return maps[:, :1], maps[:, 1:]


class SharedDetail:
    """Warps frames of one sequence and fills in what the soft ones lack.

    Args:
        sequence: The frames.
        gain: (T', 3) factors in linear light of the frames that are used.
        sharpness: Of the same frames, see :func:`survey_sharpness`.
    """

    def __init__(self, sequence: AlignedSequence, gain: Tensor, sharpness: Sharpness) -> None:
        self.sequence, self.gain, self.sharpness = sequence, gain, sharpness

    def warp(self, window: tuple[int, int, int, int], gain: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return what :meth:`AlignedSequence.warp` does, with all frames as sharp as the sharpest."""
        if self.sequence.whole is None or gain is not None:
            return self._fill(window, gain)
        frames, valid = self._whole
        part = (..., *window_slices(window))
        return frames[part], valid[part]

    @cached_property
    def _whole(self) -> tuple[Tensor, Tensor]:
        return self._fill((0, 0, *self.sequence.size), None)

    @property
    def margin(self) -> int:
        """Pixels around a window that are worked on with it."""
        return 0 if self.sequence.whole is not None else 4 * 2 ** len(self.sharpness.transfer)

    def _fill(self, window: tuple[int, int, int, int], gain: Tensor | None) -> tuple[Tensor, Tensor]:
        full, step = self.sequence.size, 2 ** len(self.sharpness.transfer)
        top, left, height, width = window
        first, begin = (max(0, start - 4 * step) // step * step for start in (top, left))
        last, end = min(full[0], top + height + 4 * step), min(full[1], left + width + 4 * step)
        if not self.sharpness.is_filled((first, last - 1), (begin, end - 1)):
            return self.sequence.warp(window, gain)
        frames, valid = self.sequence.warp((first, begin, last - first, end - begin), gain)
        missing = missing_detail(
            frames[0] if gain is not None else _expose(frames[0], self.gain), valid[0], self.sharpness, (first, begin)
        )[None]
        frames = frames + (missing if gain is not None else missing / _contrast(self.gain, frames))
        part = (..., *window_slices((top - first, left - begin, height, width)))
        return frames[part], valid[part]


def share_detail(sequence: AlignedSequence, gain: Tensor) -> AlignedSequence | SharedDetail:
    """Return what warps the sequence with its soft frames filled; itself where none is soft.

    Args:
        sequence: The frames.
        gain: (T, 3) factors in linear light that bring all frames to a common exposure.
    """
    gain = gain[sequence.used].to(sequence.device)
    if len(sequence.used) < 2:
        return sequence
    sharpness = survey_sharpness(sequence, gain)
    return SharedDetail(sequence, gain, sharpness) if bool((sharpness.filling > 0).any()) else sequence


def survey_sharpness(sequence: AlignedSequence, gain: Tensor) -> Sharpness:
    """Compare how sharp the used frames are, in tiles spread over the picture.

    The detail of two frames is correlated, octave by octave, where they show the same: noise, things
    in front and reflections, which no other frame has, do not count as detail. The amplitudes a that
    explain the products a_s a_t of all pairs, relative to the largest and to those of coarser
    octaves, on which light and haze act, but blur does not, are the frames' transfer.

    Args:
        sequence: The frames.
        gain: (T', 3) factors in linear light of the used ones.
    """
    full, device = sequence.size, sequence.device
    octaves = OCTAVES + max(0, round(math.log2(max(full) / OCTAVES_SIZE)))
    starts = [_starts(n) for n in full]
    height, width = (min(n, TILE) for n in full)
    windows = [(top, left, height, width) for top in starts[0] for left in starts[1]]
    warped, valid = _warp_tiles(sequence, windows)
    lit = _expose(warped, gain)  # [n, T, 3, h, w]
    found = [_products(*tile, octaves + 1) for tile in zip(lit, valid, strict=True)]
    products, counts = (torch.stack(part) for part in zip(*found, strict=True))
    grid = (len(starts[0]), len(starts[1]))
    counts = _pool(counts, grid)
    amplitude, correlation = _amplitudes(_pool(products, grid), counts)  # [n, K + 1, T]
    transfer = _transfer(amplitude, correlation, counts.diagonal(dim1=-2, dim2=-1))[:, :octaves]
    centres = [
        torch.tensor([s + (t - 1) / 2 for s in side], device=device)
        for side, t in zip(starts, (height, width), strict=True)
    ]
    return Sharpness(transfer.permute(1, 2, 0).reshape(*transfer.shape[1:], *grid), *centres)


def _warp_tiles(sequence: AlignedSequence, windows: list[tuple[int, int, int, int]]) -> tuple[Tensor, Tensor]:
    """Warp the used frames onto n windows of one size, (n, T', 3, h, w) and valid (n, T', 1, h, w)."""
    alignment = sequence.alignment
    # Without the first two, what is bent would look blurred, and what is lit differently would look different.
    if alignment.grid is not None or sequence.light is not None or sequence.whole is not None:
        frames, valid = zip(*map(sequence.warp, windows), strict=True)
        return torch.cat(frames), torch.cat(valid)
    parts = [
        warp_windows(
            sequence.frames[t],
            alignment.homography_reference_frame[t],
            windows,
            valid=sequence.valid[t],
            distortion=alignment.distortion,
            canvas=sequence.canvas,
            device=sequence.device,
        )
        for t in sequence.used
    ]
    return torch.stack([p[0] for p in parts], 1), torch.stack([p[1] for p in parts], 1)


def missing_detail(frames: Tensor, valid: Tensor, sharpness: Sharpness, origin: tuple[int, int]) -> Tensor:
    """Return what each frame lacks of the detail of the sharp ones.

    Args:
        frames: (T, 3, H, W) at a common exposure.
        valid: (T, 1, H, W) bool.
        sharpness: Of the frames.
        origin: (y, x) of the first pixel in the picture.

    Returns:
        (T, 3, H, W), 0 where a frame is not valid, and where no frame shows more.
    """
    octaves = len(sharpness.transfer)
    levels, masks = _pyramid(frames, valid, octaves)
    size = frames.shape[-2:]
    del frames
    coarse, shown = levels[octaves - 1], masks[octaves - 1]
    common = median_aggregate(coarse[None], (shown > 0)[None])
    near = (-0.5 * ((coarse - common[0]) / (0.6 * SAME)).square().mean(dim=1, keepdim=True)).exp()
    missing: Tensor | None = None
    for octave in range(octaves - 1, -1, -1):
        coarser, level, mask = levels.pop(), levels[octave], masks[octave] > 0.99
        scale = 2**octave
        rows, columns = (
            origin[axis] + (torch.arange(level.shape[2 + axis], device=level.device) + 0.5) * scale - 0.5
            for axis in (0, 1)
        )
        transfer, filling = sharpness.at(octave, rows, columns)
        alike = mask & (_enlarge(near, level) > 0.3)
        best = torch.where(alike, transfer, 0).amax(dim=0, keepdim=True)
        giving = alike & (transfer >= GIVING * best)
        given = (transfer * giving).sum(0, keepdim=True) / giving.sum(0, keepdim=True).clamp_min(1)
        lack = filling * (1 - transfer / given.clamp_min(1e-6)).clamp(0, 1) * mask
        # The finest octave, as large as the frames, takes the place of their copy, a channel at a time.
        found = torch.empty_like(level) if octave else level
        for channel in range(3):
            part = (slice(None), slice(channel, channel + 1))
            band = level[part] - _enlarge(coarser[part], level)
            detail = median_aggregate(band[None], giving[None])[0]
            found[part] = lack * detail if missing is None else lack * detail + _enlarge(missing[part], level)
        missing = found
    assert missing is not None
    return missing[..., : size[0], : size[1]] * valid


def _pyramid(frames: Tensor, valid: Tensor, octaves: int) -> tuple[list[Tensor], list[Tensor]]:
    """Return ``octaves`` + 1 levels of frames (T, 3, H, W) and how much of each pixel is valid."""
    step = 2**octaves
    below, right = (-n % step for n in frames.shape[-2:])
    mask = F.pad(valid.to(frames), (0, right, 0, below))
    levels, masks = [F.pad(torch.where(valid, frames, 0), (0, right, 0, below))], [mask]
    for _ in range(octaves):
        both = halve_axis(halve_axis(torch.cat((levels[-1] * masks[-1], masks[-1]), dim=1), -2), -1)
        masks.append(both[:, 3:])
        levels.append(both[:, :3] / both[:, 3:].clamp_min(1e-3))
    return levels, masks


def _products(lit: Tensor, valid: Tensor, octaves: int) -> tuple[Tensor, Tensor]:
    """Return the products of the detail of all pairs of frames, and their numbers, (K, T, T)."""
    levels, masks = _pyramid(lit, valid, octaves)
    coarse = levels[octaves - 1]
    common = median_aggregate(coarse[None], (masks[octaves - 1] > 0)[None])
    same = ((coarse - common[0]).abs().amax(dim=1, keepdim=True) < SAME).to(lit)
    products, counts = [], []
    for octave in range(octaves):
        band = levels[octave] - _enlarge(levels[octave + 1], levels[octave])
        mask = ((masks[octave] > 0.99) & (_enlarge(same, band) > 0.5)).to(band)
        flat, known = (band * mask).flatten(1), mask.flatten(1)
        products.append(flat @ flat.T)
        counts.append(3 * (known @ known.T))
    return torch.stack(products), torch.stack(counts)


def _pool(values: Tensor, grid: tuple[int, int]) -> Tensor:
    """Add to each tile's (n, K, T, T) its neighbours', and some of all."""
    planes = values.flatten(1).T.reshape(-1, *grid)
    near = F.avg_pool2d(planes[None], 3, 1, 1, count_include_pad=False)[0]
    near = near + _PRIOR * planes.mean(dim=(1, 2), keepdim=True)
    return near.flatten(1).T.reshape(values.shape)


def _amplitudes(products: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Return a (..., T) of which a_s a_t are nearest to the mean products of pairs, and correlations.

    Args:
        products: (..., T, T) sums of products of detail.
        counts: (..., T, T) how many they are of.

    Pairs alone do not tell two frames apart: their own energies do, noise and all.
    """
    mean = products / counts.clamp_min(1e-6)
    pairs = (counts > 0).to(mean) * (1 - torch.eye(mean.shape[-1], device=mean.device))
    own = mean.diagonal(dim1=-2, dim2=-1).clamp_min(1e-10)
    amplitude = own.sqrt()
    for _ in range(_ITERATIONS):
        others = pairs * amplitude.unsqueeze(-2)
        energy = (others * amplitude.unsqueeze(-2)).sum(-1)
        fitted = ((others * mean).sum(-1) / energy.clamp_min(1e-12)).clamp_min(1e-6)
        amplitude = torch.where(energy > 0, (amplitude * fitted).sqrt(), amplitude)
    correlation = pairs * mean / (own.unsqueeze(-1) * own.unsqueeze(-2)).sqrt()
    return amplitude, correlation.amax(dim=-1)


def _transfer(amplitude: Tensor, correlation: Tensor, counts: Tensor) -> Tensor:
    """Return the share (n, K, T) of the sharpest frames' detail that amplitudes (n, K, T) tell of.

    Light, shadow and haze act on all octaves alike. A blur of variance v takes exp(-v f^2), four times
    the logarithm from each finer octave: a line through the logarithms over 4^-k, in which octaves
    count by what is left in them, tells the two apart.
    """
    # Blur leaves coarse detail in common. What has none shows something else, and lacks nothing.
    # Of few values some correlate by chance.
    chance = 3 / counts.clamp_min(1).sqrt()
    seen = (correlation - chance)[:, 1:].amax(dim=1, keepdim=True) > COMMON
    relative = (amplitude / (amplitude * seen).amax(dim=2, keepdim=True).clamp_min(1e-12)).clamp(max=1)
    lost = -relative.clamp_min(1e-3).log()
    octave = torch.arange(lost.shape[1], dtype=lost.dtype, device=lost.device)[:, None]
    at, weight = 0.25**octave, relative.square() * 0.7**octave
    mean_at, mean_lost = ((weight * x).sum(1, keepdim=True) / weight.sum(1, keepdim=True) for x in (at, lost))
    variation = (weight * (at - mean_at) ** 2).sum(1, keepdim=True).clamp_min(1e-12)
    slope = (weight * (at - mean_at) * (lost - mean_lost)).sum(1, keepdim=True) / variation
    contrast = mean_lost - slope.clamp_min(0) * mean_at
    # No octave loses more than the finer ones.
    transfer = (contrast - lost).clamp(max=0).exp().cummax(dim=1).values
    return torch.where(seen, transfer, 1)


def _starts(length: int) -> list[int]:
    """Return where tiles along a side of ``length`` pixels begin."""
    count = min(MOST_TILES, math.ceil(length / TILE))
    return [round(i * max(0, length - TILE) / max(1, count - 1)) for i in range(count)]


def _enlarge(image: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(image, like.shape[-2:], mode="bilinear")


def _contrast(gain: Tensor, like: Tensor) -> Tensor:
    return (gain.to(like) ** (1 / GAMMA))[..., None, None]


def _expose(frames: Tensor, gain: Tensor) -> Tensor:
    """Multiply sRGB (..., T, 3, H, W) by (T, 3) in linear light, the toe taken for the rest."""
    return (frames + TOE) * _contrast(gain, frames) - TOE


def _lerp(maps: Tensor, centres: Tensor, positions: Tensor, dim: int) -> Tensor:
    """Interpolate ``maps`` linearly along ``dim``, from ``centres`` to ``positions``; the ends go on."""
    high = torch.searchsorted(centres, positions.to(centres)).clamp(1, max(1, len(centres) - 1))
    low, high = high - 1, high.clamp_max(len(centres) - 1)
    width = (centres[high] - centres[low]).clamp_min(1)
    share = ((positions - centres[low]) / width).clamp(0, 1)
    shape = [-1 if d == dim else 1 for d in range(maps.ndim)]
    return torch.lerp(maps.index_select(dim, low), maps.index_select(dim, high), share.view(shape))
