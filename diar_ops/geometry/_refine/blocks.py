"""The normal equations of a homography between two feature images, from sums over small blocks."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from diar_ops._boxes import box_sum
from diar_ops._checks import widest_dtype
from diar_ops._pixels import constant, image_gradient

#: Side of a block, in pixels of a level.
BLOCK = 6
#: Pixels lose their weight where the difference around them is this many medians (of its square).
_REACH = 1.0
#: Blocks lose their weight that want to move this many times as far as the median block.
_BLOCK_REACH = 3.0
#: Shortest distance, in pixels, that counts as far.
_MIN_DISTANCE = 1e-3
#: Share of the mean texture from which on a block counts.
_MIN_TEXTURE = 0.1


class Blocks(NamedTuple):
    """Sums over the n blocks of two feature images that lie over each other, B items.

    Attributes:
        centre: (n, 2) positions (x, y), in pixels.
        tensor: (B, n, 2, 2) structure tensor: weighted sum of the outer product of the gradient.
        pull: (B, n, 2) weighted sum of the gradient times the difference.
        product: (B, n) summed product of the features, over a block and those around it.
        power: (B, n) geometric mean of the two sums of squares there.
        known: (B, n) bool, blocks of which both images show more than half.
    """

    centre: Tensor
    tensor: Tensor
    pull: Tensor
    product: Tensor
    power: Tensor
    known: Tensor

    def where(self, condition: Tensor, new: Blocks) -> Blocks:
        """Return ``new`` for the items of ``condition`` (B,), and these for the others."""
        picked = (
            torch.where(condition.view(-1, *[1] * (a.dim() - 1)), b, a) for a, b in zip(self[1:], new[1:], strict=True)
        )
        return Blocks(self.centre, *picked)


def sum_blocks(moving: Tensor, fixed: Tensor, inside: Tensor) -> Blocks:
    """Sum the gradients and the differences of two feature images over blocks.

    Args:
        moving: (B, F, h, w) features of the image that moves, warped.
        fixed: (B or 1, F, h, w) features of the other.
        inside: (B, 1, h, w) bool, where both are valid.
    """
    h, w = fixed.shape[-2:]
    fixed = fixed.expand_as(moving)
    share = inside.to(moving.dtype)
    difference = (moving - fixed) * share
    local = box_sum(difference.square().sum(1, keepdim=True), 5)
    sample = (slice(None), slice(None, None, 3))
    sampled = torch.where(inside.flatten(1)[sample], local.flatten(1)[sample], torch.nan)
    median = sampled.nanmedian(1).values.nan_to_num(1.0).clamp_min(1e-12)
    weight = share / (1 + local / (_REACH * median[:, None, None, None])).square()
    # The mean gradient of both is right to second order (Malis's ESM).
    dx, dy = image_gradient((moving + fixed) / 2)
    by_x, by_y = dx * weight, dy * weight
    pulls = (by_x * dx, by_x * dy, by_y * dy, by_x * difference, by_y * difference)
    sums = torch.stack([_block_sums(p).flatten(1) for p in pulls], -1)  # [B, n, 5]
    own, other = moving * share, fixed * share
    products = (own * fixed, own * moving, other * fixed)
    around = box_sum(torch.stack([_block_sums(p) for p in products], 1), 3)
    product, own, other = around.flatten(2).unbind(1)
    x, y = ((torch.arange(n // BLOCK, dtype=moving.dtype, device=moving.device) + 0.5) * BLOCK - 0.5 for n in (w, h))
    centre = torch.stack((x.repeat(y.shape[0]), y.repeat_interleave(x.shape[0])), -1)
    xx, xy, yy = sums[..., :3].unbind(-1)
    tensor = torch.stack((xx, xy, xy, yy), -1).reshape(*xx.shape, 2, 2)
    power = (own * other).clamp_min(1e-24).sqrt()
    known = _block_sums(share).flatten(1) > BLOCK**2 / 2
    return Blocks(centre=centre, tensor=tensor, pull=sums[..., 3:], product=product, power=power, known=known)


def _block_sums(planes: Tensor) -> Tensor:
    """Return the sums of (B, F, h, w) over features and blocks, (B, h // BLOCK, w // BLOCK)."""
    batch, features, h, w = planes.shape
    rows, columns = h // BLOCK, w // BLOCK
    # Adding rows first leaves a sixth of the pixels for the slower sums within rows.
    planes = planes[..., : rows * BLOCK, : columns * BLOCK]
    planes = planes.reshape(batch, features, rows, BLOCK, columns * BLOCK).sum((1, 3))
    return planes.reshape(batch, rows, columns, BLOCK).sum(-1)


def displacement(blocks: Blocks) -> Tensor:
    """Return (B, n, 2), by how many pixels the content of each block should move further."""
    trace = blocks.tensor.diagonal(dim1=-2, dim2=-1).sum(-1)
    floor = 0.01 * trace.mean(1, keepdim=True) + 1e-12
    (a, b), (_, c) = (row.unbind(-1) for row in blocks.tensor.unbind(-2))
    a, c = a + floor, c + floor
    u, v = blocks.pull.unbind(-1)
    return torch.stack((c * u - b * v, a * v - b * u), -1) / (a * c - b * b)[..., None]


def textured(blocks: Blocks) -> Tensor:
    """Return (B, n) bool, which blocks have enough texture."""
    trace = blocks.tensor.diagonal(dim1=-2, dim2=-1).sum(-1)
    return trace > _MIN_TEXTURE * trace.mean(1, keepdim=True)


def correlation(blocks: Blocks) -> Tensor:
    """Return (B, n), the correlation of the features in each block and around it, -1 to 1."""
    return blocks.product / blocks.power


def block_weights(blocks: Blocks) -> Tensor:
    """Return (B, n), low where a block should move farther than most."""
    square = displacement(blocks).square().sum(-1)
    median = torch.where(textured(blocks), square, torch.nan).nanmedian(1).values.nan_to_num(1.0)
    far_square = _BLOCK_REACH**2 * median[:, None] + _MIN_DISTANCE**2
    return 1 / (1 + square / far_square).square()


def solve_step(blocks: Blocks, weight: Tensor, size: tuple[int, int]) -> Tensor:
    """Solve for the step that explains the pulls of all blocks.

    Args:
        blocks: Of two images of ``size``.
        weight: (B, n).
        size: (height, width) in pixels.

    Returns:
        The step (B, 8), in coordinates from -1 to 1 along the longer side.
    """
    return _Normal(blocks, weight, size).step


def step_covariance(blocks: Blocks, weight: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the covariance (B, 8, 8) of :func:`solve_step` for independent errors of the blocks.

    The sandwich estimate; see there for the arguments.
    """
    normal = _Normal(blocks, weight, size)
    by_x, by_y = normal.design
    explained = normal.stretch(normal.step @ by_x.mT, normal.step @ by_y.mT)
    x, y = normal.pull - torch.stack(explained)
    scores = x[..., None] * by_x + y[..., None] * by_y  # [B, n, 8]
    covariance: Tensor = normal.inverse @ (scores.mT @ scores) @ normal.inverse
    return covariance


class _Normal:
    """Normal equations of a step.

    Attributes:
        design: Two tensors (n, 8), the derivative of x and of y by the parameters.
        pull: (2, B, n) weighted pull along x and y.
        inverse: (B, 8, 8) of the damped normal matrix.
        step: (B, 8).
    """

    def __init__(self, blocks: Blocks, weight: Tensor, size: tuple[int, int]) -> None:
        wide = widest_dtype(weight.device)
        self.design = _design(blocks.centre, size).to(wide).unbind(1)
        self.tensor = (blocks.tensor * weight[..., None, None]).to(wide)
        self.pull = (blocks.pull * weight[..., None]).to(wide).permute(2, 0, 1)
        by_x, by_y = self.design
        # Sums over blocks as matrix products: (8, n) times (n, 8).
        rows = self.stretch(by_x, by_y, along=1)
        normal = by_x.mT @ rows[0] + by_y.mT @ rows[1]
        diagonal = normal.diagonal(dim1=1, dim2=2)
        # Marquardt's damping: directions that nothing fixes stay where they are.
        damping = 1e-4 * diagonal + 1e-6 * diagonal.mean(1, keepdim=True) + 1e-20
        factor, _ = torch.linalg.cholesky_ex(normal + torch.diag_embed(damping))
        self.inverse = torch.cholesky_inverse(factor)
        pulls = self.pull[0] @ by_x + self.pull[1] @ by_y
        self.step = (self.inverse @ pulls[..., None])[..., 0]

    def stretch(self, x: Tensor, y: Tensor, *, along: int = 0) -> tuple[Tensor, Tensor]:
        """Apply the tensors of the blocks to vectors (x, y) with ``along`` further dimensions."""
        (a, b), (_, c) = ([entry[(..., *[None] * along)] for entry in row.unbind(-1)] for row in self.tensor.unbind(-2))
        return a * x + b * y, b * x + c * y


def _design(points: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the derivative (n, 2, 8) of positions in pixels by the parameters of a step."""
    scale = max(size) / 2
    middle = constant([(size[1] - 1) / 2, (size[0] - 1) / 2], dtype=points.dtype, device=points.device)
    x, y = ((points - middle) / scale).unbind(-1)
    one, zero = torch.ones_like(x), torch.zeros_like(x)
    rows = (
        torch.stack((x, y, one, zero, zero, zero, -x * x, -x * y), -1),
        torch.stack((zero, zero, zero, x, y, one, -x * y, -y * y), -1),
    )
    return scale * torch.stack(rows, 1)


def step_matrix(step: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the homographies (B, 3, 3), in pixels, by which the moving image moves further."""
    scale = max(size) / 2
    last = torch.zeros_like(step[:, :1])
    delta = torch.cat((step, last), 1).reshape(-1, 3, 3)
    eye = torch.eye(3, dtype=step.dtype, device=step.device)
    x, y = (size[1] - 1) / 2, (size[0] - 1) / 2
    like: dict[str, Any] = {"dtype": step.dtype, "device": step.device}
    normalise = constant([[1 / scale, 0, -x / scale], [0, 1 / scale, -y / scale], [0, 0, 1]], **like)
    denormalise = constant([[scale, 0, x], [0, scale, y], [0, 0, 1]], **like)
    return denormalise @ (eye + delta) @ normalise


def corner_variance(blocks: Blocks, covariance: Tensor, size: tuple[int, int]) -> Tensor:
    """Return (B, 4) px^2, the mean squared motion of the corners of the box around known blocks.

    Args:
        blocks: Of two images of ``size``.
        covariance: (B, 8, 8) of a step.
        size: (height, width) in pixels.
    """
    known = blocks.known[..., None]
    centre = blocks.centre.expand(known.shape[0], -1, -1)
    low = torch.where(known, centre, torch.inf).amin(1) - BLOCK / 2
    high = torch.where(known, centre, -torch.inf).amax(1) + BLOCK / 2
    left, top, right, bottom = *low.unbind(1), *high.unbind(1)
    corners = torch.stack((left, top, right, top, right, bottom, left, bottom), 1)
    design = _design(corners.reshape(-1, 2), size).reshape(-1, 4, 2, 8).to(covariance.dtype)
    return torch.einsum("bcik,bkl,bcil->bc", design, covariance, design)
