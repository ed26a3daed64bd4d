"""The outline of the picture among what the photos show around it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops._checks import check_device, check_option, check_shapes, eager, full_precision, is_integer
from diar_ops._errors import DiarError
from diar_ops._types import Alignment, Canvas
from diar_ops.geometry import transform_points
from diar_ops.pipeline._frames import Frames, check_frames
from diar_ops.pipeline._outline.evidence import MOST_FRAMES, edge_evidence
from diar_ops.pipeline._outline.fit import fit_sides
from diar_ops.pipeline._outline.lines import find_lines
from diar_ops.pipeline._outline.quads import rank_outlines
from diar_ops.pipeline._warp import AlignedSequence
from diar_ops.pipeline.canvas import check_canvas

#: Certainty from which on an outline counts as found; docs/rectification.md has the figures.
LEAST_CERTAINTY = 0.55
#: Least area of a picture, in shares of the reference's.
LEAST_AREA = 0.08


class Outline(NamedTuple):
    """Where the picture ends.

    Attributes:
        found: Whether there is an outline; of one that is not certain enough, the rest is told all
            the same.
        corners: (4, 2) float64, (x, y) in pixels of the reference (undistorted ones, where a lens was
            found), clockwise from the top-left one: the edges of the picture, not its outermost
            pixels' centres. They may lie outside of the reference. NaN where nothing is like one.
        certainty: From 0 to 1: the share of the side with the least edge that is one, times how plain
            it is beside the side with the least plain surroundings.
    """

    found: bool
    corners: Tensor
    certainty: float


@eager
@full_precision
def find_outline(
    frames: Frames,
    alignment: Alignment,
    *,
    valid: Sequence[Tensor | None] | None = None,
    canvas: Canvas | None = None,
    working_size: int = 384,
    device: torch.device | str | None = None,
) -> Outline:
    """Find the quadrilateral that ends the picture which aligned frames show.

    The median over the aligned frames of the gradient of their logarithm (Weiss, Deriving intrinsic
    images from image sequences, ICCV 2001) keeps the edges that stay on the plane and loses shadows,
    glare, and whatever moves against it. Its straight edges (Hough transform) are combined to
    quadrilaterals. The outline is the one whose four sides are edges throughout, in plain
    surroundings; of nested ones rather the outer one. Robust lines through its edges give its sides
    to a fraction of a working pixel. Frames that see beyond the reference count there, too: the
    outline of a picture that just fills the reference is found if others show its surroundings.

    Nothing is found where the picture's border is not in view, is no quadrilateral of straight
    sides, or goes on beyond: text around a figure, windows in a facade.

    Args:
        frames: (T, 3, H, W), or T tensors (3, H, W) of any sizes; floating point in [0, 1],
            uint8 or uint16.
        alignment: Result of :func:`align_sequence` on these frames.
        valid: Optional T masks (1, H, W) bool of pixels that the photos really hold.
        canvas: Where it is looked for, such as :func:`mosaic_canvas` of photos of parts; ``None``: in the
            reference and around it.
        working_size: Longest side of the reference, or of the canvas, where it is looked for, in pixels,
            at most.
        device: Where frames are warped; ``None``: where they are.

    Returns:
        :class:`Outline`, on the CPU.

    Raises:
        ShapeError, DtypeError: The frames are not pictures, or do not fit the alignment.
        OptionError: ``working_size`` is below 64, or the homography of ``canvas`` cannot be inverted.
        DeviceError: ``device`` does not compute.
        DiarError: No frame is aligned.

    Example:
        >>> frames = torch.full((3, 3, 128, 160), 0.8)  # a wall
        >>> frames[:, :, 30:90, 40:120] = 0.2 * torch.rand(3, 60, 80)
        >>> alignment = Alignment.from_homographies(torch.eye(3).repeat(3, 1, 1), [(128, 160)] * 3)
        >>> outline = find_outline(frames, alignment)
        >>> outline.found, outline.corners[0].round(decimals=0)
        (True, tensor([40., 30.], dtype=torch.float64))
    """
    op = "find_outline"
    frames = check_frames(op, frames, valid)
    check_option(op, isinstance(alignment, Alignment), "alignment: Alignment", type(alignment).__name__)
    check_shapes(
        op,
        **{
            "alignment.homography_reference_frame": (alignment.homography_reference_frame, f"{len(frames)} 3 3"),
            "alignment.success": (alignment.success, f"{len(frames)}"),
        },
    )
    check_option(op, is_integer(working_size) and working_size >= 64, "working_size >= 64", working_size)
    device = frames[0].device if device is None else check_device(op, device)
    used = alignment.success.nonzero().flatten().tolist()
    if not used:
        raise DiarError(f"{op}: no frame is aligned, nothing to find an outline in")
    canvas = check_canvas(op, canvas, alignment)
    alignment = alignment._replace(homography_reference_frame=alignment.homography_reference_frame.cpu())
    homography_reference_canvas = torch.eye(3, dtype=torch.float64)
    if canvas is not None:
        homography_reference_canvas = torch.linalg.inv(canvas.homography_canvas_reference)
        moved = canvas.homography_canvas_reference @ alignment.homography_reference_frame.double()
        alignment = alignment._replace(homography_reference_frame=moved, size=canvas.size, grid=None)
    masks: list[Tensor | None] = [None] * len(frames) if valid is None else list(valid)
    nothing = Outline(False, torch.full((4, 2), torch.nan, dtype=torch.float64), 0.0)
    with torch.no_grad():
        # Each photo of a part may be the only one that shows a side.
        most = MOST_FRAMES if canvas is None else len(used)
        evidence = edge_evidence(AlignedSequence(frames, masks, alignment, used, device), working_size, most)
        ranked = rank_outlines(find_lines(evidence), evidence)
        scale = evidence.homography_canvas_reference[:2, :2].det() * alignment.size[0] * alignment.size[1]
        ranked = ranked.take(ranked.area >= LEAST_AREA * scale)
        if not len(ranked.score):
            return nothing
        best = ranked.take(torch.tensor(0))
        certainty = float(best.edge.amin() * best.plain.amin())
        corners = fit_sides(best.corners.double(), evidence)
        homography_reference_canvas = homography_reference_canvas @ torch.linalg.inv(
            evidence.homography_canvas_reference
        )
        corners = transform_points(corners, homography_reference_canvas).points
    return Outline(certainty >= LEAST_CERTAINTY, _from_top_left(corners), certainty)


def _from_top_left(corners: Tensor) -> Tensor:
    """Return the corners (4, 2) of a convex quadrilateral clockwise, the side that is most level at the top first."""
    edge, following = corners[1] - corners[0], corners[2] - corners[1]
    if edge[0] * following[1] < edge[1] * following[0]:
        corners = corners.flip(0)
    sides = corners.roll(-1, 0) - corners
    first = int((sides[:, 0] / sides.norm(dim=-1)).argmax())
    return corners.roll(-first, 0)
