"""Which sequences an archive holds: one for each folder with photos."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from diar_ops.batch.storage import FileState, Storage
from diar_ops.data import DOCUMENT, is_photo_name, is_sequence
from diar_ops.data._listing import natural_key

#: Bytes of a result's name: longer ones do not fit into file names with what is put around them.
LONGEST = 150


@dataclass(frozen=True)
class PhotoSequence:
    """Photos that make one picture.

    Attributes:
        key: What it is called: its folder, relative to the archive, or the first photo of a group.
        files: The states of its files, by their names relative to the archive, in order.
        folder: Whether it is a whole folder, ``key``, and not single files.
    """

    key: str
    files: Mapping[str, FileState]
    folder: bool = True


def list_sequences(archive: Storage, files: Mapping[str, FileState]) -> list[PhotoSequence]:
    """Return a sequence for each folder that holds photos, whatever its depth.

    Args:
        archive: Where they are.
        files: All of its files.
    """
    rendered = _rendered_folders(archive, files)
    folders: dict[str, dict[str, FileState]] = {}
    for name, state in files.items():
        inside = next((str(parent) for parent in PurePosixPath(name).parents if str(parent) in rendered), None)
        if inside is not None or is_photo_name(name):
            folders.setdefault(str(PurePosixPath(name).parent) if inside is None else inside, {})[name] = state
    # The sheet of a rendered set lies beside its sequences, and shows them all.
    sets = {str(PurePosixPath(folder).parent) for folder in rendered}
    return [
        PhotoSequence(folder, folders[folder])
        for folder in sorted(folders, key=lambda folder: [natural_key(Path(p)) for p in PurePosixPath(folder).parts])
        if folder not in sets or f"{folder}/dataset.json".removeprefix("./") not in files
    ]


def _rendered_folders(archive: Storage, files: Iterable[str]) -> set[str]:
    """Return the folders that are rendered sequences: all below belongs to them."""
    documents = [name for name in files if PurePosixPath(name).name == DOCUMENT]
    with archive.fetched(documents) as folder:
        parents = [str(PurePosixPath(name).parent) for name in documents]
        return {parent for parent in parents if is_sequence(folder / parent)}


def result_names(keys: Iterable[str]) -> dict[str, str]:
    """Return a file name for the results of each sequence: its key, as far as file systems allow."""
    keys = list(keys)
    plain = {key: printable(key).replace("/", "__").strip(".") or "photos" for key in keys}
    counts = Counter(_folded(name) for name in plain.values())
    return {
        key: name
        if counts[_folded(name)] == 1 and len(name.encode()) <= LONGEST
        else f"{name.encode()[:LONGEST].decode(errors='ignore')}-{_digest(key)}"
        for key, name in plain.items()
    }


def printable(name: str) -> str:
    r"""Return a name that can be written as UTF-8: bytes that are none become ``\xNN``."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace").replace("\\", "_")


def _folded(name: str) -> str:
    """Return the name as file systems compare it that ignore case and composition."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:8]
