"""Meet the surface of a bent picture with rays, and turn the light on it."""

from __future__ import annotations

import torch
from torch import Tensor

from diar_ops.scene._render.frames import RenderFrames
from diar_ops.scene.bends import Surface, bent_surface

#: Newton's steps from the plane to the surface: each squares the error, the first leaves about
#: (slope times height)^2. In float64 six leave less than 1e-9 pixels of what is sampled.
STEPS = 6


def surface_at(frames: RenderFrames, x: Tensor, y: Tensor) -> Surface:
    """Return the surface of bent pictures at points (F, ...) of their plane."""
    assert frames.bends is not None, "asked for bent frames only"
    return bent_surface(frames.bends, frames.half_size, x, y)


def meet_surface(frames: RenderFrames, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return over which points of the plane rays meet the surface that meet the plane at (F, R, N).

    A ray is at the plane at s = 0 and in the eye at s = 1. Its depth is that of the surface at one s,
    as the surface faces the camera.
    """
    eye_x, eye_y, up = frames.eye[:, :, None, None].unbind(1)
    across_x, across_y = eye_x - x, eye_y - y

    def step(s: Tensor) -> Tensor:
        surface = surface_at(frames, x + s * across_x, y + s * across_y)
        slope = up - surface.dz_dx * across_x - surface.dz_dy * across_y
        return s - (s * up - surface.z) / torch.minimum(slope, 0.05 * up)

    with torch.no_grad():
        s = torch.zeros_like(x)
        for _ in range(STEPS - 1):
            s = step(s)
    # The last step alone has the gradient of the point where the iteration ends.
    s = step(s)
    return x + s * across_x, y + s * across_y
