"""dense_sift against kornia's, and the exact centres of its windows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from diar_ops import DenseSIFT, DtypeError, OptionError, ShapeError, dense_sift
from tests.harness import Call, OpTests, assert_close, generator


def noise(name: str, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(*shape, generator=generator(name), dtype=dtype)


class TestDenseSIFT(OpTests):
    op = "dense_sift"
    module = "DenseSIFT"

    def call(self, device: torch.device, dtype: torch.dtype) -> Call:
        images = noise("dense_sift", 2, 3, 29, 38).to(device, dtype)
        return Call((images,), {"stride": 3, "clip": 0.25, "root": True})

    def gradcheck_call(self, device: torch.device) -> tuple[Callable[..., Any], tuple[Tensor, ...]]:
        # Bins of 8 x 8 pixels hold every orientation, so no entry sits at the kink of an empty bin.
        images = noise("dense_sift gradcheck", 1, 3, 8, 9, dtype=torch.float64).to(device)
        images.requires_grad_()
        return lambda x: dense_sift(x, bin_size=8, spatial_bins=1, stride=1), (images,)

    def test_exception(self) -> None:
        images = torch.zeros(1, 1, 32, 32)
        with pytest.raises(ShapeError, match="dense_sift: images must have shape"):
            dense_sift(images[0])
        with pytest.raises(OptionError, match="1 or 3 channels in images, got 2"):
            dense_sift(torch.zeros(1, 2, 32, 32))
        with pytest.raises(DtypeError, match="floating point"):
            dense_sift(images.to(torch.uint8))
        for option in (
            {"stride": 0},
            {"stride": 1.5},
            {"bin_size": 0},
            {"spatial_bins": 0},
            {"angular_bins": 2},
            {"clip": 0.0},
        ):
            with pytest.raises(OptionError, match=next(iter(option))):
                dense_sift(images, **option)

    def test_cardinality(self) -> None:
        for shape, expected in (
            ((0, 3, 32, 32), (0, 128, 5, 5)),
            ((1, 1, 16, 16), (1, 128, 1, 1)),
            ((2, 3, 19, 20), (2, 128, 1, 2)),
            ((2, 3, 15, 20), (2, 128, 0, 2)),
            ((1, 1, 1, 1), (1, 128, 0, 0)),
        ):
            assert dense_sift(noise("cardinality", *shape)).shape == expected
        options = {"bin_size": 3, "spatial_bins": 5, "angular_bins": 6, "stride": 2}
        assert dense_sift(noise("cardinality", 1, 1, 20, 33), **options).shape == (1, 150, 3, 10)

    @pytest.mark.parametrize("root", [True, False])
    @pytest.mark.parametrize(
        ("stride", "bin_size", "spatial_bins"), [(4, 4, 4), (8, 4, 4), (3, 4, 4), (4, 6, 4), (2, 5, 3)]
    )
    def test_oracle_kornia(self, stride: int, bin_size: int, spatial_bins: int, root: bool) -> None:
        from kornia.feature import DenseSIFTDescriptor

        image = noise("kornia", 2, 1, 61, 70)
        oracle = DenseSIFTDescriptor(
            num_spatial_bins=spatial_bins, spatial_bin_size=bin_size, rootsift=root, stride=1, padding=0
        )
        # Bins are their own size apart (Liu, Yuen and Torralba; VLFeat). In kornia that is so from 0.9 on, which needs
        # Python 3.11: before, they were one pixel apart.
        oracle.PoolingConv.dilation = (bin_size, bin_size)
        with torch.no_grad():
            every = oracle(image)
        actual = dense_sift(image, stride=stride, bin_size=bin_size, spatial_bins=spatial_bins, root=root)
        # kornia pads its bins by half a bin: its first window that lies inside the image.
        first = bin_size // 2
        expected = every[..., first::stride, first::stride]
        expected = expected[..., : actual.shape[-2], : actual.shape[-1]]
        assert_close(actual, expected, rtol=0, atol=2e-6)

    def test_oracle_centre_by_gradient(self) -> None:
        """The centroid of what a descriptor depends on is its stated centre."""
        for stride, bin_size in ((4, 4), (3, 5)):
            trunk = DenseSIFT(stride=stride, bin_size=bin_size)
            image = noise("centroid", 200, 1, 40, 40).requires_grad_()
            cell = trunk(image)[:, :, 1, 2]
            weight = torch.randn(cell.shape, generator=generator("centroid weight"))
            (cell * weight).sum().backward()
            assert image.grad is not None
            influence = image.grad.abs().sum(dim=(0, 1)).double()
            influence /= influence.sum()
            at = torch.arange(40, dtype=torch.float64)
            x, y = (influence.sum(0) @ at).item(), (influence.sum(1) @ at).item()
            # 200 noise images leave a few hundredths of a pixel of chance; the error that this
            # test is about is half a pixel or half a stride.
            assert x == pytest.approx(trunk.offset + 2 * trunk.stride, abs=0.15)
            assert y == pytest.approx(trunk.offset + 1 * trunk.stride, abs=0.15)
            reach = at[influence.sum(0) > 0]
            assert reach.min() + reach.max() == 2 * (trunk.offset + 2 * trunk.stride)

    def test_oracle_centre_by_mirror(self) -> None:
        """Mirroring the image mirrors the grid about the image centre, so the grid is centred."""
        image = noise("mirror", 1, 1, 36, 44)  # (44 - 16) / 4 and (36 - 16) / 4: the grid fits
        maps = dense_sift(image).unflatten(1, (8, 4, 4))
        mirrored = dense_sift(image.flip(3)).unflatten(1, (8, 4, 4))
        # Direction a becomes pi - a, columns swap, cells swap.
        back = mirrored[:, [(4 - a) % 8 for a in range(8)]].flip(3).flip(5)
        assert_close(maps, back, atol=1e-5)
        assert DenseSIFT().offset == 44 - 1 - (DenseSIFT().offset + 4 * (maps.shape[-1] - 1))

    @given(dx=st.integers(0, 3), dy=st.integers(0, 3))
    def test_property_translation(self, dx: int, dy: int) -> None:
        """Cropping whole cells off the left and top moves the map by whole cells."""
        image = noise("translation", 1, 1, 48, 48)
        whole = dense_sift(image)[:, :, dy:, dx:]
        part = dense_sift(image[..., 4 * dy :, 4 * dx :])
        # The replicated border of the crop changes the gradient of its outermost pixels.
        first = slice(1, None)
        assert_close(part[..., first, first], whole[..., first, first])

    @given(gain=st.floats(0.05, 4.0), bias=st.floats(-0.5, 0.5))
    def test_property_exposure(self, gain: float, bias: float) -> None:
        image = noise("exposure", 1, 3, 32, 32)
        assert_close(dense_sift(image * gain + bias), dense_sift(image), atol=1e-4)

    def test_property_unit_length(self) -> None:
        for root in (True, False):
            length = dense_sift(noise("length", 2, 3, 40, 40), root=root).norm(dim=1)
            assert_close(length, torch.ones_like(length))

    @pytest.mark.parametrize("level", [0.0, 0.3, 1.0, 1e4])
    def test_property_constant_images_are_zero(self, level: float) -> None:
        image = torch.full((1, 3, 40, 40), level)
        assert not dense_sift(image).any()
        rounding = noise("rounding", 1, 3, 40, 40) * 1e-5
        assert not dense_sift(image.clamp_max(1.0) + rounding).any()

    def test_property_constant_images_have_finite_gradients(self) -> None:
        image = torch.full((1, 3, 24, 24), 0.5)
        image[..., 12:] = noise("half", 1, 3, 24, 12)
        image.requires_grad_()
        dense_sift(image).sum().backward()
        assert image.grad is not None
        assert image.grad.isfinite().all()
        assert image.grad.any()

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_nan_stays_in_its_windows(self, value: float) -> None:
        image = noise("nan", 2, 3, 48, 48)
        clean = dense_sift(image)
        image[0, 1, 20, 24] = value
        actual = dense_sift(image)
        assert actual.isfinite().all()
        assert torch.equal(actual[1], clean[1])
        centre = DenseSIFT().offset + 4 * torch.arange(clean.shape[-1])
        hit = ((centre - 24).abs() < 9)[None, :] & ((centre - 20).abs() < 9)[:, None]
        assert not actual[0][:, hit].any()
        assert torch.equal(actual[0][:, ~hit], clean[0][:, ~hit])
        assert hit.any()

    @pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
    def test_half_precision_computes_in_float32(self, half: torch.dtype) -> None:
        image = noise("half precision", 1, 3, 32, 32).to(half)
        actual = dense_sift(image)
        assert actual.dtype == half
        assert_close(actual, dense_sift(image.float()).to(half), rtol=0, atol=0)

    def test_colour_and_grey(self) -> None:
        grey = noise("grey", 1, 1, 32, 32)
        assert_close(dense_sift(grey.expand(-1, 3, -1, -1)), dense_sift(grey), atol=1e-5)

    def test_repeats_exactly(self) -> None:
        image = noise("repeat", 2, 3, 64, 64)
        assert torch.equal(dense_sift(image), dense_sift(image))
        assert torch.equal(dense_sift(image)[1:], dense_sift(image[1:]))
