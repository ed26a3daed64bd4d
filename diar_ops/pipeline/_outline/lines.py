"""Straight lines among edges, and where along each there is an edge."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from diar_ops.pipeline._outline.evidence import CLEAR_EDGE, EdgeEvidence, canvas_diagonal, sample

#: Lines that are looked at, strongest first.
MOST_LINES = 60
#: Directions that are told apart, over half a turn.
_ANGLES = 360
#: An edge votes for lines within so many directions of its own, less the farther they are (Gaussian).
_VOTES, _VOTE_SIGMA = 5, 2.5
#: Least gradient that votes, and that above which more does not count.
_FAINT, _PLENTY = 0.02, 0.15
#: Half the size of the neighbourhood in which a line is the strongest: directions, pixels.
_APART = (6, 4)
#: Pixels from a line at which its edge may be, and least share of the gradient that is across it.
_REACH, _ACROSS = 2, 0.8


class Lines(NamedTuple):
    """Lines, and what lies along them in steps of a pixel.

    Attributes:
        normal: (N, 2) unit normals.
        foot: (N, 2) points of the lines that are next to the middle of the canvas.
        along: (N, 2) unit directions.
        edge: (N, S) from 0 to 1: whether an edge runs along the line there.
        seen: (N, S) from 0 to 1: whether a photo shows it.
    """

    normal: Tensor
    foot: Tensor
    along: Tensor
    edge: Tensor
    seen: Tensor


def find_lines(evidence: EdgeEvidence) -> Lines:
    """Find the strongest straight edges, by the Hough transform (Duda & Hart 1972), and look along them."""
    normal, foot = _hough(evidence)
    along = torch.stack((-normal[:, 1], normal[:, 0]), -1)
    steps = torch.arange(-(half := math.ceil(canvas_diagonal(evidence.seen) / 2)), half + 1).to(foot)
    points = foot[:, None] + steps[:, None] * along[:, None]  # [N, S, 2]
    layers = evidence.gradient.flatten(0, 1)
    edge = torch.zeros(points.shape[:2])
    for offset in range(-_REACH, _REACH + 1):
        found = sample(layers, points + offset * normal[:, None]).view(*points.shape[:2], 2, 3)
        across = (found * normal[:, None, :, None]).sum(-2).norm(dim=-1)
        whole = found.flatten(2).norm(dim=-1)
        edge = torch.maximum(edge, torch.where(across > _ACROSS * whole, across, 0))
    seen = sample(evidence.seen[None].float(), points)[..., 0]
    return Lines(normal, foot, along, (edge / CLEAR_EDGE).clamp(max=1), seen)


def _hough(evidence: EdgeEvidence) -> tuple[Tensor, Tensor]:
    """Return unit normals (N, 2) and feet (N, 2) of the lines that most edges lie on."""
    gx, gy = evidence.gradient
    xx, xy, yy = (gx * gx).sum(0), (gx * gy).sum(0), (gy * gy).sum(0)
    strength = (xx + yy).sqrt()
    direction = 0.5 * torch.atan2(2 * xy, xx - yy)
    height, width = strength.shape
    grid = torch.stack(torch.meshgrid(torch.arange(width), torch.arange(height), indexing="xy"), -1).float()
    normal = torch.stack((direction.cos(), direction.sin()), -1)
    crest = evidence.seen & (strength > _FAINT)
    for side in (1, -1):
        crest &= strength >= sample(strength[None], grid + side * normal)[..., 0]
    middle = torch.tensor([(width - 1) / 2, (height - 1) / 2])
    points, weight = grid[crest] - middle, strength[crest].clamp(max=_PLENTY)
    unit = math.pi / _ANGLES
    nearest = (direction[crest] / unit).round().long()
    reach = math.ceil(canvas_diagonal(evidence.seen) / 2) + 1
    votes = torch.zeros(_ANGLES, 2 * reach + 2)
    for k in range(-_VOTES, _VOTES + 1):
        angle = (nearest + k) * unit
        distance = points[:, 0] * angle.cos() + points[:, 1] * angle.sin()
        turned = (nearest + k).div(_ANGLES, rounding_mode="floor") % 2 == 1  # half a turn: the same line
        place = torch.where(turned, -distance, distance) + reach
        low = place.floor()
        share = weight * math.exp(-0.5 * (k / _VOTE_SIGMA) ** 2)
        index = (nearest + k) % _ANGLES * votes.shape[1] + low.long()
        votes.view(-1).index_add_(0, index, share * (low + 1 - place))
        votes.view(-1).index_add_(0, index + 1, share * (place - low))
    # Beyond the last direction, distances count the other way; their middle is at ``reach``.
    mirrored = F.pad(votes[:, :-1].flip(1), (0, 1))
    round_about = torch.cat((mirrored[-_APART[0] :], votes, mirrored[: _APART[0]]))
    strongest = F.max_pool2d(round_about[None], (2 * _APART[0] + 1, 2 * _APART[1] + 1), 1, (0, _APART[1]))[0]
    peak = (votes == strongest) & (votes > 0)
    order = votes[peak].argsort(descending=True)[:MOST_LINES]
    row, column = peak.nonzero()[order].unbind(1)
    normal = torch.stack(((row * unit).cos(), (row * unit).sin()), -1)
    return normal, middle + (column - reach)[:, None] * normal
