"""Each thing that a camera does, against its closed form; and the camera as a whole."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from diar_ops import photograph
from diar_ops._errors import DtypeError, OptionError, ShapeError
from diar_ops.colour import linear_to_srgb, srgb_to_linear
from diar_ops.scene import CameraRanges
from tests.harness import Call, OpTests, assert_close, generator
from tests.modes import global_states
from tests.pretend_gpu import GPU, pretend_gpu

PLAIN = CameraRanges.plain()
#: Everything that is smooth, so that gradients can be compared.
SMOOTH = dataclasses.replace(CameraRanges(), quality=None, eight_bits=False)


def only(**effects: Any) -> CameraRanges:
    return dataclasses.replace(PLAIN, **effects)


def light(batch: int = 2, frames: int = 3, size: tuple[int, int] = (24, 36), high: float = 0.8) -> Tensor:
    return high * torch.rand(batch, frames, 3, *size, generator=generator("photograph light"))


def shoot(radiance: Tensor, ranges: CameraRanges, seed: str = "photograph") -> Tensor:
    return photograph(radiance, ranges=ranges, generator=generator(seed, radiance.device))


def linear(radiance: Tensor, ranges: CameraRanges, seed: str = "photograph") -> Tensor:
    """Photograph and undo the transfer function."""
    return srgb_to_linear(shoot(radiance.double(), ranges, seed))


class TestPhotograph(OpTests):
    op = "photograph"
    exempt = {
        "compile": "generators cannot be traced",
        "export": "generators cannot be traced",
        "vmap": "draws from a generator for each item of the batch that it takes",
        "gpu": "a last digit of the device may tip a rounding of a coefficient; test_jpeg.py counts",
    }
    # A last digit may tip a rounding of a coefficient, and so a step of the tables of JPEG.
    half_bounds = {torch.float16: (5e-3, 0.2), torch.bfloat16: (3e-2, 0.2)}

    def call(self, device: torch.device, dtype: torch.dtype) -> Call:
        radiance = light(high=1.5).to(device, dtype)
        return Call((radiance,), {"generator": generator("photograph call", device)})

    def gradcheck_call(self, device: torch.device) -> tuple[Callable[..., Any], tuple[Tensor, ...]]:
        # Neither dark nor saturated, where clipping has a corner.
        radiance = 0.3 + 0.2 * light(1, 2, (3, 4)).double().to(device)
        return lambda x: shoot(x, SMOOTH), (radiance.requires_grad_(),)

    def test_exception(self) -> None:
        with pytest.raises(ShapeError, match="radiance"):
            photograph(torch.zeros(2, 3, 8, 8))
        with pytest.raises(DtypeError):
            photograph(torch.zeros(1, 1, 3, 8, 8, dtype=torch.uint8))
        with pytest.raises(OptionError, match="CameraRanges"):
            photograph(torch.zeros(1, 1, 3, 8, 8), ranges={"blur": 1})  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        "shape", [(0, 3, 3, 8, 8), (2, 0, 3, 8, 8), (1, 1, 3, 0, 8), (1, 1, 3, 1, 1), (2, 1, 3, 5, 40)]
    )
    def test_cardinality(self, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        out = shoot(torch.full(shape, 0.4, dtype=dtype), CameraRanges())
        assert out.shape == shape
        assert out.dtype == dtype

    # What each effect is.

    def test_oracle_nothing_but_clip_and_transfer(self) -> None:
        radiance = light(high=1.7) - 0.1
        assert_close(shoot(radiance, PLAIN), linear_to_srgb(radiance.clamp(0, 1)))

    def test_oracle_exposure(self) -> None:
        radiance = light(high=0.3).double()
        assert_close(linear(radiance, only(exposure=(1.5, 1.5))), radiance * 2**1.5)

    def test_oracle_exposure_varies_from_frame_to_frame(self) -> None:
        radiance = torch.full((40, 25, 3, 1, 1), 0.2)
        ev = (linear(radiance, only(exposure=(-0.5, 1.0))) / 0.2).log2()[:, :, 0].flatten()
        assert ev.min() >= -0.5 - 1e-9
        assert ev.max() <= 1.0 + 1e-9
        histogram = torch.histc(ev, 6, -0.5, 1.0) / 1000
        assert (histogram - 1 / 6).abs().max() < 0.05

    def test_oracle_metering_brings_the_mean_where_it_aims(self) -> None:
        radiance = light(high=0.3).double() * torch.tensor([0.2, 1, 2]).view(1, 3, 1, 1, 1)
        full = linear(radiance, only(metering=(1.0, 1.0), metered=0.1))
        weights = torch.tensor([0.2126, 0.7152, 0.0722], dtype=torch.float64)
        level = (full.mean(dim=(3, 4)) * weights).sum(dim=2)
        assert_close(level, torch.full_like(level, 0.1))
        half = linear(radiance, only(metering=(0.5, 0.5), metered=0.1))
        assert_close(half.log(), (full.log() + radiance.log()) / 2)

    def test_oracle_white_balance(self) -> None:
        radiance = torch.full((1, 1, 3, 2, 2), 0.3)
        ranges = only(temperature=(0.6, 0.6), tint=(0.2, 0.2))
        r, g, b = linear(radiance, ranges)[0, 0, :, 0, 0].tolist()
        assert math.log2(r / b) == pytest.approx(0.6)
        assert math.log2(g / math.sqrt(r * b)) == pytest.approx(0.2)
        assert 0.2126 * r + 0.7152 * g + 0.0722 * b == pytest.approx(0.3)

    @pytest.mark.parametrize("size", [(31, 41), (30, 20)])
    def test_oracle_vignetting_is_the_fourth_power_of_the_cosine(self, size: tuple[int, int]) -> None:
        out = linear(torch.full((1, 1, 3, *size), 0.5), only(vignetting=(0.4, 0.4)))[0, 0, 0] / 0.5
        y, x = np.mgrid[: size[0], : size[1]]
        radius = np.hypot(y - (size[0] - 1) / 2, x - (size[1] - 1) / 2)
        # The focal length at which the corner loses 0.4.
        focal = radius.max() / math.tan(math.acos(0.6**0.25))
        assert_close(out, torch.from_numpy(np.cos(np.arctan(radius / focal)) ** 4))
        assert float(out[0, 0]) == pytest.approx(0.6)

    def test_oracle_blur_is_a_gaussian(self) -> None:
        import cv2

        radiance = light(1, 1, (40, 50)).double()
        ours = linear(radiance, only(blur=(1.3, 1.3)))
        theirs = cv2.GaussianBlur(radiance[0, 0].permute(1, 2, 0).numpy(), (9, 9), 1.3, borderType=cv2.BORDER_REPLICATE)
        assert_close(ours[0, 0].permute(1, 2, 0), torch.from_numpy(theirs), atol=1e-6)

    def test_oracle_motion_spreads_along_a_line(self) -> None:
        radiance = torch.full((1, 200, 3, 25, 25), 0.0)
        radiance[..., 12, 12] = 1.0
        trail = linear(radiance, only(motion=(6.0, 6.0)))[0, :, 0]
        assert_close(trail.sum(dim=(1, 2)), torch.ones(200, dtype=torch.float64), atol=1e-6)
        at = torch.arange(25, dtype=torch.float64) - 12
        mean_x, mean_y = (trail.sum(1) * at).sum(1), (trail.sum(2) * at).sum(1)
        assert_close(mean_x, torch.zeros(200), atol=1e-6)
        assert_close(mean_y, torch.zeros(200), atol=1e-6)
        xx, yy = (trail.sum(1) * at**2).sum(1), (trail.sum(2) * at**2).sum(1)
        xy = torch.einsum("nyx,y,x->n", trail, at, at)
        low, high = torch.linalg.eigvalsh(torch.stack((xx, xy, xy, yy), 1).reshape(-1, 2, 2)).unbind(1)
        # A uniform line of length 6 has variance 3; interpolation between pixels adds up to 1/4.
        assert ((high > 2.95) & (high < 3.26)).all()
        assert (low < 0.26).all()
        angle = torch.atan2(2 * xy, xx - yy) / 2
        assert torch.histc(angle, 4, -math.pi / 2, math.pi / 2).min() > 30

    @pytest.mark.parametrize("level", [0.02, 0.2, 0.6])
    def test_oracle_noise_has_the_stated_variance(self, level: float) -> None:
        ranges = only(shot_noise=(0.05, 0.05), read_noise=(0.004, 0.004))
        noise = linear(torch.full((1, 2, 3, 200, 200), level), ranges) - level
        expected = 0.05**2 * level + 0.004**2
        # 240,000 samples: the variance's own deviation is 0.3 %; clipping at 0 cuts 4 sigma.
        assert float(noise.var()) == pytest.approx(expected, rel=0.02)
        assert abs(float(noise.mean())) < 4 * math.sqrt(expected / noise.numel())
        shifted = (noise[..., 1:] * noise[..., :-1]).mean() / expected
        assert abs(float(shifted)) < 0.01

    def test_oracle_knee(self) -> None:
        level = torch.linspace(0, 2, 81).double()
        out = linear(level.expand(1, 1, 3, 1, 81), only(knee=(0.25, 0.25)))[0, 0, 0, 0]
        at = ((level - 0.75) / 0.5).clamp(0, 1)
        parabola = 0.75 + 0.25 * (1 - (1 - at) ** 2)
        assert_close(out, torch.where(level < 0.75, level, parabola))

    def test_oracle_eight_bits(self) -> None:
        out = shoot(light(), only(eight_bits=True)) * 255
        assert_close(out, out.round())
        assert (out / 255 - shoot(light(), PLAIN)).abs().max() <= 0.5 / 255 + 1e-6

    def test_oracle_quality_is_that_of_jpeg(self) -> None:
        from diar_ops import jpeg_compress

        out = shoot(light(), only(quality=(40.0, 40.0)))
        expected = jpeg_compress(linear_to_srgb(light()).flatten(0, 1), quality=40.0)
        assert_close(out.flatten(0, 1), expected)

    # What holds for all of them.

    @given(st.floats(0, 8), st.integers(0, 2**31))
    def test_property_photos_are_in_range(self, high: float, seed: int) -> None:
        radiance = light(1, 2, (9, 17), high=high)
        out = photograph(radiance, generator=torch.Generator().manual_seed(seed))
        assert (out >= 0).all()
        assert (out <= 1).all()

    def test_property_same_generator_same_photos(self) -> None:
        assert torch.equal(shoot(light(), CameraRanges()), shoot(light(), CameraRanges()))
        assert not torch.equal(shoot(light(), CameraRanges()), shoot(light(), CameraRanges(), "x"))

    def test_pure_without_a_generator(self) -> None:
        before = global_states()
        first, second = (photograph(light()) for _ in range(2))
        assert global_states() == before
        assert not torch.equal(first, second)

    def test_property_a_generator_of_the_cpu_gives_the_same_photos_on_a_gpu(self) -> None:
        expected = shoot(light(), CameraRanges())
        with pretend_gpu():
            there = photograph(light().to(GPU), generator=generator("photograph"))
            assert there.device == GPU
            # A last digit may tip a rounding of a coefficient.
            assert (there.cpu() - expected).abs().mean() < 1e-4
            from_gpu = photograph(light(), generator=generator("photograph", GPU))
            assert from_gpu.device.type == "cpu"

    def test_property_what_needs_a_gradient_is_photographed_alike(self) -> None:
        """Other code runs without gradients: in parts that stay in a CPU's cache."""
        radiance = light(3, 7, (64, 80))
        plain = shoot(radiance, CameraRanges())
        taped = shoot(radiance.clone().requires_grad_(), CameraRanges())
        # A last digit may tip a rounding of a coefficient.
        assert (plain != taped).double().mean() < 0.02
        assert (plain - taped).abs().mean() < 1e-4
        assert_close(shoot(radiance, SMOOTH), shoot(radiance.clone().requires_grad_(), SMOOTH))

    def test_property_an_effect_does_not_change_the_others(self) -> None:
        both = linear(light(), only(exposure=(-1, 0), temperature=(-0.2, 0.2), blur=(0.3, 0.9)))
        step = linear(linear(light(), only(blur=(0.3, 0.9))), only(exposure=(-1, 0), temperature=(-0.2, 0.2)))
        assert_close(both, step, atol=1e-6)

    def test_property_sequences_do_not_see_each_other(self) -> None:
        radiance = light()
        changed = radiance.clone()
        changed[1, 2] *= 0.5
        same = (shoot(radiance, CameraRanges()) == shoot(changed, CameraRanges())).flatten(2).all(dim=2)
        assert same.tolist() == [[True] * 3, [True, True, False]]

    def test_property_a_camera_stays_the_same_within_a_sequence(self) -> None:
        """Vignetting, noise, knee and metering belong to the camera."""
        radiance = torch.full((6, 4, 3, 33, 33), 0.4)
        corner = linear(radiance, only(vignetting=(0, 0.5)))[:, :, 0, 0, 0]
        assert_close(corner, corner[:, :1].expand(6, 4))
        assert corner[:, 0].unique().numel() == 6
        noise = linear(radiance, only(shot_noise=(0, 0.1))).std(dim=(2, 3, 4))
        assert (noise.std(dim=1) < 0.1 * noise.mean(dim=1)).all()
        assert noise.mean(dim=1).std() > 0.01

    def test_property_straight_through_roundings(self) -> None:
        radiance = (0.2 + 0.3 * light(1, 1, (16, 16))).requires_grad_()
        out = shoot(radiance, only(quality=(80.0, 80.0), subsample=False, eight_bits=True))
        (gradient,) = torch.autograd.grad(out.sum(), radiance)
        smooth = shoot(radiance, PLAIN)
        (expected,) = torch.autograd.grad(smooth.sum(), radiance)
        assert_close(gradient, expected, rtol=1e-3)

    def test_property_gradient_is_finite_in_the_dark(self) -> None:
        radiance = torch.zeros(1, 2, 3, 16, 16, requires_grad=True)
        (gradient,) = torch.autograd.grad(shoot(radiance, CameraRanges()).sum(), radiance)
        assert gradient.isfinite().all()

    def test_nan(self) -> None:
        radiance = light(2, 2, (64, 64))
        clean = shoot(radiance, CameraRanges())
        radiance[1, 0, 2, 40, 40] = float("nan")
        out = shoot(radiance, CameraRanges())
        assert out[1, 0, :, 40, 40].isnan().all()
        assert torch.equal(out[0], clean[0])
        assert torch.equal(out[1, 1], clean[1, 1])
        # Where the blur does not reach the neighbouring blocks, they stay.
        assert out[1, 0, :, :30, :30].isfinite().all()
        assert out[1, 0].isnan().float().mean() < 0.25


class TestCameraRanges:
    @pytest.mark.parametrize("field", dataclasses.fields(CameraRanges), ids=lambda f: f.name)
    def test_refuses_what_cannot_be_drawn(self, field: dataclasses.Field[Any]) -> None:
        wrong = {
            "metered": [0.0, 2.0], "subsample": [1], "eight_bits": [None],
            "quality": [(0, 50), (90, 80), 75],
        }.get(field.name, [(1.0, 0.5), (0.1,), (-20.0, 0.0), 0.5])  # fmt: skip
        for value in wrong:
            with pytest.raises(OptionError, match=rf"CameraRanges\.{field.name}: expected"):
                dataclasses.replace(CameraRanges(), **{field.name: value})

    def test_typos_are_refused(self) -> None:
        with pytest.raises(TypeError):
            CameraRanges(bluur=(0, 1))  # type: ignore[call-arg]


def test_development_is_drawn_only_where_asked_for() -> None:
    """The numbers of a camera that develops nothing are those that it always drew."""
    radiance = light()
    assert not CameraRanges().develops
    flat = dataclasses.replace(CameraRanges.phone(), tone=(0, 0), local_contrast=(0, 0), sharpening=(0, 0))
    assert flat.develops
    grain = shoot(radiance, only(chroma_noise=(0.02, 0.02))) - shoot(radiance, PLAIN)
    inner = (shoot(radiance, PLAIN) - 0.5).abs().amax(2, keepdim=True) < 0.4  # not clipped
    assert 0.005 < grain[inner.expand_as(grain)].std() < 0.02
    assert grain.mean(2)[inner[:, :, 0]].abs().max() < 1e-5, "colour, not brightness"


def test_tone_is_an_s_curve() -> None:
    radiance = torch.linspace(0, 1, 64).expand(1, 1, 3, 8, 64)
    plain, toned = shoot(radiance, PLAIN), shoot(radiance, only(tone=(1.0, 1.0)))
    assert_close(toned, plain**2 * (3 - 2 * plain), atol=1e-5)


@pytest.mark.parametrize("effect", ["local_contrast", "sharpening"])
def test_contrast_is_added_and_even_areas_stay(effect: str) -> None:
    radiance, ranges = light(high=0.6) + 0.2, only(**{effect: (0.5, 0.5)})
    assert shoot(radiance, ranges).std() > 1.02 * shoot(radiance, PLAIN).std()
    even = torch.full((1, 1, 3, 16, 16), 0.3)
    assert_close(shoot(even, ranges), shoot(even, PLAIN), atol=1e-6)
