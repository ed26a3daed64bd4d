"""The verdict on a refined homography: better than the initial one? how exact?"""

from __future__ import annotations

import torch
from torch import Tensor

from diar_ops._types import Matches, RefinedHomography
from diar_ops.geometry._matrix3 import invert
from diar_ops.geometry._refine.blocks import (
    Blocks,
    block_weights,
    corner_variance,
    correlation,
    displacement,
    step_covariance,
    textured,
)
from diar_ops.geometry._refine.gauss_newton import LevelResult
from diar_ops.geometry.transform import transform_points

#: Correlation from which on a block agrees. Of the texture of other paintings at most 1 % does.
_MIN_CORRELATION = 0.6
#: By how much the mean correlation may fall: interpolation between pixels blurs, so that a whole
#: number of pixels beside the right place can score a little higher than the place itself.
_SCORE_NOISE = 0.03
#: Blocks that homographies are fitted to, at least.
_MIN_BLOCKS = 8


def judge(
    refined: Tensor,
    finest: LevelResult,
    before: Blocks,
    size: tuple[int, int],
    initial: Tensor,
    usable: Tensor,
    dtype: torch.dtype,
) -> RefinedHomography:
    """Compare the refined homographies with the initial ones on the finest level.

    Args:
        refined: (B, 3, 3).
        finest: Of the finest level.
        before: The comparison under the initial homographies.
        size: (height, width) of the destination.
        initial: (B, 3, 3).
        usable: (B,) bool, whether the initial homography is one.
        dtype: Of the floating point results.
    """
    blocks = finest.last
    better = _score(blocks) >= _score(before) - _SCORE_NOISE
    weight = block_weights(blocks)
    agrees = textured(blocks) & (correlation(blocks) > _MIN_CORRELATION)
    success = usable & better & (agrees.sum(1) >= _MIN_BLOCKS)
    success = success & refined.detach().isfinite().all(-1).all(-1)

    homography = torch.where(success[:, None, None], refined, initial)
    homography = torch.where(
        usable[:, None, None], homography, torch.eye(3, dtype=initial.dtype, device=initial.device)
    )
    corner = homography[:, 2:, 2:]
    homography = homography / torch.where(corner.detach().abs() > 1e-12, corner, 1.0)

    moves = displacement(blocks)
    covariance = step_covariance(blocks, weight * agrees, size)
    variance = corner_variance(blocks, covariance, size)
    sigma = variance.nan_to_num(torch.inf, torch.inf).clamp_min(0).sqrt()
    # A coordinate of two normal ones with deviation s is off by more than 1.1774 s half the time.
    lengths = torch.where(agrees, moves.norm(dim=-1), torch.nan)
    scale = lengths.nanmedian(1).values / 1.1774

    points_dst = blocks.centre.expand_as(moves).to(initial.dtype)
    points_src, in_front = transform_points(points_dst - moves.to(initial.dtype), invert(finest.compared.detach()))
    agreement = torch.where(agrees, blocks.power, 0.0).sum(1) / _texture(blocks)
    return RefinedHomography(
        homography=homography.to(dtype),
        success=success,
        agreement=agreement.to(dtype),
        residual_scale=torch.where(success, scale, torch.inf).to(dtype),
        corner_sigma=torch.where(success[:, None], sigma, torch.inf).to(dtype),
        matches=Matches(
            points0=points_src.to(dtype),
            points1=points_dst.to(dtype),
            score=torch.where(agrees, correlation(blocks), 0.0).to(dtype),
            valid=agrees & in_front & success[:, None],
        ),
        iterations=finest.steps,
    )


def _texture(blocks: Blocks) -> Tensor:
    return blocks.power.sum(1).clamp_min(1e-20)


def _score(blocks: Blocks) -> Tensor:
    """Return (B,), the mean correlation of the blocks by their texture; none is below 0."""
    return blocks.product.detach().clamp_min(0).sum(1) / _texture(blocks).detach()
