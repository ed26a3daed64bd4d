"""Sequences on disk: the photos of a folder, and the ground truth of a rendered sequence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from diar_ops._checks import check_option
from diar_ops._errors import ImageError, OptionError
from diar_ops._pixels import image_size, shrink_alike, shrink_valid
from diar_ops.data.images import Photo, read_image
from diar_ops.data.sequence_reader import read_sequence

if TYPE_CHECKING:
    pass
from diar_ops.data.images import SUFFIXES, _cannot_open, natural_key

__all__ = ["find_photo", "list_images", "read_photos"]


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


def list_images(paths: str | PathLike[str] | Iterable[str | PathLike[str]]) -> list[Path]:
    """List the photos of folders and single files, in the order in which a person counts.

    A folder gives its files that end in one of :data:`SUFFIXES`, sorted so that ``img2`` comes
    before ``img10``; hidden files and sub-folders are skipped. The folder of a rendered sequence
    (with a ``sequence.json``, see ``docs/data.md``) gives its frames, not its label. A file is
    taken as it is, whatever its ending. Each file is listed once.

    Args:
        paths: One path, or several.

    Returns:
        The files, at least one.

    Raises:
        ImageError: A path does not exist or cannot be listed, a folder holds no photo or is that
            of a whole rendered data set, or its ``sequence.json`` is of the right format but
            damaged or of another version.
    """
    # Imported late: scenes, which rendered sequences are of, read images themselves.
    from diar_ops.data.sequence_reader import is_sequence, sequence_folders

    several = [paths] if isinstance(paths, (str, PathLike)) else list(paths)
    if not several:
        raise ImageError("no photos: no folder and no file was given")
    found: dict[Path, None] = {}
    for path in map(Path, several):
        try:
            if not path.is_dir():
                path.stat()
                found[path] = None
                continue
            if is_sequence(path):
                frames = read_sequence(path, files=False).frames
                found.update(dict.fromkeys(frame.path for frame in frames))
                continue
            files = [
                entry
                for entry in path.iterdir()
                if entry.suffix.lower() in SUFFIXES
                and not entry.name.startswith(".")
                and entry.is_file()
            ]
            sequences = sequence_folders(path)
            is_set = bool(sequences) and (not files or (path / "dataset.json").is_file())
        except OSError as error:
            raise _cannot_open(path, error) from error
        if is_set:
            names = ", ".join(folder.name for folder in sequences[:3])
            raise ImageError(
                f"{path} is a whole data set, not one sequence; give one of its "
                f"sub-folders ({names}{', ...' * (len(sequences) > 3)})"
            )
        if not files:
            raise ImageError(
                f"no photos in the folder {path} (looked for "
                f"{', '.join(SUFFIXES)}, not in sub-folders)"
            )
        found.update(dict.fromkeys(sorted(files, key=natural_key)))
    return list({path.resolve(): path for path in reversed(found)}.values())[::-1]
