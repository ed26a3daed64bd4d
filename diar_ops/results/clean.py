"""The whole job: photos in, a folder with the clean picture and everything about it out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from diar_ops._errors import DiarError
from diar_ops._types import Alignment, Canvas, Reason, Reconstruction
from diar_ops.data import Photo, find_photo, is_sequence, list_media, read_focal, read_photos, say_notes
from diar_ops.data.profiles import SRGB, shipped_profile
from diar_ops.models import load_descriptor, load_pretrained
from diar_ops.models.weights.load import SHIPPED_RESTORERS
from diar_ops.models.weights.registry import RESTORERS
from diar_ops.pipeline import (
    AGGREGATORS,
    align_sequence,
    aligned_frames,
    frontal_view,
    mosaic_canvas,
    reconstruct_sequence,
)
from diar_ops.results._crop import Crop, choose_crop
from diar_ops.results.files import DOCUMENT, check_results_folder, picture_name, telling_what_is_there, write_results
from diar_ops.results.ground_truth import GroundTruth, read_ground_truth, score_against
from diar_ops.results.listener import Listener
from diar_ops.results.options import CleanOptions
from diar_ops.results.picture import check_picture_format, picture_metadata
from diar_ops.results.report import render_report

#: Standard deviation in degrees up to which a plane's normal is known well enough to show it frontally.
_SURE_NORMAL = 1.5
#: Of fewer photos of unknown focal lengths the views give no more equations than there are unknowns: nothing
#: contradicts a wrong normal.
_TELLING_PHOTOS = 5


class CleanResult(NamedTuple):
    """A finished run.

    Attributes:
        folder: Where its files are.
        names: File names of the T photos that could be read.
        alignment: How they lie over the reference.
        reconstruction: The clean picture and its weights.
        canvas: What it was made on; None: as the reference shows it.
        corners: (4, 2), those of the picture in the reference, where it was cropped.
        scores: Comparison with the original; empty if there is none.
        timings: Seconds of each step, in order.
        skipped: A sentence of each file that could not be read.
        picture: File name of the clean picture.
    """

    folder: Path
    names: Sequence[str]
    alignment: Alignment
    reconstruction: Reconstruction
    canvas: Canvas | None
    scores: Mapping[str, Any]
    timings: Mapping[str, float]
    picture: str = "clean.png"
    skipped: Sequence[str] = ()
    corners: Tensor | None = None

    def document(self) -> dict[str, Any]:
        """Return the run as plain JSON data: folder, picture, photos with verdicts, scores, seconds."""
        return {
            "folder": str(self.folder),
            "picture": self.picture,
            "reference": self.names[self.alignment.reference],
            "photos": [
                {"file": name, "aligned": reason == Reason.OK, "reason": reason.name, "why": reason.explanation}
                for name, reason in zip(self.names, map(Reason, self.alignment.reason.tolist()), strict=True)
            ],
            "skipped": list(self.skipped),
            "scores": _finite(self.scores),
            "timings": dict(self.timings),
        }

    def summary(self) -> str:
        """Sum up the run in one line."""
        scores = self.scores
        known = f", PSNR {scores['psnr']:.2f} dB, SSIM {scores['ssim']:.3f}" if scores else ""
        return (
            f"{int(self.alignment.success.sum())} of {len(self.names)} photos aligned to "
            f"{self.names[self.alignment.reference]}{known}, {sum(self.timings.values()):.0f} s; "
            f"see {self.folder / self.picture} and {self.folder / 'report.html'}"
        )


def clean_photos(
    photos: Sequence[str | PathLike[str]],
    folder: str | PathLike[str],
    options: CleanOptions | None = None,
    *,
    listener: Listener | None = None,
    settings: Mapping[str, object] | None = None,
) -> CleanResult:
    """Read photos of one flat thing, align and reconstruct them, and write a folder of results.

    What can be refused is refused before the long work. Photos that cannot be read or aligned are
    left out, and the listener is told why.

    Args:
        photos: Files and folders, as :func:`list_media` takes them.
        folder: Where the results go, see :func:`write_results`.
        options: The defaults if None.
        listener: Is told of progress and of what was left out.
        settings: What the report lists under its settings, in order.

    Returns:
        The finished run.

    Raises:
        DiarError: Something is refused, as the sentence says, or a file cannot be written.
    """
    options, listener = options or CleanOptions(), listener or Listener()
    files = list_media(photos)
    folder = _check_folder(folder, files, options.overwrite)
    timings: dict[str, float] = {}
    with _timed(timings, "reading photos", listener) as progress:
        loaded, notes = read_photos(files, max_size=options.max_size, frames=options.frames, progress=progress)
    skipped, said = tuple(notes), say_notes(loaded)
    _check_photos(loaded, skipped, said, listener)
    listener.photos(loaded)
    notes += said
    names, frames, valid = zip(*((p.name, p.pixels, p.valid) for p in loaded), strict=True)
    reference = "auto" if options.reference == "auto" else find_photo(loaded, options.reference)
    descriptor = load_descriptor(options.descriptor, device=options.device)
    aggregator = _load_aggregator(options.aggregator, options.device)
    truth = _read_truth(options.ground_truth, photos, listener)

    with _timed(timings, "aligning", listener) as progress:
        alignment = align_sequence(
            frames,
            reference=reference,
            descriptor=descriptor,
            valid=valid,
            device=options.device,
            distortion="shared" if options.lens else "none",
            bends=options.bends,
            generator=torch.Generator().manual_seed(options.seed),
            progress=progress,
        )
    listener.verdicts(names, alignment)
    _check_alignment(names, alignment, options.lens, listener)
    whole, told = None, []
    if options.canvas == "all":
        whole, sentence = _choose_canvas(alignment, loaded, notes, listener)
        told.append(sentence)
    crop = _choose_crop(options, loaded, alignment, whole, listener)
    told += [crop.sentence] if crop.sentence else []
    canvas = crop.canvas or whole
    check_picture_format(options.format, alignment.size if canvas is None else canvas.size)
    with _timed(timings, "reconstructing", listener) as progress:
        reconstruction = reconstruct_sequence(
            frames,
            alignment,
            canvas=canvas,
            aggregator=aggregator,
            valid=valid,
            device=options.device,
            progress=progress,
        )
    scores: dict[str, Any] = {}
    try:
        scores = score_against(truth, loaded, alignment, reconstruction, canvas) if truth else {}
    except DiarError as error:  # no reason to lose the picture
        notes.append(f"not compared with the original: {error}")
        listener.warning(notes[-1])
    shown = loaded[alignment.reference]
    with _timed(timings, "drawing the report", listener):
        report = render_report(
            frames,
            names,
            alignment,
            reconstruction,
            canvas=canvas,
            corners=crop.corners,
            told=told,
            timings=dict(timings),
            scores=scores,
            settings=settings,
            warnings=notes,
            icc_profile=shown.icc_profile,
        )
    used = [name for name, success in zip(names, alignment.success.tolist(), strict=True) if success]
    with _timed(timings, "writing results", listener) as progress, telling_what_is_there(folder):
        write_results(
            folder,
            names,
            alignment,
            reconstruction,
            aligned_frames(frames, alignment, canvas=canvas, valid=valid, progress=progress),
            canvas=canvas,
            corners=crop.corners,
            report=report,
            bit_depth=max(photo.bit_depth for photo in loaded),
            icc_profile=shown.icc_profile or shipped_profile(SRGB),
            exif=picture_metadata(used, DOCUMENT, photo_exif=shown.exif, keep=options.keep_metadata),
            picture_format=options.format,
            overwrite=options.overwrite,
        )
    picture = picture_name(options.format)
    return CleanResult(
        folder, names, alignment, reconstruction, canvas, scores, timings, picture, skipped, crop.corners
    )


def _finite(value: Any) -> Any:
    """Return scores with None for what no number of JSON is: the PSNR of equal pictures."""
    if isinstance(value, Mapping):
        return {key: _finite(part) for key, part in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextmanager
def _timed(timings: dict[str, float], name: str, listener: Listener) -> Iterator[Callable[..., None]]:
    """Add the seconds of a step to ``timings``; yield what shows its progress."""
    start = time.perf_counter()
    try:
        with listener.step(name) as progress:
            yield progress
    finally:
        timings[name] = time.perf_counter() - start


def _check_folder(folder: str | PathLike[str], files: Sequence[Path], overwrite: bool) -> Path:
    out = Path(folder).resolve()
    if {file.resolve().parent for file in files} & {out, out / "aligned", out / "weights"}:
        raise DiarError("results never go where the photos are; choose another folder")
    return check_results_folder(folder, overwrite=overwrite)


def _load_aggregator(name: str, device: str = "cpu") -> str | nn.Module:
    """Return a known name as it is, or the network of that name or in that file."""
    if name in AGGREGATORS:
        return name
    if name not in SHIPPED_RESTORERS and not Path(name).is_file():
        raise DiarError(
            f"`aggregator` must be one of {', '.join((*SHIPPED_RESTORERS, *AGGREGATORS))} or a file of weights, "
            f"got {name!r}, which is neither"
        )
    network = load_pretrained(name)
    if type(network).__name__ not in RESTORERS:
        raise DiarError(
            f"`aggregator`: {name} holds a {type(network).__name__}, which does not make pictures of photos; give the "
            f"weights of one of {', '.join(RESTORERS)}"
        )
    return network.to(device)


def _read_truth(
    path: str | PathLike[str] | None, photos: Sequence[str | PathLike[str]], listener: Listener
) -> GroundTruth | None:
    if path is None and len(photos) == 1 and is_sequence(photos[0]):
        path = photos[0]
        listener.info(f"{path} is a rendered sequence: the result is compared with its original")
    return read_ground_truth(path) if path else None


def _check_photos(photos: Sequence[Photo], skipped: Sequence[str], said: Sequence[str], listener: Listener) -> None:
    for sentence in skipped:
        listener.warning(f"skipped: {sentence}")
    for sentence in said:
        listener.info(sentence)
    if len(photos) < 2:
        raise DiarError("one photo alone cannot be cleaned; give two or more of the same thing")


def _choose_canvas(
    alignment: Alignment, photos: Sequence[Photo], notes: list[str], listener: Listener
) -> tuple[Canvas, str]:
    """Return the canvas of all photos, frontal where they tell how, and say so. What its size costs is noted."""
    sizes = [photo.size for photo in photos]
    frontal = frontal_view(alignment, sizes, focal=[read_focal(photo.exif) for photo in photos])
    tilt, sigma = (math.degrees(float(angle[0])) for angle in (frontal.tilt, frontal.sigma))
    is_sure = sigma < _SURE_NORMAL and int(alignment.success.sum()) >= _TELLING_PHOTOS
    view = frontal.homography[0] if is_sure else None
    canvas, shrunk, cut = mosaic_canvas(alignment, sizes, homography_view_reference=view)
    height, width = canvas.size
    how = (
        f"frontally; the reference is tilted by {tilt:.1f} degrees, ± {sigma:.1f}"
        if is_sure
        else "as the reference does"
    )
    sentence = f"the canvas of all photos has {width} x {height} pixels and shows the picture {how}"
    listener.info(sentence)
    sentences = [f"{photos[t].name} runs towards the horizon: only its nearer part is in the picture" for t in cut]
    if shrunk < 1:
        sentences.append(f"the canvas of all photos is too large and was shrunk to {100 * shrunk:.0f} % of its sides")
    for given_up in sentences:
        notes.append(given_up)
        listener.warning(given_up)
    return canvas, sentence


def _choose_crop(
    options: CleanOptions, photos: Sequence[Photo], alignment: Alignment, canvas: Canvas | None, listener: Listener
) -> Crop:
    """Return what the picture is cropped to, and tell it."""
    if options.crop == "none":
        return Crop("")
    focal = [read_focal(photo.exif) for photo in photos]
    crop = choose_crop(
        options.crop,
        [photo.pixels for photo in photos],
        [photo.valid for photo in photos],
        alignment,
        [photo.size for photo in photos],
        focal,
        canvas,
        options.device,
    )
    (listener.warning if crop.canvas is None else listener.info)(crop.sentence)
    return crop


def _check_alignment(names: Sequence[str], alignment: Alignment, lens: bool, listener: Listener) -> None:
    """Tell what became of lens and photos; raise if none but the reference is aligned."""
    if lens:
        listener.warning(_describe_lens(alignment.distortion))
    for name, reason in zip(names, alignment.reason.tolist(), strict=True):
        if reason != Reason.OK:
            listener.warning(f"left out: {name}: {Reason(reason).explanation}")
    if int(alignment.success.sum()) < 2:
        raise DiarError(
            f"no other photo could be aligned to {names[alignment.reference]}; do they show the "
            f"same flat thing, and large enough?"
        )


def _describe_lens(distortion: float) -> str:
    if distortion == 0:
        return "lens: no bend can be told from none; the photos are taken as they are"
    return (
        f"lens: bends the corners {'in' if distortion < 0 else 'out'} by "
        f"{100 * abs(distortion):.2f} % of their distance from the centre"
    )
