"""Adjust all frames that are in place jointly: each to the reference and to others beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from diar_ops._types import BundleAdjustment, FeatureMap, Matches
from diar_ops.geometry import (
    bundle_adjust_homographies,
    transform_points,
    warp_homography,
)
from diar_ops.matching import match_local
from diar_ops.pipeline._frames import WorkingCopy, hide_invalid, image_size
from diar_ops.pipeline._graph import plausible
from diar_ops.pipeline._pairs import Descriptor
from diar_ops.pipeline._refine import Refined

__all__ = ["STRIDE", "adjust_jointly", "trusted"]

#: Stride of the cells that are matched, in pixels; the search, in cells; every how many-th cell.
STRIDE, RADIUS, STEP = 2, 2, 2
#: Frames that each frame is matched with beside the one it was laid over.
NEIGHBOURS = 3
#: Most matches of a pair: more add time, not accuracy.
MOST_MATCHES = 2000
#: A pair shares at least this part of the view.
LEAST_SHARED = 0.1
#: Pixels of the views that are kept at a time, and how many views at least: 1.6 GB with dense SIFT.
#: Those beyond are described again.
MOST_PIXELS, LEAST_VIEWS = 12 * 1024**2, 4


class _View(NamedTuple):
    """A frame as it lies over another.

    Attributes:
        features: Of the warped frame, in pixels of the other's working copy.
        usable: (h, w) bool, cells with a descriptor.
        frame_view: (3, 3) float64, full-resolution pixels of the frame ~ M @ pixels of the view.
    """

    features: FeatureMap
    usable: Tensor
    frame_view: Tensor


def adjust_jointly(
    placed: dict[int, Refined],
    reference: int,
    sizes: list[tuple[int, int]],
    copy_of: Callable[[int], WorkingCopy],
    descriptor: Descriptor,
    progress: Callable[[str, int, int], None],
) -> BundleAdjustment | None:
    """Match frames within the views that they were laid over, and adjust all homographies.

    What hides a part of the reference, or glares there, leaves a frame loosely tied to it. Other
    frames show that part.

    Args:
        placed: Frames that agree with what they were laid over, beside the reference.
        reference: The reference.
        sizes: (height, width) of every frame.
        copy_of: Returns the working copy of a frame.
        descriptor: Of cells of :data:`STRIDE` pixels.
        progress: Called with (name of the step, done, in all).

    Returns:
        :class:`BundleAdjustment` of all frames, in full-resolution pixels, without ``success`` for
        those that no others tie; ``None`` if there is nothing to adjust.
    """
    if not placed:
        return None
    homography = torch.eye(3, dtype=torch.float64).repeat(len(sizes), 1, 1)
    for t, refined in placed.items():
        homography[t] = refined.homography_reference_frame
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        progress("adjusting jointly", done, len(placed))

    rows: list[tuple[int, int]] = []
    points: list[tuple[Tensor, Tensor]] = []
    for anchor in sorted({refined.anchor for refined in placed.values()}):
        over = sorted(t for t, refined in placed.items() if refined.anchor == anchor)
        for pair, found in _match_over(anchor, over, homography, copy_of, descriptor, step):
            if len(found[0]):
                rows.append(pair)
                points.append(found)
    if not rows:
        return None
    nan = float("nan")
    points0, points1 = (
        pad_sequence(list(side), batch_first=True, padding_value=nan)
        for side in zip(*points, strict=True)
    )
    return bundle_adjust_homographies(
        torch.tensor(rows), points0, points1, homography, torch.tensor(sizes), reference=reference
    )


def trusted(adjusted: BundleAdjustment, t: int, size: tuple[int, int]) -> bool:
    """Return whether the adjusted homography of frame ``t`` can replace the one it had."""
    return bool(adjusted.success[t]) and plausible(adjusted.homography[t], size)


def _match_over(
    anchor: int,
    over: list[int],
    homography: Tensor,
    copy_of: Callable[[int], WorkingCopy],
    descriptor: Descriptor,
    step: Callable[[], None],
) -> Iterator[tuple[tuple[int, int], tuple[Tensor, Tensor]]]:
    """Yield pairs of the anchor and the frames that lie over it, and where they show the same.

    Nothing, if no two frames beside the anchor show the same: that would be no news.
    """
    base = copy_of(anchor)
    size = image_size(base.image)
    view_anchor = base.working_full @ torch.linalg.inv(homography[anchor])

    @lru_cache(max(LEAST_VIEWS, MOST_PIXELS // (size[0] * size[1])))
    def view(t: int) -> _View:
        return _view(copy_of(t), view_anchor @ homography[t], size, descriptor)

    if len(over) == 1:
        step()
        return
    usable = {anchor: view(anchor).usable}
    for t in over:
        usable[t] = view(t).usable
        step()
    pairs = _pairs_of(usable, anchor)
    if len(pairs) > len(over):
        for i, j in pairs:
            yield (i, j), _match(view(i), view(j))


def _view(
    copy: WorkingCopy, view_frame: Tensor, size: tuple[int, int], descriptor: Descriptor
) -> _View:
    """Warp a frame by ``view_frame``, from its full-resolution pixels, and describe it."""
    H = view_frame @ torch.linalg.inv(copy.working_full)
    warped = warp_homography(copy.image, H[None].to(copy.image), copy.valid, size=size)
    features = descriptor(hide_invalid(warped.image, warped.valid))
    usable = features.descriptors[0].detach().abs().sum(0) > 0
    if features.valid is not None:
        usable = usable & features.valid[0]
    return _View(features, usable, torch.linalg.inv(view_frame))


def _pairs_of(usable: dict[int, Tensor], anchor: int) -> list[tuple[int, int]]:
    """Return each frame with the anchor, and with those that share most of what it shows.

    Args:
        usable: (h, w) bool by frame, cells with a descriptor.
        anchor: The frame in whose view they are.
    """
    shown = {t: float(cells.float().mean()) for t, cells in usable.items()}
    others = [t for t in usable if t != anchor]
    pairs = {(t, anchor) for t in others}
    for t in others:
        shared = {p: float((usable[t] & usable[p]).float().mean()) for p in others if p != t}
        enough = [p for p in shared if shared[p] >= LEAST_SHARED * max(shown.values())]
        for p in sorted(enough, key=lambda p: (-shared[p], p))[:NEIGHBOURS]:
            # From the one that shows more, so that the order of the frames does not matter.
            pairs.add((t, p) if (shown[t], -t) >= (shown[p], -p) else (p, t))
    return sorted(pairs)


def _match(one: _View, other: _View) -> tuple[Tensor, Tensor]:
    """Return where the frames show the same, in their full-resolution pixels, on the CPU."""
    found: Matches = match_local(one.features, other.features, radius=RADIUS, step=STEP)
    keep = found.valid[0].nonzero().squeeze(1)
    if len(keep) > MOST_MATCHES:  # evenly over the picture
        keep = keep[torch.linspace(0, len(keep) - 1, MOST_MATCHES).long()]
    here = found.points0[0, keep].to("cpu", torch.float64)
    there = found.points1[0, keep].to("cpu", torch.float64)
    return (
        transform_points(here, one.frame_view).points,
        transform_points(there, other.frame_view).points,
    )
