"""How good the matches of a descriptor are on pairs of pictures that it was not trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from diar_ops.geometry import transform_points
from diar_ops.matching import DenseDescriptor, match_dense
from diar_ops.training.descriptors.pairs import points_seen

__all__ = ["DESCRIPTOR_SCORES", "score_descriptor"]

#: Of the matches, those that are right; of the places that both photos show, those found.
DESCRIPTOR_SCORES = ("right", "found")
#: A match is right within this many pixels.
RIGHT = 8.0
#: Places are asked for every so many pixels.
GRID = 8


@torch.no_grad()
def score_descriptor(
    descriptor: DenseDescriptor,
    pairs: Sequence[Mapping[str, Tensor]],
    *,
    device: torch.device | str = "cpu",
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
        images, seen, H = (
            (pair["image0"][None].to(device), pair["image1"][None].to(device)),
            (pair["seen0"][None].to(device), pair["seen1"][None].to(device)),
            pair["homography_1_0"][None].to(device).float(),
        )
        matches = match_dense(*(descriptor(image) for image in images), subpixel=True)
        there, shown = _truth(matches.points0, *seen, H)
        off = (there - matches.points1).norm(dim=-1)
        right = (matches.valid & shown & (off <= RIGHT)).sum()
        side = images[0].shape[-1]
        at = torch.arange((GRID - 1) / 2, side, GRID, device=device)
        grid = torch.stack(torch.meshgrid(at, at, indexing="xy"), dim=-1).view(1, -1, 2)
        places = _truth(grid, *seen, H)[1].sum()
        row[0] = right / matches.valid.sum().clamp_min(1)
        row[1] = right / places.clamp_min(1)
    return scores


def _truth(points: Tensor, seen0: Tensor, seen1: Tensor, H: Tensor) -> tuple[Tensor, Tensor]:
    """Return where points (1, N, 2) of image 0 lie in image 1, and whether both show them."""
    there, ahead = transform_points(points, H)
    return there, points_seen(points, seen0) & ahead & points_seen(there, seen1)
