"""Show the first sequences of a data set in one picture."""

from __future__ import annotations

import io
from os import PathLike
from pathlib import Path

import torch

from diar_ops._errors import ImageError
from diar_ops._files import atomic_path
from diar_ops.data.contact_sheet import contact_sheet
from diar_ops.data.images import read_image
from diar_ops.data.rendered import read_sequence, sequence_folders

__all__ = ["SHEET", "write_contact_sheet"]

SHEET = "contact_sheet.jpg"


def write_contact_sheet(
    folder: str | PathLike[str], *, sequences: int = 8, frames: int = 10, tile: int = 128
) -> Path:
    """Write labels and frames of the first sequences of a data set as one picture.

    Args:
        folder: Of the data set.
        sequences: How many rows.
        frames: How many frames of each.
        tile: Longest side of a picture, in pixels.

    Returns:
        The file, :data:`SHEET` in ``folder``; an existing one is replaced.

    Raises:
        ImageError: There is no sequence, or one is damaged.
        OSError: The folder cannot be listed.
        OutputError: As :func:`atomic_path`.
    """
    from PIL import Image

    rows = []
    for place in sequence_folders(folder):
        sequence = read_sequence(place)
        pictures = [read_image(frame.path).pixels for frame in sequence.frames[:frames]]
        if len({picture.shape for picture in pictures}) == 1:
            rows.append((read_image(sequence.label).pixels, torch.stack(pictures)))
        if len(rows) == sequences:
            break
    if not rows:
        raise ImageError(f"{folder} holds no sequences")
    sheet = contact_sheet(rows, tile=tile)
    path = Path(folder) / SHEET
    with io.BytesIO() as buffer:
        image = Image.fromarray(sheet.permute(1, 2, 0).contiguous().numpy())
        image.save(buffer, format="JPEG", quality=90)
        with atomic_path(path, overwrite=True) as temporary:
            temporary.write_bytes(buffer.getvalue())
    return path
