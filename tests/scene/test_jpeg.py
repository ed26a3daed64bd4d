"""JPEG with a gradient, against Pillow's encoder and decoder."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from diar_ops import jpeg_compress
from diar_ops._errors import DtypeError, OptionError, ShapeError
from diar_ops.scene.jpeg import CHROMINANCE, LUMINANCE, _steps
from tests.harness import Call, OpTests, assert_close, generator


def picture(height: int, width: int) -> Tensor:
    """Return (1, 3, H, W) with smooth parts, edges and fine texture, multiples of 1/255."""
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    planes = torch.stack((x, y, 0.5 + 0.5 * torch.sin(25 * x * y)))
    planes[:, (x - 0.4).square() + (y - 0.5).square() < 0.05] = torch.tensor([[0.9], [0.2], [0.1]])
    planes += 0.04 * torch.randn(planes.shape, generator=generator("jpeg picture"))
    return (planes.clamp(0, 1) * 255).round()[None] / 255


def pillow(image: Tensor, quality: int, subsampling: int) -> Tensor:
    from PIL import Image

    pixels = (image[0] * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling=subsampling)
    return torch.from_numpy(np.asarray(Image.open(file)).copy()).permute(2, 0, 1)[None] / 255


def decibel(a: Tensor, b: Tensor) -> float:
    return -10 * math.log10(float((a - b).square().mean()))


class TestJpegCompress(OpTests):
    op = "jpeg_compress"
    module = "JpegCompress"
    # A last digit may tip a rounding of a coefficient, and so a step of the tables.
    half_bounds = {torch.float16: (5e-3, 0.2), torch.bfloat16: (3e-2, 0.2)}

    def call(self, device: torch.device, dtype: torch.dtype) -> Call:
        image = picture(40, 56).to(device, dtype).expand(2, 3, 40, 56)
        return Call((image,), {"quality": 60.0, "subsample": True})

    @pytest.mark.parametrize("size", [(128, 192), (101, 83)])
    @pytest.mark.parametrize("quality", [10, 50, 75, 95])
    @pytest.mark.parametrize("subsample", [False, True])
    def test_oracle_pillow(self, size: tuple[int, int], quality: int, subsample: bool) -> None:
        image = picture(*size)
        ours = jpeg_compress(image, quality=quality, subsample=subsample)
        theirs = pillow(image, quality, 2 if subsample else 0)
        # Pillow's transforms are in integers, which tips a few roundings of coefficients.
        assert decibel((ours * 255).round() / 255, theirs) > 42
        # What counts: it costs what Pillow's costs, not only nearly the same pixels.
        assert decibel(ours, image) == pytest.approx(decibel(theirs, image), abs=0.05)

    def test_oracle_tables_are_pillow_s_at_every_quality(self) -> None:
        from PIL import Image

        for quality in range(1, 101):
            file = io.BytesIO()
            Image.new("RGB", (8, 8)).save(file, "JPEG", quality=quality)
            with Image.open(file) as image:
                theirs = image.quantization
            for number, table in enumerate((LUMINANCE, CHROMINANCE)):
                ours = _steps(table, torch.tensor([float(quality)]))[0].tolist()
                assert ours == theirs[number], quality

    def test_oracle_flat_pictures_survive(self) -> None:
        """The mean of a block is a multiple of a step of at most 1/8 of a level at quality 100."""
        for grey in (0.0, 128 / 255, 200 / 255, 1.0):
            image = torch.full((1, 3, 16, 16), grey)
            assert_close(jpeg_compress(image, quality=100), image, atol=1e-6)

    def test_exception(self) -> None:
        with pytest.raises(ShapeError, match="image"):
            jpeg_compress(torch.zeros(3, 8, 8))
        with pytest.raises(ShapeError, match="quality"):
            jpeg_compress(torch.zeros(2, 3, 8, 8), quality=torch.tensor([50.0]))
        with pytest.raises(DtypeError):
            jpeg_compress(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))
        for quality in (0, 101):
            with pytest.raises(OptionError, match="quality 1 to 100"):
                jpeg_compress(torch.zeros(1, 3, 8, 8), quality=quality)

    @pytest.mark.parametrize("shape", [(0, 3, 8, 8), (2, 3, 0, 8), (1, 3, 1, 1), (3, 3, 17, 9)])
    def test_cardinality(self, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        out = jpeg_compress(torch.full(shape, 0.4, dtype=dtype))
        assert out.shape == shape
        assert out.dtype == dtype

    def test_cardinality_quality_per_item(self) -> None:
        image = picture(32, 32).expand(2, 3, 32, 32)
        both = jpeg_compress(image, quality=torch.tensor([20.0, 90.0]))
        for item, quality in enumerate((20, 90)):
            assert_close(both[item], jpeg_compress(image[:1], quality=quality)[0], atol=1e-6)

    @given(st.integers(1, 99))
    def test_property_a_better_quality_keeps_more(self, quality: int) -> None:
        image = picture(48, 48)
        coarse = jpeg_compress(image, quality=quality)
        fine = jpeg_compress(image, quality=min(100, quality + 20))
        assert decibel(fine, image) >= decibel(coarse, image) - 0.1

    def test_property_items_do_not_see_each_other(self) -> None:
        image = picture(32, 32).repeat(3, 1, 1, 1)
        changed = image.clone()
        changed[1, :, 5, 6] = 1 - changed[1, :, 5, 6]
        same = (jpeg_compress(image) == jpeg_compress(changed)).flatten(1).all(dim=1)
        assert same.tolist() == [True, False, True]

    def test_property_half_precision_is_computed_in_single(self) -> None:
        image = picture(32, 32).half()
        assert torch.equal(jpeg_compress(image), jpeg_compress(image.float()).half())

    def test_nan(self) -> None:
        image = picture(64, 64).repeat(2, 1, 1, 1)
        clean = jpeg_compress(image)
        image[0, 1, 20, 20] = float("nan")
        out = jpeg_compress(image)
        assert out[0, :, 20, 20].isnan().all()
        # Its block of 16, and one pixel around it, to which chroma is interpolated.
        out[0, :, 15:33, 15:33] = clean[0, :, 15:33, 15:33]
        assert torch.equal(out, clean)

    def gradcheck_call(self, device: torch.device) -> tuple[Callable[..., Any], tuple[Tensor, ...]]:
        """For the modes: finite differences of roundings say nothing, see :meth:`test_gradcheck`."""
        return jpeg_compress, ((0.3 + 0.4 * picture(16, 16)).double().to(device).requires_grad_(),)

    def test_gradcheck(self, device: torch.device) -> None:
        """Straight through: the gradient is that of JPEG without roundings, which changes nothing.

        Without subsampling that is the identity; with it, chroma is smoothed.
        """
        image = (0.3 + 0.4 * picture(16, 16)).double().to(device).requires_grad_()
        weight = torch.randn(image.shape, generator=generator("jpeg gradient")).double().to(device)
        out = jpeg_compress(image, subsample=False)
        (gradient,) = torch.autograd.grad((out * weight).sum(), image)
        assert_close(gradient, weight)
        grey = weight[:, :1].expand(image.shape)
        (gradient,) = torch.autograd.grad((jpeg_compress(image) * grey).sum(), image)
        # A change of grey goes through Y alone.
        assert_close(gradient.sum(dim=1), grey.sum(dim=1))
