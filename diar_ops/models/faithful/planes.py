"""Operations of the faithful network on planes of pixels, beside its layers."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from diar_ops.aggregate import median_aggregate
from diar_ops.colour import TOE
from diar_ops.models._inputs import pad_to_multiple
from diar_ops.models.faithful.light import frame_median

#: Pixels of a side that share one token of attention, in small copies and in the picture.
STRIDE = 8
#: Clues by which a pixel is scored, see score_clues; the unit of their shares; where clipping
#: is near.
CLUES, CLUE_UNIT, NEARLY_CLIPPED = 6, 10.0, 0.9
#: Planes that describe_blocks lists.
BLOCK_PLANES = 18
#: No log of a value is farther from 0.
BRIGHT = 3.0
#: Reach of a sample of light, in cells of 4 pixels of the small copies, and the support below which
#: the mean of a frame counts more than what is near.
SPREAD, LEAST_SUPPORT = 1.0, 0.01


class LogCopies(NamedTuple):
    """Logs of small copies, beside their median over frames."""

    known: Tensor  #: (B, T, 1, h, w) 1 where valid, 0 elsewhere
    exposure: Tensor  #: (B, T, 3, 1, 1) mean log factor of each frame, which ``log`` is without
    log: Tensor  #: (B, T, 3, h, w) logs of value + 0.055
    median: Tensor  #: (B, 1, 3, h, w) median of the logs over frames
    difference: Tensor  #: (B, T, 3, h, w) logs less their median, 0 where not valid
    added: Tensor  #: (B, T, 3, h, w) logs less their darker median, 0 where not valid


def compare_copies(frames: Tensor, valid: Tensor) -> LogCopies:
    """Compare small copies (B, T, 3, h, w), 0 where not valid, with their median over frames."""
    known = valid.to(frames.dtype)
    log = ((frames.clamp_min(0) + TOE) / (1 + TOE)).log()
    # Exposure first, so that the median mixes frames of equal brightness.
    exposure = weighted_mean((log - frame_median(log, valid)) * known, known)
    log = log - exposure
    median = frame_median(log, valid)
    darker = darker_median(log, median, valid)
    return LogCopies(known, exposure, log, median, (log - median) * known, (log - darker) * known)


def token_range(log: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Return minimum and maximum of each token of (B, T, 3, H, W), of the means of four pixels."""
    T = log.shape[1]
    covered = F.avg_pool2d(known.flatten(0, 1), 2) == 1
    means = F.avg_pool2d(log.flatten(0, 1), 2)
    least = -F.max_pool2d(torch.where(covered, -means, -BRIGHT), STRIDE // 2)
    most = F.max_pool2d(torch.where(covered, means, -BRIGHT), STRIDE // 2)
    return by_frame(least.clamp(-BRIGHT, BRIGHT), T), by_frame(most, T)


def weighted_mean(x: Tensor, weight: Tensor) -> Tensor:
    """Return the mean of ``x`` / weight over pixels, weighted, (B, T, C, 1, 1)."""
    return x.sum((3, 4), keepdim=True) / weight.sum((3, 4), keepdim=True).clamp_min(1e-6)


def block_means(x: Tensor, side: int) -> Tensor:
    """Return means over blocks of ``side`` pixels of (B, T, C, H, W)."""
    return by_frame(F.avg_pool2d(x.flatten(0, 1), side), x.shape[1])


def cells_of_tokens(x: Tensor) -> Tensor:
    """Rearrange tokens (B, T, h, w, 4 C) to (B, T, C, 2 h, 2 w)."""
    return by_frame(F.pixel_shuffle(x.movedim(-1, 2).flatten(0, 1), 2), x.shape[1])


def spread(x: Tensor, weight: Tensor) -> Tensor:
    """Return the smooth field of samples ``x`` / ``weight``: normalised convolution.

    Far from all samples it is their mean.
    """
    B, T, C, h, w = x.shape
    both = torch.cat((x, weight), dim=2)
    kernel = torch.exp(-torch.arange(-3, 4, dtype=x.dtype, device=x.device).square() / (2 * SPREAD**2))
    kernel = kernel / kernel.sum()
    flat = both.view(B * T * (C + 1), 1, h, w)
    flat = F.conv2d(flat, kernel.view(1, 1, 7, 1), padding=(3, 0))
    flat = F.conv2d(flat, kernel.view(1, 1, 1, 7), padding=(0, 3)).view(both.shape)
    mean = both.mean((3, 4), keepdim=True)
    mean = mean[:, :, :C] / mean[:, :, C:].clamp_min(1e-6)
    near, support = flat[:, :, :C], flat[:, :, C:]
    return (near + LEAST_SUPPORT * mean) / (support + LEAST_SUPPORT)


def describe_blocks(
    lit: Tensor, difference: Tensor, added: Tensor, distance: Tensor, known: Tensor, frames: Tensor
) -> Tensor:
    """Return means over blocks of 4 pixels, (B T, 18, 2 h, 2 w): mask first, most distant last."""
    planes = (known, lit * known, difference, added, distance, steepness(lit) * known, frames)
    means = [F.avg_pool2d(pad_to_multiple(p, STRIDE).flatten(0, 1), 4) for p in planes]
    most = F.max_pool2d(pad_to_multiple(distance.amax(2, keepdim=True), STRIDE).flatten(0, 1), 4)
    return torch.cat((*means, most), dim=1)


def score_clues(shares: Tensor, difference: Tensor, added: Tensor, distance: Tensor, frames: Tensor) -> Tensor:
    """Return the score of every pixel by its clues, (B, T, 1, H, W).

    The clues: the distance of each channel from the median, the sum of their differences, how
    clipped the pixel is, and the sum of the distances from the darker median.
    """
    score = (shares[:, :, :3] * distance).sum(2, keepdim=True)
    score = score + shares[:, :, 3:4] * difference.sum(2, keepdim=True)
    clipped = (frames.amax(2, keepdim=True) - NEARLY_CLIPPED).clamp_min(0)
    score = score + shares[:, :, 4:5] * clipped
    return CLUE_UNIT * (score + shares[:, :, 5:] * added.abs().sum(2, keepdim=True))


def darker_median(x: Tensor, median: Tensor, valid: Tensor) -> Tensor:
    """Return the median (B, 1, C, H, W) over the darker half of the frames, without a gradient.

    What a pane or gloss mirrors only adds light, so that where most frames show a reflection the
    median does too, and their lower quartile need not. Of a pixel, all channels of a frame are in
    its darker half or none is.

    Args:
        x: (B, T, C, H, W).
        median: (B, 1, C, H, W) over the frames.
        valid: (B, T, 1, H, W) bool.
    """
    with torch.no_grad():
        darker = x.sum(2, keepdim=True) <= median.sum(2, keepdim=True)
        # The median of channels need not be one of frames: then the half may be empty.
        half = darker & valid
        return median_aggregate(x.detach(), torch.where(half.any(1, keepdim=True), half, valid))[:, None]


def steepness(x: Tensor) -> Tensor:
    """Return how steep the mean of channels is, (B, T, 1, H, W): blurred frames are less so."""
    grey = x.mean(2, keepdim=True)
    right = F.pad(grey.diff(dim=-1).abs().flatten(1, 2), (0, 1)).view_as(grey)
    return right + F.pad(grey.diff(dim=-2).abs().flatten(1, 2), (0, 0, 0, 1)).view_as(grey)


def by_frame(x: Tensor, count: int) -> Tensor:
    """Reshape (B T, ...) to (B, T, ...)."""
    return x.view(-1, count, *x.shape[1:])
