"""Scores of a descriptor's matches on pairs of photos that it was not trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from diar_ops.geometry import transform_points
from diar_ops.matching import DenseDescriptor, match_dense
from diar_ops.training.descriptors.pairs import points_visible

#: Share of the matches that is right; share of the places in both photos that is found.
DESCRIPTOR_SCORES = ("right", "found")
#: A match is right within this many pixels.
RIGHT = 8.0
#: Distance of the places that can be found, in pixels.
GRID = 8


@torch.no_grad()
def score_descriptor(
    descriptor: DenseDescriptor, pairs: Sequence[Mapping[str, Tensor]], *, device: torch.device | str = "cpu"
) -> Tensor:
    """Match pairs by mutual nearest neighbours, and compare with the truth.

    Args:
        descriptor: Of cells of 8 pixels, so that descriptors compare; in eval mode.
        pairs: Items of :class:`ViewPairs`.
        device: Where the descriptor is.

    Returns:
        (pairs, 2) float64: :data:`DESCRIPTOR_SCORES` of each. A match is right where both photos
        show the picture and it is off by at most 8 pixels. *Found* is the number of right matches
        over the number of points of a grid of 8 pixels that both photos show.
    """
    scores = torch.zeros(len(pairs), len(DESCRIPTOR_SCORES), dtype=torch.float64)
    for row, pair in zip(scores, pairs, strict=True):
        images = [pair[name][None].to(device) for name in ("image0", "image1")]
        visible0, visible1 = (pair[name][None].to(device) for name in ("visible0", "visible1"))
        H = pair["homography_1_0"][None].to(device).float()
        matches = match_dense(*(descriptor(image) for image in images), subpixel=True)
        projected, visible = _project(matches.points0, visible0, visible1, H)
        error = (projected - matches.points1).norm(dim=-1)
        right = (matches.valid & visible & (error <= RIGHT)).sum()
        side = images[0].shape[-1]
        centres = torch.arange((GRID - 1) / 2, side, GRID, device=device)
        grid = torch.stack(torch.meshgrid(centres, centres, indexing="xy"), dim=-1).view(1, -1, 2)
        findable = _project(grid, visible0, visible1, H)[1].sum()
        row[0] = right / matches.valid.sum().clamp_min(1)
        row[1] = right / findable.clamp_min(1)
    return scores


def _project(points: Tensor, visible0: Tensor, visible1: Tensor, H: Tensor) -> tuple[Tensor, Tensor]:
    """Return the points (1, N, 2) of image 0 in image 1, and whether both images show them."""
    projected, valid = transform_points(points, H)
    visible = points_visible(points, visible0) & valid & points_visible(projected, visible1)
    return projected, visible
