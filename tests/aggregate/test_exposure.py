"""Exposure compensation between frames."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diar_ops import DtypeError, OptionError, ShapeError, exposure_gain
from tests.harness import Call, OpTests, assert_close, generator

FACTORS = torch.tensor([[0.5, 0.6, 0.4], [1.0, 1.0, 1.0], [1.5, 1.3, 1.2]])


def sequence(dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Return (1, 3, 3, 20, 24) linear frames: one picture under the exposures FACTORS."""
    picture = 0.1 + 0.4 * torch.rand(1, 1, 3, 20, 24, generator=generator("exposure"), dtype=dtype)
    return picture * FACTORS.to(dtype).view(1, 3, 3, 1, 1)


class TestExposureGain(OpTests):
    op = "exposure_gain"
    module = "ExposureGain"
    exempt = {"gradcheck": "medians over pixels have no useful gradient; documented"}

    def call(self, device: torch.device, dtype: torch.dtype) -> Call:
        return Call((sequence(dtype).to(device),), {"low": 0.01, "high": 0.9, "iterations": 5})

    def test_exception(self) -> None:
        x = sequence()
        with pytest.raises(ShapeError, match="frames"):
            exposure_gain(x[0])
        with pytest.raises(ShapeError, match="valid"):
            exposure_gain(x, torch.ones(1, 2, 1, 20, 24, dtype=torch.bool))
        with pytest.raises(DtypeError, match="floating"):
            exposure_gain((x * 255).to(torch.uint8))
        with pytest.raises(OptionError, match="low < high"):
            exposure_gain(x, low=0.5, high=0.4)
        with pytest.raises(OptionError, match="iterations"):
            exposure_gain(x, iterations=0)

    @pytest.mark.parametrize("shape", [(0, 3, 3, 4, 4), (2, 1, 3, 4, 4), (1, 2, 1, 1, 1)])
    def test_cardinality(self, shape: tuple[int, ...]) -> None:
        gain = exposure_gain(torch.full(shape, 0.3))
        assert_close(gain, torch.ones(shape[:3]))

    def test_oracle_known_factors(self) -> None:
        gain = exposure_gain(sequence())[0]
        assert_close(gain, FACTORS.double()[1] / FACTORS.double())

    def test_oracle_occluders_and_glare_do_not_count(self) -> None:
        x = sequence()
        x[0, 0, :, :6] = 0.9  # an occluder: less than half of what any two frames show
        x[0, 2, :, 14:] = 1.0  # saturated
        x[0, 1, :, :, :5] = 0.0  # black
        assert_close(exposure_gain(x)[0], FACTORS.double()[1] / FACTORS.double())

    def test_oracle_masked_pixels_do_not_count(self) -> None:
        x = sequence()
        valid = torch.ones(1, 3, 1, 20, 24, dtype=torch.bool)
        x[0, 0, :, :15] = 0.2
        valid[0, 0, :, :15] = False
        assert_close(exposure_gain(x, valid)[0], FACTORS.double()[1] / FACTORS.double())

    @given(st.floats(0.5, 1.6))
    def test_property_undoes_a_gain_on_one_frame(self, factor: float) -> None:
        x = sequence()
        scaled = x.clone()
        scaled[:, 0] *= factor
        before, after = exposure_gain(x), exposure_gain(scaled)
        ratio = (after[:, 0] / after[:, 1]) / (before[:, 0] / before[:, 1])
        assert_close(ratio, torch.full_like(ratio, 1 / factor), rtol=1e-6)

    def test_property_items_are_independent(self) -> None:
        x = torch.cat([sequence(), sequence().flip(1)])
        changed = x.clone()
        changed[0, 0] *= 0.7
        assert torch.equal(exposure_gain(x)[1], exposure_gain(changed)[1])

    def test_nan_pixels_do_not_count(self) -> None:
        x = sequence()
        x[0, 0, :, 3, 4] = float("nan")
        assert_close(exposure_gain(x)[0], FACTORS.double()[1] / FACTORS.double())

    def test_frame_without_a_usable_pixel_keeps_its_exposure(self) -> None:
        x = torch.cat([sequence(), torch.zeros(1, 1, 3, 20, 24, dtype=torch.float64)], dim=1)
        gain = exposure_gain(x)[0]
        assert_close(gain[3], torch.ones(3))
        assert_close(gain[:3], FACTORS.double()[1] / FACTORS.double())
