"""Rays and shadow beams against the five kinds of things, in closed form.

A thing's *own coordinates* are those in which its half sizes are 1 (flat things keep the world's
length along z). Vectors are triples of tensors that broadcast against each other, the last
dimension runs over pixels: what belongs to a thing has shape (n, 1) and meets (n, N) pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops.scene.types import ObjectKind

__all__ = [
    "Shape",
    "Vector",
    "beam_cover",
    "dot",
    "into",
    "normal_of",
    "outline_of",
    "span_of",
    "vector",
]

Vector = tuple[Tensor, Tensor, Tensor]

#: Below this a direction's component counts as zero.
TINY = 1e-12


class Shape(NamedTuple):
    """Things of one kind.

    Attributes:
        position: (n, 3) centre.
        rotation: (n, 3, 3) from the thing's axes to the world's.
        scale: (n, 3) half sizes, 1 along z for flat things.
        outline: (n, 2, K) of a card.
        hole: (n,) of a disc.
    """

    position: Tensor
    rotation: Tensor
    scale: Tensor
    outline: Tensor
    hole: Tensor


def vector(component: Callable[[int], Tensor]) -> Vector:
    """Return the vector whose x, y and z are ``component`` of 0, 1 and 2."""
    return component(0), component(1), component(2)


def dot(a: Vector, b: Vector) -> Tensor:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def into(shape: Shape, point: Tensor) -> Vector:
    """Return the own coordinates, each (n, 1), of one world point (n, 3) for each thing."""
    own = ((point - shape.position)[:, None] @ shape.rotation)[:, 0] / shape.scale
    return own[:, 0:1], own[:, 1:2], own[:, 2:3]


def span_of(kind: int, shape: Shape, o: Vector, d: Vector) -> tuple[Tensor, Tensor, Tensor]:
    """Return where the rays o + s d enter and leave (s, (n, N) each), and whether they meet."""
    if kind == ObjectKind.SPHERE:
        a, b, c = dot(d, d), dot(o, d), dot(o, o) - 1
        root = b * b - a * c
        half = root.clamp_min(0).sqrt()
        return (-b - half) / a, (half - b) / a, root > 0
    if kind == ObjectKind.BOX:
        near, far = _slab(o[0], d[0])
        for i in (1, 2):
            low, high = _slab(o[i], d[i])
            near, far = torch.maximum(near, low), torch.minimum(far, high)
        return near, far, near < far
    if kind == ObjectKind.CYLINDER:
        a = d[0] * d[0] + d[1] * d[1] + TINY
        b = o[0] * d[0] + o[1] * d[1]
        root = b * b - a * (o[0] * o[0] + o[1] * o[1] - 1)
        half = root.clamp_min(0).sqrt()
        low, high = _slab(o[2], d[2])
        near, far = torch.maximum((-b - half) / a, low), torch.minimum((half - b) / a, high)
        return near, far, (root > 0) & (near < far)
    at = -o[2] / _away_from_zero(d[2])
    x, y = o[0] + at * d[0], o[1] + at * d[1]
    if kind == ObjectKind.DISC:
        square = x * x + y * y
        return at, at, (square < 1) & (square > shape.hole[:, None].square())
    return at, at, torch.maximum(x.abs(), y.abs()) < outline_of(shape, x, y)


def normal_of(kind: int, shape: Shape, p: Vector) -> Vector:
    """Return the outward unit normals (in the world) at points p of the surface."""
    zero = torch.zeros_like(p[0])
    if kind == ObjectKind.SPHERE:
        own = p
    elif kind == ObjectKind.BOX:
        size = [x.abs() for x in p]
        most = torch.maximum(torch.maximum(size[0], size[1]), size[2])
        own = vector(lambda i: torch.where(size[i] >= most, p[i], zero))
    elif kind == ObjectKind.CYLINDER:
        cap = p[2] * p[2] > p[0] * p[0] + p[1] * p[1]
        own = vector(lambda i: torch.where(cap == (i == 2), p[i], zero))
    else:
        own = (zero, zero, zero + 1)
    own = (own[0] / shape.scale[:, 0:1], own[1] / shape.scale[:, 1:2], own[2] / shape.scale[:, 2:3])
    length = (dot(own, own) + TINY).rsqrt()
    x, y, z = own
    turn = shape.rotation
    return vector(
        lambda i: (x * turn[:, i, 0:1] + y * turn[:, i, 1:2] + z * turn[:, i, 2:3]) * length
    )


def outline_of(shape: Shape, x: Tensor, y: Tensor) -> Tensor:
    """Return how far, by max(|x|, |y|), a card reaches in the direction of (x, y)."""
    length = (x * x + y * y + TINY).rsqrt()
    c1, s1 = x * length, y * length
    a, b = shape.outline[:, 0], shape.outline[:, 1]
    reach = 1 + a[:, 0:1] * c1 + b[:, 0:1] * s1
    # cos and sin of multiples by Chebyshev's recursion.
    c0, s0, c, s, twice = torch.ones_like(c1), torch.zeros_like(s1), c1, s1, 2 * c1
    for k in range(1, a.shape[1]):
        c0, c = c, twice * c - c0
        s0, s = s, twice * s - s0
        reach = reach + a[:, k : k + 1] * c + b[:, k : k + 1] * s
    return reach


def beam_cover(
    kind: int,
    shape: Shape,
    source: Vector,
    end: Vector,
    wide_at_source: Tensor,
    wide_at_end: Tensor,
) -> Tensor:
    """Return the share in [0, 1] of beams from ``source`` to ``end`` that a thing blocks.

    A beam is as wide as stated at both of its ends and linearly between (world units, (n, 1)).
    The share is that of a line's signed distance from the silhouette over the beam's width there,
    on both sides, so that it is right for beams that are much wider or narrower than the thing.
    A beam that begins within a solid is blocked.

    Args:
        kind: Of all the things.
        shape: n things.
        source: (n, 1) each, own coordinates of one end.
        end: (n, N) each, own coordinates of the other.
        wide_at_source: (n, 1) width at the source.
        wide_at_end: (n, 1) width at the end.
    """
    d = (end[0] - source[0], end[1] - source[1], end[2] - source[2])
    if kind in (ObjectKind.DISC, ObjectKind.CARD):
        return _sheet_cover(kind, shape, source, d, wide_at_source, wide_at_end)
    enclosed = _encloses(kind, source)
    if kind == ObjectKind.BOX:
        # Distances are measured along the axes: lengths must be the world's.
        size = [shape.scale[:, i : i + 1] for i in range(3)]
        d = (d[0] * size[0], d[1] * size[1], d[2] * size[2])
        source = (source[0] * size[0], source[1] * size[1], source[2] * size[2])
    square = dot(d, d)
    # Where on the way (0 source, 1 end) the thing's centre is.
    at = -dot(source, d) / square
    wide = wide_at_source + at.clamp(0, 1) * (wide_at_end - wide_at_source)
    if kind == ObjectKind.SPHERE:
        p = (source[0] + at * d[0], source[1] + at * d[1], source[2] + at * d[2])
        r = (dot(p, p) + TINY).sqrt()
        q = [p[i] / shape.scale[:, i : i + 1] for i in range(3)]
        wide = wide * (q[0] * q[0] + q[1] * q[1] + q[2] * q[2]).sqrt() / r
        cover = _within(r, 1.0, wide) * (1.57 / wide).clamp_max(1)
    elif kind == ObjectKind.BOX:
        # A line misses a box if it misses its shadow along one of the box's axes.
        parts = []
        for i in range(3):
            j, k = (i + 1) % 3, (i + 2) % 3
            across = (source[j] * d[k] - source[k] * d[j]).abs()
            reach = size[j] * d[k].abs() + size[k] * d[j].abs()
            parts.append(_within(across, reach, wide * (d[j] * d[j] + d[k] * d[k] + TINY).sqrt()))
        low, high = torch.minimum(parts[0], parts[1]), torch.maximum(parts[0], parts[1])
        # The product of the two smallest: exact for rectangles, 1 inside a hexagon.
        cover = low * torch.minimum(high, parts[2])
        cover = torch.where(parts[2] < low, parts[2] * low, cover)
    else:
        flat = d[0] * d[0] + d[1] * d[1] + TINY
        side, length = flat.sqrt(), square.sqrt()
        u = (source[0] * d[1] - source[1] * d[0]).abs() / side
        v = (source[2] + at * d[2]).abs() * length / side
        reach = (side + d[2].abs() * (1 - u * u).clamp_min(0).sqrt()) / length
        inverse = [1 / shape.scale[:, i : i + 1] for i in range(3)]
        across = ((d[1] * inverse[0]) ** 2 + (d[0] * inverse[1]) ** 2).sqrt() / side
        lean = d[2] / (side * length)
        along = (lean * d[0] * inverse[0]) ** 2 + (lean * d[1] * inverse[1]) ** 2
        along = (along + (side / length * inverse[2]) ** 2).sqrt()
        cover = _within(u, 1.0, wide * across) * _within(v, reach, wide * along)
    return torch.where(enclosed, 1, cover * (at > 0) * (at < 1))


def _encloses(kind: int, p: Vector) -> Tensor:
    """Return whether points, in own coordinates, are within a solid."""
    if kind == ObjectKind.BOX:
        return torch.maximum(torch.maximum(p[0].abs(), p[1].abs()), p[2].abs()) < 1
    if kind == ObjectKind.CYLINDER:
        return (p[0] * p[0] + p[1] * p[1] < 1) & (p[2].abs() < 1)
    return dot(p, p) < 1


def _sheet_cover(
    kind: int, shape: Shape, source: Vector, d: Vector, wide_at_source: Tensor, wide_at_end: Tensor
) -> Tensor:
    at = -source[2] / _away_from_zero(d[2])
    x, y = source[0] + at * d[0], source[1] + at * d[1]
    wide = wide_at_source + at.clamp(0, 1) * (wide_at_end - wide_at_source)
    r = (x * x + y * y + TINY).sqrt()
    # How fast the radius changes as the beam moves sideways: a sheet seen at a slant is narrow.
    lean = (x * d[0] + y * d[1]) / _away_from_zero(d[2])
    rate = (x / shape.scale[:, 0:1]) ** 2 + (y / shape.scale[:, 1:2]) ** 2 + lean * lean
    wide = wide * (rate.sqrt() / r + TINY)
    if kind == ObjectKind.DISC:
        hole = shape.hole[:, None]
        cover = _within(r, 1.0, wide) * (1.57 / wide).clamp_max(1)
        cover = cover - _within(r, hole, wide) * (1.57 * hole / wide).clamp_max(1)
        cover = cover.clamp_min(0)
    else:
        reach = outline_of(shape, x, y).clamp_min(0)
        widest = torch.maximum(x.abs(), y.abs())
        cover = _within(widest, reach, wide) * (2 / wide).clamp_max(1)
    return cover * (at > 0) * (at < 1)


def _within(distance: Tensor, reach: Tensor | float, wide: Tensor) -> Tensor:
    """Return which share of a beam, ``distance`` >= 0 off the middle, is within +- reach."""
    inverse = 1 / wide
    return _ramp((reach - distance) * inverse) - _ramp((-reach - distance) * inverse)


def _ramp(x: Tensor) -> Tensor:
    """Rise smoothly from 0 at -1/2 to 1 at 1/2."""
    x = (x + 0.5).clamp(0, 1)
    return x * x * (3 - 2 * x)


def _slab(o: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
    inverse = 1 / _away_from_zero(d)
    middle, half = -o * inverse, inverse.abs()
    return middle - half, middle + half


def _away_from_zero(x: Tensor) -> Tensor:
    return torch.where(x.abs() < TINY, torch.full_like(x, TINY), x)
