"""Write the clean picture as PNG, TIFF, JPEG or WebP, with its colour profile and metadata."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from torch import Tensor

from diar_ops._checks import check_option
from diar_ops._errors import OutputError
from diar_ops._files import atomic_path, image_planes, write_image
from diar_ops._version import __version__

#: File endings of the formats that a picture can be written in.
FORMATS = {"png": ".png", "tiff": ".tif", "jpg": ".jpg", "webp": ".webp"}

_QUALITY = 95
_LONGEST = {"jpg": 65500, "webp": 16383}  # edge that the format can hold, in pixels
_EXIF_IFD, _GPS_IFD = 0x8769, 0x8825
_DESCRIPTION, _SOFTWARE, _DATE, _ORIENTATION = 0x010E, 0x0131, 0x0132, 0x0112
_TAKEN, _COLOUR_SPACE, _INTEROPERABILITY = 0x9003, 0xA001, 0xA005
# Of the kept metadata: how the photo's own pixels were stored, which the picture's are not.
_OF_PIXELS = (_ORIENTATION, *range(0x0100, 0x0108), 0x0111, *range(0x0115, 0x011E), 0x0140, 0x0142, 0x0143, 0x0144,
              0x0145, 0x014A, 0x0152, 0x0153, 0x0201, 0x0202, 0x02BC, 0x83BB, 0x8649, 0x8773)  # fmt: skip


def picture_metadata(
    names: Sequence[str], document: str, *, photo_exif: bytes | None = None, keep: bool = False
) -> bytes:
    """Return the EXIF data of a clean picture.

    They tell the software, which photos it was made of, where their homographies are, and when the
    reference was taken; nothing that changes from run to run. Place, owner and camera are carried
    over only where it is asked for.

    Args:
        names: File names of the photos that take part.
        document: File name of the homographies.
        photo_exif: EXIF data of the reference, if it has any.
        keep: Whether to carry all of them over.

    Returns:
        A TIFF header and its directories.
    """
    from PIL import Image

    theirs, ours = Image.Exif(), Image.Exif()
    try:
        theirs.load(photo_exif or b"")
        taken = theirs.get_ifd(_EXIF_IFD).get(_TAKEN) or theirs.get(_DATE)
        if keep:
            ours = theirs
            ours.get_ifd(_GPS_IFD)  # read now, so that it is written again
    except Exception:  # damaged metadata are no reason to lose the picture
        taken, ours = None, Image.Exif()
    for tag in _OF_PIXELS:
        ours.pop(tag, None)
    details = ours.get_ifd(_EXIF_IFD)
    for tag in (_COLOUR_SPACE, _INTEROPERABILITY):  # the colour profile says it
        details.pop(tag, None)
    ours[_SOFTWARE] = f"diar_ops {__version__}"
    ours[_DESCRIPTION] = f"Made of {', '.join(names)}; see {document}".encode("utf-8", "replace").decode("utf-8")
    if isinstance(taken, str):
        ours[_DATE] = details[_TAKEN] = taken
    return ours.tobytes().removeprefix(b"Exif\0\0")


def check_picture_format(picture_format: str, size: tuple[int, int]) -> None:
    """Make sure that a picture of ``size`` (h, w) can be written in a format, before the long work.

    Raises:
        OutputError: The format cannot hold so many pixels, or the package that writes it is missing.
    """
    longest = max(size)
    if longest > _LONGEST.get(picture_format, longest):
        raise OutputError(
            f"{picture_format} holds at most {_LONGEST[picture_format]} pixels a side, not {longest}; use png or tiff"
        )
    if picture_format == "tiff":
        _tifffile()


def write_picture(
    path: str | PathLike[str],
    pixels: Tensor,
    *,
    valid: Tensor | None = None,
    icc_profile: bytes | None = None,
    exif: bytes | None = None,
    bit_depth: int = 8,
    overwrite: bool = False,
) -> None:
    """Write a picture in the format that the ending of its path names, whole or not at all.

    PNG and TIFF hold 8 or 16 bits and are lossless; JPEG and WebP hold 8 at a quality of 95. In a
    JPEG, which has no alpha, what no photo shows is as it is in ``pixels``.

    Args:
        path: The file to write; ends in one of the values of :data:`FORMATS`.
        pixels: (3, H, W) floating point in [0, 1].
        valid: Optional (1, H, W) bool, written as alpha.
        icc_profile: Colour profile of the pixels.
        exif: A TIFF header and its directories; of a TIFF only the texts of its first one are kept.
        bit_depth: 8 or 16.
        overwrite: Replace an existing file.

    Raises:
        OptionError: The ending is of no such format.
        OutputError: The format cannot hold so many pixels, or as :func:`atomic_path`.
    """
    path = Path(path)
    kind = {suffix: name for name, suffix in FORMATS.items()}.get(path.suffix.lower(), "")
    check_option("write_picture", kind in FORMATS, f"a path that ends in {', '.join(FORMATS.values())}", path.name)
    if kind == "png":
        write_image(
            path, pixels, valid=valid, icc_profile=icc_profile, exif=exif, bit_depth=bit_depth, overwrite=overwrite
        )
        return
    check_picture_format(kind, (pixels.shape[-2], pixels.shape[-1]))
    planes = image_planes(pixels, None if kind == "jpg" else valid, bit_depth if kind == "tiff" else 8)
    with atomic_path(path, overwrite=overwrite) as temporary:
        (_write_tiff if kind == "tiff" else _write_lossy)(temporary, planes, icc_profile, exif)


def _write_lossy(path: Path, planes: Any, icc_profile: bytes | None, exif: bytes | None) -> None:
    from PIL import Image

    tags: dict[str, Any] = {"exif": b"Exif\0\0" + exif} if exif else {}
    image = Image.fromarray(planes)
    image.save(path, quality=_QUALITY, subsampling=0, icc_profile=icc_profile, **tags)


def _write_tiff(path: Path, planes: Any, icc_profile: bytes | None, exif: bytes | None) -> None:
    texts = [(tag, 2, 0, text.encode(), True) for tag, text in _texts(exif).items()]
    _tifffile().imwrite(
        path,
        planes,
        photometric="rgb",
        compression="zlib",
        predictor=True,
        rowsperstrip=64,
        extrasamples=["unassalpha"] * (planes.shape[2] - 3),
        iccprofile=icc_profile,
        metadata=None,
        software=False,
        extratags=texts,
    )


def _tifffile() -> Any:
    try:
        import tifffile
    except ImportError as error:
        raise OutputError("writing TIFF needs tifffile: pip install 'diar-ops[photos]'") from error
    return tifffile


def _texts(exif: bytes | None) -> dict[int, str]:
    """Return the texts in the first directory of EXIF data, by their tags."""
    from PIL import Image

    data = Image.Exif()
    data.load(exif or b"")
    return {tag: value for tag, value in sorted(data.items()) if isinstance(value, str)}
