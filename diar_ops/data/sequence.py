"""Sequences on disk: the photos of a folder, and the ground truth of a rendered sequence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from diar_ops._checks import check_option
from diar_ops._errors import ImageError, OptionError
from diar_ops._pixels import (
    fit_size,
    image_size,
    image_to_float,
    resize_matrix,
    shrink_alike,
    shrink_valid,
)
from diar_ops._types import Alignment, Reconstruction
from diar_ops.data.images import Photo, list_images, read_image
from diar_ops.data.rendered import read_sequence
from diar_ops.data.sequence_document import DOCUMENT
from diar_ops.geometry import corner_error, warp_homography
from diar_ops.metrics import colour_gain, psnr, ssim

__all__ = ["GroundTruth", "find_photo", "read_ground_truth", "read_photos", "score_against"]


def read_photos(
    paths: str | PathLike[str] | Iterable[str | PathLike[str]],
    *,
    max_size: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[list[Photo], list[str]]:
    """Read all photos of folders and files; skip what cannot be read.

    Args:
        paths: Folders or files, as :func:`list_images` takes them.
        max_size: Shrink photos to this longest side, in pixels.
        progress: Called with (files read, files in all).

    Returns:
        The photos, and one sentence per file that was skipped.

    Raises:
        ImageError: There is no file at all, or none of them can be read.
        OptionError: ``max_size`` is below 16.
    """
    check_option("read_photos", max_size is None or max_size >= 16, "max_size >= 16", max_size)
    files = list_images(paths)
    photos, skipped = [], []
    for done, file in enumerate(files):
        try:
            photos.append(_shrink(read_image(file), max_size))
        except ImageError as error:
            skipped.append(str(error))
        if progress is not None:
            progress(done + 1, len(files))
    if not photos:
        raise ImageError(f"none of the {len(files)} files is a readable photo: {skipped[0]}")
    return photos, skipped


def find_photo(names: Sequence[str], wanted: str) -> int:
    """Return the index of the photo that a person means.

    Args:
        names: File names of the photos.
        wanted: A file name (the first photo of that name), or a number from 0.

    Raises:
        OptionError: There is no such photo.
    """
    if wanted in names:
        return names.index(wanted)
    if not wanted.isdecimal() or int(wanted) >= len(names):
        raise OptionError(
            f"there is no photo {wanted}: expected a file name or a number from 0 to "
            f"{len(names) - 1}"
        )
    return int(wanted)


def _shrink(photo: Photo, max_size: int | None) -> Photo:
    if max_size is None or max(photo.size) <= max_size:
        return photo
    pixels = shrink_alike(photo.pixels, max_size)
    valid = None if photo.valid is None else shrink_valid(photo.valid[None], image_size(pixels))[0]
    return replace(photo, pixels=pixels, valid=valid)


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
    if label.size != sequence.label_size:
        got, said = ("{1} x {0}".format(*size) for size in (label.size, sequence.label_size))
        raise ImageError(f"{sequence.label} has {got} pixels, {DOCUMENT} says {said}")
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

    Returns:
        ``psnr`` and ``ssim``; ``psnr_gain``, the PSNR after one least-squares factor per channel,
        since the brightness of the original is unknowable from the photos; and, if the true
        homographies are known, ``corner_error``: for each frame the mean error of its corners in
        pixels of the reference, NaN where it was left out or its truth is unknown.

    Raises:
        ImageError: The picture is not in the coordinates of the reference, or the truth does not
            know the reference.
    """
    scores: dict[str, object] = {}
    label = truth.label[None]
    picture, shown = reconstruction.image[None], (reconstruction.coverage > 0)[None]
    reference = photos[alignment.reference].name
    if truth.homography_frame_label:
        if reference not in truth.homography_frame_label:
            raise ImageError(f"the ground truth does not know the reference photo {reference}")
        true_H = {photo.name: _frame_label(truth, photo) for photo in photos}
        H_ref_label = true_H[reference]
        assert H_ref_label is not None
        size = (int(label.shape[-2]), int(label.shape[-1]))
        if not torch.equal(H_ref_label, torch.eye(3, dtype=torch.float64)):
            H = torch.linalg.inv(H_ref_label)[None].to(picture)
            picture, shown = warp_homography(picture, H, size=size, valid=shown, mode="bicubic")
            picture = picture.clamp(0, 1)
        errors = []
        for t, photo in enumerate(photos):
            H_frame_label = true_H[photo.name]
            if H_frame_label is None or not bool(alignment.success[t]):
                errors.append(float("nan"))
                continue
            true = H_ref_label @ torch.linalg.inv(H_frame_label)
            found = alignment.homography_reference_frame[t]
            errors.append(float(corner_error(found[None], true[None], size=photo.size)[0]))
        scores["corner_error"] = errors
    elif _is_shrunken(label.shape, picture.shape):
        label = F.interpolate(label, picture.shape[-2:], mode="bilinear", antialias=True)
    if picture.shape != label.shape:
        raise ImageError(
            f"the ground truth has {label.shape[-1]} x {label.shape[-2]} pixels, the reference "
            f"photo {picture.shape[-1]} x {picture.shape[-2]}"
        )
    gain = colour_gain(picture, label, shown)
    scores["psnr"] = float(psnr(picture, label, shown)[0])
    scores["psnr_gain"] = float(psnr((picture * gain).clamp(0, 1), label, shown)[0])
    scores["ssim"] = float(ssim(picture, label, shown)[0])
    return scores


def _frame_label(truth: GroundTruth, photo: Photo) -> Tensor | None:
    """Return photo ~ H @ label in pixels of the photo as it is, which may have been shrunk."""
    H = truth.homography_frame_label.get(photo.name)
    full = truth.frame_size.get(photo.name, photo.size)
    if H is None or full == photo.size:
        return H
    return resize_matrix(full, photo.size) @ H


def _is_shrunken(full: torch.Size, small: torch.Size) -> bool:
    """Return whether (..., h, w) is what shrinking (..., H, W) in proportion gives."""
    whole, reduced = (full[-2], full[-1]), (small[-2], small[-1])
    return max(reduced) < max(whole) and fit_size(whole, max(reduced)) == reduced
