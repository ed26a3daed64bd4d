"""normalize_homography: determinant 1 whatever the scale."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from diar_ops import DtypeError, ShapeError, normalize_homography
from tests.geometry.test_transform import random_homographies
from tests.harness import Call, OpTests, assert_close


class TestNormalizeHomography(OpTests):
    op = "normalize_homography"
    infinite = "NaN where a homography is singular"

    def call(self, device: torch.device, dtype: torch.dtype) -> Call:
        return Call((random_homographies("normalize", 4, dtype=dtype, device=device) * -7,))

    def gradcheck_call(self, device: torch.device) -> tuple[Any, tuple[Tensor, ...]]:
        (homography,), _ = self.call(device, torch.float64)
        return normalize_homography, (homography.requires_grad_(),)

    def test_exception(self) -> None:
        with pytest.raises(ShapeError, match="homography must have shape"):
            normalize_homography(torch.zeros(3, 4))
        with pytest.raises(DtypeError, match="floating point"):
            normalize_homography(torch.eye(3).int())
        with pytest.raises(DtypeError, match="got list"):
            normalize_homography([[1.0]])  # type: ignore[arg-type]

    @pytest.mark.parametrize("batch", [(), (0,), (1,), (2, 3)])
    def test_cardinality(self, batch: tuple[int, ...]) -> None:
        assert normalize_homography(torch.eye(3).expand(*batch, 3, 3)).shape == (*batch, 3, 3)

    def test_oracle_numpy(self, device: torch.device, dtype: torch.dtype) -> None:
        (homography,), _ = self.call(device, dtype)
        h = homography.double().cpu().numpy()
        expected = h / np.cbrt(np.linalg.det(h))[:, None, None]
        assert_close(normalize_homography(homography), expected)

    @given(st.integers(0, 1000), st.sampled_from([-1.0, 3.0, -1e-12, 1e12]))
    def test_property_scale_free_and_idempotent(self, seed: int, scale: float) -> None:
        homography = random_homographies(f"normalize {seed}")
        once = normalize_homography(homography)
        assert_close(torch.linalg.det(once), 1.0)
        assert_close(normalize_homography(once), once)
        assert_close(normalize_homography(homography * scale), once)

    def test_nan_and_singular_items_stay_alone(self) -> None:
        homography = torch.eye(3).repeat(6, 1, 1)
        homography[1, 0, 0] = torch.nan
        homography[2, 2, 2] = torch.inf
        homography[3] = 0
        homography[4] = torch.tensor([[0.1, 0.2, 0.3], [0.7, 0.8, 0.9], [0.8, 1.0, 1.2]])
        homography.requires_grad_()
        out = normalize_homography(homography)
        assert out[[0, 5]].equal(torch.eye(3).expand(2, 3, 3))
        assert out[1:5].isnan().all()
        out[[0, 5]].sum().backward()
        assert homography.grad is not None
        assert homography.grad.isfinite().all()

    def test_large_translation_is_not_singular(self) -> None:
        homography = torch.eye(3)
        homography[:2, 2] = 1e5
        assert_close(normalize_homography(homography), homography)
