"""Ask for a second hypothesis: would the photo fit as well elsewhere on its anchor?"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from diar_ops._pixels import image_gradient, image_size
from diar_ops.geometry import local_contrast, warp_homography
from diar_ops.pipeline._frames import WorkingCopy

#: Side of the blocks that give evidence, in pixels, and of those that are asked for detail: letters
#: and the rules beside them must not fall into one.
BLOCK, DETAIL_BLOCK = 12, 8
#: Correlation of lines from which on corners are asked to agree, too.
LEAST_LINES = 0.5
#: Change of brightness, as a logarithm, of a block that something hides; and what is added to brightness before.
HIDDEN, DARK = 0.35, 0.02
#: Blocks that hold hardly more than noise, as a share: what is in them is taken off the others twice.
_FLAT = 0.25
#: Rivals that are asked, the likeliest ones.
RIVALS = 6
#: Shifts by fewer pixels are the same place.
SAME_PLACE = 4
#: Longest side of the images whose correlation proposes rivals, in pixels.
_PROPOSAL_SIZE = 400
#: Largest shift of a rival, as a share of each side.
_LARGEST_SHIFT = 0.5


class Look(NamedTuple):
    """A photo as it is compared: local contrast (1, 1, h, w), where it is known, and brightness."""

    contrast: Tensor
    known: Tensor
    grey: Tensor


class Rival(NamedTuple):
    """Another place of a photo on its anchor.

    Attributes:
        x: How far its content would move, in pixels of the anchor's copy.
        y: The same, downwards.
        likeness: Correlation there, relative to that of the place itself.
        lead: By how many standard deviations of their sum the blocks speak for the place itself.
    """

    x: int
    y: int
    likeness: float
    lead: float


def look_at(copy: WorkingCopy) -> Look:
    """Return the look of an anchor, on the CPU: what is asked of it next depends on what was answered."""
    grey, valid = _grey(copy)
    return Look(*local_contrast(grey, valid), grey)


def look_through(copy: WorkingCopy, homography_anchor_copy: Tensor, size: tuple[int, int]) -> Look:
    """Return the look of a copy that is warped onto its anchor of ``size``, on the CPU."""
    grey, valid = _grey(copy)
    warped = warp_homography(grey, homography_anchor_copy[None].to(grey), valid, size=size, antialias=False)
    return Look(*local_contrast(warped.image, warped.valid), warped.image)


def _grey(copy: WorkingCopy) -> tuple[Tensor, Tensor | None]:
    return copy.image.mean(1, keepdim=True).cpu(), None if copy.valid is None else copy.valid.cpu()


def find_rivals(photo: Look, anchor: Look) -> list[Rival]:
    """Return the places, other than its own, where a photo is most like its anchor.

    The correlation of both proposes them: what repeats itself has peaks, straight lines have
    ridges. Each is then asked on full copies, only where photo and both places are known.
    """
    rivals = []
    for x, y, likeness in _propose(photo, anchor):
        moved = Look(*(_shift(plane, x, y) for plane in anchor))
        rivals.append(Rival(x, y, likeness, lead(anchor, moved, photo)))
    return rivals


def lead(one: Look, other: Look, judge: Look) -> float:
    """Return by how many standard deviations a third picture is rather like one than like the other.

    Where both are alike, noise aside, they cannot be told apart there, and the blocks cancel out.
    The deviation is that of the blocks' own sum, were each as likely to speak for the other.
    """
    known = one.known & other.known & judge.known
    votes = _block_sums(judge.contrast * (one.contrast - other.contrast) * known, BLOCK)
    return float(votes.sum() / votes.square().sum().clamp_min(1e-12).sqrt())


def likeness(photo: Look, anchor: Look) -> float:
    """Return the correlation of two photos over all that both know."""
    one, other = (look.contrast * photo.known * anchor.known for look in (photo, anchor))
    return float((one * other).sum() / (one.square().sum() * other.square().sum()).clamp_min(1e-12).sqrt())


def detail_kept(photo: Look, anchor: Look) -> float:
    """Return how much alike corners are, of letters or of brushwork, relative to straight lines.

    Sheets of one layout share their rules and lines of text, not what is written there; 1 is as
    much as of lines. Noise and blur take of both; what hides a part may take the corners alone, so that blocks
    which it hides are also left out, and the better of both answers counts. Where little is left of the
    lines, nothing can be said, and 1 is returned.
    """
    known = photo.known & anchor.known
    product, own, other = (
        _block_sums(a * b * known, DETAIL_BLOCK)
        for a, b in (
            (photo.contrast, anchor.contrast),
            (photo.contrast, photo.contrast),
            (anchor.contrast, anchor.contrast),
        )
    )
    correlation = product / (own * other).clamp_min(1e-12).sqrt()
    seen = _seen(photo, anchor, known, correlation)
    weights = [_corners_and_lines(look.grey, known) for look in (anchor, photo)]
    return max(
        min(_detail_kept(corners[asked], lines[asked], correlation[asked]) for corners, lines in weights)
        for asked in (torch.ones_like(seen), seen)
    )


def _seen(photo: Look, anchor: Look, known: Tensor, correlation: Tensor) -> Tensor:
    """Return (n,) bool, which blocks nothing hides that is brighter or darker than the picture there.

    Things in front are of another brightness; of another sheet of one layout, the paper is as bright as here.
    """
    count = _block_sums(known.to(photo.grey), DETAIL_BLOCK)
    one, other = (_block_sums(look.grey.clamp_min(0) * known, DETAIL_BLOCK) / count for look in (photo, anchor))
    change = ((one + DARK) / (other + DARK)).log()
    alike = change[(count > 0) & (correlation > LEAST_LINES)]
    if not len(alike):
        return torch.ones_like(count, dtype=torch.bool)
    return (change - alike.median()).abs() < HIDDEN


def _corners_and_lines(grey: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Return how much of corners and of lines is in each block, (n,)."""
    # Of brightness, not of its local contrast: in that, the noise of white paper is as strong as letters.
    dx, dy = (gradient * known for gradient in image_gradient(grey))
    xx, xy, yy = (_block_sums(p, DETAIL_BLOCK) for p in (dx * dx, dx * dy, dy * dy))
    across = ((xx - yy).square() / 4 + xy.square()).sqrt()
    return (xx + yy) / 2 - across, 2 * across  # the smaller eigenvalue; the larger one's excess


def _detail_kept(corners: Tensor, lines: Tensor, correlation: Tensor) -> float:
    of_corners, of_lines = (
        float((weight * correlation).sum() / weight.sum().clamp_min(1e-20))
        for weight in ((corners - 2 * corners.quantile(_FLAT)).clamp_min(0), lines)
    )
    return of_corners / of_lines if of_lines > LEAST_LINES and of_corners != 0 else 1.0


def _block_sums(plane: Tensor, side: int) -> Tensor:
    """Return (n,), sums over the blocks of (1, 1, h, w)."""
    return F.avg_pool2d(plane, side).flatten() * side**2


def _propose(photo: Look, anchor: Look) -> list[tuple[int, int, float]]:
    """Return shifts (x, y) of the highest peaks of the correlation but its own, and their height."""
    step = max(1, math.ceil(max(image_size(anchor.contrast)) / _PROPOSAL_SIZE))
    planes = [(look.contrast * look.known)[0, 0] for look in (photo, anchor)]
    if step > 1:
        planes = [F.avg_pool2d(plane[None, None], step)[0, 0] for plane in planes]
    size = planes[0].shape
    reach = [max(SAME_PLACE + 1, int(side * _LARGEST_SHIFT)) for side in size]
    padded = [_fast_length(side + most) for side, most in zip(size, reach, strict=True)]
    one, other = (torch.fft.rfft2(plane, s=padded) for plane in planes)
    surface = torch.fft.irfft2(one.conj() * other, s=padded)
    own = float(surface[0, 0].clamp_min(1e-12))
    # Rows and columns from the largest shift up and left to the largest down and right.
    for dim, most in enumerate(reach):
        surface = surface.roll(most, dim).narrow(dim, 0, 2 * most + 1)
    width = surface.shape[1]
    surface[tuple(slice(most - SAME_PLACE + 1, most + SAME_PLACE) for most in reach)] = -torch.inf
    highest = F.max_pool2d(surface[None, None], 2 * SAME_PLACE - 1, 1, SAME_PLACE - 1)[0, 0]
    peaks = torch.where(surface == highest, surface, -torch.inf).flatten()
    heights, places = peaks.topk(min(RIVALS, peaks.numel()))
    return [
        (step * (place % width - reach[1]), step * (place // width - reach[0]), height / own)
        for place, height in zip(places.tolist(), heights.tolist(), strict=True)
        if height > 0
    ]


def _fast_length(least: int) -> int:
    """Return a length of at least so many numbers whose transform is fast."""
    import cv2

    return int(cv2.getOptimalDFTSize(least))


def _shift(plane: Tensor, x: int, y: int) -> Tensor:
    """Return what lies ``x`` columns right and ``y`` rows below each pixel, 0 beyond the border."""
    height, width = plane.shape[-2:]
    return F.pad(plane, (max(0, -x), max(0, x), max(0, -y), max(0, y)))[
        ..., max(0, y) : max(0, y) + height, max(0, x) : max(0, x) + width
    ]
