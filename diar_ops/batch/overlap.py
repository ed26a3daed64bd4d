"""Which photos of a run show the same thing: matched as alignment does, on small copies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from diar_ops._errors import ImageError
from diar_ops._pixels import image_to_float, shrink_alike
from diar_ops._types import FeatureMap
from diar_ops.data import read_image
from diar_ops.matching import DenseDescriptor, DenseSIFT, match_pyramid
from diar_ops.pipeline import describe_images, verify_pairs

#: Longest side of the copies, in pixels.
COPY = 256
#: Photos of which all pairs are tried; of more only those that come next or look most alike.
ALL_PAIRS = 12
NEXT, ALIKE = 2, 8
#: Cells of a photo that stand for it where many are compared.
SKETCH = 128
#: Copies whose descriptors are kept in memory.
KEPT = 256


def split_by_overlap(paths: Sequence[Path]) -> list[list[int]]:
    """Group photos that show the same flat thing, directly or through others.

    Args:
        paths: Photos, neighbours beside each other where that is known.

    Returns:
        The indices of each group, in the order of the photos; one that cannot be read is alone.
    """
    group = list(range(len(paths)))  # the index of the first photo of each photo's group
    copies = _Copies(paths)
    for i, j in _candidates(copies, len(paths)):
        if group[i] != group[j] and _overlap(copies, i, j):
            first, second = sorted((group[i], group[j]))
            group = [first if g == second else g for g in group]
    return [[i for i, g in enumerate(group) if g == first] for first in sorted(set(group))]


class _Copies:
    """Small copies, described; the last ones used are kept."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = paths
        self.descriptor = DenseDescriptor(DenseSIFT(stride=8))
        self.describe = lru_cache(KEPT)(self._describe)

    def _describe(self, index: int) -> tuple[list[FeatureMap], tuple[int, int]] | None:
        try:
            photo = read_image(self.paths[index])
        except ImageError:
            return None
        image = image_to_float(shrink_alike(photo.pixels, COPY) if max(photo.size) > COPY else photo.pixels)
        if min(image.shape[-2:]) < 32:
            return None
        return describe_images(image[None], self.descriptor), (image.shape[-2], image.shape[-1])


def _candidates(copies: _Copies, count: int) -> Iterator[tuple[int, int]]:
    """Yield pairs that may show the same, the likeliest first."""
    pairs = [(i, j) for j in range(count) for i in range(j)]
    if count <= ALL_PAIRS:
        yield from sorted(pairs, key=lambda pair: pair[1] - pair[0])
        return
    sketches = [_sketch(copies, index) for index in range(count)]
    known = [index for index, sketch in enumerate(sketches) if sketch is not None]
    stacked = torch.stack([sketch for sketch in sketches if sketch is not None]) if known else torch.empty(0, 1, 1)
    yield from ((i, i + step) for step in range(1, NEXT + 1) for i in range(count - step))
    alike: dict[tuple[int, int], float] = {}
    for row, i in enumerate(known):
        # How well each cell of this photo is found again in each of the others.
        scores = (stacked[row] @ stacked.mT).amax(dim=-1).mean(dim=-1)
        scores[row] = -torch.inf
        for score, column in zip(*(t.tolist() for t in scores.topk(min(ALIKE, len(known) - 1))), strict=True):
            j = known[column]
            alike[min(i, j), max(i, j)] = max(score, alike.get((min(i, j), max(i, j)), -1.0))
    yield from sorted(alike, key=lambda pair: -alike[pair])


def _sketch(copies: _Copies, index: int) -> Tensor | None:
    """Return the descriptors (SKETCH, C) of cells all over a photo."""
    described = copies.describe(index)
    if described is None:
        return None
    cells = described[0][0].descriptors[0].flatten(1).mT
    chosen = torch.linspace(0, len(cells) - 1, SKETCH).round().long()
    return F.normalize(cells[chosen], dim=1)


def _overlap(copies: _Copies, i: int, j: int) -> bool:
    """Return whether a homography ties two photos."""
    first, second = copies.describe(i), copies.describe(j)
    if first is None or second is None:
        return False
    matches = match_pyramid(first[0], second[0], subpixel=True, max_matches=1000)
    pairs = verify_pairs(torch.tensor([[0, 1]]), matches, [first[1], second[1]])
    return bool(pairs.estimate.success[0])
