"""Checks of the configs of networks."""

from __future__ import annotations


def is_integer(value: object, *, least: int = 1) -> bool:
    """Return whether a value is an integer, no bool, of at least ``least``."""
    return type(value) is int and value >= least


def is_integer_tuple(value: object, *, least: int, length: int | None = None) -> bool:
    """Return whether a value is a tuple of such integers, of ``length`` if that is given."""
    return (
        isinstance(value, tuple)
        and (length is None or len(value) == length)
        and all(is_integer(v, least=least) for v in value)
    )


def is_window(value: object) -> bool:
    """Return whether a value is (frames or None, rows, columns) of positive sizes."""
    if not (isinstance(value, tuple) and len(value) == 3):
        return False
    return all(is_integer(size) for size in value[value[0] is None :])
