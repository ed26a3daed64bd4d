"""Bounding spheres of objects."""

from __future__ import annotations

import torch
from torch import Tensor

from diar_ops.scene.types import ObjectKind, Objects


def bounding_radius(objects: Objects) -> Tensor:
    """Return the radius (...) of a sphere around each object's centre that holds all of it."""
    corner = objects.half_size.norm(dim=-1)
    largest = objects.half_size.amax(dim=-1)
    is_round = (objects.kind == ObjectKind.SPHERE) | (objects.kind == ObjectKind.DISC)
    # No outline reaches beyond the sum of its terms.
    return torch.where(is_round, largest, corner * (1 + objects.outline.abs().sum(dim=(-2, -1))))


def tight_bounding_radius(objects: Objects) -> Tensor:
    """Return :func:`bounding_radius`, tight also for cards, whose outlines are followed."""
    angle = torch.linspace(0, 2 * torch.pi, 97, dtype=torch.float64, device=objects.hole.device)
    order = torch.arange(1, objects.outline.shape[-1] + 1, dtype=torch.float32, device=angle.device)
    phase = order[:, None] * angle
    cos, sin = angle.cos(), angle.sin()
    a, b = objects.outline.unbind(-2)
    reach = (1 + a @ phase.cos() + b @ phase.sin()) / torch.maximum(cos.abs(), sin.abs())
    x, y = reach * cos, reach * sin
    half_size = objects.half_size[..., None]
    # Between two of the angles an outline reaches little further.
    card = 1.05 * ((x * half_size[..., 0, :]) ** 2 + (y * half_size[..., 1, :]) ** 2).amax(-1).sqrt()
    return torch.where(objects.kind == ObjectKind.CARD, card, bounding_radius(objects))
