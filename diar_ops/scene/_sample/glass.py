"""Sample panes, gloss coats and what they mirror."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

import torch
from torch import Tensor

from diar_ops.colour import srgb_to_linear
from diar_ops.scene._sample.paint import Card
from diar_ops.scene._sample.rng import TensorRng
from diar_ops.scene._sample.rooms import draw_photographer, draw_place
from diar_ops.scene.ranges import SceneRanges
from diar_ops.scene.rotation import shortest_rotation
from diar_ops.scene.types import Environment, Pane

#: Slots of an environment: walls, ceiling, floor or sky; things; the photographer.
SURFACES, THINGS = 5, 4
SLOTS = SURFACES + THINGS + 1
#: Texels of a card's side, as many as a frame has pixels.
RESOLUTION = (48, 256)


def sample_glass(
    rng: TensorRng,
    ranges: SceneRanges,
    picture_size: Tensor,
    camera: Tensor,
    size: tuple[int, int],
    kind: str,
    share: float,
    surroundings: Tensor | None,
) -> tuple[Pane, Environment]:
    """Sample panes before a share of pictures, and what they mirror.

    Args:
        rng: Source of randomness.
        ranges: The distribution of the cameras.
        picture_size: (B, 2) of the pictures in the world.
        camera: (B, T, 3) where the cameras are.
        size: (height, width) of the frames.
        kind: ``"aligned"`` or ``"misaligned"``.
        share: Of the sequences.
        surroundings: (N, 3, h, w) sRGB pictures that may be seen there; None for none.
    """
    batch, frames = camera.shape[:2]
    valid = rng.uniform((batch,)) < share
    pane = _sample_pane(rng, picture_size, valid)
    metre = 1 / rng.log_uniform((batch,), 0.4, 1.2)
    turn = _turn_about_z(rng, batch)
    eye, frame_turn = camera, None
    if kind == "aligned":
        eye, frame_turn = _imagined_views(rng, ranges, batch, frames)
    sway = rng.uniform((batch, frames, 3), -1, 1) * rng.log_uniform((batch, 1, 1), 0.02, 0.4)
    absent = rng.uniform((batch, frames)) < rng.uniform((batch, 1), -0.5, 0.6)
    brightness = rng.log_uniform((batch, frames), 0.8, 1.25)
    image, axes, is_card, background = _draw_places(rng, size, valid, surroundings)
    axes = axes * metre[:, None, None, None]
    axes = axes @ turn.mT[:, None]
    axes = axes[:, None].expand(-1, frames, -1, -1, -1).clone()  # [B, T, E, 3, 3]
    # The photographer holds the camera.
    axes[:, :, -1, 0] += eye + sway * metre[:, None, None]
    if frame_turn is not None:
        axes = axes @ frame_turn.mT[:, :, None]
    is_card = is_card[:, None].expand(-1, frames, -1).clone()
    is_card[:, :, -1] &= ~absent
    centre, right, down = axes.unbind(-2)
    environment = Environment(image, centre, right, down, is_card, background, brightness)
    return pane, environment


def _sample_pane(rng: TensorRng, picture_size: Tensor, valid: Tensor) -> Pane:
    batch = len(valid)
    is_coat = rng.uniform((batch,)) < 0.35
    is_window = ~is_coat & (rng.uniform((batch,)) < 0.3)
    distance = torch.where(is_window, rng.log_uniform((batch,), 0.04, 0.12), rng.log_uniform((batch,), 0.003, 0.04))
    beyond = torch.where(is_window, 10.0, rng.uniform((batch,), 0.0, 0.1))
    beyond = torch.where(is_coat, 0.0, beyond)
    reflectivity = torch.where(rng.uniform((batch,)) < 0.75, 1.0, rng.uniform((batch,), 0.15, 1.0))
    thick = rng.uniform((batch,)) < 0.5
    thickness = torch.where(thick, rng.log_uniform((batch,), 0.001, 0.02), 0.0)
    bent = (rng.uniform((batch, 1)) < 0.7) & thick[:, None]
    wedge = torch.where(bent, rng.uniform((batch, 2), -1, 1) * rng.log_uniform((batch, 1), 5e-4, 6e-3), 0.0)
    tint = torch.where(rng.uniform((batch, 1)) < 0.5, 1.0, rng.uniform((batch, 3), 0.85, 1.0))
    sharp = rng.uniform((batch,)) < 0.4
    blur = torch.where(is_coat, rng.log_uniform((batch,), 1e-3, 2.5e-2), rng.log_uniform((batch,), 3e-4, 4e-3))
    single = is_coat | ~thick
    return Pane(
        valid=valid,
        is_coat=is_coat,
        distance=torch.where(is_coat, 0.0, distance),
        half_size=picture_size.flip(-1) / 2 + beyond[:, None],
        reflectivity=reflectivity,
        thickness=torch.where(single, 0.0, thickness),
        wedge=torch.where(single[:, None], 0.0, wedge),
        tint=torch.where(is_coat[:, None], 1.0, tint),
        blur=torch.where(sharp & ~is_coat, 0.0, blur),
    )


def _turn_about_z(rng: TensorRng, batch: int) -> Tensor:
    """Return rotations (B, 3, 3): most pictures hang, some lie on a desk or the floor."""
    lies = rng.uniform((batch,)) < 0.25
    angle = rng.uniform((batch,), -math.pi, math.pi) * lies + rng.uniform((batch,), -0.03, 0.03)
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    return torch.stack((cos, -sin, zero, sin, cos, zero, zero, zero, zero + 1), dim=-1).reshape(batch, 3, 3)


def _imagined_views(rng: TensorRng, ranges: SceneRanges, batch: int, frames: int) -> tuple[Tensor, Tensor]:
    """Return eyes (B, T, 3) of free cameras, and rotations that take what they see mirrored to the middle.

    Photos that have been aligned were taken from anywhere: what they mirror moves, though the
    picture stands still. The rotations turn the environment as if the picture had been turned
    before the camera.
    """
    tilt = rng.uniform((batch, frames), *ranges.tilt).deg2rad()
    azimuth = rng.uniform((batch, frames), 0, 2 * math.pi)
    distance = rng.uniform((batch, frames, 1), *ranges.distance)
    x, y, z = tilt.sin() * azimuth.cos(), tilt.sin() * azimuth.sin(), tilt.cos()
    eye = -distance * torch.stack((x, y, z), dim=-1)
    return eye, shortest_rotation(torch.stack((-x, -y, z), dim=-1))


def _draw_places(rng: TensorRng, size: tuple[int, int], valid: Tensor, surroundings: Tensor | None) -> list[Tensor]:
    """Return images (B, E, 4, h, w), cards (B, E, 3, 3), which exist (B, E), and background (B, 3)."""
    seeds = torch.randint(2**53, valid.shape, generator=rng.generator, device=rng.device).tolist()
    pictures: Sequence[Tensor] = ()
    if surroundings is not None:
        pictures = tuple(srgb_to_linear(surroundings.detach().cpu().float().nan_to_num().clamp(0, 1)))
    resolution = min(max(*size, RESOLUTION[0]), RESOLUTION[1])
    parts = [
        _draw(Random(seed), resolution, pictures) if is_there else _nothing(resolution)  # noqa: S311 - no secrets
        for seed, is_there in zip(seeds, valid.tolist(), strict=True)
    ]
    if not parts:
        return [part.new_zeros(0, *part.shape).to(rng.device) for part in _nothing(resolution)]
    return [torch.stack(part).to(rng.device) for part in zip(*parts, strict=True)]


def _draw(random: Random, resolution: int, pictures: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Return images (E, 4, h, w), centre, right and down (E, 3, 3), which cards exist, and background."""
    place = draw_place(random, resolution, pictures)
    things = sorted(place.things, key=lambda card: card.centre[2])[:THINGS]
    cards: list[Card | None] = [*place.surfaces[:SURFACES]]
    cards += [None] * (SURFACES - len(cards)) + list(things)
    cards += [None] * (SLOTS - 1 - len(cards)) + [draw_photographer(random, resolution, place.light)]
    image, axes, is_card, _ = _nothing(resolution)
    for slot, card in enumerate(cards):
        if card is not None:
            # Documents keep half precision.
            image[slot] = torch.from_numpy(card.image).half().float()
            axes[slot] = torch.tensor([card.centre, card.right, card.down], dtype=torch.float64)
            is_card[slot] = True
    return image, axes, is_card, torch.tensor(place.background, dtype=torch.float64)


def _nothing(resolution: int) -> tuple[Tensor, ...]:
    """Return what :func:`_draw` does where there is no pane."""
    image = torch.zeros(SLOTS, 4, resolution, resolution, dtype=torch.float32)
    axes = torch.zeros(SLOTS, 3, 3, dtype=torch.float64)
    axes[:, 0, 2], axes[:, 1, 0], axes[:, 2, 1] = -1.0, 1.0, 1.0
    return image, axes, torch.zeros(SLOTS, dtype=torch.bool), torch.zeros(3, dtype=torch.float64)
