"""Write files whole or not at all, and over an existing one only where it is asked for."""

from __future__ import annotations

import errno
import os
import secrets
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diar_ops._checks import check_option, check_shapes
from diar_ops._errors import DtypeError, ImageError, OutputError, ShapeError
from diar_ops._pixels import FULL_SCALE

_WORDS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EROFS: "the disk is read-only",
    errno.ENAMETOOLONG: "the file name is too long",
    errno.ENOTDIR: "a part of the path is a file, not a folder",
    errno.EEXIST: "a part of the path is a file, not a folder",  # how mkdir puts it
}


@contextmanager
def atomic_path(path: str | PathLike[str], *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that becomes ``path`` when the block succeeds.

    Missing parent folders are created. On success the file is flushed to the disk and renamed in
    one step. On any failure, Ctrl-C included, the temporary file is removed and an existing
    ``path`` stays as it was.

    Args:
        path: The file to write.
        overwrite: Replace an existing file.

    Yields:
        The temporary path, an existing empty file with the ending of ``path``.

    Raises:
        OutputError: ``path`` exists and ``overwrite`` is False, or is no plain file, or the
            operating system refused (disk full, no permission, ...).
    """
    path = Path(path)
    # Short and hidden: the file's own name may already be as long as the system allows.
    temporary = path.parent / f".{secrets.token_hex(8)}{path.suffix}"
    try:
        _refuse_existing(path, overwrite)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.touch(exist_ok=False)
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            _refuse_existing(path, overwrite)
            os.replace(temporary, path)  # noqa: PTH105 - the one call whose atomicity is the point
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
    except OSError as error:
        raise OutputError(f"cannot write {path}: {describe_os_error(error)}") from error


def describe_os_error(error: OSError) -> str:
    """Return what the operating system refused, in plain words."""
    return _WORDS.get(error.errno or 0) or (error.strerror or str(error)).lower()


def write_text_atomic(path: str | PathLike[str], text: str, *, overwrite: bool = False) -> None:
    r"""Write ``text`` as UTF-8 with plain newlines, whole or not at all.

    What UTF-8 cannot hold, the bytes of a file name in another encoding, is written as ``\udcXX``,
    which JSON reads back as it was.

    Args:
        path: The file to write.
        text: Its content.
        overwrite: Replace an existing file.

    Raises:
        OutputError: As :func:`atomic_path`.
    """
    with atomic_path(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(text.encode("utf-8", "backslashreplace"))


def write_image(
    path: str | PathLike[str],
    pixels: Tensor,
    *,
    valid: Tensor | None = None,
    icc_profile: bytes | None = None,
    exif: bytes | None = None,
    bit_depth: int | None = None,
    overwrite: bool = False,
) -> None:
    """Write a PNG, whole or not at all.

    Args:
        path: The file to write; must end in ``.png``.
        pixels: (3, H, W) R, G, B or (1, H, W) grey; uint8, uint16, or floating point in [0, 1]
            (values beyond are clamped, then rounded to the nearest level).
        valid: Optional (1, H, W) bool, written as alpha: opaque where True.
        icc_profile: Optional colour profile of the pixels, embedded as it is.
        exif: Optional EXIF data, a TIFF header and its directories, embedded as they are.
        bit_depth: 8 or 16, for floating-point ``pixels`` only; 8 if None.
        overwrite: Replace an existing file.

    Raises:
        DtypeError: ``pixels`` or ``valid`` has another dtype.
        ShapeError: ``pixels`` or ``valid`` has another shape, or holds no pixel.
        OptionError: ``path`` or ``bit_depth`` is not as stated.
        ImageError: ``pixels`` holds NaN.
        OutputError: As :func:`atomic_path`.
    """
    path = Path(path)
    check_option("write_image", path.suffix.lower() == ".png", "a path that ends in .png", path.name)
    planes = image_planes(pixels, valid, bit_depth)
    with atomic_path(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(_encode_png(planes, icc_profile, exif))


def image_planes(pixels: Tensor, valid: Tensor | None = None, bit_depth: int | None = None) -> Any:
    """Return pixels as image files store them: (H, W, 1 | 3 | 4) uint8 or uint16, alpha last.

    Args:
        pixels: As :func:`write_image` takes them.
        valid: Optional (1, H, W) bool, alpha; a grey image becomes RGB with it.
        bit_depth: 8 or 16, for floating-point ``pixels`` only; 8 if None.

    Raises:
        DiarError: As :func:`write_image`.
    """
    op = "write_image"
    sizes = check_shapes(op, pixels=(pixels, "C H W"), valid=(valid, "? 1 H W"))
    if sizes["C"] not in (1, 3) or 0 in sizes.values():
        raise ShapeError(f"{op}: pixels must have shape (1 or 3, H, W), got {list(pixels.shape)}")
    if valid is not None and valid.dtype != torch.bool:
        raise DtypeError(f"{op}: valid must be bool, got {valid.dtype}")
    planes: Any = _to_integers(pixels.detach().cpu(), bit_depth).numpy().transpose(1, 2, 0)
    if valid is not None:
        alpha = valid.detach().cpu().numpy().transpose(1, 2, 0) * np.iinfo(planes.dtype).max
        colour = np.broadcast_to(planes, (*planes.shape[:2], 3))
        planes = np.concatenate((colour, alpha.astype(planes.dtype)), axis=2)
    return planes


def _to_integers(pixels: Tensor, bit_depth: int | None) -> Tensor:
    """Return pixels as uint8 or uint16, rounded to the levels of ``bit_depth``."""
    op = "write_image"
    if pixels.dtype in FULL_SCALE:
        depth = 8 if pixels.dtype == torch.uint8 else 16
        check_option(op, bit_depth in (None, depth), f"bit_depth {depth} for {pixels.dtype}", bit_depth)
        return pixels
    if not pixels.is_floating_point():
        raise DtypeError(f"{op}: pixels must be uint8, uint16 or floating, got {pixels.dtype}")
    check_option(op, bit_depth in (None, 8, 16), "bit_depth 8 or 16", bit_depth)
    if pixels.isnan().any():
        raise ImageError(f"{op}: pixels hold NaN, which no image file can store")
    dtype = torch.uint16 if bit_depth == 16 else torch.uint8
    # float16 could not tell 65536 levels apart, so scale in float32; int32 because PyTorch
    # converts from float to uint16 through it anyway, and on every device.
    return pixels.float().clamp(0, 1).mul(FULL_SCALE[dtype]).round().to(torch.int32).to(dtype)


def _encode_png(planes: Any, icc_profile: bytes | None, exif: bytes | None) -> bytes:
    """Encode (H, W, 1 | 3 | 4) uint8 or uint16 in R, G, B, A order."""
    import cv2

    if planes.shape[2] > 1:
        planes = planes[..., [2, 1, 0, 3][: planes.shape[2]]]  # OpenCV's channel order
    done, encoded = cv2.imencode(".png", np.ascontiguousarray(planes))
    if not done:
        raise ImageError(f"write_image: cannot encode pixels of shape {list(planes.shape)} as PNG")
    data: bytes = encoded.tobytes()
    # OpenCV writes neither: put them right behind IHDR (8 bytes of signature, then 4 length,
    # 4 type, 13 header, 4 checksum), where the PNG specification wants the profile.
    chunks = b""
    if icc_profile is not None:
        chunks += _chunk(b"iCCP" + b"ICC profile\0\0" + zlib.compress(icc_profile))
    if exif is not None:
        chunks += _chunk(b"eXIf" + exif)
    return data[:33] + chunks + data[33:]


def _chunk(body: bytes) -> bytes:
    """Return a chunk of a PNG: its length, its type and data, its checksum."""
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))


def _refuse_existing(path: Path, overwrite: bool) -> None:
    if path.is_dir():
        raise OutputError(f"cannot write {path}: it is a folder")
    if path.exists() and not path.is_file():
        raise OutputError(f"cannot write {path}: it is not a plain file")
    if path.exists() and not overwrite:
        raise OutputError(f"{path} already exists; pass overwrite=True to replace it")
