"""When photos were taken, as their EXIF says."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from os import PathLike

from diar_ops.data import read_exif

_EXIF, _ORIGINAL, _DIGITIZED, _SUBSECONDS = 0x8769, 0x9003, 0x9004, 0x9291


def read_time(path: str | PathLike[str]) -> datetime | None:
    """Return the time of a photo by the clock of its camera; None where it is not told."""
    try:
        exif = read_exif(path).get_ifd(_EXIF)
        text = str(exif.get(_ORIGINAL) or exif.get(_DIGITIZED) or "").strip("\0 ")
        fraction = str(exif.get(_SUBSECONDS) or "").strip("\0 ")
        time = datetime.strptime(text, "%Y:%m:%d %H:%M:%S")
    except Exception:  # decoders answer damaged bytes with anything; without a time it is still a photo
        return None
    return time + timedelta(seconds=float(f"0.{fraction}")) if fraction.isdecimal() else time


def split_by_time(times: Sequence[datetime | None], gap: float) -> list[list[int]]:
    """Split photos where the camera paused.

    Args:
        times: Of each photo.
        gap: Seconds that part two runs of photos.

    Returns:
        The indices of each run, in the order of time; those without a time make one run, the last,
        in the order in which they came.
    """
    runs: list[list[int]] = []
    last: datetime | None = None
    for time, index in sorted((time, index) for index, time in enumerate(times) if time is not None):
        if last is None or (time - last).total_seconds() > gap:
            runs.append([])
        runs[-1].append(index)
        last = time
    untimed = [index for index, time in enumerate(times) if time is None]
    return runs + [untimed] * bool(untimed)
