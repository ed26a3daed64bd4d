"""Intersect rays and shadow beams with the five kinds of objects, in closed form.

An object's *local coordinates* are those in which its half sizes are 1 (flat objects keep the
world's length along z). Vectors are triples of tensors that broadcast against each other, the last
dimension runs over pixels: what belongs to an object has shape (n, 1) and meets (n, N) pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops.scene.types import ObjectKind

Vector = tuple[Tensor, Tensor, Tensor]
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
    return [torch.cat(part) for part in zip(*parts, strict=True)]


def vector(component: Callable[[int], Tensor]) -> Vector:
    """Return the vector whose x, y and z are ``component`` of 0, 1 and 2."""
    return component(0), component(1), component(2)


def select_number(condition: Tensor, one: float, other: float, dtype: torch.dtype) -> Tensor:
    """Select numbers in ``dtype``: of two numbers, torch.where would make the default dtype."""
    return torch.full_like(condition, other, dtype=dtype).masked_fill(condition, one)


def dot(a: Vector, b: Vector) -> Tensor:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def scale_vector(a: Vector, factor: Tensor) -> Vector:
    return a[0] * factor, a[1] * factor, a[2] * factor


def to_local(shape: Primitives, point: Tensor) -> Vector:
    """Return the local coordinates, each (n, 1), of one world point (n, 3) for each object."""
    local = ((point - shape.position)[:, None] @ shape.rotation)[:, 0] / shape.scale
    return local[:, 0:1], local[:, 1:2], local[:, 2:3]


def to_local_direction(shape: Primitives, direction: Vector) -> Vector:
    """Return world directions, each (n, N), in local coordinates."""
    to_axes = shape.rotation / shape.scale[:, None]
    x, y, z = direction
    return vector(lambda i: x * to_axes[:, 0, i, None] + y * to_axes[:, 1, i, None] + z * to_axes[:, 2, i, None])


def intersect(kind: int, shape: Primitives, o: Vector, d: Vector) -> tuple[Tensor, Tensor, Tensor]:
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
        near, far = _intersect_slab(o[0], d[0])
        for i in (1, 2):
            low, high = _intersect_slab(o[i], d[i])
            near, far = torch.maximum(near, low), torch.minimum(far, high)
        return near, far, near < far
    if kind == ObjectKind.CYLINDER:
        a = d[0] * d[0] + d[1] * d[1] + TINY
        b = o[0] * d[0] + o[1] * d[1]
        root = b * b - a * (o[0] * o[0] + o[1] * o[1] - 1)
        half = root.clamp_min(0).sqrt()
        low, high = _intersect_slab(o[2], d[2])
        near, far = torch.maximum((-b - half) / a, low), torch.minimum((half - b) / a, high)
        return near, far, (root > 0) & (near < far)
    s = -o[2] / _nonzero(d[2])
    x, y = o[0] + s * d[0], o[1] + s * d[1]
    if kind == ObjectKind.DISC:
        square = x * x + y * y
        return s, s, (square < 1) & (square > shape.hole[:, None].square())
    return s, s, torch.maximum(x.abs(), y.abs()) < _card_outline(shape, x, y)


def surface_normal(shape: Primitives, local: Vector) -> Vector:
    """Return the outward unit normals, in the world, to :func:`local_normal`."""
    x, y, z = vector(lambda i: local[i] / shape.scale[:, i : i + 1])
    inverse_norm = (dot((x, y, z), (x, y, z)) + TINY).rsqrt()
    R = shape.rotation
    return vector(lambda i: (x * R[:, i, 0:1] + y * R[:, i, 1:2] + z * R[:, i, 2:3]) * inverse_norm)


def local_normal(kind: int, p: Vector) -> Vector:
    """Return vectors along the outward normals of unit shapes at local points p of their surface."""
    if kind == ObjectKind.SPHERE:
        return p
    zero = torch.zeros_like(p[0])
    if kind == ObjectKind.BOX:
        size = [x.abs() for x in p]
        largest = torch.maximum(torch.maximum(size[0], size[1]), size[2])
        return vector(lambda i: torch.where(size[i] >= largest, p[i], zero))
    if kind == ObjectKind.CYLINDER:
        cap = p[2] * p[2] > p[0] * p[0] + p[1] * p[1]
        return vector(lambda i: torch.where(cap == (i == 2), p[i], zero))
    return zero, zero, torch.ones_like(zero)


def beam_coverage(
    kind: int, shape: Primitives, source: Vector, end: Vector, source_width: Tensor, end_width: Tensor
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
    d = vector(lambda i: end[i] - source[i])
    if kind in (ObjectKind.DISC, ObjectKind.CARD):
        return _sheet_coverage(kind, shape, source, d, source_width, end_width)
    starts_inside = _contains(kind, source)
    if kind == ObjectKind.BOX:
        # Distances are measured along the axes: lengths must be the world's.
        sx, sy, sz = vector(lambda i: shape.scale[:, i : i + 1])
        d = (d[0] * sx, d[1] * sy, d[2] * sz)
        source = (source[0] * sx, source[1] * sy, source[2] * sz)
    # Where along the beam (0 source, 1 end) it is closest to the object's centre.
    s = -dot(source, d) / dot(d, d)
    width = source_width + s.clamp(0, 1) * (end_width - source_width)
    if kind == ObjectKind.SPHERE:
        coverage = _sphere_coverage(shape, vector(lambda i: source[i] + s * d[i]), width)
    elif kind == ObjectKind.BOX:
        coverage = _box_coverage(shape, source, d, width)
    else:
        coverage = _cylinder_coverage(shape, source, d, s, width)
    return torch.where(starts_inside, 1, coverage * (s > 0) * (s < 1))


def _contains(kind: int, p: Vector) -> Tensor:
    """Return whether local points are within a solid."""
    if kind == ObjectKind.BOX:
        return torch.maximum(torch.maximum(p[0].abs(), p[1].abs()), p[2].abs()) < 1
    if kind == ObjectKind.CYLINDER:
        return (p[0] * p[0] + p[1] * p[1] < 1) & (p[2].abs() < 1)
    return dot(p, p) < 1


def _sphere_coverage(shape: Primitives, closest: Vector, width: Tensor) -> Tensor:
    """Return the coverage by an ellipsoid; ``closest`` is the beam's point nearest its centre."""
    r = (dot(closest, closest) + TINY).sqrt()
    q = vector(lambda i: closest[i] / shape.scale[:, i : i + 1])
    width = width * dot(q, q).sqrt() / r
    return _overlap(r, 1.0, width) * (1.57 / width).clamp_max(1)


def _box_coverage(shape: Primitives, source: Vector, d: Vector, width: Tensor) -> Tensor:
    """Return the coverage by a box; ``source`` and ``d`` are in world lengths."""
    size = vector(lambda i: shape.scale[:, i : i + 1])
    # A line misses a box if it misses its projection along one of the box's axes.
    parts = []
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        across = (source[j] * d[k] - source[k] * d[j]).abs()
        reach = size[j] * d[k].abs() + size[k] * d[j].abs()
        parts.append(_overlap(across, reach, width * (d[j] * d[j] + d[k] * d[k] + TINY).sqrt()))
    low, high = torch.minimum(parts[0], parts[1]), torch.maximum(parts[0], parts[1])
    # The product of the two smallest: exact for rectangles, 1 inside a hexagon.
    coverage = low * torch.minimum(high, parts[2])
    return torch.where(parts[2] < low, parts[2] * low, coverage)


def _cylinder_coverage(shape: Primitives, source: Vector, d: Vector, s: Tensor, width: Tensor) -> Tensor:
    """Return the coverage by a cylinder: across its round side times along its axis."""
    side = (d[0] * d[0] + d[1] * d[1] + TINY).sqrt()
    length = dot(d, d).sqrt()
    u = (source[0] * d[1] - source[1] * d[0]).abs() / side
    v = (source[2] + s * d[2]).abs() * length / side
    reach = (side + d[2].abs() * (1 - u * u).clamp_min(0).sqrt()) / length
    inverse = vector(lambda i: 1 / shape.scale[:, i : i + 1])
    across = ((d[1] * inverse[0]) ** 2 + (d[0] * inverse[1]) ** 2).sqrt() / side
    slant = d[2] / (side * length)
    along = (slant * d[0] * inverse[0]) ** 2 + (slant * d[1] * inverse[1]) ** 2
    along = (along + (side / length * inverse[2]) ** 2).sqrt()
    return _overlap(u, 1.0, width * across) * _overlap(v, reach, width * along)


def _sheet_coverage(
    kind: int, shape: Primitives, source: Vector, d: Vector, source_width: Tensor, end_width: Tensor
) -> Tensor:
    s = -source[2] / _nonzero(d[2])
    x, y = source[0] + s * d[0], source[1] + s * d[1]
    width = source_width + s.clamp(0, 1) * (end_width - source_width)
    r = (x * x + y * y + TINY).sqrt()
    # How fast the radius changes as the beam moves sideways: a sheet seen at a slant is narrow.
    slant = (x * d[0] + y * d[1]) / _nonzero(d[2])
    rate = (x / shape.scale[:, 0:1]) ** 2 + (y / shape.scale[:, 1:2]) ** 2 + slant * slant
    width = width * (rate.sqrt() / r + TINY)
    if kind == ObjectKind.DISC:
        hole = shape.hole[:, None]
        coverage = _overlap(r, 1.0, width) * (1.57 / width).clamp_max(1)
        coverage = coverage - _overlap(r, hole, width) * (1.57 * hole / width).clamp_max(1)
        coverage = coverage.clamp_min(0)
    else:
        reach = _card_outline(shape, x, y).clamp_min(0)
        distance = torch.maximum(x.abs(), y.abs())
        coverage = _overlap(distance, reach, width) * (2 / width).clamp_max(1)
    return coverage * (s > 0) * (s < 1)


def _card_outline(shape: Primitives, x: Tensor, y: Tensor) -> Tensor:
    """Return how far, by max(|x|, |y|), a card reaches in the direction of (x, y)."""
    inverse_norm = (x * x + y * y + TINY).rsqrt()
    c1, s1 = x * inverse_norm, y * inverse_norm
    a, b = shape.outline[:, 0], shape.outline[:, 1]
    reach = 1 + a[:, 0:1] * c1 + b[:, 0:1] * s1
    # cos and sin of multiples by Chebyshev's recursion.
    c0, s0, c, s, twice = torch.ones_like(c1), torch.zeros_like(s1), c1, s1, 2 * c1
    for k in range(1, a.shape[1]):
        c0, c = c, twice * c - c0
        s0, s = s, twice * s - s0
        reach = reach + a[:, k : k + 1] * c + b[:, k : k + 1] * s
    return reach


def _overlap(distance: Tensor, reach: Tensor | float, width: Tensor) -> Tensor:
    """Return the share of a beam, ``distance`` >= 0 off the middle, that is within +- reach."""
    inverse = 1 / width
    return _smooth_step((reach - distance) * inverse) - _smooth_step((-reach - distance) * inverse)


def _smooth_step(x: Tensor) -> Tensor:
    """Rise smoothly from 0 at -1/2 to 1 at 1/2."""
    x = (x + 0.5).clamp(0, 1)
    return x * x * torch.rsub(x, 3, alpha=2)


def _intersect_slab(o: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
    """Return where o + s d enters and leaves -1 to 1."""
    inverse = 1 / _nonzero(d)
    middle, half = -o * inverse, inverse.abs()
    return middle - half, middle + half


def _nonzero(x: Tensor) -> Tensor:
    return torch.where(x.abs() < TINY, torch.full_like(x, TINY), x)
