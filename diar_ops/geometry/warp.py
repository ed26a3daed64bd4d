"""Warp images by homographies, with their validity."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from diar_ops._checks import (
    check_bool,
    check_broadcast,
    check_floating,
    check_option,
    check_shapes,
    check_size,
    full_precision,
    is_exporting,
    is_finite,
    is_number,
    solve_dtype,
    under_transform,
)
from diar_ops._errors import ShapeError
from diar_ops._module import OpModule
from diar_ops._pixels import constant
from diar_ops._types import Warped
from diar_ops.geometry._matrix3 import determinant, scale_to_unit
from diar_ops.geometry._operator import define_operator
from diar_ops.geometry._spline import EXTRA, DisplacementGrid, ProjectedGrid
from diar_ops.geometry._warp.grid import sampling_matrix
from diar_ops.geometry._warp.rows import WarpPlan, warp_bands, warp_rows
from diar_ops.geometry._warp.sampler import SourcePyramid
from diar_ops.geometry.distortion import PhotoLens

MODES = ("bilinear", "bicubic", "nearest")


@full_precision
def warp_homography(
    image: Tensor,
    homography_dst_src: Tensor,
    valid: Tensor | None = None,
    front: Tensor | None = None,
    *,
    size: tuple[int, int] | None = None,
    mode: str = "bilinear",
    antialias: bool = True,
    max_shrink: float | None = None,
    distortion: Tensor | None = None,
    photo_size: tuple[int, int] | None = None,
    photo_offset: tuple[float, float] = (0, 0),
    grid: Tensor | None = None,
    grid_size: tuple[float, float] | None = None,
    grid_offset: tuple[float, float] = (0, 0),
    homography_grid_dst: Tensor | None = None,
) -> Warped:
    """Resample images into the destination of a homography: dst ~ H @ src, inverted inside.

    The output pixel (u, v) shows the source at H^-1 (u, v, 1), pixel centres at integers. It is
    valid where that point lies in the source's pixel area ([-0.5, W - 0.5] x [-0.5, H - 0.5]; the
    outer half pixel repeats the border, no black bleeds in) and in front of the horizon: on the
    same side as ``front``, by default the centre of the source. The scale and sign of H do not
    matter. Source pixels that ``valid`` excludes or that are not finite invalidate every output
    pixel that draws more than 0.1 % of its bilinear weight from them, strong shrinking also those
    that draw less (bicubic: that has them among its 4 x 4 pixels).

    Where the warp shrinks by more than 1.25, each output pixel averages its footprint in the
    source, pixel by pixel and along both axes, so that detail does not alias. Where it shrinks one
    axis more than eight times as much as the other, it blurs the other as well.

    Args:
        image: (B, C, H, W) floating point, B may be 1 and is broadcast.
        homography_dst_src: (B, 3, 3), dst ~ H @ src in pixels; B may be 1 and is broadcast. Where
            it is singular or not finite, all pixels of the item are invalid.
        valid: Optional (B, 1, H, W) bool with the B of ``image``; False marks source pixels
            without content.
        front: Optional (B, 2) or (2,) source position (x, y) that is known to be in front of the
            horizon; needed only if the centre of the source lies behind it.
        size: (height, width) of the output; the source's by default.
        mode: ``"bilinear"``, ``"bicubic"`` (a = -0.75, as OpenCV) or ``"nearest"``.
        antialias: Average the footprint where the warp shrinks (never with ``"nearest"``, whose
            use is labels).
        max_shrink: Promise that no pixel shrinks more than this; more aliases. By default it is
            read from the homographies, for which a GPU waits once; under ``vmap`` and in exported
            programs, where it cannot be read, 4 is assumed.
        distortion: Optional (B,) floating point, coefficient k of the lens of the source as in
            :func:`undistort_points`; B may be 1 and is broadcast. The homography then starts from
            undistorted coordinates, and one resampling straightens and warps. An item whose k is
            not finite is invalid.
        photo_size: (height, width) of the photo that the image is cut from: its lens bends around
            the centre of the whole. Undistorted coordinates, too, are in pixels of the image, from
            its first one. ``None``: the image is the whole photo.
        photo_offset: Position (x, y) of the image's first pixel in the photo.
        grid: Optional (B, 2, rows + 3, columns + 3) floating point, displacements (x, y) in pixels
            of the output, as :func:`refine_grid` finds them; B may be 1 and is broadcast. The
            output pixel (u, v) then shows the source at H^-1 (u + dx, v + dy, 1), where (dx, dy)
            is the uniform cubic B-spline of these control points on rows x columns cells: control
            point (i, j) belongs to the corner (i - 1, j - 1) of the cells. Its slope does not
            count as shrinking. An item whose grid is not finite is invalid.
        grid_size: (height, width) that the cells span, in pixels of the output. ``None``: the
            output.
        grid_offset: Position (x, y) of the output's first pixel within them.
        homography_grid_dst: Optional (B, 3, 3), grid's plane ~ H @ dst, for a grid that was found
            in another plane than the output: it then is in pixels of that plane, to which output
            pixels go, are displaced, and come back. B may be 1 and is broadcast. ``None``: the
            output's own plane. An item whose matrix is singular or not finite is invalid.

    Returns:
        :class:`Warped`: image (B, C, h, w) in the dtype of ``image``, 0 where invalid, and valid
        (B, 1, h, w) bool. Positions are computed in at least float32. Differentiable with respect
        to image, homographies, distortion and grid.

    Raises:
        ShapeError: A shape does not fit, or the batch sizes do not broadcast.
        DtypeError: Image or homography is not floating point, or ``valid`` is not bool.
        OptionError: ``size``, ``mode``, ``max_shrink``, or the size or offset of photo or grid is
            outside its values.

    Example:
        >>> image = torch.tensor([[[[1.0, 2.0, 3.0]]]])
        >>> H = torch.eye(3)[None].clone()
        >>> H[:, 0, 2] = 1.0  # one pixel to the right
        >>> warp_homography(image, H)
        Warped(image=tensor([[[[0., 1., 2.]]]]), valid=tensor([[[[False,  True,  True]]]]))
    """
    size = _check(
        image, homography_dst_src, valid, front, distortion, grid, homography_grid_dst, size, mode, max_shrink
    )
    photo = _check_photo(photo_size, photo_offset, image)
    span = _check_span(grid, grid_size, grid_offset)
    options = (mode, antialias, max_shrink, distortion, *photo, grid, *span, homography_grid_dst)
    arguments: tuple[Any, ...] = (image, homography_dst_src, valid, front, *size, *options)
    traced = torch.compiler.is_compiling() and not is_exporting()
    return Warped(*(_operator(*arguments) if traced else _warp(*arguments)))


def _warp(
    image: Tensor,
    homography_dst_src: Tensor,
    valid: Tensor | None,
    front: Tensor | None,
    height: int,
    width: int,
    mode: str,
    antialias: bool,
    max_shrink: float | None,
    distortion: Tensor | None,
    photo_height: int,
    photo_width: int,
    photo_x: float,
    photo_y: float,
    grid: Tensor | None,
    grid_height: float | None,
    grid_width: float | None,
    grid_x: float,
    grid_y: float,
    homography_grid_dst: Tensor | None,
) -> Warped:
    """Do what :func:`warp_homography` says, with checked arguments."""
    size, dtype = (height, width), solve_dtype(image.dtype)
    batch = _batch(image, homography_dst_src, front, distortion, grid, homography_grid_dst)
    source_size = (image.shape[-2], image.shape[-1])
    lens = None
    if distortion is not None:
        coefficients = distortion.to(dtype).expand(batch)
        lens = PhotoLens(coefficients, source_size, (photo_height, photo_width), (photo_x, photo_y))
    rows, columns = (torch.arange(n, dtype=dtype, device=image.device) - (n - 1) / 2 for n in size)
    bend: DisplacementGrid | ProjectedGrid | None = None
    if grid is not None:
        finite = grid.detach().isfinite().all(-1).all(-1).all(-1)
        span = (height if grid_height is None else grid_height, width if grid_width is None else grid_width)
        middle = ((width - 1) / 2, (height - 1) / 2)
        offset = (grid_x, grid_y) if homography_grid_dst is not None else (middle[0] + grid_x, middle[1] + grid_y)
        bend = DisplacementGrid(
            torch.where(finite[:, None, None, None], grid, 0).to(dtype).expand(batch, -1, -1, -1), span, offset
        )
        if homography_grid_dst is not None:
            G, usable = scale_to_unit(homography_grid_dst.to(dtype))
            usable = usable & determinant(G)[1]
            centre = constant([[1, 0, middle[0]], [0, 1, middle[1]], [0, 0, 1]], dtype=dtype, device=image.device)
            G = torch.where(usable[:, None, None], G @ centre, centre)
            bend, finite = ProjectedGrid(bend, G.expand(batch, -1, -1)), finite & usable
        # An item of which nothing is known is one whose homography is not.
        homography_dst_src = torch.where(finite[:, None, None], homography_dst_src, torch.nan)
    matrix = sampling_matrix(homography_dst_src, front, source_size, size, dtype)
    plan = WarpPlan(
        source=SourcePyramid.from_image(image.to(dtype), valid, mode),
        size=source_size,
        matrix=matrix.expand(batch, 3, 3),
        columns=columns,
        lens=lens,
        bend=bend,
        antialias=antialias and mode != "nearest",
        max_shrink=max_shrink,
        dtype=image.dtype,
    )
    inputs = (image, matrix, distortion, grid, homography_grid_dst)
    needs_grad = torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in inputs)
    in_bands = image.device.type == "cpu" and not torch.compiler.is_compiling() and not under_transform()
    if needs_grad or batch == 0 or not in_bands:
        return warp_rows(plan, rows)
    return warp_bands(plan, rows)


def _fake(
    image: Tensor, homography_dst_src: Tensor, valid: Tensor | None, front: Tensor | None, *options: Any
) -> Warped:
    height, width, *_, distortion = options[:6]
    batch = _batch(image, homography_dst_src, front, distortion, options[10], options[-1])
    out = image.new_empty(batch, image.shape[1], height, width)
    return Warped(out, out.new_empty((batch, 1, height, width), dtype=torch.bool))


_operator = define_operator(
    "warp_homography",
    "Tensor image, Tensor homography_dst_src, Tensor? valid, Tensor? front, SymInt height, SymInt width, "
    "str mode, bool antialias, float? max_shrink, Tensor? distortion, SymInt photo_height, SymInt photo_width, "
    "float photo_x, float photo_y, Tensor? grid, float? grid_height, float? grid_width, float grid_x, float grid_y, "
    "Tensor? homography_grid_dst",
    2,
    _warp,
    _fake,
)


def _batch(
    image: Tensor,
    homography_dst_src: Tensor,
    front: Tensor | None,
    distortion: Tensor | None,
    grid: Tensor | None,
    homography_grid_dst: Tensor | None,
) -> int:
    """Return the batch size that all tensors broadcast to."""
    op = "warp_homography"
    leading = check_broadcast(
        op,
        image=image.shape[:1],
        homography_dst_src=homography_dst_src.shape[:1],
        front=None if front is None else front.shape[:-1],
        distortion=None if distortion is None else distortion.shape,
        grid=None if grid is None else grid.shape[:1],
        homography_grid_dst=None if homography_grid_dst is None else homography_grid_dst.shape[:1],
    )
    if len(leading) != 1:
        raise ShapeError(
            f"{op}: front must have shape (2) or (B 2), got {None if front is None else list(front.shape)}"
        )
    return leading[0]


def _check(
    image: Tensor,
    homography_dst_src: Tensor,
    valid: Tensor | None,
    front: Tensor | None,
    distortion: Tensor | None,
    grid: Tensor | None,
    homography_grid_dst: Tensor | None,
    size: tuple[int, int] | None,
    mode: str,
    max_shrink: float | None,
) -> tuple[int, int]:
    """Check every argument of :func:`warp_homography`; return the output size."""
    op = "warp_homography"
    sizes = check_shapes(
        op,
        image=(image, "B C H W"),
        valid=(valid, "? B 1 H W"),
        homography_dst_src=(homography_dst_src, "N 3 3"),
        front=(front, "? ... 2"),
        distortion=(distortion, "? K"),
        grid=(grid, "? M 2 rows columns"),
        homography_grid_dst=(homography_grid_dst, "? L 3 3"),
    )
    check_floating(op, image=image, homography_dst_src=homography_dst_src, front=front)
    check_floating(op, distortion=distortion, grid=grid, homography_grid_dst=homography_grid_dst)
    check_bool(op, valid=valid)
    _batch(image, homography_dst_src, front, distortion, grid, homography_grid_dst)
    if sizes["H"] == 0 or sizes["W"] == 0:
        raise ShapeError(f"{op}: expected an image with pixels, got {list(image.shape)}")
    check_option(op, mode in MODES, f"mode to be one of {', '.join(MODES)}", mode)
    check_option(
        op,
        max_shrink is None or (is_number(max_shrink) and max_shrink >= 1),
        "max_shrink of at least 1, or None",
        max_shrink,
    )
    return check_size(op, (sizes["H"], sizes["W"]) if size is None else size)


def _check_photo(
    photo_size: tuple[int, int] | None, photo_offset: tuple[float, float], image: Tensor
) -> tuple[int, int, float, float]:
    """Check height and width of the photo, and x and y of the image in it; return them."""
    op = "warp_homography"
    photo_size = check_size(op, tuple(image.shape[-2:]) if photo_size is None else photo_size)
    fits = (
        isinstance(photo_offset, (tuple, list))
        and len(photo_offset) == 2
        and all(math.isfinite(x) for x in photo_offset)
    )
    check_option(op, fits, "photo_offset to be a position (x, y)", photo_offset)
    return *photo_size, *photo_offset


def _check_span(
    grid: Tensor | None, grid_size: tuple[float, float] | None, grid_offset: tuple[float, float]
) -> tuple[float | None, float | None, float, float]:
    """Check the grid's control points, and height and width, x and y of its span; return the numbers."""
    op = "warp_homography"
    if grid is not None and (grid.shape[-2] <= EXTRA or grid.shape[-1] <= EXTRA):
        raise ShapeError(f"{op}: grid must have at least 4 x 4 control points, got {list(grid.shape)}")
    fits = isinstance(grid_offset, (tuple, list)) and len(grid_offset) == 2 and all(is_finite(x) for x in grid_offset)
    check_option(op, fits, "grid_offset to be a position (x, y)", grid_offset)
    x, y = grid_offset
    if grid_size is None:
        return None, None, float(x), float(y)
    fits = isinstance(grid_size, (tuple, list)) and len(grid_size) == 2
    fits = fits and all(is_finite(side) and side > 0 for side in grid_size)
    check_option(op, fits, "grid_size to be a positive (height, width)", grid_size)
    return float(grid_size[0]), float(grid_size[1]), float(x), float(y)


class WarpHomography(OpModule):
    """See :func:`warp_homography`."""

    def __init__(
        self,
        *,
        size: tuple[int, int] | None = None,
        mode: str = "bilinear",
        antialias: bool = True,
        max_shrink: float | None = None,
    ) -> None:
        super().__init__()
        self.size = size
        self.mode = mode
        self.antialias = antialias
        self.max_shrink = max_shrink

    def forward(
        self,
        image: Tensor,
        homography_dst_src: Tensor,
        valid: Tensor | None = None,
        front: Tensor | None = None,
        *,
        distortion: Tensor | None = None,
        photo_size: tuple[int, int] | None = None,
        photo_offset: tuple[float, float] = (0, 0),
        grid: Tensor | None = None,
        grid_size: tuple[float, float] | None = None,
        grid_offset: tuple[float, float] = (0, 0),
        homography_grid_dst: Tensor | None = None,
    ) -> Warped:
        """Warp ``image`` with the stored options."""
        return warp_homography(
            image,
            homography_dst_src,
            valid,
            front,
            size=self.size,
            mode=self.mode,
            antialias=self.antialias,
            max_shrink=self.max_shrink,
            distortion=distortion,
            photo_size=photo_size,
            photo_offset=photo_offset,
            grid=grid,
            grid_size=grid_size,
            grid_offset=grid_offset,
            homography_grid_dst=homography_grid_dst,
        )
