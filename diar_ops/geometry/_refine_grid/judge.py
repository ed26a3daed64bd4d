"""The verdict on a displacement grid: does it lower what the homography leaves?"""

from __future__ import annotations

import torch
from torch import Tensor

from diar_ops._boxes import box_sum
from diar_ops._types import RefinedGrid
from diar_ops.geometry._refine.blocks import Blocks, block_weights, correlation, displacement, textured
from diar_ops.geometry._refine_grid.prior import monomials
from diar_ops.geometry._refine_grid.solve import GridFrame, information, solve_grid

#: Correlation from which on a block agrees, and blocks that must: as of a homography.
MIN_CORRELATION, _MIN_BLOCKS = 0.6, 8
#: Side of the squares of blocks of which every other one belongs to the same half.
_PATCH = 2
#: By how much the mean correlation may fall: interpolation between pixels blurs.
_SCORE_NOISE = 0.01
#: Two halves of the blocks agree on the displacements: their least correlation. And at least this
#: share of the blocks is displaced by more than an affine map, in pixels, and in multiples of half
#: the difference between the halves.
_LEAST_RELIABILITY, _LEAST_SHARE, _LEAST_BEND, _CLEARLY = 0.7, 0.35, 0.1, 4.0
#: Rounds in which the affine map is laid through most of the displacements.
_AFFINE_ROUNDS = 6
#: The residual motion under a grid is at most this share of that under the homography alone.
_MOST_RESIDUAL = 0.9


def judge(
    grid: Tensor,
    blocks: Blocks,
    before: Blocks,
    frame: GridFrame,
    iterations: Tensor,
    usable: Tensor,
    dtype: torch.dtype,
) -> RefinedGrid:
    """Compare what grids leave with what the homographies alone leave, on the finest level.

    Args:
        grid: (B, 2, rows + 3, columns + 3).
        blocks: The comparison under the grids.
        before: The comparison under the homographies alone.
        frame: Geometry of the grids over the blocks.
        iterations: (B,) int64.
        usable: (B,) bool, whether the homography is one.
        dtype: Of the floating point results.
    """
    agrees = _agreeing(blocks)
    enough = usable & (agrees.sum(1) >= _MIN_BLOCKS)
    weight = block_weights(blocks)
    halves = _split_halves(grid.detach(), blocks, weight, agrees, frame)
    shift, reliability = _common(*halves, agrees)
    # The same blocks for both: those that agree without a grid are others.
    after, alone = (_residual_motion(x, agrees, frame).nan_to_num(torch.inf) for x in (blocks, before))
    share, share_alone = _agreement(blocks, agrees), _agreement(before, _agreeing(before))
    success = enough & (_bent_share(*halves, agrees, frame) >= _LEAST_SHARE) & (reliability >= _LEAST_RELIABILITY)
    success = success & (after <= _MOST_RESIDUAL * alone) & (_score(blocks) >= _score(before) - _SCORE_NOISE)
    success = success & grid.detach().isfinite().flatten(1).all(1)
    certainty = frame.certainty(information(blocks, weight * agrees)[0])
    return RefinedGrid(
        grid=torch.where(success[:, None, None, None], grid, 0).to(dtype),
        certainty=torch.where(enough[:, None, None], certainty, 0).to(dtype),
        success=success,
        shift=torch.where(enough, shift, 0).to(dtype),
        reliability=torch.where(enough, reliability, 0).to(dtype),
        residual=torch.where(enough, torch.where(success, after, alone), torch.inf).to(dtype),
        residual_before=torch.where(enough, alone, torch.inf).to(dtype),
        agreement=torch.where(success, share, share_alone).to(dtype),
        iterations=iterations,
    )


def _split_halves(
    grid: Tensor, blocks: Blocks, weight: Tensor, agrees: Tensor, frame: GridFrame
) -> tuple[Tensor, Tensor]:
    """Return the displacements (B, n, 2) that either half of the blocks finds, 0 where none agree."""
    rows, columns = len(frame.by_row), len(frame.by_column)
    row, column = torch.arange(rows, device=grid.device), torch.arange(columns, device=grid.device)
    half = (((row // _PATCH)[:, None] + column // _PATCH) % 2).flatten()
    share = agrees.to(grid.dtype)[..., None]
    one, two = (frame.at(grid + solve_grid(blocks, 2 * weight * (half == k), grid, frame)) * share for k in (0, 1))
    return one, two


def _common(one: Tensor, two: Tensor, agrees: Tensor) -> tuple[Tensor, Tensor]:
    """Return the length of what two displacements agree on, in the root of the mean square, and their correlation.

    Noise is independent in the halves, and falls out of the mean product.
    """
    product, own, other = ((a * b).sum((1, 2)) for a, b in ((one, two), (one, one), (two, two)))
    reliability = product / (own * other).clamp_min(1e-20).sqrt()
    return (product / agrees.sum(1).clamp_min(1)).clamp_min(0).sqrt(), reliability


def _bent_share(one: Tensor, two: Tensor, agrees: Tensor, frame: GridFrame) -> Tensor:
    """Return (B,), the share of the agreeing blocks that two halves move alike, otherwise than an affine map does.

    A homography that is a little off is not mended by bending the picture; and what moves in one
    place alone, such as a picture seen through a glass ball, is no bend of it.
    """
    mean, half_difference = (one + two) / 2, (one - two).norm(dim=-1) / 2
    noise = _median_over(half_difference, agrees)
    affine = monomials((len(frame.by_row), len(frame.by_column)), 1, frame.by_row)
    ridge = 1e-6 * torch.eye(3, dtype=affine.dtype, device=affine.device)
    weight = agrees.to(affine.dtype)
    left = mean
    for _ in range(_AFFINE_ROUNDS):
        scaled = affine * weight[..., None]  # [B, n, 3]
        factor = torch.linalg.cholesky_ex(affine.mT @ scaled + ridge).L
        left = mean - affine @ torch.cholesky_solve(scaled.mT @ mean, factor)
        square = left.square().sum(-1)
        weight = agrees / (1 + square / _median_over(square, agrees).clamp_min(_LEAST_BEND**2))
    bent = agrees & (left.norm(dim=-1) >= (_CLEARLY * noise).clamp_min(_LEAST_BEND))
    share: Tensor = bent.sum(1) / agrees.sum(1).clamp_min(1)
    return share


def _median_over(values: Tensor, of: Tensor) -> Tensor:
    """Return (B, 1), the median of values (B, n) where ``of`` (B, n) holds; 0 where it does nowhere."""
    return torch.where(of, values, torch.nan).nanmedian(1, keepdim=True).values.nan_to_num(0)


def _agreeing(blocks: Blocks) -> Tensor:
    """Return (B, n) bool, the textured blocks that look alike."""
    return textured(blocks) & blocks.known & (correlation(blocks) > MIN_CORRELATION)


def _agreement(blocks: Blocks, agrees: Tensor) -> Tensor:
    """Return (B,), the share of the texture that agrees."""
    return torch.where(agrees, blocks.power, 0.0).sum(1) / blocks.power.sum(1).clamp_min(1e-20)


def _score(blocks: Blocks) -> Tensor:
    """Return (B,), the mean correlation of the blocks by their texture; none is below 0."""
    return blocks.product.detach().clamp_min(0).sum(1) / blocks.power.detach().sum(1).clamp_min(1e-20)


def _residual_motion(blocks: Blocks, of: Tensor, frame: GridFrame) -> Tensor:
    """Return (B,), the root of the median squared motion of 3 x 3 of the blocks ``of`` (B, n) bool.

    Of single blocks it would mostly be noise.
    """
    rows, columns = len(frame.by_row), len(frame.by_column)
    sums = torch.cat((blocks.tensor.flatten(2), blocks.pull), -1) * of[..., None]
    sums = box_sum(sums.mT.reshape(len(sums), 6, rows, columns), 3).flatten(2).mT
    pooled = blocks._replace(tensor=sums[..., :4].reshape(blocks.tensor.shape), pull=sums[..., 4:])
    square = torch.where(of, displacement(pooled).square().sum(-1), torch.nan)
    return square.nanmedian(1).values.clamp_min(1e-20).sqrt()
