"""What a picture is cropped to: its outline, found or given, and its proportions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops._errors import DiarError, OptionError
from diar_ops._types import Alignment, Canvas, ProportionSource
from diar_ops.pipeline import Lens, find_outline, rectified_canvas

_SOURCES = {
    ProportionSource.VIEWS: "from several views of its plane",
    ProportionSource.FOCAL: "from the focal length in the photo's EXIF data",
    ProportionSource.CORNERS: "from its corners alone",
}
#: Relative standard deviation above which proportions are called a guess.
_UNSURE = 0.03


class Crop(NamedTuple):
    """Where the picture was found.

    Attributes:
        sentence: What was found, and how sure it is.
        canvas: The picture frontally; None where the whole photo is kept.
        corners: (4, 2) in pixels of the reference (undistorted ones, where a lens was found);
            None where the whole photo is kept.
    """

    sentence: str
    canvas: Canvas | None = None
    corners: Tensor | None = None


def parse_crop(text: str) -> Tensor | None:
    """Return the corners (4, 2) that an option names; None for ``"auto"`` and ``"none"``.

    They are put into the order around the picture, whatever order they are given in.

    Raises:
        OptionError: It is something else.
    """
    if text in ("auto", "none"):
        return None
    try:
        corners = torch.tensor([[float(x) for x in point.split(",")] for point in text.split()], dtype=torch.float64)
        fits = corners.shape == (4, 2) and bool(corners.isfinite().all())
    except ValueError:
        fits = False
    if not fits:
        raise OptionError(
            f"`crop` must be auto, none or the picture's four corners as x,y x,y x,y x,y in pixels, got {text!r}"
        )
    x, y = (corners - corners.mean(0)).unbind(-1)
    corners = corners[torch.atan2(y, x).argsort()]
    sides = corners.roll(-1, 0) - corners
    return corners.roll(-int((sides[:, 0] / sides.norm(dim=-1).clamp_min(1e-9)).argmax()), 0)


def choose_crop(
    text: str,
    frames: Sequence[Tensor],
    valid: Sequence[Tensor | None],
    alignment: Alignment,
    sizes: Sequence[tuple[int, int]],
    focal: Sequence[float | None],
    canvas: Canvas | None,
    device: str,
) -> Crop:
    """Return the crop that the option ``"auto"``, or four corners, ask for.

    With ``canvas`` the outline is looked for there, among all that the photos show.

    Raises:
        DiarError: The corners that were given are not those of a rectangle that a camera saw.
    """
    corners = parse_crop(text)
    kept = "the whole photo is kept" if canvas is None else "all that the photos show is kept"
    if corners is None:
        outline = find_outline(frames, alignment, valid=valid, canvas=canvas, device=device)
        where = f"the picture's outline was found with a certainty of {outline.certainty:.2f}"
        corners = outline.corners
        if not outline.found:
            return Crop(
                "crop: no outline of the picture was found that is certain enough "
                f"({outline.certainty:.2f} of 1); {kept}"
            )
    else:
        where = "the picture's corners are as given"
        corners = Lens(alignment.distortion, list(sizes)).undistort(corners, alignment.reference).points
    try:
        cropped, found = rectified_canvas(corners, alignment, sizes, focal=focal)
    except DiarError as error:
        if text == "auto":
            return Crop(f"crop: {error}; {kept}")
        raise OptionError(f"`crop`: {error}") from error
    sigma = float(found.proportion_sigma[0])
    source = _SOURCES[ProportionSource(int(found.source[0]))]
    doubt = "" if sigma < _UNSURE else "; that is a guess: photos from more sides, tilted more, would tell"
    return Crop(
        f"crop: {where}; it is {float(found.proportion[0]):.3f} times as wide as high, {source}, "
        f"to {100 * math.expm1(min(sigma, 3.0)):.1f} %{doubt}",
        cropped,
        corners,
    )
