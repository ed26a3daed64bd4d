"""Image pyramids: exact scales, no aliasing, exact positions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from diar_ops import DtypeError, FeatureMap, OptionError, ShapeError, image_pyramid, level_features
from tests.harness import Call, OpTests, assert_close, generator


class TestImagePyramid(OpTests):
    op = "image_pyramid"
    module = "ImagePyramid"

    def call(self, device, dtype):
        images = torch.rand(2, 3, 13, 18, generator=generator("pyramid"))
        return Call((images.to(device, dtype),), {"scales": (1.0, 0.7071, 0.5)})

    def gradcheck_call(self, device):
        images = torch.rand(1, 2, 5, 6, dtype=torch.float64, generator=generator("pyramid grad"))
        return (
            lambda x: [level.image for level in image_pyramid(x, scales=(0.6, 1.5))],
            (images.to(device).requires_grad_(),),
        )

    def test_exception(self):
        images = torch.rand(1, 3, 8, 8)
        with pytest.raises(ShapeError, match=r"images must have shape \(B C H W\)"):
            image_pyramid(images[0])
        with pytest.raises(ShapeError, match="at least one pixel"):
            image_pyramid(images[:, :, :0])
        with pytest.raises(DtypeError, match="uint8"):
            image_pyramid(images.byte())
        for scales in ((), (0.0,), (-1.0,), (float("inf"),), (float("nan"),)):
            with pytest.raises(OptionError):
                image_pyramid(images, scales=scales)

    def test_cardinality(self):
        levels = image_pyramid(torch.rand(2, 3, 10, 15), scales=(1.4, 1.0, 0.5, 0.001))
        assert [tuple(level.image.shape[2:]) for level in levels] == [(14, 21), (10, 15), (5, 8), (1, 1)]
        assert levels[2].scale == (8 / 15, 0.5)
        for shape in ((0, 3, 8, 8), (2, 0, 8, 8)):
            assert image_pyramid(torch.rand(shape))[2].image.shape == (*shape[:2], 4, 4)
        assert image_pyramid(torch.rand(1, 1, 1, 1))[2].image.shape == (1, 1, 1, 1)

    def test_oracle_pillow(self, device):
        image = torch.rand(37, 50, generator=generator("pillow"))
        expected = Image.fromarray(image.numpy()).resize((20, 15), Image.Resampling.BILINEAR)
        level = image_pyramid(image[None, None].to(device), scales=(0.4,))[0]
        assert_close(level.image[0, 0].cpu(), torch.from_numpy(np.asarray(expected).copy()))

    def test_property_scale_one_is_the_image(self):
        images = torch.rand(1, 3, 9, 7)
        assert image_pyramid(images)[0].image is images

    def test_property_fine_checkerboard_averages_out(self):
        board = ((torch.arange(64)[:, None] + torch.arange(64)) % 2).float()[None, None]
        smooth = image_pyramid(board, scales=(0.3,))[0].image
        aliased = image_pyramid(board, scales=(0.3,), antialias=False)[0].image
        assert (smooth[..., 2:-2, 2:-2] - 0.5).abs().max() < 0.05
        assert (aliased - 0.5).abs().max() > 0.3

    @given(st.integers(24, 60), st.integers(24, 60), st.sampled_from([0.5, 0.7071, 0.9, 1.4]))
    def test_property_positions(self, height, width, scale):
        """On a ramp, the value of a level's pixel is the full-resolution place of that pixel."""
        x = torch.arange(width, dtype=torch.float64).expand(height, width)
        y = torch.arange(height, dtype=torch.float64)[:, None].expand(height, width)
        images = torch.stack([x, y])[None]
        inner = slice(3, -3)  # the kernel is cut at the border
        # Plain bilinear sampling reproduces a ramp exactly; the anti-aliasing kernel, sampled at
        # whole pixels, only up to a few hundredths of a pixel to either side.
        for antialias, atol in ((False, 1e-5), (True, 0.1)):
            level = image_pyramid(images, scales=(scale,), antialias=antialias)[0]
            h, w = level.image.shape[2:]
            mapped = level_features(FeatureMap(level.image), scale=level.scale)
            column = mapped.offset[0] + mapped.stride[0] * torch.arange(w)
            row = mapped.offset[1] + mapped.stride[1] * torch.arange(h)
            assert_close(level.image[0, 0, 0, inner], column[inner].double(), atol=atol)
            assert_close(level.image[0, 1, inner, 0], row[inner].double(), atol=atol)

    def test_nan_stays_where_it_is(self):
        images = torch.rand(2, 1, 40, 40, generator=generator("pyramid nan"))
        clean = image_pyramid(images)
        images[0, 0, 5, 5] = torch.nan
        for level, expected in zip(image_pyramid(images), clean, strict=True):
            assert torch.equal(level.image[1], expected.image[1])
            assert torch.equal(level.image[0, :, 12:, 12:], expected.image[0, :, 12:, 12:])

    def test_half_precision(self):
        images = torch.rand(1, 3, 20, 20, generator=generator("pyramid half"))
        for dtype in (torch.float16, torch.bfloat16):
            level = image_pyramid(images.to(dtype))[2].image
            assert level.dtype == dtype
            assert_close(level, image_pyramid(images)[2].image)


class TestLevelFeatures(OpTests):
    op = "level_features"

    def call(self, device, dtype):
        features = torch.rand(2, 4, 3, 5, generator=generator("level")).to(device, dtype)
        return Call((FeatureMap(features, (4.0, 4.0), (1.5, 1.5)),), {"scale": (0.5, 0.25)})

    def gradcheck_call(self, device):
        features = torch.rand(1, 2, 2, 2, dtype=torch.float64, requires_grad=True, device=device)
        return lambda f: level_features(FeatureMap(f), scale=(0.5, 0.5)).descriptors, (features,)

    def test_exception(self):
        good = torch.rand(1, 2, 3, 4)
        with pytest.raises(ShapeError):
            level_features(FeatureMap(good[0]), scale=(1, 1))
        with pytest.raises(ShapeError):
            level_features(FeatureMap(good, valid=torch.ones(1, 4, 3).bool()), scale=(1, 1))
        for scale in ((0.0, 1.0), (1.0, float("nan")), (1.0,)):
            with pytest.raises(OptionError):
                level_features(FeatureMap(good), scale=scale)

    def test_cardinality(self):
        empty = FeatureMap(torch.rand(0, 2, 3, 4))
        assert level_features(empty, scale=(0.5, 0.5)).descriptors.shape == (0, 2, 3, 4)

    def test_oracle_hand_computed(self):
        """Cell 0 of stride 4 in a half-size level covers 8 full-size pixels, centred at 3.5."""
        features = FeatureMap(torch.rand(1, 2, 3, 4), (4.0, 4.0), (1.5, 1.5))
        mapped = level_features(features, scale=(0.5, 0.25))
        assert mapped.stride == (8.0, 16.0)
        assert mapped.offset == (3.5, 7.5)

    @given(st.floats(0.2, 3), st.floats(0.2, 3))
    def test_property_scales_compose(self, a, b):
        features = FeatureMap(torch.rand(1, 2, 3, 4), (4.0, 2.0), (1.5, 0.5))
        twice = level_features(level_features(features, scale=(a, a)), scale=(b, b))
        once = level_features(features, scale=(a * b, a * b))
        assert twice.stride == pytest.approx(once.stride)
        assert twice.offset == pytest.approx(once.offset)

    def test_nan_passes_through(self):
        features = FeatureMap(torch.full((1, 2, 3, 4), torch.nan))
        assert level_features(features, scale=(0.5, 0.5)).descriptors is features.descriptors
