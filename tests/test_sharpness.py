"""relative_sharpness against photos of known blur, and its masks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from diar_ops import DtypeError, ShapeError, relative_sharpness
from tests.harness import Call, OpTests, assert_close, generator

NAN = float("nan")


def texture(name: str, *shape: int) -> Tensor:
    """Smoothed noise: a picture with detail of a few pixels, in float64."""
    noise = torch.rand(*shape, generator=generator(name), dtype=torch.float64)
    return blurred(noise, 0.7)


def blurred(image: Tensor, sigma: float) -> Tensor:
    sigmas = (0,) * (image.ndim - 2) + (sigma, sigma)
    return torch.from_numpy(scipy.ndimage.gaussian_filter(image.numpy(), sigmas, mode="mirror"))


class TestRelativeSharpness(OpTests):
    op = "relative_sharpness"
    infinite = "NaN for an item without texture that a photo shares"

    def call(self, device: torch.device, dtype: torch.dtype) -> Call:
        photos = texture("sharpness call", 2, 3, 3, 24, 26)
        valid = torch.ones(2, 3, 1, 24, 26, dtype=torch.bool)
        valid[0, 1, 0, 3:9, 4:12] = False
        image = photos.mean(dim=1) * 0.2 + photos[:, 0] * 0.8
        return Call((image.to(device, dtype), photos.to(device, dtype), valid.to(device)), {})

    def gradcheck_call(self, device: torch.device) -> tuple[Any, tuple[Tensor, ...]]:
        photos = texture("sharpness gradcheck", 1, 2, 1, 22, 22)
        image = (0.9 * photos[:, 0] + 0.05).to(device).requires_grad_()
        return lambda x: relative_sharpness(x, photos.to(device)), (image,)

    def test_exception(self) -> None:
        photos = texture("sharpness errors", 1, 2, 3, 12, 12)
        with pytest.raises(ShapeError, match="photos must have shape"):
            relative_sharpness(photos[:, 0], photos[:, 0])
        with pytest.raises(ShapeError, match="at least one, and of 9 x 9 pixels"):
            relative_sharpness(photos[:, 0], photos[:, :0])
        with pytest.raises(ShapeError, match="at least one, and of 9 x 9 pixels"):
            relative_sharpness(photos[:, 0, :, :8], photos[..., :8, :])
        with pytest.raises(DtypeError, match="valid must be bool"):
            relative_sharpness(photos[:, 0], photos, photos[:, :, :1])
        with pytest.raises(DtypeError, match="floating point"):
            relative_sharpness(photos[:, 0], photos.mul(255).byte())

    @pytest.mark.parametrize("shape", [(0, 2, 3, 20, 20), (1, 1, 1, 20, 24), (3, 4, 2, 26, 28)])
    def test_cardinality(self, shape: tuple[int, ...]) -> None:
        photos = texture("sharpness cardinality", *shape) if shape[0] else torch.zeros(shape, dtype=torch.float64)
        ratio = relative_sharpness(photos[:, 0], photos[:, :1])
        assert_close(ratio, torch.ones(shape[0], dtype=torch.float64))

    def test_oracle_numpy(self) -> None:
        """Of one photo that shows the picture everywhere it is a ratio of sums."""
        photo = texture("sharpness oracle", 1, 1, 1, 40, 44)
        image = blurred(photo[:, 0], 0.8)
        parts = []
        for x in (image[0, 0].numpy(), photo[0, 0, 0].numpy()):
            mean = scipy.ndimage.uniform_filter(x, 9, mode="constant")
            square = scipy.ndimage.uniform_filter((x - mean) ** 2, 9, mode="constant")
            parts.append((np.abs(x - scipy.ndimage.uniform_filter(x, 3)) / (mean + 0.05), square**0.5 / (mean + 0.05)))
        inside = np.zeros((40, 44), bool)
        inside[10:-10, 10:-10] = True  # means at the border are of fewer pixels
        strong = (parts[0][1] + parts[1][1]) > np.median((parts[0][1] + parts[1][1])[inside])
        counts = inside & strong
        expected = parts[0][0][counts].sum() / parts[1][0][counts].sum()
        assert abs(relative_sharpness(image, photo).item() - expected) < 0.03

    @given(st.floats(0.3, 3), st.integers(0, 100))
    def test_property_a_softer_picture_scores_less(self, sigma: float, seed: int) -> None:
        photo = texture(f"sharpness blur {seed}", 1, 1, 3, 40, 40)
        less, more = (relative_sharpness(blurred(photo[:, 0], s), photo) for s in (sigma, sigma + 0.3))
        assert less < 1
        assert more < less or (more.isnan() & (sigma > 1))

    @given(st.floats(0.4, 1.0))
    def test_property_exposure_hardly_matters(self, gain: float) -> None:
        photo = 0.3 + 0.7 * texture("sharpness exposure", 1, 1, 3, 40, 40)
        assert_close(relative_sharpness(gain * photo[:, 0], photo), torch.ones(1).double(), rtol=0.2)

    def test_property_the_sharpest_photo_counts(self) -> None:
        photo = texture("sharpness best", 1, 1, 3, 40, 40)
        photos = torch.cat([photo, blurred(photo, 1.0), blurred(photo, 2.0)], dim=1)
        image = blurred(photo[:, 0], 1.0)
        assert_close(relative_sharpness(image, photos), relative_sharpness(image, photo))
        assert relative_sharpness(image, photos[:, 1:]) > 0.99

    def test_property_what_hides_the_picture_is_not_its_detail(self) -> None:
        photo = texture("sharpness occluder", 1, 1, 3, 60, 60)
        hidden = photo.clone()
        hidden[..., 5:30, 5:30] = torch.rand(3, 25, 25, generator=generator("sharpness noise")).double()
        # Windows along its edge still correlate.
        assert relative_sharpness(photo[:, 0], hidden) > 0.9

    def test_nan_and_invalid_pixels_do_not_matter(self) -> None:
        photos = texture("sharpness nan", 1, 2, 3, 40, 40)
        image = blurred(photos[:, 0], 0.5)
        valid = torch.ones(1, 2, 1, 40, 40, dtype=torch.bool)
        valid[..., 10:14, 20:24] = False
        expected = relative_sharpness(image, photos, valid)
        broken = photos.clone()
        broken[..., 10:14, 20:24] = NAN
        assert torch.equal(relative_sharpness(image, broken), expected)
        assert torch.equal(relative_sharpness(image, broken, valid), expected)
        image[0, 0, 30, 30] = NAN
        assert relative_sharpness(image, photos).isnan().all()

    def test_nothing_in_common_is_nan(self) -> None:
        one, other = texture("sharpness one", 1, 1, 3, 30, 30), texture("sharpness other", 1, 1, 3, 30, 30)
        assert relative_sharpness(one[:, 0], other).isnan().all()
        assert relative_sharpness(torch.zeros_like(one[:, 0]), one).isnan().all()
        assert relative_sharpness(one[:, 0], one, torch.zeros(1, 1, 1, 30, 30, dtype=torch.bool)).isnan().all()
