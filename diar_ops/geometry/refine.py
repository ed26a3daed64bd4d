"""Refine a homography between two images to a fraction of a pixel, from their pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diar_ops._checks import (
    check_bool,
    check_broadcast,
    check_floating,
    check_option,
    check_shapes,
    read_number,
    solve_dtype,
    widest_dtype,
)
from diar_ops._errors import ShapeError
from diar_ops._pixels import resize_matrix
from diar_ops._types import Matches, RefinedHomography, Warped
from diar_ops.geometry._matrix3 import adjugate, determinant, scale_to_unit
from diar_ops.geometry._refine.blocks import (
    BLOCK,
    Blocks,
    block_weights,
    blocks_of,
    corner_variance,
    correlation,
    displacement,
    solve_step,
    step_covariance,
    step_matrix,
    textured,
)
from diar_ops.geometry.contrast import local_contrast
from diar_ops.geometry.corner import corner_error
from diar_ops.geometry.transform import transform_points
from diar_ops.geometry.warp import warp_homography

__all__ = ["Features", "RefineHomography", "refine_homography"]

#: Maps images (B, C, H, W) and what is valid of them (B, 1, H, W) bool to features (B, F, H, W)
#: that light does not change, and which of them hold, (B, 1, H, W) bool.
Features: TypeAlias = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

#: Shorter side of the coarsest level of the destination, in pixels, at least; of the source, half.
_LEAST_SIDE = 48
#: A step shorter than this, in pixels of a level, is the last one there; on the finest level, and
#: on others, where the next one goes on.
_SHORT_STEP, _SHORT_COARSE_STEP = 0.01, 0.05
#: Source pixels for one of the destination, along its sides, below which single samples serve: they
#: left corner errors of rendered photos as they were, and averages take twice the time.
_SHRINK = 2.0
#: Correlation from which on a block agrees. Of the texture of other paintings at most 1 % does.
_ALIKE = 0.6
#: By how much the mean correlation may fall: interpolation between pixels blurs, so that a whole
#: number of pixels beside the right place can score a little higher than the place itself.
_SCORE_NOISE = 0.03
#: Blocks that homographies are fitted to, at least.
_LEAST_BLOCKS = 8


def refine_homography(
    image_src: Tensor,
    image_dst: Tensor,
    homography_dst_src: Tensor,
    valid_src: Tensor | None = None,
    valid_dst: Tensor | None = None,
    *,
    levels: int | None = None,
    max_iterations: int = 20,
    features: Features | None = None,
) -> RefinedHomography:
    """Refine homographies until the source's pixels lie over the destination's.

    Gauss-Newton on the difference of feature images, coarse to fine: the source is warped,
    described as the destination is, and moved by the homography that explains what is left. The
    default features are the :func:`local_contrast`, which exposure, shading, haze and shadows leave
    alone but for their edges. What hides the picture or glares loses its say twice: pixels whose
    surroundings differ by more than the median, and blocks that want to move farther than others.

    Accurate to some hundredths of a pixel where there is texture, from estimates that are off by
    a twentieth of the picture's side. Where the features correlate less on the finest level than
    under the initial estimate, that is returned.

    Args:
        image_src: (B, C, H, W) floating point in [0, 1]; B may be 1 and is broadcast.
        image_dst: (B, C, h, w) floating point in [0, 1]; B may be 1 and is broadcast.
        homography_dst_src: (B, 3, 3) initial estimates, dst ~ H @ src in pixels; B may be 1 and is
            broadcast.
        valid_src: Optional (B, 1, H, W) bool; False marks pixels without content.
        valid_dst: Optional (B, 1, h, w) bool. Pixels that are not finite count as invalid.
        levels: Levels of the image pyramid, each half as large as the one below; 1 for estimates
            that are right to a pixel or two. ``None``: as many as leave 48 pixels.
        max_iterations: Steps on each level, at most; fewer if they get short, for which a GPU
            waits. ``torch.compile`` unrolls all of them. 0 only judges the initial estimates.
        features: Maps images and validity to features that can be compared, of the same size, and
            to where they hold. ``None``: local contrast.

    Returns:
        :class:`RefinedHomography`; floating point in the dtype of ``homography_dst_src``. The
        homography is differentiable with respect to both images and the initial estimate.

    Raises:
        ShapeError, DtypeError, DeviceError: The tensors do not fit together.
        OptionError: ``levels`` or ``max_iterations`` is outside its values.

    Source: Baker and Matthews, Lucas-Kanade 20 Years On (IJCV 2004); Malis, Improving
    vision-based control using efficient second-order minimization techniques (ICRA 2004).
    """
    batch = _check(image_src, image_dst, homography_dst_src, valid_src, valid_dst)
    op = "refine_homography"
    check_option(op, levels is None or levels >= 1, "levels >= 1", levels)
    check_option(op, max_iterations >= 0, "max_iterations >= 0", max_iterations)
    side = min(*image_src.shape[-2:], *image_dst.shape[-2:])
    fits = levels is None or side >> (levels - 1) >= BLOCK
    check_option(op, fits, f"levels that leave {BLOCK} pixels of {side}", levels)
    describe = features or local_contrast
    wide = widest_dtype(image_src.device)
    H, usable = scale_to_unit(homography_dst_src.to(wide))
    H, initial = H.expand(batch, 3, 3), H.expand(batch, 3, 3)
    usable = (usable & determinant(H.detach())[1]).expand(batch)

    # Local contrast is that of the mean of the channels, which is warped in a third of the time.
    grey = features is None
    moving = [_Level.of(image_src, valid_src, grey=grey)]
    fixed = [_Level.of(image_dst, valid_dst, grey=grey)]
    while levels != len(fixed):
        small = min(fixed[-1].size) < 2 * _LEAST_SIDE or min(moving[-1].size) < _LEAST_SIDE
        if levels is None and small:
            break
        fixed.append(fixed[-1].half())
        moving.append(moving[-1].half())
    iterations = torch.zeros(batch, dtype=torch.int64, device=H.device)
    before: Blocks | None = None
    antialias = _antialiased(H, fixed[0].size)
    for level in reversed(range(len(fixed))):
        pair = _Pair(moving[level], fixed[level], describe, antialias)
        shrink = resize_matrix((2**level, 2**level), (1, 1)).to(H)
        on_level = shrink @ H @ _invert(shrink)
        running = usable
        short = _SHORT_STEP if level == 0 else _SHORT_COARSE_STEP
        for _ in range(max_iterations):
            seen, blocks = on_level, pair.blocks(on_level)
            if before is None and len(fixed) == 1:
                before = blocks
            step = solve_step(blocks, block_weights(blocks), pair.size)
            move = step_matrix(step, pair.size)
            length = corner_error(move.detach(), torch.eye(3).to(move), size=pair.size)
            sound = running & (length < max(pair.size))
            on_level = torch.where(sound[:, None, None], move @ on_level, on_level)
            iterations = iterations + running
            running = sound & (length > short)
            if read_number(running.any()) == 0:
                break
        else:
            seen, blocks = on_level, pair.blocks(on_level)
        H = _invert(shrink) @ on_level @ shrink
        H = H / H.detach().square().sum((1, 2), keepdim=True).sqrt()
    # The last step was too short to look again.
    found = _Found(H, blocks, seen)
    before = pair.blocks(initial.detach()) if before is None else before
    return _judge(found, before, pair.size, initial, usable, iterations, homography_dst_src.dtype)


class _Level(NamedTuple):
    """An image of a pyramid, 0 where it is not valid."""

    image: Tensor
    valid: Tensor

    @classmethod
    def of(cls, image: Tensor, valid: Tensor | None, *, grey: bool) -> _Level:
        known = image.isfinite().all(1, keepdim=True)
        known = known if valid is None else known & valid
        image = image.to(solve_dtype(image.dtype))
        image = image.mean(1, keepdim=True) if grey else image
        return cls(torch.where(known, image, 0), known)

    @property
    def size(self) -> tuple[int, int]:
        return self.image.shape[-2], self.image.shape[-1]

    def half(self) -> _Level:
        """Return the image at half the size, without an odd last row or column."""
        known = F.avg_pool2d(self.valid.to(self.image.dtype), 2) == 1
        return _Level(F.avg_pool2d(self.image, 2) * known, known)


class _Pair:
    """Two images of a level, of which one moves."""

    def __init__(
        self, moving: _Level, fixed: _Level, describe: Features, antialias: bool | Tensor
    ) -> None:
        self.moving, self.describe, self.size = moving, describe, fixed.size
        self.antialias = antialias
        self.fixed = describe(*fixed)

    def blocks(self, homography: Tensor) -> Blocks:
        """Compare them under homographies (B, 3, 3)."""
        seen, holds = self.describe(*self._warp(homography))
        return blocks_of(seen, self.fixed[0], holds & self.fixed[1])

    def _warp(self, homography: Tensor) -> Warped:
        def warp(*, antialias: bool) -> Warped:
            image, valid = self.moving
            return warp_homography(
                image, homography.to(image.dtype), valid, size=self.size, antialias=antialias
            )

        if isinstance(self.antialias, bool):
            return warp(antialias=self.antialias)
        chosen = self.antialias[:, None, None, None]
        pair = zip(warp(antialias=True), warp(antialias=False), strict=True)
        return Warped(*(torch.where(chosen, a, b) for a, b in pair))


def _antialiased(homography: Tensor, size: tuple[int, int]) -> bool | Tensor:
    """Return whether sources are averaged where they shrink; (B,) bool where items differ.

    No item depends on what else is in its batch. Where nothing can be read, all are averaged.
    """
    shrinks = ~(_shrink_along_sides(homography, size) < _SHRINK)
    count = read_number(shrinks.sum())
    if count is None:
        return True
    return shrinks if 0 < count < len(shrinks) else count > 0


def _shrink_along_sides(homography: Tensor, size: tuple[int, int]) -> Tensor:
    """Return (B,), the most that a side of destinations of ``size`` is longer in its source."""
    h, w = size
    corners = homography.new_tensor([[0, 0], [w - 1, 0], [w - 1, h - 1], [0, h - 1]])
    there, _ = transform_points(corners.expand(len(homography), 4, 2), _invert(homography.detach()))
    sides = (there.roll(-1, 1) - there).norm(dim=-1)
    longer: Tensor = sides / sides.new_tensor([w, h, w, h])
    return longer.amax(1)


def _invert(matrix: Tensor) -> Tensor:
    return adjugate(matrix) / determinant(matrix)[0][..., None, None]


class _Found(NamedTuple):
    """What the steps led to.

    Attributes:
        homography: (B, 3, 3).
        blocks: Of the finest level, compared for the last time.
        seen: (B, 3, 3), under which homographies.
    """

    homography: Tensor
    blocks: Blocks
    seen: Tensor


def _judge(
    found: _Found,
    before: Blocks,
    size: tuple[int, int],
    initial: Tensor,
    usable: Tensor,
    iterations: Tensor,
    dtype: torch.dtype,
) -> RefinedHomography:
    """Compare the refined homographies with the initial ones on the finest level."""
    refined, blocks, seen = found
    better = _score(blocks) >= _score(before) - _SCORE_NOISE
    weight = block_weights(blocks)
    alike = textured(blocks) & (correlation(blocks) > _ALIKE)
    success = usable & better & (alike.sum(1) >= _LEAST_BLOCKS)
    success = success & refined.detach().isfinite().all(-1).all(-1)

    chosen = torch.where(success[:, None, None], refined, initial)
    eye = torch.eye(3).to(initial)
    chosen = torch.where(usable[:, None, None], chosen, eye)
    corner = chosen[:, 2:, 2:]
    chosen = chosen / torch.where(corner.detach().abs() > 1e-12, corner, 1.0)

    moves = displacement(blocks)
    covariance = step_covariance(blocks, weight * alike, size)
    variance = corner_variance(blocks, covariance, size)
    sigma = variance.nan_to_num(torch.inf, torch.inf).clamp_min(0).sqrt()
    sigma = torch.where(success[:, None], sigma, torch.inf)
    # A coordinate of two normal ones with deviation s is off by more than 1.1774 s half the time.
    lengths = torch.where(alike, moves.norm(dim=-1), torch.nan)
    scale = lengths.nanmedian(1).values / 1.1774
    scale = torch.where(success, scale, torch.inf)
    share = torch.where(alike, blocks.power, 0.0).sum(1) / _texture(blocks)

    here = blocks.centre.expand_as(moves).to(initial.dtype)
    there, ahead = transform_points(here - moves.to(initial.dtype), _invert(seen.detach()))
    score = torch.where(alike, correlation(blocks), 0.0)
    matches = Matches(
        there.to(dtype), here.to(dtype), score.to(dtype), alike & ahead & success[:, None]
    )
    return RefinedHomography(
        chosen.to(dtype),
        success,
        share.to(dtype),
        scale.to(dtype),
        sigma.to(dtype),
        matches,
        iterations,
    )


def _texture(blocks: Blocks) -> Tensor:
    return blocks.power.sum(1).clamp_min(1e-20)


def _score(blocks: Blocks) -> Tensor:
    """Return (B,), the mean correlation of the blocks by their texture; none is below 0."""
    return blocks.product.detach().clamp_min(0).sum(1) / _texture(blocks).detach()


def _check(
    image_src: Tensor,
    image_dst: Tensor,
    homography: Tensor,
    valid_src: Tensor | None,
    valid_dst: Tensor | None,
) -> int:
    """Check the tensors, and return the batch size."""
    op = "refine_homography"
    check_shapes(
        op,
        image_src=(image_src, "N C H W"),
        image_dst=(image_dst, "M C h w"),
        homography_dst_src=(homography, "B 3 3"),
        valid_src=(valid_src, "N 1 H W"),
        valid_dst=(valid_dst, "M 1 h w"),
    )
    check_floating(op, image_src=image_src, image_dst=image_dst, homography_dst_src=homography)
    check_bool(op, valid_src=valid_src, valid_dst=valid_dst)
    batches = {"image_src": image_src, "image_dst": image_dst, "homography_dst_src": homography}
    (batch,) = check_broadcast(op, **{name: tensor.shape[:1] for name, tensor in batches.items()})
    for name, image in (("image_src", image_src), ("image_dst", image_dst)):
        if min(image.shape[-2:]) < 3 * BLOCK:
            raise ShapeError(
                f"{op}: {name} must have at least {3 * BLOCK} x {3 * BLOCK} pixels, "
                f"got {list(image.shape)}"
            )
    return batch


class RefineHomography(nn.Module):
    """See :func:`refine_homography`."""

    def __init__(
        self,
        *,
        levels: int | None = None,
        max_iterations: int = 20,
        features: Features | None = None,
    ) -> None:
        super().__init__()
        self.levels, self.max_iterations, self.features = levels, max_iterations, features

    def forward(
        self,
        image_src: Tensor,
        image_dst: Tensor,
        homography_dst_src: Tensor,
        valid_src: Tensor | None = None,
        valid_dst: Tensor | None = None,
    ) -> RefinedHomography:
        """See :func:`refine_homography`."""
        return refine_homography(
            image_src,
            image_dst,
            homography_dst_src,
            valid_src,
            valid_dst,
            levels=self.levels,
            max_iterations=self.max_iterations,
            features=self.features,
        )

    def extra_repr(self) -> str:
        """Return the options."""
        return f"levels={self.levels}, max_iterations={self.max_iterations}"
