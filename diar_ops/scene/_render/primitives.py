"""Intersect rays and shadow beams with the five kinds of objects, in closed form.

An object's *local coordinates* are those in which its half sizes are 1 (flat objects keep the
world's length along z). The first dimension of vectors is x, y, z, the last runs over pixels: what
belongs to an object has shape (n, 1), or (3, n, 1), and meets (n, N) pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops.scene.types import ObjectKind

#: A kind of objects, and where its rows begin and end.
Kind = tuple[int, int, int]

#: Below this a direction's component counts as zero.
TINY = 1e-12


class Primitives(NamedTuple):
    """The shapes of n objects of one kind.

    Attributes:
        position: (n, 3) centre.
        rotation: (n, 3, 3) from the object's axes to the world's.
        scale: (n, 3) half sizes, 1 along z for flat objects.
        outline: (n, 2, K) of a card.
        hole: (n,) of a disc.
    """

    position: Tensor
    rotation: Tensor
    scale: Tensor
    outline: Tensor
    hole: Tensor

    def select(self, rows: Tensor | slice) -> Primitives:
        return Primitives(*(field[rows] for field in self))


def by_kind(kinds: list[Kind], function: Callable[[int, slice], tuple[Tensor, ...]]) -> list[Tensor]:
    """Apply a function of a kind and its rows to each of ``kinds``, and join the results."""
    parts = [function(kind, slice(start, stop)) for kind, start, stop in kinds if stop > start]
    return [torch.cat(part, dim=-2) for part in zip(*parts, strict=True)]


def select_number(condition: Tensor, one: float, other: float, dtype: torch.dtype) -> Tensor:
    """Select numbers in ``dtype``: of two numbers, torch.where would make the default dtype."""
    return torch.full_like(condition, other, dtype=dtype).masked_fill(condition, one)


def dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(0)


def combine(vector: Tensor, columns: Tensor) -> Tensor:
    """Return matrices, whose columns are (3, 3, n, 1), times vectors (3, n, N)."""
    x, y, z = vector
    product: Tensor = x * columns[0] + y * columns[1] + z * columns[2]
    return product


def to_local(shape: Primitives, point: Tensor) -> Tensor:
    """Return the local coordinates (3, n, 1) of one world point (n, 3) for each object."""
    return (((point - shape.position)[:, None] @ shape.rotation)[:, 0] / shape.scale).mT[..., None]


def to_local_direction(shape: Primitives, direction: Tensor) -> Tensor:
    """Return world directions (3, n, N) in local coordinates."""
    to_axes = shape.rotation / shape.scale[:, None]
    return combine(direction, to_axes.permute(1, 2, 0)[..., None])


def intersect(kind: int, shape: Primitives, o: Tensor, d: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Intersect the rays o + s d, in local coordinates, with objects.

    Returns:
        s where a ray enters, s where it leaves, and whether it hits; (n, N) each.
    """
    if kind == ObjectKind.SPHERE:
        a, b, c = dot(d, d), dot(o, d), dot(o, o) - 1
        root = b * b - a * c
        half = root.clamp_min(0).sqrt()
        return (-b - half) / a, (half - b) / a, root > 0
    if kind == ObjectKind.BOX:
        low, high = _intersect_slab(o, d)
        near, far = low.amax(0), high.amin(0)
        return near, far, near < far
    if kind == ObjectKind.CYLINDER:
        across, along = o[:2], d[:2]
        a, b = dot(along, along) + TINY, dot(across, along)
        root = b * b - a * (dot(across, across) - 1)
        half = root.clamp_min(0).sqrt()
        low, high = _intersect_slab(o[2], d[2])
        near, far = torch.maximum((-b - half) / a, low), torch.minimum((half - b) / a, high)
        return near, far, (root > 0) & (near < far)
    s = -o[2] / _nonzero(d[2])
    p = o[:2] + s * d[:2]
    square = dot(p, p)
    if kind == ObjectKind.DISC:
        return s, s, (square < 1) & (square > shape.hole[:, None].square())
    return s, s, p.abs().amax(0) < _card_outline(shape, p, (square + TINY).sqrt())


def surface_normal(shape: Primitives, local: Tensor) -> Tensor:
    """Return the outward unit normals, in the world, to :func:`local_normal`."""
    local = local / shape.scale.mT[..., None]
    inverse_norm = (dot(local, local) + TINY).rsqrt()
    return combine(local, shape.rotation.permute(2, 1, 0)[..., None]) * inverse_norm


def local_normal(kind: int, p: Tensor) -> Tensor:
    """Return vectors along the outward normals of unit shapes at local points p of their surface."""
    if kind == ObjectKind.SPHERE:
        return p
    if kind == ObjectKind.BOX:
        size = p.abs()
        return p * (size >= size.amax(0))
    is_z = torch.arange(3, device=p.device)[:, None, None] == 2
    if kind == ObjectKind.CYLINDER:
        cap = p[2] * p[2] > p[0] * p[0] + p[1] * p[1]
        return p * (cap == is_z)
    return is_z.to(p.dtype).expand_as(p)


def beam_coverage(
    kind: int, shape: Primitives, source: Tensor, end: Tensor, source_width: Tensor, end_width: Tensor
) -> Tensor:
    """Return the share in [0, 1] of beams from ``source`` to ``end`` that an object blocks.

    A beam is as wide as stated at both of its ends and linearly between (world units, (n, 1)).
    The share is that of a line's signed distance from the silhouette over the beam's width there,
    on both sides, so that it is right for beams that are much wider or narrower than the object.
    A beam that begins within a solid is blocked.

    Args:
        kind: Of all the objects.
        shape: n objects.
        source: (n, 1) each, local coordinates of one end.
        end: (n, N) each, local coordinates of the other.
        source_width: (n, 1) width at the source.
        end_width: (n, 1) width at the end.
    """
    d = end - source
    if kind in (ObjectKind.DISC, ObjectKind.CARD):
        return _sheet_coverage(kind, shape, source, d, source_width, end_width)
    starts_inside = _contains(kind, source)
    if kind == ObjectKind.BOX:
        # Distances are measured along the axes: lengths must be the world's.
        size = shape.scale.mT[..., None]
        d, source = d * size, source * size
    # Where along the beam (0 source, 1 end) it is closest to the object's centre.
    s = -dot(source, d) / dot(d, d)
    width = source_width + s.clamp(0, 1) * (end_width - source_width)
    if kind == ObjectKind.SPHERE:
        coverage = _sphere_coverage(shape, source + s * d, width)
    elif kind == ObjectKind.BOX:
        coverage = _box_coverage(shape, source, d, width)
    else:
        coverage = _cylinder_coverage(shape, source, d, s, width)
    return (coverage * (s > 0) * (s < 1)).masked_fill(starts_inside, 1)


def _contains(kind: int, p: Tensor) -> Tensor:
    """Return whether local points are within a solid."""
    if kind == ObjectKind.BOX:
        return p.abs().amax(0) < 1
    if kind == ObjectKind.CYLINDER:
        return (p[0] * p[0] + p[1] * p[1] < 1) & (p[2].abs() < 1)
    return dot(p, p) < 1


def _sphere_coverage(shape: Primitives, closest: Tensor, width: Tensor) -> Tensor:
    """Return the coverage by an ellipsoid; ``closest`` is the beam's point nearest its centre."""
    r = (dot(closest, closest) + TINY).sqrt()
    q = closest / shape.scale.mT[..., None]
    width = width * dot(q, q).sqrt() / r
    return _overlap(r, 1.0, width) * (1.57 / width).clamp_max(1)


def _box_coverage(shape: Primitives, source: Tensor, d: Tensor, width: Tensor) -> Tensor:
    """Return the coverage by a box; ``source`` and ``d`` are in world lengths."""
    # A line misses a box if it misses its projection along one of the box's axes.
    (size1, size2), (source1, source2), (d1, d2) = (
        (v.roll(-1, 0), v.roll(-2, 0)) for v in (shape.scale.mT[..., None], source, d)
    )
    across = (source1 * d2 - source2 * d1).abs()
    reach = size1 * d2.abs() + size2 * d1.abs()
    parts = _overlap(across, reach, width * (d1 * d1 + d2 * d2 + TINY).sqrt())
    low, high = torch.minimum(parts[0], parts[1]), torch.maximum(parts[0], parts[1])
    # The product of the two smallest: exact for rectangles, 1 inside a hexagon.
    coverage = low * torch.minimum(high, parts[2])
    return torch.where(parts[2] < low, parts[2] * low, coverage)


def _cylinder_coverage(shape: Primitives, source: Tensor, d: Tensor, s: Tensor, width: Tensor) -> Tensor:
    """Return the coverage by a cylinder: across its round side times along its axis."""
    side = (d[0] * d[0] + d[1] * d[1] + TINY).sqrt()
    length = dot(d, d).sqrt()
    u = (source[0] * d[1] - source[1] * d[0]).abs() / side
    v = (source[2] + s * d[2]).abs() * length / side
    reach = (side + d[2].abs() * (1 - u * u).clamp_min(0).sqrt()) / length
    inverse = shape.scale.mT[..., None].reciprocal()
    across = ((d[1] * inverse[0]) ** 2 + (d[0] * inverse[1]) ** 2).sqrt() / side
    slant = d[2] / (side * length)
    along = (slant * d[0] * inverse[0]) ** 2 + (slant * d[1] * inverse[1]) ** 2
    along = (along + (side / length * inverse[2]) ** 2).sqrt()
    return _overlap(u, 1.0, width * across) * _overlap(v, reach, width * along)


def _sheet_coverage(
    kind: int, shape: Primitives, source: Tensor, d: Tensor, source_width: Tensor, end_width: Tensor
) -> Tensor:
    depth = _nonzero(d[2])
    s = -source[2] / depth
    p = source[:2] + s * d[:2]
    width = source_width + s.clamp(0, 1) * (end_width - source_width)
    r = (dot(p, p) + TINY).sqrt()
    # How fast the radius changes as the beam moves sideways: a sheet seen at a slant is narrow.
    slant = dot(p, d[:2]) / depth
    rate = (p / shape.scale[:, :2].mT[..., None]).square().sum(0) + slant * slant
    width = width * (rate.sqrt() / r + TINY)
    if kind == ObjectKind.DISC:
        hole = shape.hole[:, None]
        coverage = _overlap(r, 1.0, width) * (1.57 / width).clamp_max(1)
        coverage = coverage - _overlap(r, hole, width) * (1.57 * hole / width).clamp_max(1)
        coverage = coverage.clamp_min(0)
    else:
        reach = _card_outline(shape, p, r).clamp_min(0)
        distance = p.abs().amax(0)
        coverage = _overlap(distance, reach, width) * (2 / width).clamp_max(1)
    return coverage * (s > 0) * (s < 1)


def _card_outline(shape: Primitives, p: Tensor, r: Tensor) -> Tensor:
    """Return how far, by max(|x|, |y|), a card reaches in the direction of p (2, n, N), |p| = r."""
    direction = p / r
    outline = shape.outline.permute(2, 1, 0)[..., None]  # [K, 2, n, 1]
    # cos and sin of multiples by Chebyshev's recursion.
    before, now, twice = torch.ones_like(direction), direction, 2 * direction[0]
    before[1] = 0
    terms = outline[0] * now
    for term in outline[1:]:
        before, now = now, twice * now - before
        terms = torch.addcmul(terms, term, now)
    return 1 + terms.sum(0)


def _overlap(distance: Tensor, reach: Tensor | float, width: Tensor) -> Tensor:
    """Return the share of a beam, ``distance`` >= 0 off the middle, that is within +- reach."""
    inverse = 1 / width
    return _smooth_step(torch.stack((reach - distance, reach + distance)) * inverse).sum(0)


def _smooth_step(x: Tensor) -> Tensor:
    """Rise smoothly from -1/2 at -1/2 to 1/2 at 1/2."""
    x = x.clamp(-0.5, 0.5)
    return x * torch.rsub(x * x, 1.5, alpha=2)


def _intersect_slab(o: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
    """Return where o + s d enters and leaves -1 to 1."""
    inverse = 1 / _nonzero(d)
    middle, half = -o * inverse, inverse.abs()
    return middle - half, middle + half


def _nonzero(x: Tensor) -> Tensor:
    return x.masked_fill(x.abs() < TINY, TINY)
