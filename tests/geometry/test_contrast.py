"""local_contrast: what light leaves alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import uniform_filter
from torch import Tensor

from diar_ops import DtypeError, OptionError, ShapeError, local_contrast
from tests.harness import Call, OpTests, assert_close, generator


def noise(name: str, *shape: int) -> Tensor:
    return torch.rand(*shape, generator=generator(name), dtype=torch.float64)


class TestLocalContrast(OpTests):
    op = "local_contrast"
    module = "LocalContrast"

    def call(self, device: torch.device, dtype: torch.dtype) -> Call:
        image = noise("contrast call", 2, 3, 12, 15).to(device, dtype)
        valid = noise("contrast valid", 2, 1, 12, 15).to(device) > 0.1
        return Call((image, valid), {"window": 5, "floor": 0.02})

    def gradcheck_call(self, device: torch.device) -> tuple[Any, tuple[Tensor, ...]]:
        image = noise("contrast gradcheck", 1, 2, 7, 8).to(device).requires_grad_()
        return lambda x: local_contrast(x, window=3)[0], (image,)

    def test_exception(self) -> None:
        image = torch.rand(1, 3, 9, 9)
        with pytest.raises(ShapeError, match="image must have shape"):
            local_contrast(image[0])
        with pytest.raises(ShapeError, match="valid must have shape"):
            local_contrast(image, image[0, :1] > 0)
        with pytest.raises(DtypeError, match="image must be floating point"):
            local_contrast(image.byte())
        with pytest.raises(DtypeError, match="valid must be bool"):
            local_contrast(image, image[:, :1])
        for window in (1, 4):
            with pytest.raises(OptionError, match="an odd window of at least 3"):
                local_contrast(image, window=window)
        with pytest.raises(OptionError, match="floor > 0"):
            local_contrast(image, floor=0)

    @pytest.mark.parametrize("shape", [(0, 3, 5, 5), (1, 1, 1, 1), (3, 2, 4, 9), (1, 3, 20, 2)])
    def test_cardinality(self, shape: tuple[int, ...]) -> None:
        contrast, valid = local_contrast(torch.rand(shape))
        assert contrast.shape == valid.shape == (shape[0], 1, *shape[2:])
        assert valid.all()

    @pytest.mark.parametrize("window", [3, 7, 9])
    def test_oracle_scipy(self, window: int) -> None:
        image = noise("contrast scipy", 1, 3, 30, 41)
        grey = image[0].mean(0).numpy()
        inside = np.s_[window:-window, window:-window]
        mean = uniform_filter(grey, window)
        variance = uniform_filter(grey**2, window) - mean**2
        expected = (grey - mean) / np.sqrt(variance + 0.01**2)
        actual = local_contrast(image, window=window)[0][0, 0]
        assert_close(actual[inside], torch.from_numpy(expected[inside].copy()))

    def test_oracle_the_part_inside_the_image(self) -> None:
        image = noise("contrast border", 1, 1, 9, 11)
        part = image[0, 0, :4, :4]  # the window of the corner pixel
        expected = (part[0, 0] - part.mean()) / (part.var(correction=0) + 1e-4).sqrt()
        assert_close(local_contrast(image)[0][0, 0, 0, 0], expected)

    @given(gain=st.floats(0.3, 1.0), veil=st.floats(0, 0.3), seed=st.integers(0, 20))
    def test_property_gain_and_veil_fall_out(self, gain: float, veil: float, seed: int) -> None:
        image = noise(f"contrast light {seed}", 1, 3, 16, 16)
        plain = local_contrast(image, floor=1e-6)[0]
        assert_close(local_contrast(gain * image + veil, floor=1e-6)[0], plain, atol=1e-6)

    def test_nan_stays_where_it_is(self) -> None:
        image = noise("contrast nan", 1, 2, 20, 20)
        plain = local_contrast(image)[0]
        image[0, 1, 10, 10] = torch.nan
        contrast, valid = local_contrast(image)
        assert contrast.isfinite().all()
        assert (~valid).nonzero()[:, 2:].tolist() == [[y, x] for y in (9, 10, 11) for x in (9, 10, 11)]
        far = torch.ones(20, 20, dtype=torch.bool)
        far[7:14, 7:14] = False
        assert torch.equal(contrast[0, 0][far], plain[0, 0][far])
