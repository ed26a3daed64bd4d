"""The original of a rendered sequence, and how close a result comes to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from diar_ops._errors import ImageError
from diar_ops._pixels import fit_size, image_size, image_to_float, resize_matrix
from diar_ops._types import Alignment, Canvas, Reconstruction
from diar_ops.data.images import Photo, read_image
from diar_ops.data.sequence_reader import check_stated_size, read_sequence
from diar_ops.geometry import corner_error, warp_homography
from diar_ops.metrics import colour_gain, psnr, ssim


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """The original of a sequence and where each photo sees it.

    Attributes:
        label: (3, H, W) float32 in [0, 1], the clean picture.
        homography_frame_label: For each file name the float64 (3, 3), frame ~ H @ label; empty if
            only the picture is known.
        frame_size: For each file name the (height, width) that its homography speaks of; a name
            that is missing stands for the size of the photo as it was loaded.
    """

    label: Tensor
    homography_frame_label: dict[str, Tensor]
    frame_size: dict[str, tuple[int, int]] = field(default_factory=dict)


def read_ground_truth(path: str | PathLike[str]) -> GroundTruth:
    """Read the original of a rendered sequence from its folder, or a clean picture alone.

    Args:
        path: The folder of a sequence (``sequence.json`` and the label that it names; the frames
            need not be there), or an image file in the coordinates of the reference.

    Raises:
        ImageError: The picture or the document is missing or damaged.
    """
    path = Path(path)
    if not path.is_dir():
        return GroundTruth(image_to_float(read_image(path).pixels), {})
    sequence = read_sequence(path, files=False)
    label = read_image(sequence.label)
    check_stated_size(sequence.label, label.size, sequence.label_size)
    return GroundTruth(
        image_to_float(label.pixels),
        {frame.path.name: frame.homography_frame_label for frame in sequence.frames},
        {frame.path.name: frame.size for frame in sequence.frames},
    )


def score_against(
    truth: GroundTruth,
    photos: Sequence[Photo],
    alignment: Alignment,
    reconstruction: Reconstruction,
    canvas: Canvas | None = None,
) -> dict[str, object]:
    """Compare a reconstruction with the original.

    The picture is compared in the coordinates of the original, so that figures do not depend on
    which photo is the reference. Where the original is a picture alone and the photos were
    shrunk, it is shrunk to the size of the reference.

    Args:
        truth: The original.
        photos: The photos of the sequence, in full size or shrunk as by ``max_size``.
        alignment: How the frames lie over the reference.
        reconstruction: What was reconstructed.
        canvas: On what, if not on the reference.

    Returns:
        ``psnr`` and ``ssim``; ``psnr_gain``, the PSNR after one least-squares factor per channel,
        since the brightness of the original is unknowable from the photos; and, if the true
        homographies are known, ``corner_error``: for each frame the mean error of its corners in
        pixels of the reference, NaN where it was left out or its truth is unknown.

    Raises:
        ImageError: The picture is not in the coordinates of the reference, or the truth does not
            know the reference.
    """
    label, picture = truth.label[None], reconstruction.image[None]
    shown = (reconstruction.coverage > 0)[None]
    scores: dict[str, object] = {}
    H = torch.eye(3, dtype=torch.float64)  # reference ~ H @ label
    if truth.homography_frame_label:
        homographies = [_frame_label(truth, photo) for photo in photos]
        H_ref_label = homographies[alignment.reference]
        if H_ref_label is None:
            name = photos[alignment.reference].name
            raise ImageError(f"the ground truth does not know the reference photo {name}")
        H = H_ref_label
        scores["corner_error"] = _corner_errors(alignment, photos, homographies, H)
    else:
        size = alignment.size
        if _is_shrunken(image_size(label), size):
            label = F.interpolate(label, size, mode="bilinear", antialias=True)
        if image_size(label) != size:
            raise ImageError(
                f"the ground truth has {label.shape[-1]} x {label.shape[-2]} pixels, the reference "
                f"photo {size[1]} x {size[0]}"
            )
    if canvas is not None:
        H = canvas.homography_canvas_reference.to(H) @ H
    if canvas is not None or not torch.equal(H, torch.eye(3, dtype=H.dtype)):
        onto_label = torch.linalg.inv(H)[None].to(picture)
        picture, shown = warp_homography(picture, onto_label, size=image_size(label), valid=shown, mode="bicubic")
        picture = picture.clamp(0, 1)
    gain = colour_gain(picture, label, shown)
    scores["psnr"] = float(psnr(picture, label, shown)[0])
    scores["psnr_gain"] = float(psnr((picture * gain).clamp(0, 1), label, shown)[0])
    scores["ssim"] = float(ssim(picture, label, shown)[0])
    return scores


def _corner_errors(
    alignment: Alignment,
    photos: Sequence[Photo],
    homographies_frame_label: Sequence[Tensor | None],
    homography_reference_label: Tensor,
) -> list[float]:
    """Return the mean corner error of each photo in pixels, NaN where there is nothing to say."""
    errors = []
    for t, (photo, H_frame_label) in enumerate(zip(photos, homographies_frame_label, strict=True)):
        if H_frame_label is None or not bool(alignment.success[t]):
            errors.append(float("nan"))
            continue
        estimate = alignment.homography_reference_frame[t]
        exact = homography_reference_label @ torch.linalg.inv(H_frame_label)
        errors.append(float(corner_error(estimate[None], exact[None], size=photo.size)[0]))
    return errors


def _frame_label(truth: GroundTruth, photo: Photo) -> Tensor | None:
    """Return photo ~ H @ label in pixels of the photo as loaded, which may have been shrunk."""
    H = truth.homography_frame_label.get(photo.name)
    full = truth.frame_size.get(photo.name, photo.size)
    if H is None or full == photo.size:
        return H
    return resize_matrix(full, photo.size) @ H


def _is_shrunken(full: tuple[int, int], small: tuple[int, int]) -> bool:
    """Return whether ``small`` is the size to which an image of size ``full`` is shrunk."""
    return max(small) < max(full) and fit_size(full, max(small)) == small
