"""Read the OpenEXR files that Blender writes for us: uncompressed scan lines, nothing else."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

from diar_ops._errors import ImageError

_MAGIC = 20000630
_TYPES: dict[int, str] = {0: "<u4", 1: "<f2", 2: "<f4"}


def read_exr(path: Path) -> dict[str, Any]:
    """Read all channels of an uncompressed scan-line OpenEXR file.

    Args:
        path: The file.

    Returns:
        For each channel name, such as ``ViewLayer.Combined.R``, a float32 array (height, width).

    Raises:
        ImageError: The file is missing, cut off, or of another kind.

    Source: OpenEXR File Layout, openexr.com, sections "Header" and "Scan line blocks".
    """
    try:
        return _read(path.read_bytes())
    except OSError as error:
        raise ImageError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
    except (struct.error, ValueError, KeyError, IndexError) as error:
        raise ImageError(f"{path} is no uncompressed scan-line OpenEXR file ({error})") from error


def _read(data: bytes) -> dict[str, Any]:
    magic, version = struct.unpack_from("<II", data, 0)
    # The flags beside the version stand for tiles, deep data and several parts; long names are
    # no matter.
    if magic != _MAGIC or version & 0xFF != 2 or version & 0x1A00:
        raise ValueError(f"magic number {magic}, version {version:#x}")
    position, header = 8, {}
    while data[position]:
        name, position = _read_string(data, position)
        _, position = _read_string(data, position)
        (size,) = struct.unpack_from("<I", data, position)
        header[name] = data[position + 4 : position + 4 + size]
        position += 4 + size
    position += 1
    if header["compression"] != b"\0":
        raise ValueError(f"compression {header['compression'][0]}")
    left, top, right, bottom = struct.unpack("<4i", header["dataWindow"])
    width, height = right - left + 1, bottom - top + 1

    channels, entry = [], 0
    while header["channels"][entry]:
        name, entry = _read_string(header["channels"], entry)
        channels.append((name, np.dtype(_TYPES[header["channels"][entry]])))
        entry += 16
    layout = np.dtype([(str(i), kind, (width,)) for i, (_, kind) in enumerate(channels)])
    line = np.dtype([("y", "<i4"), ("size", "<u4"), ("pixels", layout)])
    lines = np.frombuffer(data, line, height, position + 8 * height)
    if not np.array_equal(lines["y"], np.arange(top, bottom + 1)):
        raise ValueError("the scan lines are not in order")
    pixels = lines["pixels"]
    return {name: pixels[str(i)].astype(np.float32) for i, (name, _) in enumerate(channels)}


def _read_string(data: bytes, start: int) -> tuple[str, int]:
    end = data.index(b"\0", start)
    return data[start:end].decode("latin-1"), end + 1
