"""Turn z into a direction by the shortest way."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["shortest_turn"]


def shortest_turn(direction: Tensor) -> Tensor:
    """Return the rotation whose rows are x and y, turned with z into a direction, and that.

    Args:
        direction: (..., 3) unit vectors; for (0, 0, -1), which no way is the shortest to, the
            result mirrors z instead.

    Returns:
        (..., 3, 3).
    """
    x, y, z = direction.unbind(-1)
    k = torch.where(z > -1 + 1e-9, 1 / (1 + z).clamp_min(1e-9), 0)
    rows = (1 - k * x * x, -k * x * y, -x, -k * x * y, 1 - k * y * y, -y, x, y, z)
    return torch.stack(rows, dim=-1).reshape(*direction.shape, 3)
