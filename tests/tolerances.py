"""How far results may differ that differ by rounding only."""

from __future__ import annotations

from typing import Any

import torch

#: (rtol, atol) by dtype.
TOLERANCES: dict[torch.dtype, tuple[float, float]] = {
    torch.float16: (5e-3, 5e-3),
    torch.bfloat16: (3e-2, 3e-2),
    torch.float32: (1e-4, 1e-5),
    torch.float64: (1e-9, 1e-10),
}


def assert_close(actual: Any, expected: Any, *, rtol: float | None = None, atol: float | None = None) -> None:
    """``torch.testing.assert_close`` with :data:`TOLERANCES` of the actual dtype as default."""
    actual, expected = torch.as_tensor(actual), torch.as_tensor(expected)
    default = TOLERANCES.get(actual.dtype, (0.0, 0.0))
    torch.testing.assert_close(
        actual,
        expected.to(actual),
        rtol=default[0] if rtol is None else rtol,
        atol=default[1] if atol is None else atol,
    )
