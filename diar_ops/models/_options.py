"""Checks of the configs of networks."""

from __future__ import annotations

#: Of every number there is a largest one, far beyond use: a config may come from a hostile file, and
#: to build modules without end is no way to find that out.
MOST_CHANNELS, MOST_BLOCKS, MOST_SIDE = 2**14, 256, 2**10


def is_integer(value: object, *, least: int = 1, most: int) -> bool:
    """Return whether a value is an integer, no bool, from ``least`` to ``most``."""
    return type(value) is int and least <= value <= most


def is_integer_tuple(value: object, *, least: int, most: int, length: int | None = None) -> bool:
    """Return whether a value is a tuple of such integers, of ``length`` if that is given."""
    return (
        isinstance(value, tuple)
        and (length is None or len(value) == length)
        and all(is_integer(v, least=least, most=most) for v in value)
    )


def is_window(value: object) -> bool:
    """Return whether a value is (frames or None, rows, columns) of sizes from 1 to MOST_SIDE."""
    if not (isinstance(value, tuple) and len(value) == 3):
        return False
    return all(is_integer(size, most=MOST_SIDE) for size in value[value[0] is None :])
