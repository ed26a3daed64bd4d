"""Contact sheets: sequences in one picture."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from diar_ops._checks import check_bool, check_option, check_shapes
from diar_ops._errors import DtypeError, ImageError
from diar_ops._files import atomic_path
from diar_ops._pixels import fit_size, image_size, to_bytes
from diar_ops.data.images import read_image
from diar_ops.data.masks import FLAG_COLOURS
from diar_ops.data.sequence_reader import read_sequence, sequence_folders

GAP = 3
PAPER = 255
OCCLUDED_COLOUR = (40, 200, 90)


def contact_sheet(
    sequences: Iterable[tuple[Tensor, Tensor]],
    *,
    overlays: Sequence[Tensor] | None = None,
    columns: int | None = None,
    tile: int = 128,
) -> Tensor:
    """Arrange sequences in rows: the label, a gap, then the frames.

    Args:
        sequences: For each its label (3, H, W) and frames (T, 3, h, w), uint8, or floating point
            in [0, 1]. Sizes and T may differ between sequences.
        overlays: For each sequence pictures (T, 3, h, w), such as of :func:`mask_overlay`, shown
            in a row of their own below the frames.
        columns: Frames side by side before a new row starts; all of them by default.
        tile: Longest side of the label and of each frame, in pixels.

    Returns:
        (3, height, width) uint8.

    Raises:
        ShapeError: A tensor is not shaped as stated.
        DtypeError: A tensor is neither uint8 nor floating point.
        OptionError: There is no sequence, a picture has no pixels, or an option is not positive.
    """
    op, pairs = "contact_sheet", list(sequences)
    check_option(op, bool(pairs), "at least one sequence", pairs)
    check_option(op, columns is None or columns > 0, "columns above 0", columns)
    check_option(op, tile > 0, "tile above 0", tile)
    fits = overlays is None or len(overlays) == len(pairs)
    check_option(op, fits, f"{len(pairs)} overlays", None if fits else len(overlays or ()))
    rows: list[Tensor] = []
    for number, (label, frames) in enumerate(pairs):
        overlay = None if overlays is None else overlays[number]
        check_shapes(op, label=(label, "3 H W"), frames=(frames, "T 3 h w"), overlay=(overlay, "? T 3 h w"))
        smallest = min(*label.shape[-2:], *frames.shape[-2:])
        check_option(op, smallest > 0, "pictures with pixels", list(frames.shape))
        width = columns or max(1, len(frames))
        lead = _tiles(label[None], tile)
        for start in range(0, max(1, len(frames)), width):
            for pictures in (frames, overlay):
                if pictures is not None:
                    rows.append(_row(lead, _tiles(pictures[start : start + width], tile)))
                    lead = torch.full_like(lead, PAPER)
    widest = max(row.shape[-1] for row in rows)
    rows = [F.pad(row, (0, widest - row.shape[-1], 0, GAP), value=PAPER) for row in rows]
    return F.pad(torch.cat(rows, dim=-2), (GAP, 0, GAP, 0), value=PAPER)


def mask_overlay(frames: Tensor, occluded: Tensor | None, flags: Tensor | None = None) -> Tensor:
    """Paint masks over dimmed frames: occluded green, shadow blue, highlight yellow, clipped red.

    Args:
        frames: (T, 3, H, W) uint8, or floating point in [0, 1].
        occluded: (T, 1, H, W) bool.
        flags: (T, 1, H, W) uint8, sums of :class:`FrameFlag`.

    Returns:
        (T, 3, H, W) uint8. Where several hold, clipped is over highlight over shadow, and occluded
        over all.

    Raises:
        ShapeError: A shape is not as stated.
        DtypeError: A dtype is not as stated.
    """
    op = "mask_overlay"
    check_shapes(op, frames=(frames, "T 3 H W"), occluded=(occluded, "T 1 H W"), flags=(flags, "T 1 H W"))
    check_bool(op, occluded=occluded)
    painted = _bytes(frames).float().mean(dim=1, keepdim=True).expand(-1, 3, -1, -1) * 0.45
    layers = []
    if flags is not None:
        layers += [((flags & int(flag)) > 0, colour) for flag, colour in FLAG_COLOURS.items()]
    if occluded is not None:
        layers.append((occluded, OCCLUDED_COLOUR))
    for mask, colour in layers:
        paint = painted.new_tensor(colour)[:, None, None] * 0.75 + painted * 0.25
        painted = torch.where(mask, paint, painted)
    return painted.round().to(torch.uint8)


def _row(lead: Tensor, tiles: Tensor) -> Tensor:
    """Put a picture (1, 3, h, w) and others (T, 3, h, w) side by side, of whatever heights."""
    height = max(lead.shape[-2], tiles.shape[-2])
    # The label stands apart from the frames by a wider gap.
    parts = [F.pad(lead[0], (0, 3 * GAP), value=PAPER)]
    parts += [F.pad(tile, (0, GAP), value=PAPER) for tile in tiles]
    parts = [F.pad(part, (0, 0, 0, height - part.shape[-2]), value=PAPER) for part in parts]
    return torch.cat(parts, dim=-1)


def _tiles(pictures: Tensor, tile: int) -> Tensor:
    """Resize (T, 3, h, w) so that the longest side is ``tile``."""
    size = fit_size(image_size(pictures), tile, enlarge=True)
    pictures = _bytes(pictures)
    if not len(pictures):
        return pictures.new_empty((0, 3, *size))
    if size == image_size(pictures):
        return pictures
    resized = F.interpolate(pictures.float(), size, mode="bilinear", antialias=True)
    return resized.round().clamp(0, 255).to(torch.uint8)


def _bytes(pictures: Tensor) -> Tensor:
    pictures = pictures.detach().cpu()
    if pictures.dtype == torch.uint8:
        return pictures
    if not pictures.is_floating_point():
        raise DtypeError(f"pictures must be uint8 or floating point, got {pictures.dtype}")
    return to_bytes(pictures.float())


SHEET = "contact_sheet.jpg"


def write_contact_sheet(folder: str | PathLike[str], *, sequences: int = 8, frames: int = 10, tile: int = 128) -> Path:
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
    for path in sequence_folders(folder):
        sequence = read_sequence(path)
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
