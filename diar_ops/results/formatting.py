"""Sentences and numbers of the report, rounded honestly."""

from __future__ import annotations

import platform
from importlib import metadata

import numpy as np

_PACKAGES = ("diar-ops", "torch", "numpy", "scipy", "opencv-python-headless", "pillow", "safetensors")


def verdict(aligned: int, count: int, covered: float, least: int) -> str:
    """Sum up the alignment in one sentence.

    Args:
        aligned: Number of aligned photos.
        count: Number of photos.
        covered: Share of the picture that they show.
        least: Number of photos that show the pixel which fewest show.
    """
    if aligned <= 1 < count:
        return (
            "No photo could be aligned with the reference: "
            "what is shown as the clean picture is the reference photo itself."
        )
    if count == 1:
        return "There is only one photo, so nothing could be compared or removed."
    photos = f"All {count} photos" if aligned == count else f"{aligned} of {count} photos"
    if least >= 2:
        coverage = f", and every part of the picture is seen in at least {least} of them."
    elif least == 1:
        coverage = ", and together they show the whole picture."
    else:
        coverage = f"; together they show {percent(covered)} of the picture."
    return f"{photos} were aligned{coverage}"


def versions() -> list[tuple[str, str]]:
    """List the versions that the result depends on."""
    listed = [("Python", platform.python_version())]
    for package in _PACKAGES:
        try:
            listed.append((package, metadata.version(package)))
        except metadata.PackageNotFoundError:
            continue  # another build of the same library, or a source tree
    return listed


def percent(share: float) -> str:
    """Format a share, rounded down near the top: 99.96 % must not read as complete."""
    value = 100 * share
    if 99 < value < 100:
        return f"{np.floor(10 * value) / 10:.1f}\N{NO-BREAK SPACE}%"
    return f"{value:.0f}\N{NO-BREAK SPACE}%"


def pixels(value: float) -> str:
    """Format a distance."""
    return f"{value:.2f}\N{NO-BREAK SPACE}px" if value < 10 else f"{value:.0f}\N{NO-BREAK SPACE}px"


def seconds(value: float) -> str:
    """Format a duration."""
    if value >= 90:
        return f"{int(value) // 60}\N{NO-BREAK SPACE}min {int(value) % 60:02d}\N{NO-BREAK SPACE}s"
    return f"{value:.1f}\N{NO-BREAK SPACE}s" if value >= 1 else f"{value:.2f}\N{NO-BREAK SPACE}s"


def plain(value: object) -> str:
    """Format a setting; long lists, such as the files of a folder, are cut short."""
    if value is None:
        return "\N{EN DASH}"
    if isinstance(value, (list, tuple)):
        more = f" and {len(value) - 4} more" if len(value) > 4 else ""
        return ", ".join(map(str, value[:4])) + more or "\N{EN DASH}"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
