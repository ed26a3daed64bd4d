"""Input and output of every network: checks, invalid pixels, padding, cropping."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diar_ops._checks import check_bool, check_floating, check_shapes, is_exporting
from diar_ops._errors import ShapeError


def check_sequence(op: str, frames: Tensor, valid: Tensor | None) -> dict[str, int]:
    """Check ``frames`` (B, T, 3, H, W) and ``valid`` (B, T, 1, H, W); return the sizes by name."""
    sizes = check_shapes(op, frames=(frames, "B T 3 H W"), valid=(valid, "? B T 1 H W"))
    check_floating(op, frames=frames)
    check_bool(op, valid=valid)
    if not (sizes["T"] and sizes["H"] and sizes["W"]):
        raise ShapeError(f"{op}: frames must hold at least one frame and one pixel, got {list(frames.shape)}")
    return sizes


def network_dtype(network: nn.Module) -> torch.dtype:
    """Return the dtype that a network computes in: that of its first floating-point parameter.

    A layer is not asked: it may be replaced by one that keeps its weights otherwise, or quantised.
    """
    dtypes = (parameter.dtype for parameter in network.parameters() if parameter.is_floating_point())
    return next(dtypes, torch.float32)


def usable_pixels(frames: Tensor, valid: Tensor | None, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return the input of a network, and which pixels count.

    Returns:
        planes: (B, T, 4, H, W) in ``dtype``: the frames around 0 (mid-grey), 0 where they do not
            count; and 1 where they count, 0 elsewhere.
        usable: (B, T, 1, H, W) bool, valid and finite in all channels.
    """
    usable = frames.isfinite().all(dim=2, keepdim=True)
    if valid is not None:
        usable = usable & valid
    centred = torch.where(usable, frames, 0.5).to(dtype) - 0.5
    return torch.cat((centred, usable.to(dtype)), dim=2), usable


def pad_to_multiple(planes: Tensor, stride: int) -> Tensor:
    """Repeat the last row and column of (B, T, C, H, W) until ``stride`` divides the size."""
    batch, frames, _, height, width = planes.shape
    padding = (0, -width % stride, 0, -height % stride)
    if not is_exporting() and not any(padding):  # an exported graph pads by what it finds
        return planes
    padded = F.pad(planes.flatten(0, 1), padding, mode="replicate")
    return padded.view(batch, frames, *padded.shape[1:])


def token_valid(planes: Tensor, stride: int) -> Tensor:
    """Return where features count, (B, T, 1, H / stride, W / stride) bool, for padded planes.

    A token counts if at least one pixel of its patch does: the mask channel tells the encoder
    which of them, and asking for all would throw away the rim of every warped frame.
    """
    batch, frames = planes.shape[:2]
    pooled = F.max_pool2d(planes[:, :, 3:].flatten(0, 1), stride)
    return pooled.view(batch, frames, *pooled.shape[1:]) > 0


def finish_image(logits: Tensor, usable: Tensor, dtype: torch.dtype) -> Tensor:
    """Crop (B, 3, h, w) to ``usable``, squash into [0, 1]; 0 where no frame is usable."""
    height, width = usable.shape[-2:]
    image = logits[..., :height, :width].sigmoid()
    return torch.where(usable.any(dim=1), image, 0).to(dtype)
