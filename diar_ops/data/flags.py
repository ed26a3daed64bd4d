"""Masks of rendered frames: what is in front, and what light does to each pixel."""

from __future__ import annotations

import io
from enum import IntFlag
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from diar_ops._checks import check_bool, check_option, check_shapes
from diar_ops._errors import DtypeError, ImageError
from diar_ops._files import atomic_path, write_image
from diar_ops.data.images import read_image
from diar_ops.geometry import transform_points

__all__ = [
    "FLAG_COLOURS",
    "FrameFlag",
    "FrameShares",
    "frame_shares",
    "read_flags",
    "read_mask",
    "write_flags",
    "write_mask",
]


#: In shadow is what gets less diffuse light than this share of what it would get with nothing in
#: the way: the eye sees the loss of a quarter clearly, and it is above the noise of 16 samples.
SHADOW = 0.75
#: A highlight adds at least this radiance (white paper in label light has 1): it lifts a mid grey
#: by 25 of 255 levels.
HIGHLIGHT = 0.1
#: Clipped is what has a channel of at least this level of 255.
SATURATED = 254


class FrameFlag(IntFlag):
    """What light does to a pixel of the picture; a pixel may have several."""

    SHADOW = 1  #: gets less than :data:`SHADOW` of the light that could fall on it
    HIGHLIGHT = 2  #: what the surface mirrors adds more than :data:`HIGHLIGHT` of radiance
    SATURATED = 4  #: a channel is at least :data:`SATURATED`


#: Colours of the flags in the file, for people; a pixel with several has their mean.
FLAG_COLOURS = {FrameFlag.SHADOW: (60, 110, 230), FrameFlag.HIGHLIGHT: (250, 215, 60),
            FrameFlag.SATURATED: (230, 40, 50)}  # fmt: skip
_COUNT = 8


class FrameShares(NamedTuple):
    """How badly a frame is spoiled; all in [0, 1].

    Attributes:
        visible: Share of the picture that lies within the frame, covered or not.
        occluded: Share of the frame's pixels of the picture with something in front.
        shadow: Share of them in shadow.
        highlight: Share of them in a highlight.
        saturated: Share of them that is clipped.
    """

    visible: float
    occluded: float
    shadow: float
    highlight: float
    saturated: float


def write_mask(path: str | PathLike[str], mask: Tensor, *, overwrite: bool = False) -> None:
    """Write a (1, H, W) bool mask as a grey PNG of 0 and 255, whole or not at all.

    Raises:
        DtypeError: ``mask`` is not bool.
        ShapeError: It has another shape.
        OutputError: As :func:`atomic_path`.
    """
    check_shapes("write_mask", mask=(mask, "1 H W"))
    check_bool("write_mask", mask=mask)
    write_image(path, mask.to(torch.uint8) * 255, overwrite=overwrite)


def read_mask(path: str | PathLike[str]) -> Tensor:
    """Read a mask as (1, H, W) bool: True where the picture is at least half bright.

    Raises:
        ImageError: The file is missing, damaged or no image.
    """
    pixels = read_image(path).pixels[:1]
    half = 128 if pixels.dtype == torch.uint8 else 32768
    return pixels.to(torch.int32) >= half


def write_flags(path: str | PathLike[str], flags: Tensor, *, overwrite: bool = False) -> None:
    """Write (1, H, W) uint8 sums of :class:`FrameFlag` as a PNG with a palette.

    The palette's index is the sum; its colours are for people. Whole or not at all.

    Raises:
        DtypeError: ``flags`` is not uint8.
        ShapeError: It has another shape.
        OptionError: A value is above 7.
        OutputError: As :func:`atomic_path`.
    """
    from PIL import Image

    op = "write_flags"
    check_shapes(op, flags=(flags, "1 H W"))
    if flags.dtype != torch.uint8:
        raise DtypeError(f"{op}: flags must be uint8, got {flags.dtype}")
    top = int(flags.max()) if flags.numel() else 0
    check_option(op, top < _COUNT, f"flags below {_COUNT}", top)
    image = Image.fromarray(np.ascontiguousarray(flags[0].cpu().numpy()))
    palette: list[int] = []
    for value in range(_COUNT):
        colours = [colour for flag, colour in FLAG_COLOURS.items() if value & flag]
        palette += [round(sum(c) / len(colours)) for c in zip(*colours, strict=True)] or [0, 0, 0]
    image.putpalette(palette)
    with io.BytesIO() as buffer:
        image.save(buffer, format="PNG", optimize=True)
        data = buffer.getvalue()
    with atomic_path(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(data)


def read_flags(path: str | PathLike[str]) -> Tensor:
    """Read what :func:`write_flags` wrote, as (1, H, W) uint8.

    Raises:
        ImageError: The file is missing, damaged, or no 8-bit PNG of palette indices or grey
            levels below 8.
    """
    from PIL import Image, UnidentifiedImageError

    path = Path(path)
    try:
        with Image.open(io.BytesIO(path.read_bytes()), formats=("PNG",)) as image:
            mode = image.mode
            values = np.array(image)
    except FileNotFoundError as error:
        raise ImageError(f"{path} does not exist") from error
    except UnidentifiedImageError as error:
        raise ImageError(f"{path} is not a PNG image") from error
    except Exception as error:
        # Decoders answer damaged bytes with anything from OSError to SyntaxError.
        raise ImageError(f"{path} is truncated or damaged ({error})") from error
    if mode not in ("P", "L") or values.max(initial=0) >= _COUNT:
        raise ImageError(f"{path} is no flag map: expected a PNG whose palette indices are below 8")
    return torch.from_numpy(values)[None]


def frame_shares(
    homography_frame_label: Tensor,
    occluded: Tensor,
    flags: Tensor | None = None,
    *,
    label_size: tuple[int, int],
) -> FrameShares:
    """Measure how much of a frame is spoiled, and by what.

    Args:
        homography_frame_label: (3, 3), frame ~ H @ label.
        occluded: (1, H, W) bool, True where something is in front.
        flags: (1, H, W) uint8, sums of :class:`FrameFlag`; none set by default.
        label_size: (height, width) of the label, in pixels.

    Returns:
        The :class:`FrameShares`; 0 where the frame shows nothing of the picture.

    Raises:
        ShapeError: A shape is not as stated.
        DtypeError: ``occluded`` is not bool.
    """
    op = "frame_shares"
    check_shapes(op, homography_frame_label=(homography_frame_label, "3 3"),
                 occluded=(occluded, "1 H W"), flags=(flags, "1 H W"))  # fmt: skip
    check_bool(op, occluded=occluded)
    H = homography_frame_label.double()
    frame_size = (occluded.shape[-2], occluded.shape[-1])
    # The label's centre is in front of the camera; so tell both directions which side that is.
    centre = (H.new_tensor([[label_size[1], label_size[0]]]) - 1) / 2
    visible = _lands_inside(H, label_size, frame_size, centre)
    seen = transform_points(centre, H, centre[0]).points
    shown = _lands_inside(torch.linalg.inv(H), frame_size, label_size, seen)
    count = max(1, int(shown.sum()))

    def share(mask: Tensor) -> float:
        return round(int((mask[0] & shown).sum()) / count, 6)

    flags = torch.zeros_like(occluded, dtype=torch.uint8) if flags is None else flags
    lit = [share((flags & int(flag)) > 0) for flag in FrameFlag]
    return FrameShares(round(float(visible.double().mean()), 6), share(occluded), *lit)


def _lands_inside(
    homography_dst_src: Tensor, src: tuple[int, int], dst: tuple[int, int], front: Tensor
) -> Tensor:
    """Return for each of (h, w) source pixels whether its centre is seen in the destination."""
    y, x = torch.meshgrid(*(torch.arange(s, dtype=torch.float64) for s in src), indexing="ij")
    grid = torch.stack((x, y), dim=-1).reshape(1, -1, 2).to(homography_dst_src.device)
    points, in_front = transform_points(grid, homography_dst_src[None], front)
    limit = points.new_tensor([dst[1], dst[0]]) - 0.5
    return (in_front & (points >= -0.5).all(-1) & (points <= limit).all(-1)).reshape(src)
