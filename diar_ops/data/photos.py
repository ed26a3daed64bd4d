"""Photos on disk: list the files of folders, read all that can be read, find one by its name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path

from diar_ops._checks import check_option
from diar_ops._errors import ImageError, OptionError
from diar_ops._pixels import image_size, shrink_alike, shrink_valid
from diar_ops._threads import map_threads
from diar_ops.data._images.kinds import Kind, kind_of_file, kind_of_name
from diar_ops.data._listing import natural_key, read_error
from diar_ops.data.images import Photo, read_image
from diar_ops.data.one_profile import to_one_profile
from diar_ops.data.sequence_reader import is_sequence, read_sequence, sequence_folders
from diar_ops.data.video import read_video

Paths = str | PathLike[str] | Iterable[str | PathLike[str]]


def list_images(paths: Paths) -> list[Path]:
    """List the photos of folders and single files, in the order in which a person counts.

    A folder gives the files that :func:`read_image` can read by their ending or their first bytes,
    sorted so that ``img2`` comes before ``img10``; hidden files and sub-folders are skipped. The
    folder of a rendered sequence (with a ``sequence.json``, see ``docs/data.md``) gives its frames,
    not its label. A file is taken as it is, whatever it holds. Each file is listed once.

    Args:
        paths: One path, or several.

    Returns:
        The files, at least one.

    Raises:
        ImageError: A path does not exist or cannot be listed, a folder holds no photo or is that
            of a whole rendered data set, or its ``sequence.json`` is of the right format but
            damaged or of another version.
    """
    return _list(paths, lambda kind: kind.reader not in ("", "video"))


def list_media(paths: Paths) -> list[Path]:
    """List photos as :func:`list_images` does, and videos and pictures that cannot be read, too.

    So that whoever reads them can say what became of each.

    Args:
        paths: One path, or several.

    Returns:
        The files, at least one.

    Raises:
        ImageError: As :func:`list_images`.
    """
    return _list(paths, lambda kind: True)


def is_photo_name(name: str | PathLike[str]) -> bool:
    """Return whether a file is taken for a photo or a video, by its name alone."""
    kind = kind_of_name(Path(name))
    return kind is not None and kind.reader != ""


def _list(paths: Paths, wanted: Callable[[Kind], bool]) -> list[Path]:
    several = [paths] if isinstance(paths, (str, PathLike)) else list(paths)
    if not several:
        raise ImageError("no photos: no folder and no file was given")
    files: dict[Path, None] = {}
    for path in map(Path, several):
        try:
            files.update(dict.fromkeys(_files_of(path, wanted)))
        except OSError as error:
            raise read_error(path, error) from error
    return list({path.resolve(): path for path in reversed(files)}.values())[::-1]


def _files_of(path: Path, wanted: Callable[[Kind], bool]) -> list[Path]:
    """Return the photos of one folder, or the file itself."""
    if not path.is_dir():
        path.stat()  # raises where there is none
        return [path]
    if is_sequence(path):
        return [frame.path for frame in read_sequence(path, files=False).frames]
    entries = [entry for entry in path.iterdir() if not entry.name.startswith(".") and entry.is_file()]
    kinds = {entry: kind_of_name(entry) or kind_of_file(entry) for entry in entries}
    files = [entry for entry, kind in kinds.items() if kind is not None and wanted(kind)]
    sequences = sequence_folders(path)
    if sequences and (not files or (path / "dataset.json").is_file()):
        names = ", ".join(folder.name for folder in sequences[:3])
        raise ImageError(
            f"{path} is a whole data set, not one sequence; give one of its "
            f"sub-folders ({names}{', ...' * (len(sequences) > 3)})"
        )
    if not files:
        raise ImageError(f"no photos in the folder {path} (looked at its {len(entries)} files, not into sub-folders)")
    return sorted(files, key=natural_key)


def read_photos(
    paths: Paths, *, max_size: int | None = None, frames: int = 12, progress: Callable[[int, int], None] | None = None
) -> tuple[list[Photo], list[str]]:
    """Read all photos of folders and files; skip what cannot be read.

    Of a video the sharpest, most different frames are taken. What shows the same pixels as a photo
    before it is skipped, and so is the raw photo or the video of a shot whose photo lies beside it.
    Photos of different colour profiles are brought to one (:func:`to_one_profile`).

    Args:
        paths: Folders or files, as :func:`list_media` takes them.
        max_size: Shrink photos to this longest side, in pixels.
        frames: How many frames of a video are taken.
        progress: Called with (files read, files in all).

    Returns:
        The photos, and one sentence per file that was skipped.

    Raises:
        ImageError: There is no file at all, or none of them can be read.
        OptionError: ``max_size`` is below 16, or ``frames`` below 1.
    """
    check_option("read_photos", max_size is None or max_size >= 16, "max_size >= 16", max_size)
    check_option("read_photos", frames >= 1, "frames >= 1", frames)
    files = list_media(paths)
    aside = _companions(files)
    photos: list[Photo] = []
    skipped: list[str] = []
    seen: dict[bytes, Photo] = {}

    def read(file: Path) -> list[tuple[Photo, bytes]] | ImageError:
        if file in aside:
            return ImageError(aside[file])
        try:
            shrunk = [_shrink(photo, max_size) for photo in _read(file, frames)]
        except ImageError as error:
            return error
        return [(photo, _digest(photo)) for photo in shrunk]

    for index, (file, found) in enumerate(zip(files, map_threads(read, files), strict=True)):
        if isinstance(found, ImageError):
            skipped.append(str(found))
        else:
            for photo, digest in found:
                twin = seen.setdefault(digest, photo)
                if twin is photo:
                    photos.append(replace(photo, number=len(photos) + len(skipped)))
                else:
                    skipped.append(f"{file} shows pixel by pixel what {twin.path} shows, which is counted once")
        if progress is not None:
            progress(index + 1, len(files))
    if not photos:
        raise ImageError(f"none of the {len(files)} files is a readable photo: {skipped[0]}")
    return to_one_profile(photos), skipped


def _read(file: Path, frames: int) -> list[Photo]:
    kind = kind_of_file(file)
    return read_video(file, frames=frames) if kind is not None and kind.reader == "video" else [read_image(file)]


def _companions(files: Sequence[Path]) -> dict[Path, str]:
    """Return what cameras store beside a photo of the same shot, and the sentence that says so."""
    kinds = {file: kind for file in files if (kind := kind_of_file(file)) is not None}
    shots = {(file.parent, file.stem): file for file, kind in kinds.items() if kind.reader not in ("", "raw", "video")}
    return {
        file: f"{file} is {kind.name} of the same shot as {shots[shot].name}, which is counted once; give it without "
        f"that file to use it"
        for file, kind in kinds.items()
        if kind.reader in ("raw", "video") and (shot := (file.parent, file.stem)) in shots
    }


def _digest(photo: Photo) -> bytes:
    shape = str((photo.size, photo.bit_depth, photo.icc_profile)).encode()
    return hashlib.blake2b(photo.pixels.numpy().data, key=hashlib.blake2b(shape).digest()).digest()


def say_notes(photos: Iterable[Photo]) -> list[str]:
    """Return one sentence for each thing that is to be said of some photos (:attr:`Photo.notes`)."""
    names: dict[str, list[str]] = {}
    for photo in photos:
        for note in photo.notes:
            names.setdefault(note, []).append(photo.name)
    return [
        f"{', '.join(who[:3])}{f' and {len(who) - 3} more' * (len(who) > 3)}: {note}" for note, who in names.items()
    ]


def find_photo(photos: Sequence[Photo], name: str) -> int:
    """Return the index of the photo that a person means.

    Args:
        photos: As :func:`read_photos` returned them.
        name: A file name (the first photo of that name), the path of a file, or a number from 0
            among all that was given, what was skipped counted.

    Raises:
        OptionError: There is no such photo.
    """
    for index, photo in enumerate(photos):
        if photo.name == name:
            return index
    path = Path(name).resolve()
    for index, photo in enumerate(photos):
        if photo.path is not None and photo.path.resolve() == path:
            return index
    numbers = [index if photo.number is None else photo.number for index, photo in enumerate(photos)]
    if not name.isdecimal() or int(name) > max(numbers):
        raise OptionError(
            f"there is no photo {name}: expected a file name, a path or a number from 0 to {max(numbers)}"
        )
    if int(name) not in numbers:
        raise OptionError(f"photo number {name} was skipped; choose another one")
    return numbers.index(int(name))


def _shrink(photo: Photo, max_size: int | None) -> Photo:
    if max_size is None or max(photo.size) <= max_size:
        return photo
    pixels = shrink_alike(photo.pixels, max_size)
    valid = None if photo.valid is None else shrink_valid(photo.valid[None], image_size(pixels))[0]
    return replace(photo, pixels=pixels, valid=valid)
