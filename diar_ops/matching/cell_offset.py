"""Measure where the cells of a trunk look."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diar_ops._checks import check_option, full_precision
from diar_ops.matching.dense_descriptors import Stage, stage_attribute, stages_of

#: Side of the textures, in strides: maps of so many cells, those near the border left out.
_STRIDES = 24
_BORDER = 3
#: Scales of the copies: near enough to 1 that the features stay alike.
_SCALES = (0.6, 0.7, 0.8)
#: Textures that are compared, and places per stride where the agreement is asked for.
_TEXTURES, _STEPS = 2, 8


@full_precision
def measure_cell_offset(trunk: nn.Module, *, side: int | None = None) -> dict[Stage, float]:
    """Measure the ``offset`` that a trunk for :func:`dense_descriptors` has to state.

    Of a picture and a smaller copy of it, cells that look at the same place have the same features.
    Which cells do depends on where cell (0, 0) looks: the offset is the one at which both maps
    agree best, by the cosine, over textures with detail of all sizes. Padding, even kernels and
    training move it away from the middle of the receptive field; of a network trained on ImageNet by
    almost half a stride.

    Args:
        trunk: Maps images (B, 3, H, W) in [0, 1] to a feature map, or to several, as
            :func:`dense_descriptors` has it; in eval mode. It states its ``stride``; its ``offset``
            is not read.
        side: Side of the textures, in pixels; ``None``: 24 of the largest strides, at least 96.

    Returns:
        By stage (0 where the trunk returns one map), the position of cell (0, 0) in pixels, the
        same along x and y: what ``trunk.offset`` takes. Right to about a tenth of a stride.

    Raises:
        OptionError: The trunk states no stride, or is in training mode, or ``side`` is below 64.
        ShapeError: It returns something other than (B, C, h, w).
    """
    op = "measure_cell_offset"
    stride: object = getattr(trunk, "stride", None)
    check_option(op, stride is not None, "a trunk that states its stride", type(trunk).__name__)
    check_option(op, not trunk.training, "a trunk in eval mode (trunk.eval())", "one in training mode")
    check_option(op, side is None or side >= 64, "side >= 64", side)
    with torch.no_grad():
        keys = list(stages_of(op, trunk, trunk(_textures(64, trunk))))
        strides = {key: stage_attribute(op, trunk, "stride", key) for key in keys}
        textures = _textures(side or max(96, round(_STRIDES * max(strides.values()))), trunk)
        maps = stages_of(op, trunk, trunk(textures))
        votes: dict[Stage, list[float]] = {key: [] for key in keys}
        for scale in _SCALES:
            size = round(textures.shape[-1] * scale)
            small = F.interpolate(textures, (size, size), mode="bilinear", antialias=True)
            copies = stages_of(op, trunk, trunk(small))
            for key in keys:
                exact = size / textures.shape[-1]
                votes[key].append(_best_offset(maps[key].float(), copies[key].float(), strides[key], exact))
        return {key: sum(found) / len(found) for key, found in votes.items()}


def _textures(side: int, trunk: nn.Module) -> Tensor:
    """Return textures (n, 3, side, side) around 0.5 with detail of all sizes."""
    like = next(trunk.parameters(), torch.zeros(()))
    generator = torch.Generator().manual_seed(0)
    layers, cells = [], 4
    while cells <= side:
        noise = torch.randn(_TEXTURES, 3, cells, cells, generator=generator, dtype=torch.float32)
        layers.append(F.interpolate(noise, (side, side), mode="bicubic"))
        cells *= 2
    mean = torch.stack(layers).sum(0) / len(layers) ** 0.5
    textures: Tensor = (0.5 + 0.25 * mean).clamp(0, 1).to(like)
    return textures


def _best_offset(features: Tensor, copies: Tensor, stride: float, scale: float) -> float:
    """Return the offset at which a map (B, C, h, w) agrees best with that of copies of ``scale``."""
    offsets = [step * stride / _STEPS for step in range(-_STEPS, 2 * _STEPS + 1)]
    agreement = [_agreement(features, copies, stride, scale, offset) for offset in offsets]
    best = max(range(1, len(offsets) - 1), key=lambda i: agreement[i])
    low, middle, high = agreement[best - 1 : best + 2]
    curvature = low - 2 * middle + high
    shift = 0.5 * (low - high) / curvature if curvature < 0 else 0.0
    return offsets[best] + max(-1.0, min(1.0, shift)) * stride / _STEPS


def _agreement(features: Tensor, copies: Tensor, stride: float, scale: float, offset: float) -> float:
    """Return the mean cosine of copies with the map where it shows the same, with cell (0, 0) at ``offset``."""
    count, last = copies.shape[-1], features.shape[-1] - 1
    cell = torch.arange(count, dtype=torch.float32, device=features.device)
    # Place of the copy's cell in the copy, in the picture, in cells of the picture.
    place = ((offset + stride * cell + 0.5) / scale - 0.5 - offset) / stride
    inside = (cell >= _BORDER) & (cell < count - _BORDER) & (place >= _BORDER) & (place <= last - _BORDER)
    grid = torch.stack(torch.meshgrid(place, place, indexing="xy"), -1) * (2 / last) - 1
    seen = F.grid_sample(features, grid.expand(len(features), *grid.shape), align_corners=True)
    # What all cells have in common tells no place.
    seen, copies = (x - x.mean((0, 2, 3), keepdim=True) for x in (seen, copies))
    cosine = F.cosine_similarity(seen, copies, dim=1)
    return float(cosine[:, inside][:, :, inside].mean())
