"""Sample how pictures are bent out of their plane."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from diar_ops.scene._sample.rng import TensorRng
from diar_ops.scene.bends import bend_size, facing
from diar_ops.scene.ranges import BendRanges
from diar_ops.scene.types import BendKind, Bends, PlanarScene

#: Of every surface at least this much faces every camera (:func:`facing`).
LEAST_FACING = 0.3
#: Heights at which displacements are measured to be scaled: small, where they are linear.
UNIT = 0.01
#: Heights of a frame: 1 to 3 cm before a picture of a metre.
FRAME_HEIGHT = (0.01, 0.03)


def sample_bends(rng: TensorRng, ranges: BendRanges, scene: PlanarScene) -> Bends:
    """Sample the bends of a scene: of each bent sequence one, and in half of them a slight wave beside it."""
    batch, frames = scene.K.shape[:2]
    is_bent = rng.uniform((batch,)) < ranges.share
    main, second = _sample_main(rng, ranges, batch), _sample_wave(rng, batch)
    size = rng.uniform((batch,), *ranges.displacement)
    slight = rng.uniform((batch,), 0.1, 0.3) * (rng.uniform((batch,)) < 0.5)
    change = 1 + ranges.change * rng.uniform((batch, frames), -1, 1)
    change = torch.where(main.kind[:, None] == BendKind.CURL, change, 1)

    pairs = (torch.stack(pair, dim=-1) for pair in zip(main, second, strict=True))
    bends = Bends(*(pair[:, None].expand(-1, frames, -1) for pair in pairs))
    valid = is_bent[:, None] & torch.stack((is_bent, slight > 0), dim=-1)
    share = torch.stack((torch.ones_like(slight), slight), dim=-1)
    of_unit = torch.stack([_size(scene, bends, slot) for slot in range(2)], dim=-1)
    height = bends.height[:, 0] / of_unit * share * valid
    height = height * (size / _size(scene, bends._replace(height=height[:, None].expand_as(bends.height))))[:, None]
    frame = torch.stack((height[:, 0].clamp(*FRAME_HEIGHT), height[:, 1]), dim=-1)
    height = torch.where(main.kind[:, None] == BendKind.FRAME, frame, height)
    height = height[:, None] * torch.stack((change, torch.ones_like(change)), dim=-1)
    bends = bends._replace(height=height, valid=valid[:, None].expand_as(height))
    # Height by height a surface turns away from a camera in proportion.
    away = 1 - facing(scene._replace(bends=bends)).amin(1)
    scale = ((1 - LEAST_FACING) / away.clamp_min(1e-9)).clamp_max(1)
    return bends._replace(height=height * scale[:, None, None])


def _sample_main(rng: TensorRng, ranges: BendRanges, batch: int) -> Bends:
    """Return one bend (B,) of each sequence, of the unit of height."""
    kind = rng.category((batch,), ranges.kind)
    # Low and high of length and offset for curl, bulge, wave, frame.
    table = torch.tensor(
        [[[1.0, 1.0], [-0.5, 0.1]], [[1.0, 1.0], [0.0, 0.0]], [[0.6, 1.6], [0.0, 1.6]], [[0.06, 0.1], [0.1, 0.16]]],
        dtype=torch.float64,
        device=rng.device,
    )[kind]
    length, offset = (table[..., 0] + (table[..., 1] - table[..., 0]) * rng.uniform((batch, 2))).unbind(-1)
    sign = 1 - 2 * (rng.uniform((batch,)) < 0.5).double()
    # Pages rise and frames stand before their picture.
    rises = (kind == BendKind.CURL) | (kind == BendKind.FRAME)
    return Bends(
        kind=kind,
        height=UNIT * torch.where(rises, 1, sign),
        angle=rng.uniform((batch,), 0, 2 * math.pi),
        length=length,
        offset=offset,
        valid=torch.ones_like(kind, dtype=torch.bool),
    )


def _sample_wave(rng: TensorRng, batch: int) -> Bends:
    length = rng.uniform((batch,), 0.6, 1.6)
    return Bends(
        kind=torch.full((batch,), int(BendKind.WAVE), device=rng.device),
        height=torch.full_like(length, UNIT),
        angle=rng.uniform((batch,), 0, 2 * math.pi),
        length=length,
        offset=rng.uniform((batch,)) * length,
        valid=torch.ones_like(length, dtype=torch.bool),
    )


def _size(scene: PlanarScene, bends: Bends, slot: int | None = None) -> Tensor:
    """Return the mean displacement (B,) of all bends or of one, at 256 pixels; never 0."""
    if slot is not None:
        bends = Bends(*(field[..., slot : slot + 1] for field in bends))
    return bend_size(scene._replace(bends=bends)).clamp_min(1e-9)
