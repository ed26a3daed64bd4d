"""The cards of an environment that the cameras see in a pane."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from diar_ops.scene._render.pane import near_cards, prepare_pane
from diar_ops.scene.types import PlanarScene


def seen_cards(scene: PlanarScene) -> Tensor:
    """Return which cards (B, T, E) may be seen in the pane of a scene that has one."""
    eye = -(scene.R.mT @ scene.t[..., None])[..., 0].flatten(0, 1)
    pane = prepare_pane(scene, eye)
    assert pane is not None, "the scene has a pane"
    x, y = (torch.tensor([-0.5, scene.size[i] - 0.5], dtype=eye.dtype, device=eye.device) for i in (1, 0))
    corners = F.pad(torch.cartesian_prod(x, y), (0, 1), value=1.0)
    ray = corners @ (torch.linalg.inv(scene.K).mT @ scene.R).flatten(0, 1)
    slopes = ray[..., :2] / ray[..., 2:]
    near = near_cards(pane, slopes[:, None, :, 0], slopes[:, None, :, 1])
    return near[..., 0].any(1).reshape(*scene.K.shape[:2], -1)
