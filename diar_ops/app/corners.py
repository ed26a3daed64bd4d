"""The corners of the picture, dragged in the photo that it is seen from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import torch
from torch import Tensor

from diar_ops._errors import OptionError
from diar_ops._pixels import fit_size
from diar_ops._types import Alignment
from diar_ops.pipeline import find_outline
from diar_ops.results.images import data_uri, reduce_image

#: Shares of a photo's sides, (x, y), from its top left.
Point = tuple[float, float]
_SHOWN = 900  # longest edge of the photo to drag in, in pixels
_INSET = 0.1  # where corners are that nothing suggests
_HERE = Path(__file__).parent


def corner_editor(**layout: Any) -> gr.HTML:
    """Return the part of the page in which corners are dragged; its value is that of :func:`edit_corners`.

    It tells ``input`` when a corner has been moved.
    """
    template, css, js = ((_HERE / f"corners.{kind}").read_text("utf-8") for kind in ("html", "css", "js"))
    return gr.HTML(None, html_template=template, css_template=css, js_on_load=js, apply_default_css=False, **layout)


def edit_corners(photo: Tensor) -> dict[str, Any]:
    """Return a photo to drag corners in, with those of its outline, if it has one, to begin with.

    Args:
        photo: (3, H, W) uint8, uint16, or floating point in [0, 1].
    """
    shown = reduce_image(photo, _SHOWN)
    return {"photo": data_uri(shown), "corners": _suggest(shown)}


def _suggest(photo: Tensor) -> list[Point]:
    size = photo.shape[-2], photo.shape[-1]
    outline = find_outline([photo], Alignment.from_homographies(torch.eye(3)[None], [size]))
    if not outline.found:
        low, high = _INSET, 1 - _INSET
        return [(low, low), (high, low), (high, high), (low, high)]
    inside = ((outline.corners + 0.5) / outline.corners.new_tensor(size[::-1])).clamp(0, 1)
    return [(x, y) for x, y in inside.tolist()]


def crop_at(edited: Mapping[str, Any] | None, size: tuple[int, int], max_size: int | None) -> str:
    """Return the option that crops a photo to its corners.

    Args:
        edited: What the page holds of :func:`edit_corners`.
        size: (height, width) of the photo.
        max_size: Longest side to which the photo is shrunk when it is read.

    Returns:
        ``"x,y x,y x,y x,y"`` in pixels of the photo that is read.

    Raises:
        OptionError: There are no four corners.
    """
    height, width = fit_size(size, max_size) if max_size else size
    corners = _checked(edited.get("corners") if isinstance(edited, Mapping) else None)
    return " ".join(f"{x * width - 0.5:.2f},{y * height - 0.5:.2f}" for x, y in corners)


def _checked(corners: Any) -> Sequence[Point]:
    """Return what came from a browser if it is four corners."""
    try:
        points = [(float(x), float(y)) for x, y in corners]
    except (TypeError, ValueError):
        points = []
    if len(points) != 4 or not all(math.isfinite(part) for point in points for part in point):
        raise OptionError("`crop`: choose the photo that the picture is seen from, and drag its four corners")
    return points
