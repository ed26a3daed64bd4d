"""rmse, psnr and ssim against scikit-image, and their masks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import skimage.metrics
import torch
from torch import Tensor

from diar_ops import DtypeError, OptionError, ShapeError, psnr, rmse, ssim
from tests.harness import Call, OpTests, assert_close, generator

NAN = float("nan")


def pair(name: str, *shape: int) -> tuple[Tensor, Tensor]:
    rng = generator(name)
    image = torch.rand(*shape, generator=rng, dtype=torch.float64)
    noise = torch.rand(*shape, generator=rng, dtype=torch.float64) - 0.5
    return image, (image + 0.3 * noise).clamp(0, 1)


class MetricTests(OpTests):
    #: Value for equal images.
    perfect: float
    ranged = True

    def call(self, device: torch.device, dtype: torch.dtype) -> Call:
        image, target = pair("metric call", 2, 3, 14, 16)
        valid = torch.ones(2, 1, 14, 16, dtype=torch.bool)
        valid[0, 0, 0, 0] = False
        args = (image.to(device, dtype), target.to(device, dtype), valid.to(device))
        return Call(args, {"data_range": 2.0} if self.ranged else {})

    def gradcheck_call(self, device: torch.device) -> tuple[Any, tuple[Tensor, ...]]:
        image, target = (x.to(device) for x in pair("metric gradcheck", 1, 1, 11, 12))
        valid = torch.ones(1, 1, 11, 12, dtype=torch.bool, device=device)
        valid[0, 0, 4, 0] = False  # one of the two windows remains
        # The metrics are symmetric (a property test below), so one side is enough.
        return lambda x: self.function(x, target, valid), (image.requires_grad_(),)

    def test_exception(self) -> None:
        image, target = pair("metric errors", 2, 3, 14, 16)
        with pytest.raises(ShapeError, match=r"target must have shape \(B C H W\) with C = 3"):
            self.function(image, target[:, :1])
        with pytest.raises(ShapeError, match="valid must have shape"):
            self.function(image, target, torch.ones(2, 14, 16, dtype=torch.bool))
        with pytest.raises(DtypeError, match="valid must be bool"):
            self.function(image, target, target[:, :1])
        with pytest.raises(DtypeError, match="floating point"):
            self.function(image.mul(255).byte(), target)
        if self.ranged:
            with pytest.raises(OptionError, match="a positive data_range, got 0"):
                self.function(image, target, data_range=0)

    @pytest.mark.parametrize("shape", [(0, 3, 11, 11), (1, 1, 11, 11), (3, 4, 12, 20)])
    def test_cardinality(self, shape: tuple[int, ...]) -> None:
        image, target = pair("metric sizes", *shape)
        assert self.function(image, target).shape == shape[:1]

    def test_property_symmetric_and_worse_with_noise(self) -> None:
        for seed in range(10):
            image, target = pair(f"metric {seed}", 1, 2, 13, 12)
            assert_close(self.function(image, target), self.function(target, image))
            better, worse = (self.function(image, image.lerp(target, a)) for a in (0.5, 1.0))
            assert worse > better if self.perfect == 0 else worse < better

    def test_property_equal_images_are_perfect(self, dtype: torch.dtype) -> None:
        image = pair("equal", 2, 3, 14, 16)[0].to(dtype).requires_grad_()
        score = self.function(image, image.detach())
        assert_close(score, torch.full_like(score, self.perfect))
        score[score.isfinite()].sum().backward()
        assert image.grad is None or image.grad.isfinite().all()

    @pytest.mark.parametrize("filler", [NAN, torch.inf, 1e30])
    def test_property_masked_pixels_have_no_influence(self, filler: float) -> None:
        image, target = pair("masked", 2, 3, 24, 24)
        valid = torch.ones(2, 1, 24, 24, dtype=torch.bool)
        valid[..., :6, :] = False
        expected = self.function(image[..., 6:, :], target[..., 6:, :])
        image[..., :6, :] = filler
        image.requires_grad_()
        score = self.function(image, target, valid)
        assert_close(score, expected)
        score.sum().backward()
        assert image.grad is not None
        assert image.grad.isfinite().all()
        assert image.grad[..., :6, :].eq(0).all()

    def test_nan_and_empty_items_stay_alone(self) -> None:
        image, target = pair("metric nan", 4, 3, 14, 16)
        expected = self.function(image, target)
        valid = torch.ones(4, 1, 14, 16, dtype=torch.bool)
        valid[2] = False
        image[1, 2, 7, 7] = NAN
        score = self.function(image, target, valid)
        assert score.isnan().tolist() == [False, True, True, False]
        assert_close(score[[0, 3]], expected[[0, 3]])

    def test_half_precision_computes_in_float32(self) -> None:
        image, target = (x.half() for x in pair("metric half", 2, 3, 64, 64))
        score = self.function(image, target)
        assert score.dtype == torch.float16
        assert torch.equal(score, self.function(image.float(), target.float()).half())


class TestRmse(MetricTests):
    op = "rmse"
    infinite = "no valid pixel, and errors beyond the dtype have no finite score"
    perfect = 0.0
    ranged = False

    def test_oracle_skimage(self, dtype: torch.dtype) -> None:
        image, target = (x.to(dtype) for x in pair("rmse oracle", 3, 3, 20, 30))
        expected = [
            np.sqrt(skimage.metrics.mean_squared_error(x, y))
            for x, y in zip(image.numpy(), target.numpy(), strict=True)
        ]
        assert_close(rmse(image, target), torch.tensor(expected))


class TestPsnr(MetricTests):
    op = "psnr"
    infinite = "equal images, no valid pixel, and errors beyond the dtype have no finite score"
    perfect = torch.inf

    @pytest.mark.parametrize("data_range", [1.0, 255.0])
    def test_oracle_skimage(self, dtype: torch.dtype, data_range: float) -> None:
        image, target = (x.to(dtype) * data_range for x in pair("psnr oracle", 3, 3, 20, 30))
        expected = [
            skimage.metrics.peak_signal_noise_ratio(y, x, data_range=data_range)
            for x, y in zip(image.numpy(), target.numpy(), strict=True)
        ]
        assert_close(psnr(image, target, data_range=data_range), torch.tensor(expected))


class TestSsim(MetricTests):
    op = "ssim"
    infinite = "no valid window, and squares beyond the dtype have no finite score"
    perfect = 1.0

    @pytest.mark.parametrize("data_range", [1.0, 255.0])
    @pytest.mark.parametrize("channels", [1, 3])
    def test_oracle_skimage(self, dtype: torch.dtype, data_range: float, channels: int) -> None:
        image, target = (x.to(dtype) * data_range for x in pair("ssim", 2, channels, 20, 30))
        expected = [
            skimage.metrics.structural_similarity(
                x,
                y,
                gaussian_weights=True,
                sigma=1.5,
                use_sample_covariance=False,
                channel_axis=0,
                data_range=data_range,
            )
            for x, y in zip(image.numpy(), target.numpy(), strict=True)
        ]
        assert_close(ssim(image, target, data_range=data_range), torch.tensor(expected))

    def test_oracle_masked_windows(self) -> None:
        """One masked pixel takes out exactly the windows that hold it."""
        image, target = pair("ssim windows", 1, 2, 24, 30)
        valid = torch.ones(1, 1, 24, 30, dtype=torch.bool)
        valid[0, 0, 10, 22] = False
        _, full = skimage.metrics.structural_similarity(
            image[0].numpy(),
            target[0].numpy(),
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            channel_axis=0,
            data_range=1.0,
            full=True,
        )
        keep = np.zeros((24, 30), dtype=bool)
        keep[5:-5, 5:-5] = True
        keep[5:16, 17:28] = False
        assert_close(ssim(image, target, valid), torch.tensor([full[:, keep].mean()]))

    def test_exception_smaller_than_the_window(self) -> None:
        image, target = pair("ssim small", 1, 3, 10, 20)
        with pytest.raises(ShapeError, match="at least 11 x 11 pixels, got 10 x 20"):
            ssim(image, target)


@pytest.mark.parametrize(("scale", "offset"), [(1.0, 0.0), (2.0, 300.0), (10.0, 8000.0), (1.0, 1000.0)])
def test_ssim_of_values_far_from_zero(scale: float, offset: float) -> None:
    """Where the mean is large beside the range, float32 keeps what float64 says: at most 1."""
    x = torch.rand(1, 3, 40, 40, generator=generator("far"))
    noise = 0.1 * torch.randn(x.shape, generator=generator("far noise"))
    a, b = x * scale + offset, (x + noise) * scale + offset
    assert_close(ssim(a, b, data_range=scale), ssim(a.double(), b.double(), data_range=scale), atol=1e-3)
