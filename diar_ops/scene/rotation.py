"""The shortest rotation that takes the z axis to a direction."""

from __future__ import annotations

import torch
from torch import Tensor


def shortest_rotation(direction: Tensor) -> Tensor:
    """Return the shortest rotation of z to a direction; its rows are the rotated axes x, y, z.

    Args:
        direction: (..., 3) unit vectors; for (0, 0, -1), where the shortest rotation is not
            unique, the result mirrors z instead.

    Returns:
        (..., 3, 3).
    """
    x, y, z = direction.unbind(-1)
    k = torch.where(z > -1 + 1e-9, 1 / (1 + z).clamp_min(1e-9), 0)
    rows = (1 - k * x * x, -k * x * y, -x, -k * x * y, 1 - k * y * y, -y, x, y, z)
    return torch.stack(rows, dim=-1).reshape(*direction.shape, 3)
