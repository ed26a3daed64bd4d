"""Prepare the joint adjustment: usable matches, connected frames, normalised coordinates."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops._checks import read_number, widest_dtype
from diar_ops.geometry._bundle.pairs import Pairs, per_item
from diar_ops.geometry._bundle.projection import LensNormalization
from diar_ops.geometry._matrix3 import scale_to_unit
from diar_ops.geometry._partition import usable_first

#: Matches that agree, below which a pair does not connect its frames.
MIN_INLIERS = 4
#: Smallest depth of a frame's centre, relative to the largest entry of its homography.
_MIN_CENTRE_DEPTH = 1e-9
#: Smallest change of area at the centre of a frame's points, in normalised coordinates.
_MIN_DETERMINANT = 1e-12


#: Distance from the centre of the photo, in half diagonals, from which on a match is wrong for sure.
_FARTHEST = 10.0


class Problem(NamedTuple):
    """The arguments of ``bundle_adjust_homographies`` for B items."""

    frames: Tensor  # (B, P, 2)
    points0: Tensor  # (B, P, N, 2)
    points1: Tensor  # (B, P, N, 2)
    initial: Tensor  # (B, T, 3, 3)
    sizes: Tensor  # (B, T, 2)
    valid: Tensor  # (B, P, N)
    weights: Tensor | None  # (B, P, N)
    reference: Tensor  # (B,)


class Prepared(NamedTuple):
    """The problem in normalised coordinates; F = B T frames, Q = B P pairs."""

    pairs: Pairs
    homography: Tensor  # (B, T, 3, 3) normalised, H[2, 2] = 1; the identity where not usable
    normaliser: Tensor  # (B, T, 3, 3) normalised ~ N @ pixels (undistorted, with a lens)
    local: Tensor  # (B, P, 2) frames of each pair within its item, clamped into range
    order: Tensor  # (Q, N) index of each match into the input
    connected: Tensor  # (B, T) bool, connected to the reference by pairs of usable matches
    sound: Tensor  # (B, T) bool, whether the initial homography is regular
    centre: Tensor  # (B, T, 2) of the images, in pixels
    half_diagonal: Tensor  # (B, T) in pixels
    total: Tensor  # (B,) sum of the given weights of the matches that count
    mean_weight: Tensor  # (B,)
    reference: Tensor  # (B,) int64

    @property
    def is_reference(self) -> Tensor:
        """(B, T) bool."""
        index = torch.arange(self.connected.shape[1], device=self.reference.device)
        return index == self.reference[:, None]


def prepare(problem: Problem, *, with_lens: bool) -> Prepared:
    """Return the problem in normalised coordinates."""
    frames, points0, points1, homography, sizes, valid, weights, reference = problem
    wide = widest_dtype(frames.device)
    batch, count = homography.shape[:2]
    in_range = ((frames >= 0) & (frames < count)).all(-1) & (frames[..., 0] != frames[..., 1])
    local = frames.clamp(0, count - 1)
    offset = torch.arange(batch, device=frames.device)[:, None, None] * count
    index = (local + offset).flatten(0, 1)
    centre, half_diagonal, _ = image_normalisers(sizes.to(wide))
    usable = in_range[..., None] & valid
    for points, frame in zip((points0, points1), local.unbind(-1), strict=True):
        # A single match far outside of its photo, which is wrong, would spoil the scale of all.
        middle, diagonal = (x.take_along_dim(y, 1) for x, y in ((centre, frame[..., None]), (half_diagonal, frame)))
        distance = (points.to(wide) - middle[:, :, None]).abs().amax(-1)
        usable = usable & (distance <= _FARTHEST * diagonal[..., None])  # False for NaN
    if weights is not None:
        usable = usable & weights.isfinite() & (weights > 0)
    weight = torch.where(usable, 1 if weights is None else weights, 0).to(wide)

    sorted_points, usable, weight, order = _sort_usable_first(
        [p.flatten(0, 1) for p in (points0, points1)], usable.flatten(0, 1), weight.flatten(0, 1)
    )
    xy = [torch.where(usable[..., None], p, 0).to(wide).mT for p in sorted_points]  # [Q, 2, N]
    mean, scale = _normalisers(xy, usable, index, centre.flatten(0, 1), half_diagonal.flatten())
    origin, unit, lens = mean, scale, None
    if with_lens:
        origin, unit = centre.flatten(0, 1), 1 / half_diagonal.flatten()
        lens = LensNormalization(scale / unit, (origin - mean) * scale[:, None])
    moved = [
        torch.where(usable[:, None], (p - origin[i][..., None]) * unit[i][:, None, None], 0.0)
        for p, i in zip(xy, index.unbind(1), strict=True)
    ]
    normaliser = _similarity(mean, scale).view(batch, count, 3, 3)
    start, sound = _from_reference(homography.to(wide), normaliser, reference)

    linked = (usable.sum(-1) >= MIN_INLIERS).view(local.shape[:2])
    linked = linked & torch.gather(sound, 1, local.flatten(1)).view(local.shape).all(-1)
    connected = connected_to_reference(local, linked, reference, count) & sound
    active = (linked & torch.gather(connected, 1, local[..., 0])).flatten()
    weight = weight * active[:, None]
    # Weights are relative: their mean is 1.
    total = per_item(weight, batch).sum((1, 2))
    counting = per_item(weight > 0, batch).sum((1, 2))
    mean_weight = torch.where(total > 0, total / counting.clamp_min(1), 1.0)
    weight = weight / mean_weight.repeat_interleave(local.shape[1])[:, None]
    first, second = index.unbind(1)
    return Prepared(
        pairs=Pairs(
            first=first, second=second, points0=moved[0], points1=moved[1], weight=weight, scale=scale, lens=lens
        ),
        homography=start,
        normaliser=normaliser,
        local=local,
        order=order,
        connected=connected,
        sound=sound,
        centre=centre,
        half_diagonal=half_diagonal,
        total=total,
        mean_weight=mean_weight,
        reference=reference,
    )


def image_normalisers(sizes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return centre (..., 2) and half the diagonal (...) of images, and (..., 3, 3) into that unit."""
    centre = (sizes.flip(-1) - 1) / 2
    half_diagonal = (sizes.norm(dim=-1) / 2).clamp_min(1.0)
    flat = _similarity(centre.flatten(0, -2), 1 / half_diagonal.flatten())
    return centre, half_diagonal, flat.view(*half_diagonal.shape, 3, 3)


def _from_reference(homography: Tensor, normaliser: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Return homographies into the reference, normalised with H[2, 2] = 1, and which are sound.

    An unsound one, which is singular, not finite, or has the centre of the frame's points on its
    horizon, becomes the identity; where that is the reference's own, all of its item are.
    """
    matrix, sound = scale_to_unit(homography)
    items = torch.arange(len(matrix), device=matrix.device)
    inverse, error = torch.linalg.inv_ex(matrix[items, reference])
    inverse = normaliser[items, reference] @ inverse
    matrix = inverse[:, None] @ matrix @ torch.linalg.inv_ex(normaliser)[0]
    depth = matrix[..., 2:, 2:]
    ahead = depth.abs() > _MIN_CENTRE_DEPTH * matrix.abs().amax((-2, -1), keepdim=True)
    matrix = matrix / torch.where(ahead, depth, 1.0)
    regular = torch.linalg.det(matrix).abs() > _MIN_DETERMINANT
    sound = sound & ahead[..., 0, 0] & regular & ((error == 0) & sound[items, reference])[:, None]
    identity = torch.eye(3, dtype=matrix.dtype, device=matrix.device)
    return torch.where(sound[..., None, None], matrix, identity), sound


def connected_to_reference(local: Tensor, linked: Tensor, reference: Tensor, count: int) -> Tensor:
    """Return (B, T), which frames a path of ``linked`` (B, P) pairs connects to the reference."""
    batch = len(local)
    flat = local[..., 0] * count + local[..., 1]
    link = torch.zeros(batch, count * count, dtype=torch.float32, device=local.device)
    link = link.scatter_add(1, flat, linked.float()).view(batch, count, count)
    reach = (link + link.mT + torch.eye(count, dtype=torch.float32, device=local.device) > 0).to(torch.float32)
    for _ in range(max(count - 1, 1).bit_length()):
        reach = (reach @ reach > 0).to(torch.float32)
    return reach[torch.arange(batch, device=local.device), reference] > 0


def _sort_usable_first(
    points: list[Tensor], usable: Tensor, weight: Tensor
) -> tuple[list[Tensor], Tensor, Tensor, Tensor]:
    """Return points, usable, weight and their order (Q, n), usable matches first.

    The padding that no pair needs is cut where their number can be read.
    """
    order = usable_first(usable)
    if usable.numel() > 0 and usable.device.type == "cpu":
        most = read_number(usable.sum(1).max())
        order = order if most is None else order[:, : int(most)]
    points = [p.gather(1, order[..., None].expand(-1, -1, 2)) for p in points]
    return points, usable.gather(1, order), weight.gather(1, order), order


def subsample_matches(pairs: Pairs, most: int) -> Pairs:
    """Return pairs with at most ``most`` matches each, spread over all that count."""
    number = pairs.weight.shape[1]
    if number <= most:
        return pairs
    step = torch.arange(most, device=pairs.weight.device)
    count = (pairs.weight > 0).sum(1, keepdim=True)
    index = torch.where(count > most, step * count // most, step)  # [Q, most]
    weight = pairs.weight.gather(1, index)
    both = index[:, None].expand(-1, 2, -1)
    return pairs._replace(points0=pairs.points0.gather(2, both), points1=pairs.points1.gather(2, both), weight=weight)


def _normalisers(
    xy: list[Tensor], usable: Tensor, index: Tensor, centre: Tensor, half_diagonal: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the mean (F, 2) and the scale (F,) that give each frame's points unit variance.

    Source: Hartley, In defense of the eight-point algorithm, PAMI 1997. Frames without points take
    the image's centre and half its diagonal.
    """
    count = usable.sum(1, keepdim=True).to(xy[0].dtype)
    total = torch.zeros(len(centre), 1, dtype=count.dtype, device=count.device)
    sums, squares = torch.zeros_like(centre), torch.zeros_like(total)
    for p, i in zip(xy, index.unbind(1), strict=True):
        # Counted from the image's centre, so that the squares do not cancel.
        near = torch.where(usable[:, None], p - centre[i][..., None], 0.0)
        total = total.index_add(0, i, count)
        sums = sums.index_add(0, i, near.sum(-1))
        squares = squares.index_add(0, i, near.square().sum((1, 2))[:, None])
    mean = sums / total.clamp_min(1)
    spread = (squares / total.clamp_min(1) - mean.square().sum(1, keepdim=True)) / 2
    # Points in one spot have no spread; an image has at least a pixel.
    spread = torch.where(total > 0, spread.clamp_min(1e-6), half_diagonal[:, None].square())
    return centre + mean, spread.rsqrt()[:, 0]


def _similarity(mean: Tensor, scale: Tensor) -> Tensor:
    """Return (F, 3, 3) that moves ``mean`` to the origin and multiplies by ``scale``."""
    zero, one = torch.zeros_like(scale), torch.ones_like(scale)
    rows = (scale, zero, -scale * mean[:, 0], zero, scale, -scale * mean[:, 1], zero, zero, one)
    return torch.stack(rows, -1).view(-1, 3, 3)
