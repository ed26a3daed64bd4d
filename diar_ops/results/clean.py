"""The whole job: photos in, a folder with the clean picture and everything about it out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from diar_ops._checks import check_device
from diar_ops._errors import DiarError, OptionError
from diar_ops._options import option
from diar_ops._types import Alignment, Canvas, Reason, Reconstruction
from diar_ops.data import Photo, find_photo, is_sequence, list_media, read_focal, read_photos, say_notes
from diar_ops.data.profiles import SRGB, shipped_profile
from diar_ops.models import load_descriptor, load_pretrained
from diar_ops.models.weights.load import SHIPPED_RESTORERS
from diar_ops.models.weights.registry import RESTORERS
from diar_ops.pipeline import AGGREGATORS, BENDS, align_sequence, aligned_frames, mosaic_canvas, reconstruct_sequence
from diar_ops.results._crop import Crop, choose_crop, parse_crop
from diar_ops.results.files import DOCUMENT, check_results_folder, picture_name, telling_what_is_there, write_results
from diar_ops.results.ground_truth import GroundTruth, read_ground_truth, score_against
from diar_ops.results.picture import FORMATS, check_picture_format, picture_metadata
from diar_ops.results.report import render_report

#: What the picture may show.
CANVASES = ("reference", "all")


@dataclass(frozen=True)
class CleanOptions:
    """How photos are cleaned: each field carries the help of whatever offers it.

    Errors name fields in backquotes: the command makes flags of them, the page names of its parts.

    Attributes:
        reference: Photo whose view the picture takes: a file name, a path, a number from 0 among all
            that is given, or ``"auto"``.
        descriptor: What photos are matched by: a name of :func:`load_descriptor`, or a file.
        aggregator: How a pixel is made from the photos: ``"diar"``, ``"diar-glass"``, a name of
            :data:`AGGREGATORS`, or a file with the weights of a network that restores.
        lens: Whether to estimate the lens and to straighten the picture.
        canvas: What the picture shows: what the reference does, ``"reference"``, or all that any
            aligned photo does, ``"all"``, for a thing that was photographed in parts.
        bends: Whether to look for what is not quite flat, ``"auto"``, or not, ``"none"``.
        crop: Whether the picture alone is shown, frontally and with its true proportions: ``"auto"``
            where its outline is found, ``"none"``, or its corners in the reference, ``"x,y x,y x,y x,y"``.
        device: Where to compute.
        max_size: Longest side in pixels to which photos are shrunk first; None for full size.
        frames: How many frames of a video are taken.
        seed: Of the random sampling, in 64 bits.
        ground_truth: The known original to compare with, see :func:`read_ground_truth`; None for
            that of the photos themselves, where they are one rendered sequence.
        format: What the picture is written as: ``"png"``, ``"tiff"``, ``"jpg"`` or ``"webp"``.
        keep_metadata: Whether the picture carries over what the reference's camera wrote, such as
            place and owner.
        overwrite: Whether to replace earlier results.

    Raises:
        DiarError: The device cannot be used, the size is too small, the crop is no crop, or the seed does
            not fit.
    """

    reference: str = option(
        "auto",
        "photo whose view the picture takes: a file name, a path, a number from 0 among all that is given, or auto: "
        "the best-connected, most frontal and sharpest one",
        "NAME|PATH|INDEX",
    )
    descriptor: str = option(
        "sift",
        "what photos are matched by: sift needs no weights; dual is trained and comes with the package; "
        "resnet18, resnet34 and resnet50 download theirs once; or a file of such weights",
        "sift|dual|NAME|FILE",
        offered=("sift", "dual"),
    )
    aggregator: str = option(
        "diar",
        "how a pixel is made from the photos: diar, a trained network, evens out their light and weighs them; "
        "diar-glass is one that was trained on pictures behind glass; without one: "
        f"{', '.join(AGGREGATORS)} (consensus averages the photos that agree, soft_minimum the darkest that do, "
        "against reflections; rpca, intrinsic and networks other than these work on all photos in full at once "
        "and do not tell which gave what); or a file of weights that examples/train.py wrote",
        "NAME|FILE",
        offered=(*SHIPPED_RESTORERS, *AGGREGATORS),
    )
    lens: bool = option(
        False,
        "estimate how the lens bends straight lines, too, and straighten the picture: for whole photos of one "
        "camera at one zoom that stand still in the middle of the report's animation, but not in its corners; "
        "takes up to twice the time to align",
    )
    bends: str = option(
        "none",
        "auto looks for what is not quite flat (pages that curl, covers that bulge) and lays each photo over the "
        "reference by smooth displacements, too, where that fits clearly better",
        choices=BENDS,
    )
    canvas: str = option(
        "reference",
        "what the picture shows: what the reference does, or all that any aligned photo does, for a facade or a "
        "scroll that was photographed in parts",
        choices=CANVASES,
    )
    crop: str = option(
        "none",
        "auto finds the picture's outline and shows it alone, frontally and with its true proportions, or keeps the "
        "whole photo where none is found; or the picture's four corners in the reference photo, in pixels, in quotes",
        "auto|none|'x,y x,y x,y x,y'",
    )
    device: str = option("cpu", "where to compute: cpu, cuda, ...", "DEVICE")
    max_size: int | None = option(None, "shrink photos to this longest side first (default: full resolution)", "PIXELS")
    frames: int = option(12, "how many frames of a video are taken")
    seed: int = option(0, "seed of the random sampling", "SEED")
    ground_truth: str | None = option(
        None,
        "the known original to compare with: an image, or the folder of a rendered sequence; a single folder that "
        "is one brings its own",
        "DIR|FILE",
    )
    format: str = option(
        "png",
        "what the clean picture is written as; png and tiff have 16 bits where the photos have",
        choices=tuple(FORMATS),
    )
    keep_metadata: bool = option(
        False, "carry over what the camera wrote into the reference: place, owner, camera (default: the date alone)"
    )
    overwrite: bool = option(False, "replace earlier results in the output folder")

    def __post_init__(self) -> None:
        check_device("`device`", self.device)
        if self.max_size is not None and self.max_size < 16:
            raise OptionError(f"`max_size` must be 16 pixels or more, got {self.max_size}")
        if self.frames < 1:
            raise OptionError(f"`frames` must be 1 or more, got {self.frames}")
        if self.format not in FORMATS:
            raise OptionError(f"`format` must be one of {', '.join(FORMATS)}, got {self.format!r}")
        if self.canvas not in CANVASES:
            raise OptionError(f"`canvas` must be one of {', '.join(CANVASES)}, got {self.canvas!r}")
        parse_crop(self.crop)
        if self.canvas == "all" and self.crop != "none":
            raise OptionError(
                "`crop` cuts a picture out of the reference's view, `canvas` all goes beyond it: choose one"
            )
        if not -(2**63) <= self.seed < 2**63:
            raise OptionError(f"`seed` must fit into 64 bits, got {self.seed}")


class Listener:
    """Receiver of the messages and the progress of a run; silent unless overridden."""

    def info(self, sentence: str) -> None:
        """Receive what is worth knowing."""

    def warning(self, sentence: str) -> None:
        """Receive what is not as the user would have it."""

    def photos(self, photos: Sequence[Photo]) -> None:
        """Receive the photos that were read."""

    def verdicts(self, names: Sequence[str], alignment: Alignment) -> None:
        """Receive how the photos lie over the reference, as soon as it is known."""

    @contextmanager
    def step(self, name: str) -> Iterator[Callable[..., None]]:
        """Wrap one step; yield what is called with ([label,] done, total) as it progresses."""
        yield lambda *_: None


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
        """Return the run as plain JSON data: folder, photos with verdicts, scores, seconds."""
        return {
            "folder": str(self.folder),
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
    _check_photos(loaded, notes, listener)
    listener.photos(loaded)
    skipped = tuple(notes)
    notes += say_notes(loaded)
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
    crop = _choose_crop(options, loaded, alignment, listener)
    canvas = crop.canvas if options.canvas == "reference" else _choose_canvas(alignment, loaded, notes, listener)
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
    report = render_report(
        frames,
        names,
        alignment,
        reconstruction,
        canvas=canvas,
        corners=crop.corners,
        crop=crop.sentence,
        timings=timings,
        scores=scores,
        settings=settings,
        warnings=notes,
        icc_profile=loaded[0].icc_profile,
    )
    used = [name for name, success in zip(names, alignment.success.tolist(), strict=True) if success]
    shown = loaded[alignment.reference]
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


def _check_photos(photos: Sequence[Photo], skipped: Sequence[str], listener: Listener) -> None:
    for sentence in skipped:
        listener.warning(f"skipped: {sentence}")
    for sentence in say_notes(photos):
        listener.info(sentence)
    if len(photos) < 2:
        raise DiarError("one photo alone cannot be cleaned; give two or more of the same thing")


def _choose_canvas(alignment: Alignment, photos: Sequence[Photo], notes: list[str], listener: Listener) -> Canvas:
    """Return the canvas of all photos. What is given up for its size is noted."""
    canvas, shrunk, cut = mosaic_canvas(alignment, [photo.size for photo in photos])
    height, width = canvas.size
    listener.info(f"the canvas of all photos has {width} x {height} pixels")
    sentences = [f"{photos[t].name} runs towards the horizon: only its nearer part is in the picture" for t in cut]
    if shrunk < 1:
        sentences.append(f"the canvas of all photos is too large and was shrunk to {100 * shrunk:.0f} % of its sides")
    for sentence in sentences:
        notes.append(sentence)
        listener.warning(sentence)
    return canvas


def _choose_crop(options: CleanOptions, photos: Sequence[Photo], alignment: Alignment, listener: Listener) -> Crop:
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
