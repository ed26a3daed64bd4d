"""Where networks look: which frames, and which cells of them, a cell of the merged map depends on."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from diar_ops._checks import check_option
from diar_ops._errors import ImageError
from diar_ops._seeds import generator_for
from diar_ops.aggregate import SwinAggregate, softmax_aggregate
from diar_ops.models import DIAR, DeepResidualSets


class Cell(NamedTuple):
    """A cell of the map at which frames are merged."""

    row: int
    column: int


def embed_frames(network: DeepResidualSets, frames: Tensor) -> Tensor:
    """Return what the encoder makes of frames (T, 3, H, W) that show everything, (1, T, C, h, w).

    The stride of the network must divide H and W.
    """
    fits = not any(side % network.config.stride for side in frames.shape[-2:])
    check_option("embed_frames", fits, f"sides that {network.config.stride} divides", list(frames.shape[-2:]))
    embedded: list[Tensor] = []
    # What the network itself gives to its encoder, not a copy of its preparations.
    hook = network.encoder.register_forward_hook(lambda module, inputs, output: embedded.append(output))
    try:
        with torch.no_grad():
            network(frames[None])
    finally:
        hook.remove()
    return embedded[0][None]


def frame_weights(network: DeepResidualSets, features: Tensor) -> Tensor:
    """Return the weight of each frame in each cell, mean over channels, (T, h, w).

    Networks that merge by a mean weigh all frames alike.

    Args:
        network: One of the study's.
        features: (1, T, C, h, w) of :func:`embed_frames`.
    """
    attention = getattr(network, "attention", None)
    if not isinstance(attention, SwinAggregate):
        return torch.full_like(features[0, :, 0], 1 / features.shape[1])
    with torch.no_grad():
        logits, _ = attention.embed("frame_weights", features, None)
        return softmax_aggregate(features, logits, return_weights=True)[1][0].mean(1)


def influence(network: DeepResidualSets, features: Tensor, cell: Cell) -> Tensor:
    """Return how much each cell of each frame can change a merged cell, (T, h, w), sum 1.

    The sum over channels of the absolute derivatives of the merged embedding: what a small change
    of an embedding there would do. It means the same for every network, with attention or without.

    Args:
        network: One of the study's.
        features: (1, T, C, h, w) of :func:`embed_frames`.
        cell: Of the merged map.
    """
    rows, columns = (
        _reach(network, axis, place, size)
        for axis, (place, size) in enumerate(zip(cell, features.shape[-2:], strict=True))
    )
    seen = features[..., rows, columns].detach().requires_grad_()
    merged = network.aggregate(seen, torch.ones_like(seen[:, :, :1], dtype=torch.bool))
    total = torch.zeros_like(features[0, :, 0])
    for channel in merged[0, :, cell.row - rows.start, cell.column - columns.start]:
        (gradient,) = torch.autograd.grad(channel, seen, retain_graph=True)
        total[:, rows, columns] += gradient[0].abs().sum(1)
    return total / total.sum()


def _reach(network: DeepResidualSets, axis: int, place: int, size: int) -> slice:
    """Return which rows (axis 0) or columns (1) can have an influence: the others need no work.

    A window a block, to each side, in whole windows, so that they are cut as in the whole map.
    """
    if not isinstance(network, DIAR) or network.attention is None:
        return slice(place, place + 1)
    side = network.config.window[1 + axis]
    assert side is not None
    first = place // side - network.config.depth
    return slice(max(0, first * side), min(size, (first + 2 * network.config.depth + 1) * side))


def covered_cells(occluded: Tensor, stride: int) -> Tensor:
    """Return which cells of which frames are covered for the most part, (T, h, w) bool.

    Args:
        occluded: (T, 1, H, W) bool.
        stride: Pixels from one cell to the next.
    """
    return F.avg_pool2d(occluded.float(), stride)[:, 0] > 0.5


def choose_cells(covered: Tensor, name: str, count: int) -> list[Cell]:
    """Return some cells that between a fifth and a half of the frames do not show.

    Args:
        covered: (T, h, w) bool.
        name: Of the sequence: the same one always gives the same cells.
        count: How many, if there are so many.

    Raises:
        ImageError: There is none.
    """
    share = covered.double().mean(0)
    places = ((share >= 0.2) & (share <= 0.5)).nonzero()
    if not len(places):
        raise ImageError(f"no cell of sequence {name} is covered in a fifth to a half of the frames")
    order = torch.randperm(len(places), generator=generator_for("attention", name))[:count]
    return [Cell(row, column) for row, column in places[order].tolist()]


def covered_influence(shares: Tensor, covered: Tensor, cell: Cell) -> float:
    """Return the influence of the frames that do not show a cell, in terms of what a mean gives them.

    1 where every frame counts alike, 0 where what covers the cell is left alone.

    Args:
        shares: (T, h, w) of :func:`influence`.
        covered: (T, h, w) bool.
        cell: The cell.
    """
    hidden = covered[:, cell.row, cell.column]
    return float(shares.flatten(1).sum(1)[hidden].sum() / hidden.double().mean())
