"""Is the support of a homography more than chance, and does it pin the homography down?"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["chance_probability", "first_of_each", "log_false_alarms", "off_line_counts"]


def _log_choose(n: Tensor, k: Tensor) -> Tensor:
    return torch.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma(n - k + 1)


def chance_probability(dst: Tensor, count: Tensor, threshold: float) -> Tensor:
    """Return (B,), how likely a random destination point falls within ``threshold`` of another.

    The points' covariance gives the area that they spread over: ``12 sqrt(det)`` is exact for a
    uniform rectangle, and few stray points do not inflate it as they do a bounding box.

    Args:
        dst: (B, N, 2) points in pixels, 0 where they do not count.
        count: (B,) number of those that count, the first ones of each item.
        threshold: Radius in pixels.
    """
    counts = torch.arange(dst.shape[1], device=dst.device) < count[:, None]
    total = count.clamp_min(1).to(dst.dtype)
    mean = dst.sum(1) / total[:, None]
    centred = torch.where(counts[..., None], dst - mean[:, None], 0.0)
    covariance = centred.mT @ centred / total[:, None, None]
    determinant: Tensor = torch.linalg.det(covariance).clamp_min(0.0)
    area = 12.0 * determinant.sqrt()
    disc = math.pi * threshold**2
    return area.clamp_min(disc).reciprocal().mul(disc)


def log_false_alarms(
    count: Tensor, support: Tensor, probability: Tensor, free: float = 4.0, sample: int = 4
) -> Tensor:
    """Return (B,) log10 of the number of false alarms of ``support`` among ``count`` pairs.

    The expected number of models with as many inliers among random pairs, over all the models that
    minimal samples of ``sample`` pairs can give (Moisan & Stival, A probabilistic criterion to
    detect rigid point matches between two images, IJCV 2004, equation 9). ``free`` pairs' worth of
    inliers come with the model for nothing.
    """
    n = count.to(torch.float32)
    k = support.to(torch.float32).minimum(n)
    models = (n - sample).clamp_min(1.0).log()
    models = (
        models + _log_choose(n, k) + _log_choose(k.clamp_min(sample), torch.full_like(k, sample))
    )
    accidents = (k - free) * probability.to(torch.float32).clamp_min(1e-30).log()
    result = (models + accidents) / math.log(10.0)
    return torch.where(k > free, result, torch.inf)


def first_of_each(cells: Tensor, counts: Tensor, preferred: Tensor) -> Tensor:
    """Return (B, N) bool: one representative of the correspondences that share a cell.

    Args:
        cells: (B, N, 4) coordinates in units of the cell's side.
        counts: (B, N) bool, which correspondences take part.
        preferred: (B, N) bool, which to choose first as a representative.
    """
    # Cells beyond any image share one number; the products wrap around, as hashes do.
    whole = cells.floor().nan_to_num(0.0).clamp(-(2.0**30), 2.0**30).to(torch.int64)
    key = whole[..., 0]
    for axis in range(1, 4):
        key = key * 0x5851F42D4C957F2D + whole[..., axis]
    key = (key << 1) | (~preferred).to(torch.int64)
    key = torch.where(counts, key, torch.iinfo(torch.int64).max)
    ordered, order = key.sort(dim=-1)
    new = torch.ones_like(counts)
    new[..., 1:] = (ordered[..., 1:] >> 1) != (ordered[..., :-1] >> 1)
    return torch.zeros_like(counts).scatter(-1, order, new) & counts


def off_line_counts(
    points: Tensor, members: Tensor, counts: Tensor, band: Tensor, draws: Tensor
) -> tuple[Tensor, Tensor]:
    """Return (B,) how many ``members`` and how many points lie off the members' best line.

    Lines through pairs of members are tried on other members; the best is measured on all points.
    Two coincident points count as a line that has no extent.

    Args:
        points: (B, N, 2).
        members: (B, N) bool.
        counts: (B, N) bool, the points to count.
        band: (B,) distance up to which a point lies on a line.
        draws: (3, K) uniform random numbers in [0, 1): both points of the pairs, and members.
    """
    if points.shape[1] == 0:
        nothing = members.sum(-1)
        return nothing, nothing
    rank = members.cumsum(-1)  # (B, N)
    wanted = (draws.flatten() * rank[:, -1:]).floor() + 1.0  # (B, 3 K), in 1 .. number of members
    index = torch.searchsorted(rank.to(wanted.dtype), wanted).clamp(max=points.shape[1] - 1)
    drawn = points.gather(1, index[..., None].expand(-1, -1, 2))
    first, second, others = drawn.chunk(3, dim=1)  # (B, K, 2)
    along = second - first
    length = along.norm(dim=-1, keepdim=True)
    along = along / torch.where(length > 0, length, 1.0)

    limit = band.square()
    near = _square_distance(others[:, None], first[:, :, None], along[:, :, None])
    best = (near <= limit[:, None, None]).sum(-1).argmax(-1)[:, None, None].expand(-1, 1, 2)
    square = _square_distance(points, first.gather(1, best), along.gather(1, best))
    off = square > limit[:, None]
    return (off & members).sum(-1), (off & counts).sum(-1)


def _square_distance(points: Tensor, anchor: Tensor, along: Tensor) -> Tensor:
    """Return squared distances from the line ``anchor + t along``, the point if ``along`` is 0."""
    x, y = (points - anchor).unbind(-1)
    along_x, along_y = along.unbind(-1)
    return x * x + y * y - (x * along_x + y * along_y).square()
