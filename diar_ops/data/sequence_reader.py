"""Rendered sequences on disk: read sequence.json and check it, field by field."""

from __future__ import annotations

import json
from dataclasses import dataclass
from os import PathLike
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

import torch
from torch import Tensor

from diar_ops._errors import ImageError
from diar_ops.data._listing import natural_key
from diar_ops.data.sequence_writer import DOCUMENT, PANE_VERSION, SEQUENCE_FORMAT, VERSION

#: How far, in pixels, a corner of the label may be from itself after both directions.
INVERSE_TOLERANCE = 1e-3
#: No picture is larger, in pixels.
MAX_SIDE = 10**6


@dataclass(frozen=True, eq=False)
class RenderedFrame:
    """One frame of a :class:`RenderedSequence`.

    Attributes:
        path: The picture.
        size: Its (height, width) in pixels.
        homography_frame_label: (3, 3) float64, frame ~ H @ label.
        occluded: The mask of what is in front of the picture, if there is one.
        flags: The flag map, if there is one.
    """

    path: Path
    size: tuple[int, int]
    homography_frame_label: Tensor
    occluded: Path | None = None
    flags: Path | None = None


@dataclass(frozen=True, eq=False)
class RenderedSequence:
    """What the ``sequence.json`` of a folder says; no picture is read yet.

    Attributes:
        folder: Where it is.
        label: The clean picture.
        label_size: Its (height, width) in pixels.
        frames: The frames, in order.
        kind: ``"aligned"``, ``"misaligned"``, or None where the document does not say.
        document: All of the document.
    """

    folder: Path
    label: Path
    label_size: tuple[int, int]
    frames: tuple[RenderedFrame, ...]
    kind: str | None
    document: dict[str, Any]

    @property
    def aligned(self) -> bool:
        """Whether the frames lie over the label as they are."""
        if self.kind is not None:
            return self.kind == "aligned"
        eye = torch.eye(3, dtype=torch.float64)
        return all(torch.equal(frame.homography_frame_label, eye) for frame in self.frames)


def is_sequence(folder: str | PathLike[str]) -> bool:
    """Return whether the folder has a ``sequence.json`` of this format, of whatever version.

    A damaged one counts where it still names the format: :func:`read_sequence` says what is wrong.
    """
    try:
        text = (Path(folder) / DOCUMENT).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return f'"{SEQUENCE_FORMAT}"' in text
    return isinstance(document, dict) and document.get("format") == SEQUENCE_FORMAT


def sequence_folders(folder: str | PathLike[str]) -> list[Path]:
    """Return the sub-folders that hold a ``sequence.json``, in the order of their numbers.

    Hidden ones are left out: they are sequences that are still being written.

    Raises:
        OSError: The folder cannot be listed.
    """
    entries = [entry for entry in Path(folder).iterdir() if not entry.name.startswith(".")]
    return sorted((e for e in entries if (e / DOCUMENT).is_file()), key=natural_key)


def read_sequence(folder: str | PathLike[str], *, files: bool = True) -> RenderedSequence:
    """Read and check the ``sequence.json`` of a folder, and that all its files are there.

    Args:
        folder: The folder of one sequence.
        files: Whether the files have to be there.

    Returns:
        The :class:`RenderedSequence`. Pictures are not opened.

    Raises:
        ImageError: The document is missing or not as it should be, or a file that it names is
            missing. The sentence names the file and the field.
    """
    folder = Path(folder)
    path = folder / DOCUMENT
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = "does not exist" if isinstance(error, FileNotFoundError) else error.strerror
        raise ImageError(f"{folder} is not a sequence: {path} {reason}".rstrip()) from error
    except (ValueError, RecursionError) as error:
        raise ImageError(f"{path} is not JSON: {error}") from error
    sequence = check_sequence_document(document, path)
    named = [sequence.label]
    for frame in sequence.frames:
        named += [file for file in (frame.path, frame.occluded, frame.flags) if file is not None]
    for file in named if files else ():
        if not _is_file(file):
            raise ImageError(f"{path} names {file.relative_to(folder)}, which does not exist")
    return sequence


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long, a folder that may not be read
        return False


def check_sequence_document(document: Any, path: str | PathLike[str] = DOCUMENT) -> RenderedSequence:
    """Check a document against versions 1 and 2 of the format.

    Required are ``format``, ``version``, ``label`` and ``frames``, and of each frame ``file``,
    ``size`` and ``homography_frame_label``. ``kind``, ``homography_label_frame``, ``occluded``
    and ``flags`` are checked where they are there; anything more is nobody's business.

    Args:
        document: What was read from JSON.
        path: Where from, for the message; its folder holds the files.

    Returns:
        The :class:`RenderedSequence`.

    Raises:
        ImageError: A field is missing or not as stated; one sentence names it.
    """
    from diar_ops.scene.sample import KINDS  # only here: whoever reads photos does not wait for the renderer

    fields = _FieldChecker(Path(path))
    folder = fields.path.parent
    if not isinstance(document, dict) or document.get("format") != SEQUENCE_FORMAT:
        got = document.get("format") if isinstance(document, dict) else document
        fields.fail("format", f'"{SEQUENCE_FORMAT}"', got)
    version = document.get("version")
    if isinstance(version, int) and version > PANE_VERSION:
        raise ImageError(
            f"{fields.path} is version {version} of the format, this diar_ops reads versions {VERSION} and "
            f"{PANE_VERSION}; update diar_ops"
        )
    known = version is not True and version in (VERSION, PANE_VERSION)
    fields.require(known, "version", f"{VERSION} or {PANE_VERSION}", version)
    kind = document.get("kind")
    kinds = " or ".join(f'"{known}"' for known in KINDS)
    fields.require(kind is None or kind in KINDS, "kind", kinds, kind)
    label = fields.require_type(document.get("label"), dict, "label", "an object")
    label_size = fields.image_size(label.get("size"), "label.size")
    names = [fields.file_name(label.get("file"), "label.file")]
    entries = fields.require_type(document.get("frames"), list, "frames", "a list")
    fields.require(bool(entries), "frames", "at least one", entries)
    frames = []
    for t, entry in enumerate(entries):
        field = f"frames[{t}]"
        entry = fields.require_type(entry, dict, field, "an object")
        name = fields.file_name(entry.get("file"), f"{field}.file")
        fields.require(name not in names, f"{field}.file", "a file of its own", name)
        names.append(name)
        H = fields.homography(entry, field, label_size)
        masks = {
            mask: folder / fields.file_name(entry[mask], f"{field}.{mask}")
            for mask in ("occluded", "flags")
            if entry.get(mask) is not None
        }
        size = fields.image_size(entry.get("size"), f"{field}.size")
        frames.append(RenderedFrame(folder / name, size, H, **masks))
    return RenderedSequence(folder, folder / names[0], label_size, tuple(frames), kind, document)


def check_stated_size(path: Path, size: tuple[int, int], stated: tuple[int, int]) -> None:
    """Raise an :class:`ImageError` if a picture has another size than its document states."""
    if size != stated:
        got, expected = ("{1} x {0}".format(*pair) for pair in (size, stated))
        raise ImageError(f"{path} has {got} pixels, {DOCUMENT} says {expected}")


class _FieldChecker:
    """Raises an :class:`ImageError` that names the document and the field that is wrong."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def fail(self, field: str, expected: str, got: Any) -> NoReturn:
        value = "nothing" if got is None else json.dumps(got, default=repr)
        value = value if len(value) <= 60 else f"{value[:57]}..."
        raise ImageError(f"{self.path}: {field}: expected {expected}, got {value}")

    def require(self, condition: bool, field: str, expected: str, got: Any) -> None:
        if not condition:
            self.fail(field, expected, got)

    def require_type(self, value: Any, cls: type, field: str, expected: str) -> Any:
        self.require(isinstance(value, cls), field, expected, value)
        return value

    def image_size(self, value: Any, field: str) -> tuple[int, int]:
        fits = isinstance(value, list) and len(value) == 2
        fits = fits and all(type(side) is int and 0 < side <= MAX_SIDE for side in value)
        self.require(fits, field, "[height, width] in pixels", value)
        return value[0], value[1]

    def file_name(self, value: Any, field: str) -> str:
        """Return a path that leads nowhere but into the sequence's own folder."""
        parts = PurePosixPath(value).parts if isinstance(value, str) else ()
        fits = bool(parts) and not any(p in ("..", "/") or ":" in p or "\\" in p for p in parts)
        fits = fits and "\0" not in value
        self.require(fits, field, "a file inside the sequence's folder", value)
        return str(value)

    def homography(self, entry: dict[str, Any], field: str, label_size: tuple[int, int]) -> Tensor:
        """Return frame ~ H @ label; its inverse has to be one, where it is stated."""
        H = self._matrix(entry, field, "homography_frame_label", label_size)
        if entry.get("homography_label_frame") is None:
            return H
        inverse = self._matrix(entry, field, "homography_label_frame", label_size)
        height, width = (side - 1.0 for side in label_size)
        corners = torch.tensor([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]])
        returned = corners.double() @ H.T @ inverse.T
        error = (returned / returned[:, 2:] - corners).abs().amax()
        if not error <= INVERSE_TOLERANCE:
            raise ImageError(
                f"{self.path}: {field}.homography_label_frame is not the inverse of "
                f"homography_frame_label: the label's corners come back {float(error):.3g} px off"
            )
        return H

    def _matrix(self, entry: dict[str, Any], field: str, name: str, label_size: tuple[int, int]) -> Tensor:
        value = entry.get(name)
        try:
            matrix = torch.tensor(value, dtype=torch.float64)
        except (TypeError, ValueError, RuntimeError, OverflowError):
            matrix = torch.zeros(0)
        fits = matrix.shape == (3, 3) and bool(matrix.isfinite().all())
        self.require(fits, f"{field}.{name}", "a 3 x 3 matrix of finite numbers", value)
        # Scaled so that the label's pixels count 1, a usable H is far from singular.
        scale = torch.tensor([label_size[1], label_size[0], 1.0], dtype=torch.float64)
        scaled = matrix * scale / scale[:, None]
        singular = bool(scaled.det().abs() <= 1e-9 * scaled.abs().amax() ** 3)
        self.require(not singular, f"{field}.{name}", "a matrix that can be inverted", value)
        return matrix
