"""Frames of a video as photos: the sharpest ones that differ most."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from diar_ops._checks import check_option
from diar_ops._errors import ImageError
from diar_ops.data._images.decoded import MAX_PIXELS, package, upright
from diar_ops.data._listing import read_error
from diar_ops.data.images import Photo

_SMALL = (96, 54)  # width and height at which frames are compared
_CANDIDATES = 240  # kept while a video is looked through, twice as many at most
_LONG = 3000  # of a video of more frames, only those are looked at that are coded whole
_SHARP = 0.7  # of the sharpness of the sharper half's median: less is too blurred to be chosen
_CCW_TURNS = {0: 1, 90: 8, 180: 3, 270: 6}  # to EXIF orientations
_HDR = (16, 18)  # transfer characteristics PQ and HLG of ISO/IEC 23091-2


class _Candidate(NamedTuple):
    """A frame that might be chosen: its time stamp, its place, how sharp it is, how it looks."""

    stamp: int
    number: int
    sharpness: float
    look: Any


def read_video(path: str | PathLike[str], *, frames: int = 12) -> list[Photo]:
    """Read the sharpest, most different frames of a video, in the order in which they come.

    All frames are looked at in small, of videos of more than 3000 only the key frames if they are
    enough; the chosen ones alone are decoded in full, upright, so that no more than them is ever in memory.

    Args:
        path: The file.
        frames: How many, at most.

    Returns:
        Photos of 8 bits, named ``clip.mp4 #0042`` by the number of the frame.

    Raises:
        ImageError: The file cannot be read, is no video, or holds no frame that can be decoded; or
            PyAV is not installed.
        OptionError: ``frames`` is below 1.
    """
    check_option("read_video", frames >= 1, "frames >= 1", frames)
    path = Path(path)
    av = package(path, "a video", "av", "av (PyAV)")
    try:
        candidates, notes = _candidates(av, path, frames, whole_only=True)
        if len(candidates) < frames:
            candidates, notes = _candidates(av, path, frames, whole_only=False)
        chosen = sorted(choose_frames(candidates, frames), key=lambda candidate: candidate.stamp)
        photos = [
            Photo(_pixels(av, path, frame), f"{path.name} #{frame.number:04d}", path=path, notes=notes)
            for frame in chosen
        ]
    except av.FFmpegError as error:
        if isinstance(error, OSError) and not isinstance(error, av.InvalidDataError):
            raise read_error(path, error) from error
        raise ImageError(f"{path} is truncated or damaged ({error.strerror or error})") from error
    if not photos:
        raise ImageError(f"{path} is a video without a frame that can be decoded")
    return photos


def choose_frames(candidates: list[_Candidate], count: int) -> list[_Candidate]:
    """Choose frames that are sharp, and each as unlike the ones before as can be.

    Args:
        candidates: Frames with their sharpness and look.
        count: How many to choose, at most.

    Returns:
        The chosen ones, the sharpest first; fewer where the others look the same.
    """
    if not candidates:
        return []
    sharpness = np.array([candidate.sharpness for candidate in candidates])
    bound = _SHARP * float(np.median(np.sort(sharpness)[len(sharpness) // 2 :]))
    left = [candidate for candidate in candidates if candidate.sharpness >= bound]
    chosen = [max(left, key=lambda candidate: candidate.sharpness)]
    nearest = np.full(len(left), np.inf)
    while len(chosen) < count:
        nearest = np.minimum(nearest, [float(np.abs(c.look - chosen[-1].look).mean()) for c in left])
        best = int(np.argmax(nearest * [candidate.sharpness for candidate in left]))
        if nearest[best] == 0:
            break  # all that is left looks like what is chosen
        chosen.append(left[best])
    return chosen


def _candidates(av: Any, path: Path, frames: int, *, whole_only: bool) -> tuple[list[_Candidate], tuple[str, ...]]:
    """Look through a video, or the key frames of a long one; return the sharpest of each stretch, and notes."""
    with _stream(av, path) as (container, stream):
        rate = float(stream.average_rate or stream.guessed_rate or 25)
        seconds = float(container.duration or 0) / av.time_base
        if whole_only and max(stream.frames, seconds * rate) > _LONG:
            stream.codec_context.skip_frame = "NONKEY"
        kept: list[_Candidate] = []
        notes: tuple[str, ...] = ()
        for frame in _decoded(av, container, stream):
            seconds = float((frame.pts - (stream.start_time or 0)) * stream.time_base)
            kept.append(_Candidate(frame.pts, round(seconds * rate), *_describe(frame)))
            if len(kept) == 2 * max(_CANDIDATES, frames):  # thin out: of two neighbours the sharper one
                pairs = zip(kept[::2], kept[1::2], strict=True)
                kept = [max(pair, key=lambda candidate: candidate.sharpness) for pair in pairs]
            if frame.color_trc in _HDR:
                notes = ("its HDR colours are taken as they are, and look flat",)
    return kept, notes


@contextmanager
def _stream(av: Any, path: Path) -> Iterator[tuple[Any, Any]]:
    """Open a file and yield it with its first stream of pictures."""
    with av.open(str(path)) as container:
        if not container.streams.video:
            raise ImageError(f"{path} holds no pictures, only sound or data")
        stream = container.streams.video[0]
        if stream.width * stream.height > MAX_PIXELS:
            raise ImageError(f"{path} has frames of {stream.width} x {stream.height} pixels, which are too large")
        stream.thread_type = "AUTO"
        yield container, stream


def _decoded(av: Any, container: Any, stream: Any) -> Iterator[Any]:
    """Yield the frames of a stream that have a time; where it breaks off, those before."""
    try:
        for frame in container.decode(stream):
            if frame.pts is not None and not frame.is_corrupt:
                yield frame
    except av.FFmpegError:
        return


def _describe(frame: Any) -> tuple[float, Any]:
    """Return how sharp a frame is, whatever its contrast, and how it looks in small."""
    import cv2

    grey = frame.to_ndarray(format="gray")
    _, detail = cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_16S))
    _, contrast = cv2.meanStdDev(grey)
    small = cv2.resize(grey, _SMALL, interpolation=cv2.INTER_AREA)
    return float(detail[0, 0] / (contrast[0, 0] + 1)), small.astype(np.float32)


def _pixels(av: Any, path: Path, chosen: _Candidate) -> torch.Tensor:
    """Return (3, H, W) uint8, one frame in full and upright."""
    with _stream(av, path) as (container, stream):
        container.seek(chosen.stamp, stream=stream)
        for frame in _decoded(av, container, stream):
            if frame.pts >= chosen.stamp:
                return torch.from_numpy(_upright_rgb(frame))
    raise ImageError(f"{path} cannot be read twice alike; it is damaged")


def _upright_rgb(frame: Any) -> Any:
    # Files that do not say it: what is as high as television of high definition has its matrix.
    unsaid = "ITU709" if frame.height >= 720 else "ITU601"
    matrix = {"src_colorspace": unsaid} if int(frame.colorspace) == 2 else {}
    pixels = upright(frame.to_ndarray(format="rgb24", **matrix), _CCW_TURNS.get(frame.rotation % 360, 1))
    return np.array(pixels.transpose(2, 0, 1), order="C")
