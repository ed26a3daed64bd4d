"""Image files and sequences: all file access of the library lives here."""

from diar_ops.data.images import Photo, image_to_float, list_images, read_image
from diar_ops.data.output import atomic_path, write_image, write_text_atomic
from diar_ops.data.report import render_report

__all__ = [
    "Photo",
    "atomic_path",
    "image_to_float",
    "list_images",
    "read_image",
    "render_report",
    "write_image",
    "write_text_atomic",
]
