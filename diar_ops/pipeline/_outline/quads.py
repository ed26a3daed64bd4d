"""Quadrilaterals of lines, and which of them is an outline."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from diar_ops.pipeline._outline.evidence import CLEAR_EDGE, EdgeEvidence, sample
from diar_ops.pipeline._outline.lines import Lines

#: Opposite sides differ by less than this angle, neighbours by more than that one.
_PARALLEL, _CROSSING = math.radians(35), math.radians(40)
#: Least length of a side, in shares of the canvas's shorter one.
_SHORTEST = 0.15
#: How far beyond the canvas a corner may be, in shares of its longest side.
_BEYOND = 0.02
#: Quadrilaterals with the best edges whose surroundings are looked at.
_CANDIDATES = 1500
#: Distances from a side, in shares of the root of the area, at which its surroundings are looked at.
_NEAR, _FAR = 0.025, 0.12
#: Weight of the logarithm of the area: of nested outlines, the outer one.
_LARGE = 0.15
#: A side whose surroundings are seen less tells nothing of them.
_SEEN = 0.15


class Outlines(NamedTuple):
    """Candidates for the outline, best first.

    Attributes:
        corners: (N, 4, 2) around each, in pixels of the canvas.
        edge: (N, 4) share of each side that is an edge.
        plain: (N, 4) how plain it is outside of each side, from 0 to 1.
        seen: (N, 4) share of the surroundings of each side that is seen.
        area: (N,) in pixels.
        score: (N,).
    """

    corners: Tensor
    edge: Tensor
    plain: Tensor
    seen: Tensor
    area: Tensor
    score: Tensor

    def take(self, index: Tensor) -> Outlines:
        """Return some of the candidates."""
        return Outlines(*(x[index] for x in self))


def rank_outlines(lines: Lines, evidence: EdgeEvidence) -> Outlines:
    """Rank all quadrilaterals of lines by their edges, by how plain it is around them, and by size."""
    sides, corners = _quadrilaterals(lines, evidence.seen)
    edge = _edge_shares(lines, sides, corners)
    known = edge.clamp_min(1e-3).log()
    area = _area(corners)
    score = 0.5 * (known.mean(1) + known.amin(1)) + _LARGE * (area / evidence.seen.numel()).log()
    unknown = torch.zeros_like(edge)
    best = score.argsort(descending=True)[:_CANDIDATES]
    found = Outlines(corners, edge, unknown, unknown, area, score).take(best)
    if not len(best):
        return found
    plain, seen = _surroundings(found.corners, found.area, evidence)
    score = found.score + plain.clamp_min(1e-2).log().mean(1)
    return found._replace(plain=plain, seen=seen, score=score).take(score.argsort(descending=True))


def _quadrilaterals(lines: Lines, seen: Tensor) -> tuple[Tensor, Tensor]:
    """Return which lines (N, 4) are the sides of convex quadrilaterals, and their corners (N, 4, 2).

    Corner k lies between the sides k - 1 and k.
    """
    height, width = seen.shape
    shortest = _SHORTEST * min(height, width)
    cosine = lines.normal @ lines.normal.T
    angle = cosine.abs().clamp(max=1).acos()
    offset = (lines.foot * lines.normal).sum(-1)
    middle = torch.tensor([(width - 1) / 2, (height - 1) / 2])
    distance = offset - lines.normal @ middle
    i, j = torch.triu_indices(len(offset), len(offset), 1)
    apart = (distance[i] - distance[j] * cosine[i, j].sign()).abs()
    opposite = (angle[i, j] < _PARALLEL) & (apart > shortest)
    i, j = i[opposite], j[opposite]
    a, b = torch.triu_indices(len(i), len(i), 1)
    crossing = angle[i[a], i[b]] > _CROSSING
    a, b = a[crossing], b[crossing]
    sides = torch.stack((i[a], i[b], j[a], j[b]), -1)
    corners = _intersections(lines.normal[sides], offset[sides])
    edges = corners.roll(-1, 1) - corners
    following = edges.roll(-1, 1)
    turns = edges[..., 0] * following[..., 1] - edges[..., 1] * following[..., 0]
    beyond = _BEYOND * max(height, width)
    limit = torch.tensor([width - 1 + beyond, height - 1 + beyond])
    fits = (turns > 0).all(1) | (turns < 0).all(1)
    fits &= ((corners > -beyond) & (corners < limit)).flatten(1).all(1)
    fits &= edges.norm(dim=-1).amin(1) > shortest
    return sides[fits], corners[fits]


def _intersections(normal: Tensor, offset: Tensor) -> Tensor:
    """Return where each of four lines (N, 4) meets the one before."""
    (ax, ay), (bx, by) = normal.roll(1, 1).unbind(-1), normal.unbind(-1)
    a, b = offset.roll(1, 1), offset
    det = ax * by - ay * bx
    return torch.stack((a * by - b * ay, ax * b - bx * a), -1) / det[..., None]


def _edge_shares(lines: Lines, sides: Tensor, corners: Tensor) -> Tensor:
    """Return the share (N, 4) of each side along which there is an edge."""
    sums = F.pad((lines.edge * lines.seen).cumsum(1), (1, 0))
    half = (lines.edge.shape[1] - 1) // 2
    ends = torch.stack((corners, corners.roll(-1, 1)), -2) - lines.foot[sides][:, :, None]
    place = (ends * lines.along[sides][:, :, None]).sum(-1)  # [N, 4, 2]
    # A blurred corner is an edge of neither side.
    first = (place.amin(-1) + 2 + half).round().long().clamp(0, 2 * half)
    last = (place.amax(-1) - 2 + half).round().long().clamp(0, 2 * half)
    return (sums[sides, last + 1] - sums[sides, first]) / (last - first + 1).clamp_min(1)


def _area(corners: Tensor) -> Tensor:
    (x, y), (u, v) = corners.unbind(-1), corners.roll(-1, -2).unbind(-1)
    return 0.5 * (x * v - y * u).sum(-1).abs()


def _surroundings(corners: Tensor, area: Tensor, evidence: EdgeEvidence) -> tuple[Tensor, Tensor]:
    """Return how plain it is outside of each side (N, 4), and which share of that is seen."""
    strength = (evidence.gradient.flatten(0, 1).norm(dim=0) / CLEAR_EDGE).clamp(max=1)
    texture = F.avg_pool2d(strength[None], 5, 1, 2)[0]
    edges = corners.roll(-1, 1) - corners
    outward = torch.stack((edges[..., 1], -edges[..., 0]), -1)
    outward = outward / outward.norm(dim=-1, keepdim=True)
    middles = corners + 0.5 * edges
    inward = ((middles - corners.mean(1, keepdim=True)) * outward).sum(-1) < 0
    outward = torch.where(inward[..., None], -outward, outward)
    points = corners[:, :, None] + edges[:, :, None] * torch.linspace(0.02, 0.98, 40)[:, None]
    distance = (torch.linspace(_NEAR, _FAR, 6) * area.sqrt()[:, None]).clamp_min(3)
    points = points[:, :, None] + (distance[:, None, :, None] * outward[:, :, None])[:, :, :, None]  # [N, 4, 6, 40, 2]
    found, weight = sample(torch.stack((texture, evidence.seen.float())), points).unbind(-1)
    seen = weight.mean((2, 3))
    plain = 1 - (found * weight).sum((2, 3)) / weight.sum((2, 3)).clamp_min(1e-3)
    return torch.where(seen > _SEEN, plain, 0.5), seen
