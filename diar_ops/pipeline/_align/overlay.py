"""Find what stands still in the photos of a sequence: captions, watermarks, dirt on the lens."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from diar_ops._pixels import image_size
from diar_ops.geometry import local_contrast
from diar_ops.pipeline._frames import Frame, WorkingCopy

#: Side of the blocks that are compared, in pixels of the copies, and their distance.
BLOCK, STRIDE = 8, 4
#: Correlation of a block with itself in other photos, in the median of pairs and in four of five.
STILL, MOSTLY_STILL = 0.6, 0.3
#: Where more than this share of the texture stands still, the camera does: all of it is the scene.
LARGEST_SHARE = 0.5
#: Unless it is a bar: nearly all of it within this share of the photo along an edge.
BAR, NEARLY_ALL = 0.35, 0.96
#: Photos that are compared, at most, and at least: two photos of one place agree by chance here and there.
MOST_PHOTOS, LEAST_PHOTOS = 8, 3
#: Standard deviation of brightness in a block, below which there is nothing to see.
TEXTURE = 0.02
#: Share of a block and its neighbours that stand still, too.
LEAST_AROUND = 0.4
#: Longest side of the copies that are compared, in pixels.
COPY_SIZE = 256


def hide_overlay(frames: Sequence[Frame], copies: Sequence[WorkingCopy | None]) -> list[Frame] | None:
    """Return the frames without what stands still in them; ``None`` if nothing does.

    Of frames of the commonest size only: in another, a caption lies elsewhere.

    Args:
        frames: All frames.
        copies: A small copy of each, ``None`` for a frame that cannot be used.
    """
    sizes = [None if copy is None else image_size(frame.image) for frame, copy in zip(frames, copies, strict=True)]
    known = [size for size in sizes if size is not None]
    if not known:
        return None
    size = max(known, key=lambda s: (known.count(s), s))
    overlay = find_overlay([c for c, s in zip(copies, sizes, strict=True) if c is not None and s == size])
    if overlay is None:
        return None
    seen = F.interpolate(overlay.float(), size=size, mode="nearest")[0] == 0
    return [_seen_only(frame, seen) if image_size(frame.image) == size else frame for frame in frames]


def _seen_only(frame: Frame, seen: Tensor) -> Frame:
    seen = seen.to(frame.image.device)
    return frame._replace(valid=seen if frame.valid is None else frame.valid & seen)


def find_overlay(copies: Sequence[WorkingCopy]) -> Tensor | None:
    """Return (1, 1, h, w) bool, what stands still in most photos while the rest moves; ``None`` if nothing does.

    Args:
        copies: Of photos of one size.
    """
    if len(copies) < LEAST_PHOTOS or min(copies[0].size) < 4 * BLOCK:
        return None
    copies = copies[:: -(-len(copies) // MOST_PHOTOS)]
    # Few and small: on the CPU, wherever the photos are.
    grey = torch.cat([copy.image.mean(1, keepdim=True) for copy in copies]).cpu()
    known = [None if copy.valid is None else copy.valid.cpu() for copy in copies]
    looks = [local_contrast(grey[t : t + 1], valid) for t, valid in enumerate(known)]
    contrast = torch.cat([values * seen for values, seen in looks])
    power = _means(contrast.square())
    spread = (_means(grey.square()) - _means(grey).square()).clamp_min(0).sqrt()
    first, second = torch.combinations(torch.arange(len(copies))).unbind(1)
    product = torch.cat([_means(contrast[i : i + 1] * contrast[j : j + 1]) for i, j in zip(first, second, strict=True)])
    correlation = product / (power[first] * power[second]).clamp_min(1e-12).sqrt()
    textured = spread.median(0).values > TEXTURE
    still = (correlation.median(0).values > STILL) & (correlation.quantile(0.2, dim=0) > MOSTLY_STILL) & textured
    # One block among others that move agrees by chance.
    around = F.avg_pool2d(still[None, None].float(), 3, 1, 1)[0, 0]
    still = still & (around > LEAST_AROUND)
    most = int(still.sum()) > LARGEST_SHARE * int(textured.sum())
    if not still.any() or (most and not _is_bar(still)):
        return None
    return _cover(still, copies[0].size)


def _is_bar(still: Tensor) -> bool:
    """Return whether blocks (h', w') lie along an edge, as a caption under a dark picture does."""
    shares = (still.sum(dim) / still.sum() for dim in (0, 1))
    ends = [part for share in shares for part in (share, share.flip(0))]
    return any(float(end[: round(BAR * len(end))].sum()) >= NEARLY_ALL for end in ends)


def _means(planes: Tensor) -> Tensor:
    """Return (N, h', w'), means over the blocks of (N, 1, h, w)."""
    return F.avg_pool2d(planes, BLOCK, STRIDE)[:, 0]


def _cover(still: Tensor, size: tuple[int, int]) -> Tensor:
    """Return (1, 1, h, w) bool, the pixels of blocks (h', w'), and those beside them."""
    block = torch.ones(1, 1, BLOCK, BLOCK, dtype=torch.float32, device=still.device)
    covered = F.conv_transpose2d(still[None, None].float(), block, stride=STRIDE)
    covered = F.pad(covered, (0, size[1] - covered.shape[-1], 0, size[0] - covered.shape[-2]))
    # What is described around a pixel reaches as far as the window of local contrast.
    return F.max_pool2d(covered, 2 * STRIDE + 1, 1, STRIDE) > 0
