"""Photos on disk: list the files of folders, read all that can be read, find one by its name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path

from diar_ops._checks import check_option
from diar_ops._errors import ImageError, OptionError
from diar_ops._pixels import image_size, shrink_alike, shrink_valid
from diar_ops.data._listing import natural_key, read_error
from diar_ops.data.images import Photo, read_image
from diar_ops.data.sequence_reader import is_sequence, read_sequence, sequence_folders

#: File name endings that :func:`list_images` takes for photos, in any case.
SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp")


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
    several = [paths] if isinstance(paths, (str, PathLike)) else list(paths)
    if not several:
        raise ImageError("no photos: no folder and no file was given")
    files: dict[Path, None] = {}
    for path in map(Path, several):
        try:
            files.update(dict.fromkeys(_images_of(path)))
        except OSError as error:
            raise read_error(path, error) from error
    return list({path.resolve(): path for path in reversed(files)}.values())[::-1]


def _images_of(path: Path) -> list[Path]:
    """Return the photos of one folder, or the file itself."""
    if not path.is_dir():
        path.stat()  # raises where there is none
        return [path]
    if is_sequence(path):
        return [frame.path for frame in read_sequence(path, files=False).frames]
    files = [
        entry
        for entry in path.iterdir()
        if entry.suffix.lower() in SUFFIXES and not entry.name.startswith(".") and entry.is_file()
    ]
    sequences = sequence_folders(path)
    if sequences and (not files or (path / "dataset.json").is_file()):
        names = ", ".join(folder.name for folder in sequences[:3])
        raise ImageError(
            f"{path} is a whole data set, not one sequence; give one of its "
            f"sub-folders ({names}{', ...' * (len(sequences) > 3)})"
        )
    if not files:
        raise ImageError(f"no photos in the folder {path} (looked for {', '.join(SUFFIXES)}, not in sub-folders)")
    return sorted(files, key=natural_key)


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
    for index, file in enumerate(files):
        try:
            photos.append(_shrink(read_image(file), max_size))
        except ImageError as error:
            skipped.append(str(error))
        if progress is not None:
            progress(index + 1, len(files))
    if not photos:
        raise ImageError(f"none of the {len(files)} files is a readable photo: {skipped[0]}")
    return photos, skipped


def find_photo(names: Sequence[str], name: str) -> int:
    """Return the index of the photo that a person means.

    Args:
        names: File names of the photos.
        name: A file name (the first photo of that name), or a number from 0.

    Raises:
        OptionError: There is no such photo.
    """
    if name in names:
        return names.index(name)
    if not name.isdecimal() or int(name) >= len(names):
        raise OptionError(f"there is no photo {name}: expected a file name or a number from 0 to {len(names) - 1}")
    return int(name)


def _shrink(photo: Photo, max_size: int | None) -> Photo:
    if max_size is None or max(photo.size) <= max_size:
        return photo
    pixels = shrink_alike(photo.pixels, max_size)
    valid = None if photo.valid is None else shrink_valid(photo.valid[None], image_size(pixels))[0]
    return replace(photo, pixels=pixels, valid=valid)
