"""Losses of descriptors: cross-entropies of softmaxes over the cells that may match."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diar_ops._types import FeatureMap
from diar_ops.geometry import transform_points
from diar_ops.matching import dense_stages
from diar_ops.training.descriptors.pairs import points_visible

#: Cosine similarities are divided by this before softmax.
COARSE_TEMPERATURE, FINE_TEMPERATURE = 0.07, 0.1
#: Width of the peak that coarse similarities shall have, in cells: a parabola of their logarithms,
#: whose top :func:`match_dense` finds.
COARSE_SIGMA = 0.45
#: Width of the peak of fine similarities, in cells: a tent, whose top :func:`match_local` finds.
FINE_WIDTH = 0.4
#: Search of the fine stages, in cells, and every how many-th cell is searched for.
RADIUS = {"middle": 3, "fine": 4}
STEP = {"middle": 1, "fine": 2}


def matching_loss(network: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
    """Return the loss of a trunk like :class:`DualDescriptor` on a batch of :class:`ViewPairs`.

    Args:
        network: The trunk.
        batch: ``image0``, ``image1``, ``visible0``, ``visible1``, ``homography_1_0``, ``near``.

    Returns:
        A scalar: :func:`coarse_loss` plus the mean of :func:`fine_loss` of both fine stages over
        the pairs that are near.
    """
    both = torch.cat([batch["image0"], batch["image1"]])
    stages = dense_stages(both, network)
    visible0, visible1, H = batch["visible0"], batch["visible1"], batch["homography_1_0"]
    loss = coarse_loss(*_split_pairs(stages["coarse"]), visible0, visible1, H)
    near = batch["near"]
    # Without a near pair it counts for nothing: every process has to use every parameter.
    selected = near if bool(near.any()) else ~near
    for stage in ("middle", "fine"):
        first, second = (_select(features, selected) for features in _split_pairs(stages[stage]))
        fine = fine_loss(
            first, second, visible0[selected], visible1[selected], H[selected], radius=RADIUS[stage], step=STEP[stage]
        )
        loss = loss + 0.5 * fine * near.any()
    return loss


def coarse_loss(features0: FeatureMap, features1: FeatureMap, visible0: Tensor, visible1: Tensor, H: Tensor) -> Tensor:
    """Return the cross-entropy of the dual softmax over all cells of all images of a batch.

    Each cell that is seen in the other image shall choose the cells there around its place, among
    those of all pairs: every other cell, of the same picture or another, is a negative.

    Args:
        features0: Unit descriptors of B images, 0 where invalid.
        features1: Of the other image of each pair.
        visible0: (B, 1, H, W) bool, pixels that show the picture.
        visible1: The same for the other images.
        H: (B, 3, 3) float64, image1 ~ H @ image0.

    Returns:
        A scalar, the mean over the cells of both images that have a partner.
    """
    cells0, cells1 = _cells(features0), _cells(features1)
    logits = cells0 @ cells1.T / COARSE_TEMPERATURE  # [B * N0, B * N1]
    back = torch.linalg.inv(H)
    forward = _coarse_cross_entropy(logits, features0, features1, visible0, visible1, H)
    backward = _coarse_cross_entropy(logits.T, features1, features0, visible1, visible0, back)
    return forward + backward


def _coarse_cross_entropy(
    logits: Tensor, features: FeatureMap, others: FeatureMap, visible: Tensor, others_visible: Tensor, H_other: Tensor
) -> Tensor:
    _, projected, paired = _project_cells(features, visible, others_visible, H_other)
    (sx, sy), (ox, oy) = others.stride, others.offset
    h, w = others.descriptors.shape[-2:]
    B, N = paired.shape
    column = (projected[..., 0:1] - ox) / sx - torch.arange(w, device=projected.device)  # [B, N, w]
    row = (projected[..., 1:2] - oy) / sy - torch.arange(h, device=projected.device)
    weight = -0.5 / COARSE_SIGMA**2
    target = (weight * (column.square()[:, :, None] + row.square()[..., None])).flatten(2)
    target = target.masked_fill(~_valid_cells(others)[:, None], -torch.inf)
    near = target.amax(dim=-1) > weight * 2  # at least a neighbour of the nearest cell is usable
    paired = paired & near & _valid_cells(features)
    target = torch.where(paired[..., None], target, 0.0).softmax(dim=-1)
    log_probability = logits.log_softmax(dim=-1).view(B, N, B, -1)
    own = torch.arange(B, device=logits.device)
    entropy = -(target * log_probability[own, :, own]).sum(dim=-1)  # [B, N]
    return _masked_mean(entropy, paired)


def fine_loss(
    features0: FeatureMap,
    features1: FeatureMap,
    visible0: Tensor,
    visible1: Tensor,
    H: Tensor,
    *,
    radius: int,
    step: int,
) -> Tensor:
    """Return the cross-entropy of a softmax over the window that :func:`match_local` searches.

    Args:
        features0: Unit descriptors of B images, 0 where invalid.
        features1: Of the other images, which lie over the first up to ``radius`` cells.
        visible0: (B, 1, H, W) bool, pixels that show the picture.
        visible1: The same for the other images.
        H: (B, 3, 3) float64, image1 ~ H @ image0.
        radius: Half width of the window, in cells.
        step: Every how many-th row and column of cells is searched for.

    Returns:
        A scalar, the mean over the cells whose partner lies in the window.
    """
    centres, projected, paired = _project_cells(features0, visible0, visible1, H)
    h, w = features0.descriptors.shape[-2:]
    stride = torch.tensor(features0.stride, dtype=projected.dtype, device=projected.device)
    shift = ((projected - centres) / stride).view(-1, h, w, 2)[:, ::step, ::step].flatten(1, 2)
    grid = (slice(None), slice(None, None, step), slice(None, None, step))
    paired = (paired & _valid_cells(features0)).view(-1, h, w)[grid].flatten(1)
    paired = paired & (shift.abs() <= radius - 0.5).all(dim=-1)

    cells0 = features0.descriptors[:, :, ::step, ::step]
    padded = F.pad(features1.descriptors, (radius, radius, radius, radius))
    side = 2 * radius + 1
    logits = torch.stack(
        [
            (cells0 * padded[:, :, dy : dy + h : step, dx : dx + w : step]).sum(dim=1)
            for dy in range(side)
            for dx in range(side)
        ],
        dim=-1,
    ).flatten(1, 2)  # [B, N, side * side]
    reach = torch.arange(-radius, radius + 1, device=projected.device)
    off_y = (shift[..., 1:2] - reach).abs()[..., None]  # [B, N, side, 1]
    off_x = (shift[..., 0:1] - reach).abs()[..., None, :]
    target = (-(off_y + off_x) / FINE_WIDTH).flatten(2).softmax(dim=-1)
    entropy = -(target * (logits / FINE_TEMPERATURE).log_softmax(dim=-1)).sum(dim=-1)
    return _masked_mean(entropy, paired)


def cell_centres(features: FeatureMap) -> Tensor:
    """Return the centres of the cells of a map, row by row: (h * w, 2) float32 pixels."""
    h, w = features.descriptors.shape[-2:]
    device = features.descriptors.device
    y, x = torch.meshgrid(
        features.offset[1] + features.stride[1] * torch.arange(h, device=device),
        features.offset[0] + features.stride[0] * torch.arange(w, device=device),
        indexing="ij",
    )
    return torch.stack([x, y], dim=-1).view(-1, 2)


def _project_cells(
    features: FeatureMap, visible: Tensor, others_visible: Tensor, H_other: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return cell centres (N, 2), their points in the other image (B, N, 2), if both show them."""
    centres = cell_centres(features)
    points = centres.expand(len(H_other), -1, -1)
    projected, valid = transform_points(points, H_other.to(points.dtype))
    paired = points_visible(points, visible) & valid & points_visible(projected, others_visible)
    return centres, projected, paired


def _cells(features: FeatureMap) -> Tensor:
    """Return the descriptors of all images, (B * h * w, C)."""
    return features.descriptors.flatten(2).mT.flatten(0, 1)


def _valid_cells(features: FeatureMap) -> Tensor:
    """Return the mask of valid cells, (B, h * w)."""
    assert features.valid is not None
    return features.valid.flatten(1)


def _masked_mean(values: Tensor, where: Tensor) -> Tensor:
    return torch.where(where, values, 0).sum() / where.sum().clamp_min(1)


def _split_pairs(features: FeatureMap) -> tuple[FeatureMap, FeatureMap]:
    """Split the maps of a batch of pairs into those of their first and second images."""
    B = len(features.descriptors) // 2
    first = torch.arange(2 * B, device=features.descriptors.device) < B
    return _select(features, first), _select(features, ~first)


def _select(features: FeatureMap, items: Tensor) -> FeatureMap:
    """Return the maps of the items of a batch that a mask selects."""
    assert features.valid is not None
    return replace(features, descriptors=features.descriptors[items], valid=features.valid[items])
