"""See a pane or a gloss coat in front of the picture, and the environment that it mirrors.

A camera that looks at a mirror sees what its mirror image behind the mirror would see, so that each
card is laid over the frame by a homography; a card's place is looked up, not searched for.

Source of the reflectance: Born and Wolf, Principles of Optics, section 1.5; of that of two faces
with all that goes to and fro between them: Stokes 1862.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from diar_ops.scene._render.groups import sort_into_groups, unravel
from diar_ops.scene.reflection import blur_environment, dielectric_reflectance
from diar_ops.scene.types import Environment, Pane, PlanarScene

#: What is more than 1 / FAR times as far from the mirrored eye as the pane is not seen.
FAR = 1e-6


class RenderPane(NamedTuple):
    """The panes of F frames, and the images of what they mirror."""

    valid: Tensor  # (F,)
    is_coat: Tensor  # (F,)
    distance: Tensor  # (F,)
    half_size: Tensor  # (F, 2)
    reflectivity: Tensor  # (F,)
    tint: Tensor  # (F, 3)
    background: Tensor  # (F, 3)
    brightness: Tensor  # (F,)
    cards: Tensor  # (F, V, E, 3, 3), from slopes of a camera ray (x/z, y/z, 1) to a card's (x, y, 1)
    shown: Tensor  # (F, V, E), the card is there and this face mirrors it by itself
    image: Tensor  # (F, E), number of the card's image
    images: Tensor  # (I, 4, h, w), not of frames

    def select(self, index: slice | Tensor) -> RenderPane:
        """Return frames by their index."""
        images = self.images
        return RenderPane(*(field if field is images else field[index] for field in self))


class PaneView(NamedTuple):
    """What a pane does to what rays see behind it.

    Attributes:
        share: (F, 3, R, N) of the radiance behind that is left.
        added: (F, 3, R, N) mirrored radiance.
    """

    share: Tensor
    added: Tensor


def prepare_pane(scene: PlanarScene, eye: Tensor) -> RenderPane | None:
    """Prepare the pane of a scene in float64, whose eyes are at (B T, 3); None where there is none."""
    pane, environment = scene.pane, scene.environment
    if pane is None or environment is None:
        return None
    batch, frames, slots = environment.valid.shape
    image = blur_environment(pane, environment)
    has_double = (pane.thickness != 0) | (pane.wedge != 0).any(-1)
    has_double = has_double & ~pane.is_coat & pane.valid
    cards, is_card = _card_homographies(pane, environment, eye.reshape(batch, 1, frames, 3))
    shown = (environment.valid & pane.valid[:, None, None])[:, :, None] & is_card
    shown = torch.stack((shown[:, :, 0], shown[:, :, 1] & has_double[:, None, None]), dim=2)
    number = torch.arange(batch * slots, device=eye.device).reshape(batch, 1, slots)

    def per_frame(value: Tensor) -> Tensor:
        return value.repeat_interleave(frames, dim=0)

    return RenderPane(
        valid=per_frame(pane.valid),
        is_coat=per_frame(pane.is_coat),
        distance=per_frame(pane.distance),
        half_size=per_frame(pane.half_size),
        reflectivity=per_frame(pane.reflectivity),
        tint=per_frame(pane.tint),
        background=per_frame(environment.background),
        brightness=environment.brightness.flatten(),
        cards=cards.flatten(0, 1),
        shown=shown.flatten(0, 1),
        image=number.expand(batch, frames, slots).flatten(0, 1),
        images=image.flatten(0, 1),
    )


def _card_homographies(pane: Pane, environment: Environment, eye: Tensor) -> tuple[Tensor, Tensor]:
    """Return the homographies (B, T, 2, E, 3, 3) of cards in the two faces for eyes (B, 1, T, 3), and which exist."""
    zero, one = torch.zeros_like(pane.distance), torch.ones_like(pane.distance)
    front = torch.stack((zero, zero, -one), dim=-1)
    back = torch.cat((pane.wedge, -one[:, None]), dim=-1)
    normal = torch.stack((front, back / back.norm(dim=-1, keepdim=True)), dim=1)  # [B, 2, 3]
    place = torch.stack((-pane.distance, pane.thickness - pane.distance), dim=1)  # z of both
    mirror = torch.eye(3, dtype=normal.dtype, device=normal.device) - 2 * normal[..., None] * normal[..., None, :]
    at = F.pad(place[..., None], (2, 0))[:, :, None]
    mirrored = (eye - at) @ mirror + at  # [B, 2, T, 3]; the mirror is symmetric
    to_card = environment.centre[:, None] - mirrored[..., None, :]  # [B, 2, T, E, 3]
    right, down = (side[:, None].expand_as(to_card) for side in (environment.right, environment.down))
    across = torch.linalg.cross(right, down)
    depth = _dot(across, to_card)
    rows = []
    # Where the ray s D from the mirrored eye meets the card, s = depth / (across . D).
    for side in (right, down):
        square = _dot(side, side).clamp_min(1e-300)
        rows.append((depth * side - _dot(side, to_card) * across) / square)
    homography = torch.stack((*rows, across), dim=-2) @ mirror[:, :, None, None]
    # w is then the way to the pane over that to the card: 0 is infinitely far, 1 is on the pane.
    scale = (depth / (-pane.distance[:, None, None] - eye[..., 2])[..., None, None])[..., None]
    is_card = scale[..., 0, 0] != 0
    homography = homography / torch.where(scale == 0, 1, scale)
    return homography.movedim(2, 1), is_card.movedim(2, 1)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(-1, keepdim=True)


def view_pane(pane: RenderPane, eye: Tensor, ray: Tensor, pixel: Tensor) -> PaneView:
    """Return what panes do to rays. Waits for the device once.

    Args:
        pane: Of F frames.
        eye: (F, 3) the cameras' centres.
        ray: (3, F, R, N) from there to the picture's plane, in rows that lie together.
        pixel: (F, 1) side of a pixel on that plane.
    """
    x, y = ray[0] / ray[2], ray[1] / ray[2]
    depth = (-pane.distance - eye[:, 2])[:, None, None]
    cover = None
    for i, slope in enumerate((x, y)):
        # The share of a pixel's width that is on the pane.
        inside = pane.half_size[:, i, None, None] - (eye[:, i, None, None] + slope * depth).abs()
        inside = (inside / pixel[..., None] + 0.5).clamp(0, 1)
        cover = inside if cover is None else cover * inside
    assert cover is not None
    cover = cover * pane.valid[:, None, None]
    face = dielectric_reflectance((1 + x * x + y * y).rsqrt()) * pane.reflectivity[:, None, None]
    passed = (1 - face) / (1 + face)
    is_coat = pane.is_coat[:, None, None]
    through = torch.where(is_coat, 1 - face, passed)
    back = (face * passed).masked_fill(is_coat, 0)
    tint = pane.tint[:, :, None, None]
    back_share = back[:, None] * (tint * tint)
    mirrored = _mirrored(pane, x, y, cover > 0)
    added = face[:, None] * mirrored[:, 0]
    if mirrored.shape[1] == 1:
        added = added + back_share * mirrored[:, 0]
    else:
        has_double = pane.shown[:, 1].any(-1)[:, None, None, None]
        added = added + back_share * torch.where(has_double, mirrored[:, 1], mirrored[:, 0])
    cover = cover[:, None]
    return PaneView(1 + cover * (through[:, None] * tint - 1), cover * added * pane.brightness[:, None, None, None])


def _mirrored(pane: RenderPane, x: Tensor, y: Tensor, is_pane: Tensor) -> Tensor:
    """Return the radiance (F, 1 or 2, 3, R, N) that faces mirror into rays of slopes (F, R, N)."""
    count, slots = pane.image.shape
    near = near_cards(pane, x, y) & is_pane.any(-1)[:, None, None]
    number = torch.arange(slots, device=x.device)[:, None]
    groups = sort_into_groups(torch.where(near, number, slots), slots)
    has_double = pane.shown[:, 1].any().to(groups.bounds.dtype)
    *bounds, double = torch.cat((groups.bounds, has_double[None])).tolist()
    faces = 1 + double
    radiance = pane.background[:, None, None, :, None].expand(count, faces, x.shape[1], 3, x.shape[2]).clone()
    high, wide = pane.images.shape[-2:]
    # All images below each other, so that one look-up serves cards of many sequences.
    atlas = pane.images.movedim(1, 0).reshape(1, 4, -1, wide)
    for start, stop in pairwise(bounds):
        if stop == start:
            continue
        frame, face, slot, row = unravel(groups.order[start:stop], near.shape)
        m = pane.cards[frame, face, slot][..., None]
        px, py = x[frame, row], y[frame, row]
        u, v, w = (m[:, i, 0] * px + m[:, i, 1] * py + m[:, i, 2] for i in range(3))
        inverse = 1 / w.clamp_min(FAR)
        u, v = u * inverse, v * inverse
        is_on = (u.abs() <= 1) & (v.abs() <= 1) & (w > FAR) & (w < 1)
        # Borders repeat, and do not mix with the next image's.
        u = u.clamp(1 / wide - 1, 1 - 1 / wide)
        v = v.clamp(1 / high - 1, 1 - 1 / high)
        top = pane.image[frame, slot, None].to(v.dtype)
        grid = torch.stack((u, (2 * top + 1 + v) / len(pane.images) - 1), dim=-1)[None]
        shown = F.grid_sample(atlas, grid, padding_mode="border", align_corners=False)[0] * is_on
        index = frame, face, row
        radiance.index_put_(index, radiance[index] * (1 - shown[3])[:, None] + shown[:3].movedim(0, 1))
    return radiance.movedim(2, 3)


def near_cards(pane: RenderPane, x: Tensor, y: Tensor) -> Tensor:
    """Return which cards (F, 2, E, R) may be seen in rows of rays: none that is misses any."""
    edges = [(x.amin(-1), y.amin(-1)), (x.amax(-1), y.amin(-1)), (x.amin(-1), y.amax(-1)), (x.amax(-1), y.amax(-1))]
    corner = torch.stack([torch.stack((a, b, torch.ones_like(a)), dim=1) for a, b in edges], dim=-1)
    seen = pane.cards @ corner.flatten(2)[:, None, None]
    u, v, w = seen.reshape(*seen.shape[:-1], *corner.shape[2:]).unbind(-3)
    # All corners beyond one side of the card: so is all between them.
    near = pane.shown[..., None] & (w > 0).any(-1) & (w < 1).any(-1)
    for part in (u, -u, v, -v):
        near = near & (part <= w).any(-1)
    return near
