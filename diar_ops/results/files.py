"""Write the files of a run: the clean picture, aligned photos, weights, homographies, report."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

from torch import Tensor

from diar_ops._errors import OutputError
from diar_ops._files import describe_os_error, write_image, write_text_atomic
from diar_ops._threads import map_threads
from diar_ops._types import Alignment, Canvas, Reason, Reconstruction
from diar_ops.results.picture import FORMATS, write_picture

DOCUMENT, _REPORT = "homographies.json", "report.html"


def picture_name(picture_format: str) -> str:
    """Return the file name of the clean picture in one of :data:`FORMATS`."""
    return f"clean{FORMATS[picture_format]}"


def output_names(names: Sequence[str]) -> list[str]:
    """Return one distinct PNG file name per photo: its stem, or more of it where stems collide.

    Args:
        names: File names of the photos.

    Returns:
        As many names; ``a.jpg`` becomes ``a.png``, but ``a.jpg`` beside ``a.tif`` ``a.jpg.png``,
        and a name that occurs twice gets a number.
    """
    stems = Counter(_folded(Path(name).stem) for name in names)
    used: set[str] = set()
    files = []
    for name in names:
        stem = Path(name).stem
        base = stem if stems[_folded(stem)] == 1 else name
        candidate, number = base, 1
        while _folded(candidate) in used:
            number += 1
            candidate = f"{base}_{number}"
        used.add(_folded(candidate))
        files.append(f"{candidate}.png")
    return files


def _folded(name: str) -> str:
    """Return the name as file systems compare it that ignore case and composition."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def check_results_folder(folder: str | PathLike[str], *, overwrite: bool) -> Path:
    """Create the folder and make sure that results may be written into it.

    Called before the long work, so that its result is not lost to a full stop at the end.

    Args:
        folder: Where results will go.
        overwrite: Whether earlier results there may be replaced.

    Returns:
        The folder as a path.

    Raises:
        OutputError: It holds results and ``overwrite`` is False, or it cannot be written.
    """
    folder = Path(folder)
    try:
        if folder.exists() and not folder.is_dir():
            raise OutputError(f"cannot write into {folder}: it is a file, not a folder")
        for name in (*map(picture_name, FORMATS), DOCUMENT, _REPORT, "aligned", "weights"):
            if not overwrite and (folder / name).exists():
                raise OutputError(
                    f"{folder} already holds results ({name}); choose another folder or allow overwriting (`overwrite`)"
                )
    except OSError as error:
        raise OutputError(f"cannot write into {folder}: {describe_os_error(error)}") from error
    probe = folder / ".diar_ops_probe"
    write_text_atomic(probe, "", overwrite=True)
    probe.unlink(missing_ok=True)
    return folder


@contextmanager
def telling_what_is_there(folder: Path) -> Iterator[None]:
    """Let an :class:`OutputError` in the middle of the writing say what of it is there."""
    try:
        yield
    except OutputError as error:
        there = [
            name
            for name in (*map(picture_name, FORMATS), "aligned", "weights", DOCUMENT, _REPORT)
            if (folder / name).exists()
        ]
        if not there:
            raise
        raise OutputError(
            f"{error}; of the results {', '.join(there)} are there, every file of them whole: running again with "
            "`overwrite` completes them"
        ) from error


def homographies_document(
    names: Sequence[str], alignment: Alignment, canvas: Canvas | None = None, corners: Tensor | None = None
) -> dict[str, Any]:
    """Return the alignment as plain JSON data.

    Args:
        names: File names of the frames.
        alignment: Result of :func:`align_sequence`.
        canvas: What the picture was made on, if not the reference.
        corners: (4, 2) of the picture in the reference, where it was cropped to them.

    Returns:
        ``{"reference": name, "size": [h, w], "distortion": k, "canvas": c, "frames": [{"file", "success",
        "reason", "inliers", "overlap", "homography_reference_frame", "bend"}]}``, where reference ~ H @
        frame in pixels of the loaded, upright photos, the centre of the top-left pixel being
        (0, 0); where k is not 0, undistorted ones (:func:`undistort_points`) of both. ``reason`` is
        the name of a :class:`Reason`. A frame that was left out has ``None`` for a homography.
        ``bend`` is ``None``, or two lists of rows of control points, of the displacements to the
        right and down, in pixels of the reference: see ``grid`` of :func:`warp_homography`. ``c``
        is ``None`` where the picture is what the reference shows, or ``{"size": [h, w],
        "homography_canvas_reference", "corners"}``, canvas ~ H @ reference; ``corners`` are those of
        a picture that was cropped, four (x, y) in the reference, else ``None``.
    """
    frames = []
    for t, name in enumerate(names):
        success = bool(alignment.success[t])
        frames.append(
            {
                "file": name,
                "success": success,
                "reason": Reason(int(alignment.reason[t])).name,
                "inliers": int(alignment.inliers[t]),
                "overlap": round(float(alignment.overlap[t]), 6) if success else 0.0,
                "homography_reference_frame": (alignment.homography_reference_frame[t].tolist() if success else None),
                "bend": _bend(alignment, t),
            }
        )
    return {
        "reference": names[alignment.reference],
        "size": list(alignment.size),
        "distortion": alignment.distortion,
        "canvas": canvas
        and {
            "size": list(canvas.size),
            "homography_canvas_reference": canvas.homography_canvas_reference.tolist(),
            "corners": None if corners is None else corners.tolist(),
        },
        "frames": frames,
    }


def _bend(alignment: Alignment, frame: int) -> list[Any] | None:
    """Return the control points of a frame's grid, to a thousandth of a pixel, if it has one."""
    if alignment.grid is None or not bool(alignment.grid[frame].any()):
        return None
    return [[[round(x, 3) for x in row] for row in component] for component in alignment.grid[frame].tolist()]


def write_results(
    folder: str | PathLike[str],
    names: Sequence[str],
    alignment: Alignment,
    reconstruction: Reconstruction,
    aligned: Iterable[tuple[int, Tensor, Tensor]],
    *,
    canvas: Canvas | None = None,
    corners: Tensor | None = None,
    report: str | None = None,
    bit_depth: int = 8,
    icc_profile: bytes | None = None,
    exif: bytes | None = None,
    picture_format: str = "png",
    overwrite: bool = False,
) -> None:
    """Write ``clean.png``, ``aligned/``, ``weights/``, ``homographies.json`` and ``report.html``.

    Every file appears whole or not at all. Where earlier results are overwritten, the pictures of
    photos that no longer take part are removed once everything else is written. Where it is not
    known which frame gave what, there is no ``weights/``.

    Args:
        folder: Where to; created if missing.
        names: File names of the frames.
        alignment: How the frames lie over the reference.
        reconstruction: The clean picture and its weights.
        aligned: Yields (frame index, picture (3, H, W) in [0, 1], valid (1, H, W) bool), one at a
            time, so that no more full-size pictures are in memory than there are cores.
        canvas: What the pictures were made on, if not the reference.
        corners: (4, 2) of the picture in the reference, where it was cropped to them.
        report: The HTML page, if there is one.
        bit_depth: Bits per channel of the pictures, 8 or 16.
        icc_profile: Colour profile of the pictures.
        exif: Metadata of the clean picture, see :func:`picture_metadata`.
        picture_format: What the clean picture is written as, a name of :data:`FORMATS`, in place of
            PNG; the others stay PNGs, which have what they need.
        overwrite: Whether earlier results may be replaced.

    Raises:
        OutputError: A file exists, or the operating system refused.
    """
    folder = check_results_folder(folder, overwrite=overwrite)
    files = output_names(names)
    earlier = _earlier_files(folder)
    covered = reconstruction.coverage > 0
    looks: dict[str, Any] = {"icc_profile": icc_profile, "bit_depth": bit_depth, "overwrite": overwrite}
    write_picture(
        folder / picture_name(picture_format),
        reconstruction.image,
        valid=None if bool(covered.all()) else covered,
        exif=exif,
        **looks,
    )
    weights = reconstruction.weights

    def write(item: tuple[int, Tensor, Tensor]) -> str:
        t, picture, valid = item
        write_image(folder / "aligned" / files[t], picture, valid=valid, **looks)
        if weights is not None:
            write_image(folder / "weights" / files[t], weights[t], bit_depth=8, overwrite=overwrite)
        return files[t]

    written = set(map_threads(write, aligned))
    document = json.dumps(homographies_document(names, alignment, canvas, corners), indent=2, ensure_ascii=False)
    write_text_atomic(folder / DOCUMENT, document + "\n", overwrite=overwrite)
    if report is not None:
        write_text_atomic(folder / _REPORT, report, overwrite=overwrite)
    _remove_stale(folder, {picture_name(name) for name in FORMATS if name != picture_format}, {})
    known = {_folded(name): name for name in written}
    _remove_stale(folder / "aligned", earlier - written, known)
    _remove_stale(
        folder / "weights", earlier if weights is None else earlier - written, {} if weights is None else known
    )


def _earlier_files(folder: Path) -> set[str]:
    """Return the names of the pictures that an earlier run lists in its document."""
    try:
        earlier = json.loads((folder / DOCUMENT).read_text(encoding="utf-8"))
        return set(output_names([str(frame["file"]) for frame in earlier["frames"]]))
    except (OSError, ValueError, KeyError, TypeError):
        return set()  # no earlier run, or not ours to judge


def _remove_stale(folder: Path, stale: set[str], written: dict[str, str]) -> None:
    """Remove pictures of an earlier run from a folder; what is no plain file there is not ours."""
    for name in stale:
        same_folded = written.get(_folded(name))
        path = folder / Path(name).name
        try:
            # Where case does not count, the old name may lead to the new picture.
            if path.is_file() and not (same_folded and path.samefile(folder / same_folded)):
                path.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"cannot remove {path}: {describe_os_error(error)}") from error
