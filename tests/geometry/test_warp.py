"""warp_homography: exact positions, honest validity, no aliasing."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from diar_ops import DtypeError, OptionError, ShapeError, transform_points, warp_homography
from diar_ops.geometry._warp import rows as row_warp
from tests.geometry.warp_scene import NAN, TILTED, homography, noise, scaling, smooth
from tests.harness import Call, OpTests, assert_close


class TestWarpHomography(OpTests):
    op = "warp_homography"
    module = "WarpHomography"

    def call(self, device: torch.device, dtype: torch.dtype) -> Call:
        image = noise("warp call", 2, 3, 12, 15).to(device, dtype)
        both = torch.cat((TILTED, scaling(0.4)))
        kwargs = {"size": (10, 14), "mode": "bilinear", "antialias": True, "max_shrink": 3.0}
        return Call((image, both.to(device, dtype)), kwargs)

    def gradcheck_call(self, device: torch.device) -> tuple[Any, tuple[Tensor, ...]]:
        image = noise("warp gradcheck", 1, 2, 5, 6).to(device).requires_grad_()
        tilted = (TILTED + noise("off the kinks", 1, 3, 3) * 1e-3).to(device).requires_grad_()
        return lambda i, h: warp_homography(i, h, size=(4, 5)).image, (image, tilted)

    @pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
    def test_gradcheck_shrinking(self, device: torch.device, mode: str) -> None:
        image = noise("shrink gradcheck", 1, 1, 9, 10).to(device).requires_grad_()
        shrink = (scaling(0.41, 0.63) + noise("off kinks", 1, 3, 3) * 1e-3).to(device)
        assert torch.autograd.gradcheck(
            lambda i, h: warp_homography(i, h, size=(3, 4), mode=mode).image, (image, shrink.requires_grad_())
        )

    def test_gradcheck_at_the_horizon_and_holes(self) -> None:
        image = noise("horizon gradient", 3, 2, 8, 8)
        image[0, 0, 2, 3] = NAN
        image.requires_grad_()
        h = homography([[1, 0, 0], [0, 1, 0], [0.25, 0, 1]]).repeat(3, 1, 1)  # horizon at u = 4
        h[1] = NAN
        h[2] = 0
        h.requires_grad_()
        warp_homography(image, h).image.sum().backward()
        assert image.grad is not None
        assert h.grad is not None
        assert image.grad.isfinite().all()
        assert h.grad.isfinite().all()
        assert h.grad[0].ne(0).any()
        assert h.grad[1:].eq(0).all()

    def test_exception(self) -> None:
        image, eye = torch.zeros(2, 3, 4, 5), torch.eye(3)[None]
        with pytest.raises(DtypeError, match=r"floating point, got torch\.uint8"):
            warp_homography(image.byte(), eye)
        with pytest.raises(ShapeError, match="image must have shape"):
            warp_homography(image[0], eye)
        with pytest.raises(ShapeError, match="homography_dst_src must have shape"):
            warp_homography(image, eye[0])
        with pytest.raises(ShapeError, match="must broadcast, got"):
            warp_homography(image, eye.expand(3, 3, 3))
        with pytest.raises(ShapeError, match="expected an image with pixels"):
            warp_homography(image[..., :0], eye)
        with pytest.raises(ShapeError, match=r"valid must have shape \(B 1 H W\) with B = 2"):
            warp_homography(image, eye, torch.ones(1, 1, 4, 5, dtype=torch.bool))
        with pytest.raises(DtypeError, match="valid must be bool"):
            warp_homography(image, eye, image[:, :1])
        with pytest.raises(OptionError, match="mode to be one of bilinear"):
            warp_homography(image, eye, mode="cubic")
        with pytest.raises(OptionError, match="positive size"):
            warp_homography(image, eye, size=(0, 3))
        with pytest.raises(OptionError, match="max_shrink of at least 1"):
            warp_homography(image, eye, max_shrink=0.5)

    @pytest.mark.parametrize(
        ("images", "homographies", "expected"), [(1, 1, 1), (3, 1, 3), (1, 3, 3), (0, 1, 0), (0, 0, 0)]
    )
    @pytest.mark.parametrize("mode", ["bilinear", "bicubic", "nearest"])
    def test_cardinality(self, images: int, homographies: int, expected: int, mode: str) -> None:
        image, h = torch.rand(images, 2, 7, 6), TILTED.float().expand(homographies, 3, 3)
        out = warp_homography(image, h, size=(5, 9), mode=mode)
        assert out.image.shape == (expected, 2, 5, 9)
        assert out.valid.shape == (expected, 1, 5, 9)
        assert warp_homography(image, h).image.shape == (expected, 2, 7, 6)

    @pytest.mark.parametrize("shape", [(1, 1), (1, 7), (2, 2)])
    def test_cardinality_tiny_images(self, shape: tuple[int, int]) -> None:
        image = torch.rand(1, 1, *shape)
        out = warp_homography(image, torch.eye(3)[None])
        assert_close(out.image, image)
        assert warp_homography(image, scaling(0.1).float(), size=(1, 1)).image.isfinite().all()

    @pytest.mark.parametrize(("mode", "flag"), [("bilinear", cv2.INTER_LINEAR), ("bicubic", cv2.INTER_CUBIC)])
    def test_oracle_opencv(self, mode: str, flag: int, dtype: torch.dtype) -> None:
        image = smooth("warp oracle", 1, 1, 60, 80).to(dtype)
        out = warp_homography(image, TILTED, size=(70, 90), mode=mode)
        expected = cv2.warpPerspective(
            image[0, 0].numpy().astype(np.float32),
            TILTED[0].numpy(),
            (90, 70),
            flags=flag,
            borderMode=cv2.BORDER_REPLICATE,
        )
        seen = out.valid[0, 0]
        assert 0.5 < seen.double().mean() < 1
        # OpenCV rounds positions to 1/32 pixel.
        assert_close(out.image[0, 0][seen], torch.from_numpy(expected)[seen].to(dtype), atol=4e-3)

    def test_oracle_transform_points(self) -> None:
        """An image of its own coordinates shows at each pixel where that pixel came from."""
        y, x = torch.meshgrid(torch.arange(60.0), torch.arange(80.0), indexing="ij")
        image = torch.stack((x, y))[None].double()
        out = warp_homography(image, TILTED, antialias=False)
        pixels = image.flatten(2).mT[0]
        source = transform_points(pixels, TILTED[0].inverse())
        positions = source.points.T.reshape(1, 2, 60, 80)
        inside = (
            (positions > -0.5).all(1)
            & (positions < torch.tensor([79.5, 59.5]).view(1, 2, 1, 1)).all(1)
        )  # fmt: skip
        assert torch.equal(out.valid[:, 0], inside & source.valid.view(1, 60, 80))
        interior = inside[:, None] & (positions >= 0) & (positions <= torch.tensor([79.0, 59]).view(1, 2, 1, 1))
        assert_close(out.image[interior], positions[interior], rtol=0, atol=1e-9)

    @pytest.mark.parametrize("size", [(64, 128), (33, 47)])
    def test_property_identity(self, size: tuple[int, int], dtype: torch.dtype) -> None:
        image = noise("identity", 2, 3, *size).to(dtype)
        for scale in (1.0, -1.0, 1e-4):
            out = warp_homography(image, scale * torch.eye(3, dtype=dtype)[None])
            assert out.valid.all()
            # grid_sample counts from -1 to 1: a position is exact to the size times half an eps.
            atol = 0 if size == (64, 128) else max(size) * torch.finfo(dtype).eps
            assert_close(out.image, image, rtol=0, atol=atol)

    @given(st.floats(-3, 3), st.floats(-3, 3))
    def test_property_subpixel_translation(self, dx: float, dy: float) -> None:
        y, x = torch.meshgrid(torch.arange(20.0).double(), torch.arange(24.0).double(), indexing="ij")
        shift = homography([[1, 0, dx], [0, 1, dy], [0, 0, 1]])
        out = warp_homography((2 * x - 3 * y)[None, None], shift)
        inner = (slice(None), slice(None), slice(4, -4), slice(4, -4))
        expected = (2 * (x - dx) - 3 * (y - dy))[None, None]
        assert out.valid[inner].all()
        assert_close(out.image[inner], expected[inner], rtol=0, atol=1e-9)

    def test_property_flip_is_exact(self) -> None:
        image = noise("flip", 1, 2, 16, 32)
        flip = homography([[-1, 0, 31], [0, 1, 0], [0, 0, 1]])
        out = warp_homography(image, flip)
        assert out.valid.all()
        assert_close(out.image, image.flip(-1))

    @pytest.mark.parametrize("mode", ["bilinear", "bicubic", "nearest"])
    @pytest.mark.parametrize("antialias", [True, False])
    def test_property_batch_items_and_chunks_are_independent(
        self, mode: str, antialias: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        h = torch.cat((TILTED, scaling(0.3), scaling(0.15), torch.eye(3).double()[None]))
        image = noise("isolation", 4, 2, 40, 50)
        options: Any = {"mode": mode, "antialias": antialias, "size": (31, 37)}
        together = warp_homography(image, h, **options)
        for b in range(4):
            alone = warp_homography(image[b : b + 1], h[b : b + 1], **options)
            assert_close(together.image[b], alone.image[0])
            assert torch.equal(together.valid[b], alone.valid[0])
        monkeypatch.setattr(row_warp, "_CHUNK_PIXELS", 700)
        banded = warp_homography(image, h, **options)
        assert_close(banded.image, together.image)
        assert torch.equal(banded.valid, together.valid)

    def test_property_one_pixel_changes_only_its_item(self) -> None:
        image = noise("one pixel", 3, 2, 20, 20)
        before = warp_homography(image, TILTED)
        image[1, 0, 10, 10] += 1
        change = (warp_homography(image, TILTED).image - before.image).abs().amax((2, 3))
        assert change[1, 0] > 0.1
        change[1, 0] = 0
        assert change.eq(0).all()

    def test_behind_the_horizon_is_invalid(self) -> None:
        source_of_dst = homography([[1, 0, 0], [0, 1, 0], [-0.05, 0, 1]])  # horizon at u = 20
        for sign in (1, -1):
            h = sign * source_of_dst.inverse()
            out = warp_homography(torch.ones(1, 1, 40, 60).double(), h)
            u = torch.arange(60.0)
            x = u / (1 - 0.05 * u)
            expected = (u < 20) & (x <= 59.5)
            assert torch.equal(out.valid[0, 0, 0], expected)
            assert out.image[~out.valid].eq(0).all()
            mirage = warp_homography(torch.ones(1, 1, 40, 60).double(), h, front=torch.tensor([-100.0, 0.0]))
            assert not mirage.valid[..., :20].any()

    def test_nan_and_singular_homographies_are_invalid_alone(self) -> None:
        image = torch.rand(5, 1, 8, 8)
        h = torch.eye(3).repeat(5, 1, 1)
        h[1, 0, 2] = NAN
        h[2, 2, 2] = torch.inf
        h[3] = 0
        h[4] = torch.ones(3, 3)
        out = warp_homography(image, h)
        assert torch.equal(out.image[0], image[0])
        assert out.valid.flatten(1).all(1).tolist() == [True, False, False, False, False]
        assert not out.valid[1:].any()
        assert out.image[1:].eq(0).all()

    @pytest.mark.parametrize("value", [NAN, torch.inf])
    def test_nan_pixels_invalidate_what_touches_them(self, value: float) -> None:
        image = torch.rand(2, 3, 16, 16)
        image[0, 1, 5, 6] = value
        out = warp_homography(image, torch.eye(3)[None])
        expected = torch.ones(2, 1, 16, 16, dtype=torch.bool)
        expected[0, 0, 5, 6] = False
        assert torch.equal(out.valid, expected)
        assert out.image.isfinite().all()
        shift = homography([[1, 0, 0.5], [0, 1, 0], [0, 0, 1]]).float()
        out = warp_homography(image, shift)
        assert (~out.valid[0, 0]).nonzero().tolist() == [[5, 6], [5, 7]]
        assert_close(out.image[0, 0, 5, 5], image[0, 0, 5, 4:6].mean())
        cubic = warp_homography(image, shift, mode="bicubic")
        assert cubic.image.isfinite().all()
        assert not cubic.valid[0, 0, 5, 5:9].any()
        assert cubic.valid[1].all()

    def test_source_mask(self) -> None:
        image = torch.rand(2, 3, 16, 16)
        mask = torch.ones(2, 1, 16, 16, dtype=torch.bool)
        mask[1, 0, :, :4] = False
        shift = homography([[1, 0, 0.25], [0, 1, 0], [0, 0, 1]]).float()
        out = warp_homography(image, shift, mask)
        assert out.valid[0].all()
        assert not out.valid[1, 0, :, :5].any()
        assert out.valid[1, 0, :, 5:].all()
        assert torch.equal(out.image[:, :, :, 5:], warp_homography(image, shift).image[:, :, :, 5:])

    @pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
    def test_half_precision_positions_are_exact(self, half: torch.dtype) -> None:
        image = smooth("half", 1, 1, 20, 3000).to(half)
        shift = homography([[1, 0, 0.5], [0, 1, 0], [0, 0, 1]]).to(half)
        out = warp_homography(image, shift)
        assert out.image.dtype == half
        expected = warp_homography(image.float(), shift.float())
        assert torch.equal(out.image, expected.image.to(half))
        assert torch.equal(out.valid, expected.valid)

    def test_compiled_shrink_and_gradient_are_those_of_eager(self, compile_backend: str) -> None:
        """Compiled, the op is one node: it reads the shrink as eager code does, and assumes none."""
        torch.compiler.reset()
        image = noise("compiled shrink", 1, 2, 64, 64).requires_grad_()
        h = scaling(1 / 9).requires_grad_()

        def total(image: Tensor, h: Tensor) -> Tensor:
            return warp_homography(image, h, size=(7, 7)).image.square().sum()

        compiled = torch.compile(total, fullgraph=True, dynamic=True, backend=compile_backend)
        expected, actual = total(image, h), compiled(image, h)
        assert_close(actual, expected)
        for a, e in zip(*(torch.autograd.grad(x, (image, h)) for x in (actual, expected)), strict=True):
            assert_close(a, e)

    def test_vmap_equals_the_batch(self) -> None:
        image, h = noise("vmap warp", 3, 1, 2, 12, 15), torch.stack((TILTED, scaling(0.5), TILTED))
        mapped = torch.vmap(lambda i, k: warp_homography(i, k))(image, h)
        direct = warp_homography(image[:, 0], h[:, 0])
        assert_close(mapped.image[:, 0], direct.image)
        assert torch.equal(mapped.valid[:, 0], direct.valid)

    def test_zero_in_the_corner_of_the_homography(self) -> None:
        h = homography([[0, 0, 8], [0, 1, 0], [1, 0, 0]])  # (x, y) -> (8 / x, y / x)
        image = torch.arange(1.0, 17).double().expand(1, 1, 16, 16)
        out = warp_homography(image, h, antialias=False)
        assert not out.valid[..., 0].any()
        columns = torch.arange(1.0, 9).double()
        assert_close(out.image[0, 0, 0, 1:9], 8 / columns + 1, rtol=0, atol=1e-9)

    def test_gradient_of_a_broadcast_image_sums_over_the_frames(self) -> None:
        image = noise("broadcast gradient", 1, 1, 6, 6).requires_grad_()
        out = warp_homography(image, torch.eye(3).double().expand(3, 3, 3))
        out.image.sum().backward()
        assert image.grad is not None
        assert_close(image.grad, torch.full_like(image, 3.0))
