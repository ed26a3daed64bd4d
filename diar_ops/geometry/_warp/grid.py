"""Sampling positions of the output pixels of a warp, in chunks of rows."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops._checks import eps_of, widest_dtype
from diar_ops._pixels import constant
from diar_ops.geometry._matrix3 import adjugate, determinant, front_sign, scale_to_unit
from diar_ops.geometry._spline import DisplacementGrid, ProjectedGrid
from diar_ops.geometry.distortion import PhotoLens


class SamplingGrid(NamedTuple):
    """Sampling positions of some output rows.

    Attributes:
        grid: (B, h, w, 2) positions in the source as ``grid_sample(align_corners=False)`` counts
            them: -1 and 1 are the outer edges of the first and last pixel.
        w: (B, h, w) homogeneous denominator, positive everywhere.
        valid: (B, h, w) bool; inside the source's pixel area and in front of the horizon.
        straight: (B, h, w, 2) the positions before the lens of the source distorts them; ``grid``
            itself without a lens.
    """

    grid: Tensor
    w: Tensor
    valid: Tensor
    straight: Tensor


class Workspace(NamedTuple):
    """Memory that all bands of a warp fill in turn: taking it anew for each costs as much as the arithmetic.

    Attributes:
        projected: (B, 3, h, w) for as many rows as the largest band has.
        grid: (B, h, w, 2).
    """

    projected: Tensor
    grid: Tensor

    @classmethod
    def of(cls, matrix: Tensor, height: int, width: int) -> Workspace:
        """Return the workspace of bands of ``height`` rows at most."""
        return cls(*(matrix.new_empty(len(matrix), *shape) for shape in ((3, height, width), (height, width, 2))))

    def rows(self, count: int) -> Workspace:
        """Return the part for a band of ``count`` rows."""
        return Workspace(self.projected[:, :, :count], self.grid[:, :count])


def sampling_matrix(
    homography_dst_src: Tensor,
    front: Tensor | None,
    source: tuple[int, int],
    target: tuple[int, int],
    dtype: torch.dtype,
) -> Tensor:
    """Return the matrix (B, 3, 3) from centred output pixels to normalised source positions.

    Its third row is positive in front of the horizon. A singular or non-finite homography gets a
    matrix whose w is -1 everywhere, so that all of its pixels are invalid without a NaN in sight.
    """
    # Nine numbers per item: exactness costs nothing here.
    solve = widest_dtype(homography_dst_src.device)
    homography, usable = scale_to_unit(homography_dst_src.to(solve))
    (source_h, source_w), (target_h, target_w) = source, target
    device = homography.device
    if front is None:
        front = constant([(source_w - 1) / 2, (source_h - 1) / 2], dtype=solve, device=device)
    homography = homography * front_sign(homography, front.to(solve))[..., None, None]
    det, regular = determinant(homography)
    normalise = constant(
        [[2 / source_w, 0, 1 / source_w - 1], [0, 2 / source_h, 1 / source_h - 1], [0, 0, 1]],
        dtype=solve,
        device=device,
    )
    # Counting from the centre halves the magnitudes, and with them the rounding in float32.
    centre = constant([[1, 0, (target_w - 1) / 2], [0, 1, (target_h - 1) / 2], [0, 0, 1]], dtype=solve, device=device)
    # adj(H) sign(det) is the inverse up to a positive factor: w keeps its sign.
    inverse = adjugate(homography) * det.detach().sign()[..., None, None]
    matrix, finite = scale_to_unit(normalise @ inverse @ centre)
    usable = (usable & regular & finite)[..., None, None]
    nowhere = constant([[0, 0, 0], [0, 0, 0], [0, 0, -1]], dtype=solve, device=device)
    return torch.where(usable, matrix, nowhere).to(dtype)


def sampling_grid(
    matrix: Tensor,
    rows: Tensor,
    columns: Tensor,
    lens: PhotoLens | None = None,
    bend: DisplacementGrid | ProjectedGrid | None = None,
    work: Workspace | None = None,
) -> SamplingGrid:
    """Evaluate ``matrix`` (B, 3, 3) at the centred pixel positions ``rows`` x ``columns``.

    With the ``lens`` of the source the matrix leads to undistorted positions, which it distorts.
    A ``bend`` displaces the pixels first; it counts positions from the middle pixel, too. The result
    lies in ``work``, where it is given; it then is not differentiable.
    """
    eps = eps_of(matrix.dtype)
    along_columns = matrix[:, :, 0, None] * columns  # [B, 3, w]
    along_rows = matrix[:, :, 1, None] * rows + matrix[:, :, 2, None]  # [B, 3, h]
    work = None if work is None else work.rows(len(rows))
    out = None if work is None else work.projected
    projected = torch.add(along_columns[:, :, None, :], along_rows[:, :, :, None], out=out)  # [B, 3, h, w]
    if bend is not None:
        projected = projected + bend.shift(matrix, rows, columns)
    x, y, w = projected.unbind(1)
    # |x| <= w and |y| <= w means inside and in front at once, before any division. The slack of
    # a few roundings keeps samples that lie exactly on the outer edge.
    inside = torch.maximum(x.detach().abs(), y.detach().abs()) <= w.detach() * (1 + eps)
    noise = eps * (
        along_columns[:, 2].detach().abs().amax(-1, keepdim=True)[..., None] + along_rows[:, 2, :, None].detach().abs()
    )
    ahead = w.detach() > noise
    # Invalid pixels need a finite position only. 1e-12: the gradient divides by its square.
    w = torch.maximum(w, noise.clamp(min=1e-12))
    if work is None:
        straight = torch.stack((x / w, y / w), dim=-1)
    else:
        straight = work.grid
        torch.div(projected[:, :2], w[:, None], out=straight.movedim(-1, 1))
    if lens is None:
        return SamplingGrid(straight, w, inside & ahead, straight)
    distorted, exists = lens.distort(straight)
    inside = distorted.detach().abs().amax(-1) <= 1 + eps
    return SamplingGrid(distorted, w, ahead & exists & inside, straight)
