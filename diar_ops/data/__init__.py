"""Image files and sequences on disk."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from diar_ops._errors import ImageError
from diar_ops.data.exif import read_exif
from diar_ops.data.focal import read_focal
from diar_ops.data.images import Photo, read_image
from diar_ops.data.one_profile import to_one_profile
from diar_ops.data.photos import find_photo, is_photo_name, list_images, list_media, read_photos, say_notes
from diar_ops.data.sequence_reader import (
    RenderedFrame,
    RenderedSequence,
    check_sequence_document,
    is_sequence,
    read_sequence,
)
from diar_ops.data.sequence_writer import DOCUMENT, format_document, frame_names, sequence_document
from diar_ops.data.video import read_video

if TYPE_CHECKING:
    from diar_ops.data.dataset import SequenceDataset, SequenceItem
    from diar_ops.data.masks import read_flags, read_mask, write_flags, write_mask

#: Names of rendered sequences, and their files: whoever reads photos does not wait for the renderer.
_OF_RENDERED = {"SequenceDataset": "dataset", "SequenceItem": "dataset"} | dict.fromkeys(
    ("read_flags", "read_mask", "write_flags", "write_mask"), "masks"
)


def __getattr__(name: str) -> Any:
    """Load what is of rendered sequences when it is asked for."""
    if name not in _OF_RENDERED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_OF_RENDERED[name]}"), name)
    globals()[name] = value
    return value


__all__ = [
    "DOCUMENT",
    "ImageError",
    "Photo",
    "RenderedFrame",
    "RenderedSequence",
    "SequenceDataset",
    "SequenceItem",
    "check_sequence_document",
    "find_photo",
    "format_document",
    "frame_names",
    "is_photo_name",
    "is_sequence",
    "list_images",
    "list_media",
    "read_exif",
    "read_flags",
    "read_focal",
    "read_image",
    "read_mask",
    "read_photos",
    "read_sequence",
    "read_video",
    "say_notes",
    "sequence_document",
    "to_one_profile",
    "write_flags",
    "write_mask",
]
