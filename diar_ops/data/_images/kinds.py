"""What a file is: by its first bytes, which do not lie, else by its ending."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

#: Bytes from the beginning of a file that tell its kind.
HEAD = 512


class Kind(NamedTuple):
    """A kind of picture or video.

    Attributes:
        name: In words, with its article.
        reader: What decodes it: ``"pillow"``, ``"tiff"``, ``"raw"``, ``"heif"``, ``"jxl"``,
            ``"jp2"`` or ``"video"``; empty if nothing does.
        suffixes: Endings that its files have.
    """

    name: str
    reader: str
    suffixes: str = ""


_JPEG = Kind("a JPEG photo", "pillow", ".jpg .jpeg .jpe .jfif .mpo")
_PNG = Kind("a PNG picture", "pillow", ".png .apng")
_GIF = Kind("a GIF picture", "pillow", ".gif")
_WEBP = Kind("a WebP picture", "pillow", ".webp")
_BMP = Kind("a BMP picture", "pillow", ".bmp .dib")
_PNM = Kind("a PNM picture", "pillow", ".pnm .ppm .pgm .pbm")
_AVIF = Kind("an AVIF picture", "pillow", ".avif .avifs")
_TIFF = Kind("a TIFF picture", "tiff", ".tif .tiff .btf")
_HEIF = Kind("a HEIC photo", "heif", ".heic .heif .heics .heifs .hif")
_JXL = Kind("a JPEG XL picture", "jxl", ".jxl")
_JP2 = Kind("a JPEG 2000 picture", "jp2", ".jp2 .j2k .jpx .j2c .jpf .jpc")
_RAW = Kind(
    "a raw photo",
    "raw",
    ".dng .cr2 .cr3 .crw .nef .nrw .arw .srf .sr2 .raf .orf .rw2 .rwl .pef .srw .raw .3fr .fff .iiq .x3f .erf .mef "
    ".mos .mrw .dcr .kdc .gpr",
)
_VIDEO = Kind("a video", "video", ".mp4 .mov .m4v .avi .mkv .webm .3gp .3g2 .mpg .mpeg .mts .m2ts .wmv .flv .ogv")
_OTHERS = (
    Kind("a Photoshop document", "", ".psd .psb"),
    Kind("a PDF document", "", ".pdf"),
    Kind("a PostScript drawing", "", ".eps .ps .ai"),
    Kind("an SVG drawing", "", ".svg .svgz"),
    Kind("an OpenEXR picture", "", ".exr"),
    Kind("a Radiance picture", "", ".hdr"),
    Kind("a GIMP document", "", ".xcf"),
    Kind("an icon", "", ".ico .icns"),
    Kind("a Targa picture", "", ".tga"),
)
_KINDS = (_JPEG, _PNG, _GIF, _WEBP, _BMP, _PNM, _AVIF, _TIFF, _HEIF, _JXL, _JP2, _RAW, _VIDEO, *_OTHERS)
_BY_SUFFIX = {suffix: kind for kind in _KINDS for suffix in kind.suffixes.split()}

# Matched where a file begins. TIFF and ftyp files need a second look, see kind_of.
_MAGIC = tuple(
    (re.compile(pattern, re.DOTALL), kind)
    for pattern, kind in (
        (rb"\xff\xd8\xff", _JPEG),
        (rb"\x89PNG\r\n\x1a\n", _PNG),
        (rb"GIF8[79]a", _GIF),
        (rb"RIFF.{4}WEBP", _WEBP),
        (rb"BM.{4}\0{4}.{4}[\x0c\x28\x34\x38\x40\x6c\x7c]\0{3}", _BMP),
        (rb"P[1-6][\s#]", _PNM),
        (rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n", _JXL),
        (rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51", _JP2),
        (rb"II[*+]\0.{4}CR|FUJIFILMCCD-RAW|IIU\0|IIR[OS]|MMOR|FOVb|II.{4}HEAPCCDR|\0MRM", _RAW),
        (rb"II[*+]\0|MM\0[*+]", _TIFF),
        (rb"\x1aE\xdf\xa3|RIFF.{4}AVI |FLV\x01|\0\0\x01[\xb3\xba]|\x30\x26\xb2\x75|G.{187}G", _VIDEO),
        (rb"8BPS", _OTHERS[0]),
        (rb"%PDF-", _OTHERS[1]),
        (rb"%!PS", _OTHERS[2]),
        (rb"(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?(<!DOCTYPE svg[^>]*>\s*)?<svg[\s>]", _OTHERS[3]),
        (rb"v/1\x01", _OTHERS[4]),
        (rb"#\?RADIANCE", _OTHERS[5]),
        (rb"gimp xcf", _OTHERS[6]),
    )
)
_HEIF_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1"}
_VIDEO_BRANDS = {b"qt  ", b"isom", b"iso2", b"iso4", b"iso5", b"iso6", b"mp41", b"mp42", b"avc1", b"dash"}


def kind_of(head: bytes, suffix: str) -> Kind | None:
    """Return what a file is.

    Args:
        head: Its first :data:`HEAD` bytes.
        suffix: Its ending, which decides only what the bytes leave open: raw files that are TIFF
            inside.

    Returns:
        The kind; ``None`` if the bytes are of no picture and of no video that is known here.
    """
    if head[4:8] == b"ftyp":
        return _kind_of_brands(head)
    kind = next((kind for pattern, kind in _MAGIC if pattern.match(head)), None)
    return _RAW if kind is _TIFF and _BY_SUFFIX.get(suffix.lower()) is _RAW else kind


def kind_of_name(path: Path) -> Kind | None:
    """Return what a file says that it is, by its ending."""
    return _BY_SUFFIX.get(path.suffix.lower())


def kind_of_file(path: Path) -> Kind | None:
    """Return what a file is by its first bytes, or what it says that it is where it cannot be read."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError:
        return kind_of_name(path)
    return kind_of(head, path.suffix) or kind_of_name(path)


def _kind_of_brands(head: bytes) -> Kind | None:
    """Tell apart the files of the ISO base media format: its first brand, then those it is compatible with."""
    end = min(len(head), int.from_bytes(head[:4], "big"))
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4))]
    if brands[0] == b"crx ":
        return _RAW
    if b"avif" in brands or b"avis" in brands:
        return _AVIF
    if b"jxl " in brands:
        return _JXL
    if brands[0] in _HEIF_BRANDS:
        return _HEIF
    if _VIDEO_BRANDS & set(brands) or (brands[0][:2] in (b"3g", b"M4") and brands[0] != b"M4A "):
        return _VIDEO
    return _HEIF if _HEIF_BRANDS & set(brands) else None
