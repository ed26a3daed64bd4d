"""Guide the search: correspondences that others near them agree with are drawn more often.

True correspondences that are neighbours in one image are neighbours in the other, whatever the
homography. Wrong ones have few neighbours in both at once.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

#: Grids of cells of both images, by the number of cells along the side of a square that the points
#: fill evenly: the number of neighbours is the mean over all grids.
_GRIDS = (24.0, 19.0, 15.5, 12.5, 10.0, 8.0)
#: That side, in units of the points' spread.
_SIDE = 12.0**0.5
#: Cells are counted in a table of 2 to this power places.
_BITS = 14
#: Of a multiplicative hash, for x, y, x', y'.
_FACTORS = (0x2C1B3C6D, 0x297A2D39, 0x1B56C4E9, 0x7FEB352D)
#: How often neighbours are asked, the first time as equals, then by what theirs have said.
_PASSES = 2
#: Neighbours that do not count, in units of those that a pair of points that do not belong together
#: has.
_ACCIDENTAL = 2.0
#: Weight that is spread over all correspondences.
_BASE = 0.1
#: Length of the list that stands for the weights.
_ENTRIES = 4096

#: Random numbers that :func:`guide_by_neighbours` needs.
OFFSETS = (len(_GRIDS), 4)


class Guide(NamedTuple):
    """Probabilities with which a guided sample draws each correspondence."""

    entries: Tensor  # (B, L) int64, a list that holds each as often as its probability says
    share: Tensor  # (B, N) these probabilities

    def draw(self, uniform: Tensor) -> Tensor:
        """Return indices (B, 4, M) of correspondences, by random numbers (4, M) in [0, 1)."""
        number = (uniform * _ENTRIES).long().clamp_(max=_ENTRIES - 1)
        return self.entries.index_select(1, number.flatten()).view(-1, *uniform.shape)

    def items(self, index: Tensor) -> Guide:
        """Return the batch items ``index``."""
        return Guide(self.entries[index], self.share[index])


def guide_by_neighbours(points: Tensor, count: Tensor, offsets: Tensor) -> Guide:
    """Return how often to draw each correspondence: the likelier it is that its neighbours agree.

    The weight of a correspondence is ``d / (1 + d)``, where ``d`` is the number of its neighbours,
    those within its cell in both images, less what chance gives: as many as the first place of one
    correspondence and the second of another have. Then neighbours count by their weights, as in a
    power iteration for the leading eigenvector of the graph of neighbours (after Leordeanu &
    Hebert, A spectral technique for correspondence problems, ICCV 2005; cells after Bian et al.,
    GMS: Grid-based motion statistics, CVPR 2017).

    Args:
        points: (B, 4, N) x, y, x', y' of unit spread.
        count: (B,) usable points, the first ones of each item.
        offsets: (G, 4) random numbers in [0, 1) that shift the grids.
    """
    numbers = torch.arange(points.shape[2], device=points.device)
    usable = (numbers < count[:, None]).to(points.dtype)
    pairs = (count[:, None] - 1).clamp_min(1)
    first_of_two = (numbers < pairs).to(points.dtype)
    weight, places, accidental = usable, [], torch.zeros_like(points[:, 0, :1])
    table, mask = points.new_empty(len(points), 1 << _BITS), (1 << _BITS) - 1
    factors = torch.stack([torch.full_like(count[:1], factor) for factor in _FACTORS]).to(torch.int32)  # [4, 1]

    def votes(place: Tensor) -> Tensor:
        return table.zero_().scatter_add_(1, place, weight)

    for cells, offset in zip(_GRIDS, offsets, strict=True):
        cell = torch.add(offset[:, None], points, alpha=cells / _SIDE).floor_().to(torch.int32)
        src_x, src_y, dst_x, dst_y = cell.mul_(factors).unbind(1)
        src, dst = src_x.add_(src_y), dst_x.add_(dst_y)
        place, stranger = (
            ((src + other) >> (31 - _BITS)).bitwise_and_(mask).long() for other in (dst, dst.roll(-1, 1))
        )
        places.append(place)
        met = votes(place).gather(1, stranger)
        accidental = accidental + (met * first_of_two).sum(-1, keepdim=True)
    accidental = accidental * (_ACCIDENTAL / (len(_GRIDS) * pairs))
    for _ in range(_PASSES):
        neighbours = torch.zeros_like(weight)
        for place in places:
            neighbours.add_(votes(place).gather(1, place))
        mean = weight.sum(-1, keepdim=True) / count[:, None].clamp_min(1)
        agreeing = neighbours.div_(len(_GRIDS)).sub_(weight).sub_(accidental * mean).clamp_min_(0.0)
        weight = agreeing.div_(agreeing + 1.0).mul_(usable)
    return _list(weight + usable * (_BASE / count[:, None].clamp_min(1)))


def _list(weight: Tensor) -> Guide:
    """Return the list of entries that stands for ``weight`` (B, N)."""
    total = weight.cumsum(-1)
    ends = (total / total[:, -1:].clamp_min(1e-30)).mul_(_ENTRIES).round_().to(torch.int64)
    steps = torch.zeros(len(weight), _ENTRIES + 1, dtype=torch.int64, device=weight.device)
    steps.scatter_add_(1, ends, torch.ones_like(ends))
    entries = steps[:, :-1].cumsum(-1).clamp_(max=weight.shape[1] - 1)
    return Guide(entries, ends.diff(prepend=torch.zeros_like(ends[:, :1])).to(weight.dtype) / _ENTRIES)
