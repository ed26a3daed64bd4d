"""What a picture is made on: the reference, or a canvas of its own."""

from __future__ import annotations

import torch

from diar_ops._checks import check_floating, check_option, check_shapes, check_size
from diar_ops._types import Alignment, Canvas


def check_canvas(op: str, canvas: Canvas | None, alignment: Alignment) -> Canvas | None:
    """Return a canvas on the CPU after checking it; ``None`` if it is the reference itself.

    Raises:
        ShapeError, DtypeError: Its homography is none.
        OptionError: It has no pixels, or its homography is singular.
    """
    if canvas is None:
        return None
    check_option(op, isinstance(canvas, Canvas), "canvas: Canvas", type(canvas).__name__)
    check_shapes(op, **{"canvas.homography_canvas_reference": (canvas.homography_canvas_reference, "3 3")})
    check_floating(op, **{"canvas.homography_canvas_reference": canvas.homography_canvas_reference})
    H, size = canvas.homography_canvas_reference.detach().to("cpu", torch.float64), check_size(op, canvas.size)
    regular = bool(H.isfinite().all()) and int(torch.linalg.matrix_rank(H)) == 3
    check_option(op, regular, "the homography of the canvas to be one that can be inverted", H.tolist())
    if size == alignment.size and torch.equal(H, H[2, 2] * torch.eye(3, dtype=H.dtype)):
        return None
    return Canvas(H, size)
