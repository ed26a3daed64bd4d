"""Fit the sides of an outline to fractions of a pixel."""

from __future__ import annotations

import torch
from torch import Tensor

from diar_ops.pipeline._outline.evidence import CLEAR_EDGE, EdgeEvidence, sample

#: Pixels to both sides in which the edge of a side is looked for, in steps of this size.
_REACH, _STEP = 3.0, 0.25
#: Places along a side, and the share of it that is left out at both ends.
_PLACES, _ENDS = 128, 0.04
#: Rounds; distance in pixels at which an edge counts a half (Cauchy).
_ROUNDS, _FAR = 3, 0.5


def fit_sides(corners: Tensor, evidence: EdgeEvidence) -> Tensor:
    """Move the corners (4, 2) to where robust lines through the edges of their sides meet.

    Along each side the edge is the crest of the gradient in the direction, in colour, that the whole
    side's edge has: what lies beside the picture keeps its colour.
    """
    for _ in range(_ROUNDS):
        corners = _fit_once(corners, evidence)
    return corners


def _fit_once(corners: Tensor, evidence: EdgeEvidence) -> Tensor:
    start, edge = corners, corners.roll(-1, 0) - corners  # [4, 2]
    normal = torch.stack((edge[:, 1], -edge[:, 0]), -1)
    normal = normal / normal.norm(dim=-1, keepdim=True)
    t = torch.linspace(_ENDS, 1 - _ENDS, _PLACES, dtype=corners.dtype)
    offset = torch.arange(-_REACH, _REACH + _STEP / 2, _STEP, dtype=corners.dtype)
    points = start[:, None] + t[:, None] * edge[:, None]
    points = points[:, :, None] + offset[:, None] * normal[:, None, None]  # [4, P, O, 2]
    found = sample(evidence.gradient.flatten(0, 1), points).to(corners).view(*points.shape[:3], 2, 3)
    across = (found * normal[:, None, None, :, None]).sum(-2)  # [4, P, O, 3]
    colour = across[:, :, abs(offset) <= 1].mean((1, 2))
    colour = colour / colour.norm(dim=-1, keepdim=True).clamp_min(1e-6)
    step = (across * colour[:, None, None]).sum(-1)
    strength, best = step[..., 1:-1].max(-1)
    before, after = (step.gather(-1, best[..., None] + k)[..., 0] for k in (0, 2))
    bend = (2 * strength - before - after).clamp_min(1e-6)
    distance = offset[best + 1] + _STEP * (0.5 * (after - before) / bend).clamp(-1, 1)
    trust = (strength / CLEAR_EDGE).clamp(0, 1)
    line = torch.stack((1 - t, t), -1)  # distances at both ends
    moved = torch.zeros(4, 2, dtype=corners.dtype)
    for _ in range(5):
        weight = trust / (1 + ((distance - moved @ line.T) / _FAR).square())
        system = (line.T * weight[:, None]) @ line + 1e-3 * torch.eye(2, dtype=corners.dtype)
        moved = torch.linalg.solve(system, ((weight * distance)[:, None] @ line)[:, 0])
    first = start + moved[:, :1] * normal
    last = start + edge + moved[:, 1:] * normal
    return _meet(first.roll(1, 0), last.roll(1, 0), first, last)


def _meet(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """Return where the lines a b and c d (N, 2) meet."""
    u, v, w = b - a, d - c, c - a
    det = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
    return a + ((w[:, 0] * v[:, 1] - w[:, 1] * v[:, 0]) / det)[:, None] * u
