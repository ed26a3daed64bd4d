"""Refine what a homography leaves between two images: a smooth grid of displacements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from diar_ops._checks import (
    check_floating,
    check_option,
    check_shapes,
    full_precision,
    is_finite,
    is_integer,
    read_number,
)
from diar_ops._errors import ShapeError
from diar_ops._module import OpModule
from diar_ops._types import RefinedGrid
from diar_ops.geometry._matrix3 import invert
from diar_ops.geometry._operator import define_operator
from diar_ops.geometry._refine.blocks import Blocks, block_weights, correlation
from diar_ops.geometry._refine.checks import batch_of, check_levels, check_pair, describer
from diar_ops.geometry._refine.gauss_newton import ImagePair, needs_antialias
from diar_ops.geometry._refine.pyramid import Features, Pyramid, count_levels, level_matrix, start_estimates
from diar_ops.geometry._refine_grid.judge import MIN_CORRELATION, judge
from diar_ops.geometry._refine_grid.search import CostVolume
from diar_ops.geometry._refine_grid.solve import GridFrame, solve_grid
from diar_ops.geometry._refine_grid.support import Support
from diar_ops.geometry._spline import EXTRA

#: A step whose displacements are shorter, in pixels of a level in the root of their mean square, is
#: the last one there.
_TOLERANCE = 0.03
#: Last steps through which a gradient is taken.
_TRACKED = 3
#: Steps on a GPU between looks whether all items are finished.
_LOOK_EVERY = 8


@full_precision
def refine_grid(
    image_src: Tensor,
    image_dst: Tensor,
    homography_dst_src: Tensor,
    valid_src: Tensor | None = None,
    valid_dst: Tensor | None = None,
    *,
    cells: tuple[int, int] = (12, 12),
    levels: int | None = None,
    max_iterations: int = 8,
    smoothness: float = 1.0,
    features: Features | Literal["images"] | None = None,
    start: Tensor | None = None,
    shapes: Tensor | None = None,
) -> RefinedGrid:
    """Refine smooth displacements of what a homography lays nearly over each other.

    Pages curl, covers bulge, canvases hang loose: what is not quite flat moves against its
    homography by a smooth field, here a uniform cubic B-spline. Gauss-Newton on the difference of
    feature images, coarse to fine, as :func:`refine_homography` does it: what hides the picture,
    glares or moves by itself, as a reflection does, loses its weight pixel by pixel and block by
    block. The field's bending energy and its length are held down by a prior, against which the
    pixels stand with the noise that they are found to have. The prior lets a field break where it
    bends steeply, as at the edge of a raised frame, and leaves its affine part free, since the
    homography may be one that fits a part of the picture only: where nothing is seen, the field
    goes on smoothly and falls to what a homography would leave.

    What stands beside a picture lies at another depth, and is no part of its bend. A grid that
    stretches, shears or turns a cell by more than 35 % against a quadratic map, or takes it by more
    than 4.5 % of the diagonal away from one, is torn: then only the cells count that hang together
    with those where the homography fits best, that change by less than 20 %, and that are displaced
    by 2 % of the diagonal at most. It is refined again on these alone, and falls to zero within two
    cells beyond. So what surrounds the picture is laid as the homography lays it.

    The grid is the identity (all zeros, ``success`` False) unless it is more than noise and worth
    its while: the displacements that two halves of the pixels find alone correlate by at least 0.7;
    both move at least 35 % of what agrees alike, otherwise than an affine map does, by 0.1 pixels
    or more and clearly more than they differ; and under the grid, the residual motion is at most
    0.9 times that under the homography. So what moves by itself in one place bends nothing.

    Args:
        image_src: (B, C, H, W) floating point in [0, 1]; B may be 1 and is broadcast.
        image_dst: (B, C, h, w) floating point in [0, 1]; B may be 1 and is broadcast.
        homography_dst_src: (B, 3, 3), dst ~ H @ src in pixels, the identity for images that lie
            over each other already; B may be 1 and is broadcast.
        valid_src: Optional (B, 1, H, W) bool; False marks pixels without content.
        valid_dst: Optional (B, 1, h, w) bool. Pixels that are not finite count as invalid.
        cells: Rows and columns of cells of the grid over the destination, best of 16 to 64 pixels.
        levels: Levels of the image pyramid, each half as large as the one below; 1 for
            displacements of a pixel or two. ``None``: as many as leave 48 pixels, and displacements
            of whole pixels are tried on the coarsest two.
        max_iterations: Steps on each level, at most; fewer if they get short, which a GPU looks at
            every eighth step.
        smoothness: Factor on the energy of the prior. At 1, the displacements' second derivative
            times the image's longer side is expected to be about 0.3, the displacements
            themselves, what is free aside, to be below 2 % of that side.
        features: See :func:`refine_homography`.
        start: Optional (B, 2, rows + 3, columns + 3) grids to begin with, B may be 1; default 0.
        shapes: Optional (R, rows + 3, columns + 3) control points of displacements, in any unit, of
            which those of either direction are expected to be combinations, as they are of one
            surface seen from several places. Like affine ones, they are next to free. No
            gradient is taken through either, and values that are not finite count as zeros.

    Returns:
        :class:`RefinedGrid`, as :func:`warp_homography` takes it with the same homography; floating
        point in the dtype of ``homography_dst_src``. The grid is differentiable with respect to
        images and homography through its last three steps, from a grid that is held fixed: where
        the steps have converged, three of them forget nearly all of where they start.

    Raises:
        ShapeError, DtypeError, DeviceError: The tensors do not fit together.
        OptionError: An option is outside its values.

    Source: Szeliski and Coughlan, Spline-based image registration (IJCV 1997); Baker and Matthews,
    Lucas-Kanade 20 Years On (IJCV 2004).

    Example:
        >>> noise = torch.rand(1, 1, 100, 130, generator=torch.Generator().manual_seed(0))
        >>> picture = torch.nn.functional.avg_pool2d(noise, 5, stride=1)
        >>> bulge = torch.zeros(1, 2, 7, 7)
        >>> bulge[:, 0, 2:5, 2:5] = 3.0  # pixels to the right, in the middle
        >>> eye = torch.eye(3)[None]
        >>> bent = warp_homography(picture, eye, grid=bulge)
        >>> found = refine_grid(picture, bent.image, eye, cells=(4, 4))
        >>> again = warp_homography(picture, eye, grid=found.grid)
        >>> found.success, (again.image - bent.image).abs().mean() < 0.003
        (tensor([True]), tensor(True))
    """
    op = "refine_grid"
    check_pair(op, image_src, image_dst, homography_dst_src, valid_src, valid_dst)
    check_levels(op, image_src, image_dst, levels)
    fits = isinstance(cells, (tuple, list)) and len(cells) == 2 and all(is_integer(n) and 1 <= n <= 64 for n in cells)
    check_option(op, fits, "cells to be (rows, columns) from 1 to 64", cells)
    check_option(op, is_integer(max_iterations) and max_iterations >= 1, "max_iterations >= 1", max_iterations)
    check_option(op, is_finite(smoothness) and smoothness > 0, "smoothness > 0", smoothness)
    describer(op, features)
    points = f"{cells[0] + EXTRA} {cells[1] + EXTRA}"
    check_shapes(op, image_src=(image_src, "..."), start=(start, f"? N 2 {points}"), shapes=(shapes, f"? R {points}"))
    check_floating(op, start=start, shapes=shapes)
    batch = batch_of(op, image_src, image_dst, homography_dst_src)
    if start is not None and len(start) not in (1, batch):
        raise ShapeError(f"{op}: start must have 1 or {batch} grids, as many as there are images, got {len(start)}")
    images = (image_src, image_dst, homography_dst_src, valid_src, valid_dst, start, shapes)
    arguments = (*images, int(cells[0]), int(cells[1]), levels, max_iterations, float(smoothness))
    if torch.compiler.is_compiling() and not callable(features):
        return RefinedGrid(*_operator(*arguments, features))
    return _refine(*arguments, features)


def _refine(
    image_src: Tensor,
    image_dst: Tensor,
    homography_dst_src: Tensor,
    valid_src: Tensor | None,
    valid_dst: Tensor | None,
    start: Tensor | None,
    shapes: Tensor | None,
    rows: int,
    columns: int,
    levels: int | None,
    max_iterations: int,
    smoothness: float,
    features: Features | Literal["images"] | None = None,
) -> RefinedGrid:
    """Do what :func:`refine_grid` says, with checked arguments."""
    op, cells = "refine_grid", (rows, columns)
    batch = batch_of(op, image_src, image_dst, homography_dst_src)
    H, usable = start_estimates(homography_dst_src, batch)
    describe = describer(op, features)
    images = ((image_src, valid_src), (image_dst, valid_dst))
    source, destination = (Pyramid(image.detach(), valid, describe, grey=features is None) for image, valid in images)
    size, count = destination[0].size, count_levels(source, destination) if levels is None else levels
    antialias = needs_antialias(H, size)
    grid = H.new_zeros(batch, 2, rows + EXTRA, columns + EXTRA)
    if start is not None:
        grid = grid + start.detach().to(grid).nan_to_num(0, 0, 0)
    iterations = torch.zeros(batch, dtype=torch.int64, device=H.device)
    inputs = (image_src, image_dst, homography_dst_src)
    tracked = min(_TRACKED, max_iterations) if torch.is_grad_enabled() and any(x.requires_grad for x in inputs) else 0
    for level in reversed(range(count)):
        pair = ImagePair(source, destination, level, antialias)
        bent = _BentPair(pair, H.detach(), level, size, cells, smoothness, shapes)
        if levels is None and level >= max(1, count - 2):
            grid = bent.search(grid, far=level == count - 1)
        grid, after, steps = _steps(bent, grid, usable, max_iterations if level else max_iterations - tracked)
        iterations = iterations + steps
    before = bent.compare(torch.zeros_like(grid))
    torn = bent.tear(grid, after)
    # A GPU does not wait for the answer: no step is taken of others.
    if grid.device.type != "cpu" or read_number(torn.any()):
        grid, again, steps = _steps(bent, grid, usable & torn, max_iterations)
        after, before, iterations = after.where(torn, again), bent.frame.inside(before), iterations + steps
    if tracked:
        source, destination = (Pyramid(image, valid, describe, grey=features is None) for image, valid in images)
        live = _BentPair(ImagePair(source, destination, 0, antialias), H, 0, size, cells, smoothness, shapes)
        live.frame = bent.frame
        for _ in range(tracked):
            grid = grid + live.step(live.compare(grid), grid)
        iterations = iterations + tracked * usable
        after = bent.compare(grid.detach())
    grid = bent.cut(grid)
    return judge(grid, after, before, bent.frame, iterations, usable, homography_dst_src.dtype)


class _BentPair:
    """A pair of images of one level of the pyramid, to be compared under grids in pixels of the finest.

    Args:
        pair: The images.
        homography: (B, 3, 3) in pixels of the finest level.
        level: Of the pyramid; 0 is the finest.
        size: (height, width) of the destination on the finest level.
        cells: (rows, columns).
        smoothness: Factor on the prior.
        shapes: (R, rows + 3, columns + 3) that are next to free.
    """

    def __init__(
        self,
        pair: ImagePair,
        homography: Tensor,
        level: int,
        size: tuple[int, int],
        cells: tuple[int, int],
        smoothness: float,
        shapes: Tensor | None,
    ) -> None:
        self.pair, self.scale = pair, 2.0**-level
        self.smoothness, self.shapes = smoothness, shapes
        shrink = level_matrix(level, homography)
        self.homography = shrink @ homography @ invert(shrink)
        self.span = (size[0] * self.scale, size[1] * self.scale)
        self.frame = GridFrame.over(pair.size, self.span, cells, smoothness, homography.device, shapes=shapes)

    def compare(self, grid: Tensor) -> Blocks:
        """Return the sums over blocks under grids (B, 2, rows + 3, columns + 3)."""
        return self.frame.inside(self.pair.compare(self.homography, **self._bend(grid * self.scale)))

    def tear(self, grid: Tensor, blocks: Blocks) -> Tensor:
        """Return the items (B,) bool whose grid tears; from now on it ends where it does. On the finest level only.

        Args:
            grid: As found.
            blocks: Under it.
        """
        alike = torch.where(correlation(blocks) > MIN_CORRELATION, blocks.power, 0)
        agrees, texture = (self.frame.in_cells(x.detach()) for x in (alike, blocks.power))
        support = Support.of(grid, agrees, texture, self.span)
        self.frame = self.frame._replace(support=support)
        return support.torn

    def cut(self, grid: Tensor) -> Tensor:
        """Return grids that end where they tear."""
        return grid if self.frame.support is None else self.frame.support.cut(grid)

    def search(self, grid: Tensor, *, far: bool) -> Tensor:
        """Return grids found by trying displacements of whole pixels, as they were where that fits no better."""
        points = grid * self.scale
        moving, valid = self.pair.features_of(self.homography, **self._bend(points))
        fixed, fixed_valid = self.pair.features
        volume = CostVolume(moving, valid, fixed, fixed_valid, far=far)
        return volume.fit(points, self.span, self.smoothness, self.shapes).to(grid) / self.scale

    def _bend(self, points: Tensor) -> dict[str, Any]:
        return {"grid": self.cut(points).to(self.pair.source.image.dtype), "grid_size": self.span}

    def step(self, blocks: Blocks, grid: Tensor) -> Tensor:
        """Return the step of the grid that blocks under it ask for."""
        step = solve_grid(blocks, block_weights(blocks), grid * self.scale, self.frame)
        return step / self.scale


def _steps(bent: _BentPair, grid: Tensor, usable: Tensor, count: int) -> tuple[Tensor, Blocks, Tensor]:
    """Return grids after at most ``count`` steps on a level, the last comparison, and the steps (B,).

    The last step is too short to compare again.
    """
    running, taken = usable, torch.zeros_like(usable, dtype=torch.int64)
    longest = max(bent.span)
    look_every = 1 if grid.device.type == "cpu" else _LOOK_EVERY
    last = bent.compare(grid)
    for number in range(1, count + 1):
        step = bent.step(last, grid)
        length = bent.frame.at(step * bent.scale).square().sum(-1).mean(1).sqrt()
        sound = running & (length < longest)
        grid = torch.where(sound[:, None, None, None], grid + step, grid)
        taken = taken + running
        running = sound & (length > _TOLERANCE)
        if number % look_every == 0 and read_number(running.any()) == 0:
            break
        # Finished items keep their comparison: no item depends on what else is in its batch.
        last = last.where(running, bent.compare(grid))
    return grid, last, taken


def _kernel(*arguments: Any) -> tuple[Tensor, ...]:
    # Outputs of an operator must not share memory, which views of an expanded tensor do.
    return tuple(x.clone() for x in _refine(*arguments))


def _fake(image_src: Tensor, image_dst: Tensor, homography_dst_src: Tensor, *options: Any) -> Sequence[Tensor]:
    batch = batch_of("refine_grid", image_src, image_dst, homography_dst_src)
    rows, columns = options[4:6]

    def empty(*shape: int, dtype: torch.dtype = homography_dst_src.dtype) -> Tensor:
        return homography_dst_src.new_empty((batch, *shape), dtype=dtype)

    return RefinedGrid(
        grid=empty(2, rows + EXTRA, columns + EXTRA),
        certainty=empty(rows, columns),
        success=empty(dtype=torch.bool),
        shift=empty(),
        reliability=empty(),
        residual=empty(),
        residual_before=empty(),
        agreement=empty(),
        iterations=empty(dtype=torch.int64),
    )


_operator = define_operator(
    "refine_grid",
    "Tensor image_src, Tensor image_dst, Tensor homography_dst_src, Tensor? valid_src, Tensor? valid_dst, "
    "Tensor? start, Tensor? shapes, int rows, int columns, int? levels, int max_iterations, float smoothness, "
    "str? features",
    9,
    _kernel,
    _fake,
)


class RefineGrid(OpModule):
    """See :func:`refine_grid`."""

    def __init__(
        self,
        *,
        cells: tuple[int, int] = (12, 12),
        levels: int | None = None,
        max_iterations: int = 8,
        smoothness: float = 1.0,
        features: Features | Literal["images"] | None = None,
    ) -> None:
        super().__init__()
        self.cells, self.levels, self.max_iterations = cells, levels, max_iterations
        self.smoothness, self.features = smoothness, features

    def forward(
        self,
        image_src: Tensor,
        image_dst: Tensor,
        homography_dst_src: Tensor,
        valid_src: Tensor | None = None,
        valid_dst: Tensor | None = None,
        *,
        start: Tensor | None = None,
        shapes: Tensor | None = None,
    ) -> RefinedGrid:
        """See :func:`refine_grid`."""
        return refine_grid(
            image_src,
            image_dst,
            homography_dst_src,
            valid_src,
            valid_dst,
            cells=self.cells,
            levels=self.levels,
            max_iterations=self.max_iterations,
            smoothness=self.smoothness,
            features=self.features,
            start=start,
            shapes=shapes,
        )
