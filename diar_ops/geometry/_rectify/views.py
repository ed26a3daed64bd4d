"""An image and its views, as seen from the principal point and with a longest side of 1."""

from __future__ import annotations

import torch
from torch import Tensor

from diar_ops._checks import check_option, is_finite
from diar_ops._pixels import constant


def check_sigma(op: str, name: str, sigma: float) -> None:
    """Raise ``OptionError`` for what is no standard deviation."""
    check_option(op, is_finite(sigma) and sigma > 0, f"{name} > 0", sigma)


def image_centre(
    principal_point: Tensor | None, batch: int, size: tuple[int, int], dtype: torch.dtype, device: torch.device
) -> Tensor:
    """Return the principal points (B, 2) as given, or the middle of an image of ``size`` (height, width)."""
    if principal_point is not None:
        return principal_point.to(dtype)
    return constant([(size[1] - 1) / 2, (size[0] - 1) / 2], dtype=dtype, device=device).expand(batch, 2)


def known_focal(focal: Tensor | None, like: Tensor, longest: int) -> tuple[Tensor, Tensor]:
    """Return the log (B,) of focal lengths in pixels per ``longest``, 0 where unknown, and which are known."""
    log_focal = torch.zeros_like(like) if focal is None else focal.to(like.dtype)
    known = log_focal.isfinite() & (log_focal > 0)
    return (torch.where(known, log_focal, longest) / longest).log(), known


def around(homography: Tensor, centre: Tensor, longest: int) -> Tensor:
    """Return (B, V, 3, 3) between pixels as between coordinates around ``centre`` (B, 2), in shares of ``longest``."""
    shift = centre[:, None, :, None]
    last = homography[..., 2:, :]
    linear = homography[..., :2, :] - shift * last
    rows = torch.cat((linear / longest, last), -2)
    ahead = (rows[..., :2] * shift.mT).sum(-1, keepdim=True) + rows[..., 2:]
    return torch.cat((rows[..., :2] * longest, ahead), -1)
