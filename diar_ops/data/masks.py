"""Masks of rendered frames: what is in front, and what light does to each pixel."""

from __future__ import annotations

import io
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from diar_ops._checks import check_bool, check_option, check_shapes
from diar_ops._errors import DtypeError, ImageError
from diar_ops._files import atomic_path, write_image
from diar_ops._pixels import FULL_SCALE
from diar_ops.data.images import read_image
from diar_ops.scene.flags import FrameFlag

#: Colours of the flags in the file, for people; a pixel with several has their mean.
FLAG_COLOURS = {
    FrameFlag.SHADOW: (60, 110, 230),
    FrameFlag.HIGHLIGHT: (250, 215, 60),
    FrameFlag.SATURATED: (230, 40, 50),
}
#: Number of sums of flags.
_COUNT = 8


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
    return pixels.to(torch.int32) > FULL_SCALE[pixels.dtype] / 2


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
