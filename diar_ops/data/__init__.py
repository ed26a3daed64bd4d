"""Image files and sequences on disk."""

from diar_ops._errors import ImageError
from diar_ops.data.dataset import SequenceDataset, SequenceItem
from diar_ops.data.exif import read_exif
from diar_ops.data.focal import read_focal
from diar_ops.data.images import Photo, read_image
from diar_ops.data.masks import read_flags, read_mask, write_flags, write_mask
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
