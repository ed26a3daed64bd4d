"""The worst, median and best frames of a method, to look at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.quality.alignment.frame_errors import homography_of, of_most_frames
from benchmarks.quality.cases import Case, choose_by_rank, picture_file
from benchmarks.quality.rows import Row
from diar_ops._files import write_image
from diar_ops._pixels import fit_size, image_size, to_bytes
from diar_ops.data import SequenceDataset
from diar_ops.geometry import transform_points, warp_homography

if TYPE_CHECKING:
    from PIL import Image

#: Longest side of each part, in pixels.
TILE = 320
GAP, CAPTION, WHITE = 4, 18, 255
#: Colours of outlines: where the frame belongs, and where the method has it.
TRUE, ESTIMATED = (40, 220, 90), (255, 60, 60)


def frame_rank(row: Row) -> tuple[Any, ...]:
    """Return what rows are sorted by: the largest corner errors come first.

    False accepts without a finite error come before frames that are refused.
    """
    values = row.values
    return -values["corner_error"], not values["success"], row.key, values["frame"]


def choose_frames(rows: Sequence[Row], most: int = 1) -> list[Case]:
    """Return the worst, median and best frames per set and method.

    Of the most frames of each sequence that were aligned together; see :func:`rank_cases`.
    """
    return choose_by_rank(of_most_frames(rows), most, frame_rank)


def frame_file(folder: Path, row: Row) -> Path:
    """Return where the picture of a frame is, whether it is there or not."""
    return picture_file(folder, *row.key, row.values["frame"])


def write_frames(
    folder: Path,
    rows: Iterable[Row],
    folders: Mapping[tuple[str, str], Path],
    *,
    progress: Callable[[], object] | None = None,
) -> None:
    """Write :func:`frame_picture` of each frame that has none yet, to :func:`frame_file`.

    Args:
        folder: Where to.
        rows: Of the frames.
        folders: Of the sequences, by (set, sequence).
        progress: Called after each picture.
    """
    for row in rows:
        file = frame_file(folder, row)
        if not file.exists():
            write_image(file, frame_picture(row, folders[row.set, row.sequence]), overwrite=True)
        if progress is not None:
            progress()


def frame_picture(row: Row, folder: Path) -> Tensor:
    """Return the picture (3, h, w) uint8 of a frame.

    Side by side: the frame; the reference; the frame laid over the reference, both in grey, the
    reference in the red channel and the frame in the others, so that what fits is grey; their
    difference, brighter where they differ. On the frame, the outline of the label: green where it
    is, red where the method has it. On the others, the outline of the frame likewise.
    """
    number, success = row.values["frame"], row.values["success"]
    item = SequenceDataset(folder, frames=row.frames)[0]
    frame, reference = item["frames"][number], item["frames"][0]
    H_frame_label, H_reference_label = item["homography_frame_label"][[number, 0]]
    true = H_reference_label @ torch.linalg.inv(H_frame_label)
    estimate = homography_of(row)
    size = (int(reference.shape[-2]), int(reference.shape[-1]))
    # A refused frame is shown where it belongs: that tells what there was to see.
    H = (estimate if success else true)[None].float()
    warped = warp_homography(frame[None], H, size=size)
    grey, below, valid = warped.image[0].mean(0), reference.mean(0), warped.valid[0, 0]
    blend = torch.stack([below, *[torch.where(valid, grey, below)] * 2])
    difference = torch.where(valid, (_normalise(grey, valid) - _normalise(below, valid)).abs(), 0)
    label, whole = _outline(item["label"].shape), _outline(frame.shape)
    on_frame = [(H_frame_label, label, TRUE)]
    on_reference = [(true, whole, TRUE)]
    if success:
        on_frame.append((torch.linalg.inv(estimate) @ H_reference_label, label, ESTIMATED))
        on_reference.append((estimate, whole, ESTIMATED))
    tiles = [
        _draw_tile(frame, on_frame),
        _draw_tile(reference, on_reference),
        _draw_tile(blend, on_reference),
        _draw_tile(difference.expand(3, -1, -1), []),
    ]
    height = max(tile.shape[1] for tile in tiles)
    padded = [F.pad(t, (0, GAP, 0, height - t.shape[1]), value=WHITE) for t in tiles]
    sheet = F.pad(torch.cat(padded, dim=2), (GAP, 0, CAPTION, GAP), value=WHITE)
    error = f"{row.values['corner_error']:.2f}px" if success else "refused"
    key = "green: true, red: found" if success else "laid where it belongs"
    place = f"{row.set}/{row.sequence}, frame {number}"
    return _with_caption(sheet, f"{row.method}: {place}, {error} | {key}")


def _normalise(grey: Tensor, valid: Tensor) -> Tensor:
    """Bring a picture to mean 0.5 and a common contrast where it is valid."""
    values = grey[valid]
    if values.numel() < 2:
        return grey
    return 0.5 + 0.2 * (grey - values.mean()) / values.std().clamp_min(1e-3)


def _outline(shape: Sequence[int]) -> Tensor:
    """Return points (N, 2) along the border of a picture (..., h, w), closed."""
    bottom, right = shape[-2] - 1.0, shape[-1] - 1.0
    corners = torch.tensor([[0, 0], [right, 0], [right, bottom], [0, bottom], [0, 0]], dtype=torch.float64)
    along = torch.linspace(0, 1, 33, dtype=torch.float64)[:-1, None]
    sides = [a + along * (b - a) for a, b in pairwise(corners)]
    return torch.cat([*sides, corners[-1:]])


def _draw_tile(picture: Tensor, outlines: Sequence[tuple[Tensor, Tensor, tuple[int, int, int]]]) -> Tensor:
    """Return a picture (3, h, w) as a tile with outlines, in uint8."""
    from PIL import ImageDraw

    scale = TILE / max(image_size(picture))
    size = fit_size(image_size(picture), TILE, enlarge=True)
    tile = F.interpolate(picture[None].float(), size, mode="bilinear", antialias=True)[0]
    image = _to_pillow(to_bytes(tile))
    pen = ImageDraw.Draw(image)
    for H, points, colour in outlines:
        mapped, in_front = transform_points(points, H)
        mapped = ((mapped + 0.5) * scale - 0.5).clamp(-1e4, 1e4)
        for a in range(len(mapped) - 1):
            if bool(in_front[a]) and bool(in_front[a + 1]):
                pen.line([tuple(mapped[a].tolist()), tuple(mapped[a + 1].tolist())], colour, 1)
    return _to_tensor(image)


def _with_caption(sheet: Tensor, words: str) -> Tensor:
    from PIL import ImageDraw

    image = _to_pillow(sheet)
    ImageDraw.Draw(image).text((GAP, 3), words, fill=(0, 0, 0))
    return _to_tensor(image)


def _to_pillow(pixels: Tensor) -> Image.Image:
    from PIL import Image

    return Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())


def _to_tensor(image: Image.Image) -> Tensor:
    import numpy as np

    return torch.from_numpy(np.array(image)).permute(2, 0, 1)
