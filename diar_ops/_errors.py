"""The error family. Every error that diar_ops raises on purpose is a :class:`DiarError`."""

from __future__ import annotations


class DiarError(ValueError):
    """Base of every error that diar_ops raises on purpose; the message is one sentence."""


class ShapeError(DiarError):
    """A tensor has the wrong rank or a size that contradicts another argument."""


class DtypeError(DiarError, TypeError):
    """An argument is not a tensor, or has a dtype that the op cannot work in."""


class DeviceError(DiarError):
    """Tensors of one call live on different devices."""


class OptionError(DiarError):
    """An option is outside the values that it may take."""


class ImageError(DiarError):
    """An image cannot be read, or holds values that no image holds."""


class OutputError(DiarError):
    """A result cannot be written: it exists already, the disk is full, permission is denied."""


class RenderError(DiarError):
    """Blender is missing, cannot work on this machine, or fails."""


class WeightsError(DiarError):
    """Network weights are missing, damaged, or do not fit the network."""
