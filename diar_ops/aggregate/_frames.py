"""The contract that all aggregates share: (B, T, C, H, W) with a mask, any T >= 1."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from diar_ops._checks import check_bool, check_floating, check_shapes, read_number, solve_dtype
from diar_ops._errors import ShapeError


def check_frames(op: str, features: Tensor, valid: Tensor | None) -> None:
    """Check ``features`` (B, T, C, H, W) and ``valid`` (B, T, 1, H, W) of an aggregate."""
    sizes = check_shapes(op, features=(features, "B T C H W"), valid=(valid, "? B T 1 H W"))
    check_floating(op, features=features)
    check_bool(op, valid=valid)
    if sizes["T"] == 0:
        raise ShapeError(f"{op}: features must hold at least one frame, got {list(features.shape)}")


def usable_frames(features: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Return features to compute with and where they count.

    Returns:
        features: In at least float32, 0 where they do not count, so that no NaN leaks through a
            product with a zero weight or its gradient.
        usable: (B, T, 1, H, W) bool, valid and finite in all channels; ``None`` if that is true
            everywhere (which is found out on the CPU only: a GPU would have to wait).
    """
    features = features.to(solve_dtype(features.dtype))
    if valid is None and features.device.type == "cpu":
        total = read_number(features.detach().sum())
        if total is not None and math.isfinite(total):
            return features, None
    usable = features.isfinite().all(dim=2, keepdim=True)
    if valid is not None:
        usable = usable & valid
    return torch.where(usable, features, 0), usable
