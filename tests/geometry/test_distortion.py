"""The division model against its defining equation, OpenCV's resampling, and itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from diar_ops import (
    DtypeError,
    OptionError,
    ShapeError,
    distort_points,
    transform_points,
    undistort_points,
    warp_homography,
)
from tests.harness import Call, OpTests, assert_close, generator

F64 = torch.float64
SIZE = (300, 400)  # half of the diagonal: 250
CENTRE = torch.tensor([199.5, 149.5], dtype=F64)
NAN = float("nan")


def some_points(name: str, batch: int = 3, number: int = 20) -> Tensor:
    scale = torch.tensor([399.0, 299.0], dtype=F64)
    return torch.rand(batch, number, 2, generator=generator(name), dtype=F64) * scale


class _Tests(OpTests):
    def call(self, device: torch.device, dtype: torch.dtype) -> Call:
        k = torch.tensor([-0.1, 0.0, 0.08])
        args = (some_points("distortion call"), k)
        return Call(tuple(x.to(device, dtype) for x in args), {"size": SIZE})

    def gradcheck_call(self, device: torch.device) -> tuple[Callable[..., Any], tuple[Tensor, ...]]:
        (points, k), kwargs = self.call(device, F64)
        points = torch.cat((points[:, :3], CENTRE.expand(3, 1, 2).to(device)), 1)
        inputs = (points.requires_grad_(), k.requires_grad_())
        return lambda p, c: self.function(p, c, **kwargs).points, inputs

    def test_exception(self) -> None:
        points, k = torch.zeros(2, 5, 2), torch.zeros(2)
        with pytest.raises(ShapeError, match="points must have shape"):
            self.function(points[..., :1], k, size=SIZE)
        with pytest.raises(ShapeError, match="must broadcast"):
            self.function(points, torch.zeros(3), size=SIZE)
        with pytest.raises(DtypeError, match="floating point"):
            self.function(points, k.long(), size=SIZE)
        with pytest.raises(OptionError, match="positive size"):
            self.function(points, k, size=(0, 4))

    @pytest.mark.parametrize("shape", [(0, 3, 2), (1, 0, 2), (5, 2), (2, 3, 4, 2)])
    def test_cardinality(self, shape: tuple[int, ...]) -> None:
        points = torch.rand(shape) * 300
        for k in (torch.tensor(0.05), torch.full(shape[:-2], -0.05)):
            result = self.function(points, k, size=SIZE)
            assert result.points.shape == shape
            assert result.valid.shape == shape[:-1]
            assert result.valid.all()
        several = self.function(points[..., :0, :], torch.zeros(7, *shape[:-2]), size=SIZE)
        assert several.points.shape == (7, *shape[:-2], 0, 2)

    def test_property_zero_is_the_identity(self, dtype: torch.dtype) -> None:
        points = some_points("identity").to(dtype)
        result = self.function(points, points.new_zeros(()), size=SIZE)
        assert result.valid.all()
        assert_close(result.points, points, atol=1e-4)

    def test_nan_points_and_coefficients_are_invalid(self) -> None:
        points, k = some_points("nan"), torch.tensor([0.05, NAN, 0.02], dtype=F64)
        expected = self.function(points, torch.tensor([0.05, 0.0, 0.02], dtype=F64), size=SIZE)
        points[0, 3, 1], points[2, 4, 0] = NAN, torch.inf
        inputs = (points.requires_grad_(), k.requires_grad_())
        result = self.function(*inputs, size=SIZE)
        lost = torch.zeros(3, 20, dtype=torch.bool)
        lost[0, 3] = lost[2, 4] = lost[1] = True
        assert torch.equal(result.valid, ~lost)
        assert (result.points[lost] == 0).all()
        assert torch.equal(result.points[~lost], expected.points[~lost])
        result.points.square().sum().backward()
        for x in inputs:
            assert x.grad is not None
            assert x.grad.isfinite().all()

    def test_half_precision_computes_in_float32(self) -> None:
        points, k = some_points("half").half(), torch.tensor(0.07, dtype=torch.float16)
        result = self.function(points, k, size=SIZE)
        assert result.points.dtype == torch.float16
        expected = self.function(points.float(), k.float(), size=SIZE)
        assert torch.equal(result.points, expected.points.half())


class TestUndistortPoints(_Tests):
    op = "undistort_points"

    def test_oracle_by_hand(self) -> None:
        """One point at r = 0.8 to the right, the corner beyond the last pixel at r = 1."""
        points = CENTRE + torch.tensor([[200.0, 0.0], [-200.0, -150.0], [0.0, 0.0]], dtype=F64)
        result = undistort_points(points, torch.tensor(-0.1, dtype=F64), size=SIZE)
        moved = torch.tensor([[200 / 0.936, 0], [-200 / 0.9, -150 / 0.9], [0, 0]], dtype=F64)
        assert_close(result.points, CENTRE + moved)

    def test_folded_points_are_invalid(self) -> None:
        points = CENTRE + torch.tensor([[250.0, 0.0], [240.0, 0.0]], dtype=F64)
        for k in (1.0, -1.0):
            result = undistort_points(points, torch.tensor(k, dtype=F64), size=SIZE)
            assert result.valid.tolist() == [False, True]
            assert result.points.isfinite().all()


class TestDistortPoints(_Tests):
    op = "distort_points"

    def test_oracle_root_finding(self) -> None:
        from scipy.optimize import brentq

        for k, last in ((-0.3, 1.8), (-0.02, 2.0), (0.02, 2.0), (0.2, 2.2)):
            for radius in (0.1, 0.6, 1.05):
                root = brentq(lambda r: r / (1 + k * r * r) - radius, 0, last, xtol=1e-15)  # noqa: B023
                result = distort_points(
                    CENTRE + torch.tensor([[0.0, 250 * radius]], dtype=F64), torch.tensor(k, dtype=F64), size=SIZE
                )
                assert_close(result.points[0], CENTRE + torch.tensor([0.0, 250 * root], dtype=F64))

    @given(st.floats(-0.5, 0.5), st.integers(0, 1000))
    def test_property_round_trip(self, k: float, seed: int) -> None:
        points, coefficient = some_points(f"trip {seed}"), torch.tensor(k, dtype=F64)
        straight = undistort_points(points, coefficient, size=SIZE)
        back = distort_points(straight.points, coefficient, size=SIZE)
        assert straight.valid.all()
        assert back.valid.all()
        assert_close(back.points, points, rtol=0, atol=1e-9)

    def test_points_that_no_pixel_shows_are_invalid(self) -> None:
        """A pincushion ends: radii of 1 / (2 sqrt(k)) and beyond do not come."""
        points = CENTRE + 250 * torch.tensor([[1.0, 0.0], [0.99, 0.0], [1e200, 0.0]], dtype=F64)
        result = distort_points(points, torch.tensor(0.25, dtype=F64), size=SIZE)
        assert result.valid.tolist() == [False, True, False]
        barrel = distort_points(points, torch.tensor(-0.25, dtype=F64), size=SIZE)
        assert barrel.valid[:2].all()


# --- one resampling for lens and homography ---------------------------------------------------

TILTED = torch.tensor([[[1.05, 0.06, -8.0], [-0.04, 0.98, 6.0], [2e-4, -1e-4, 1.0]]], dtype=F64)


def bent_image(k: float) -> Tensor:
    """A smooth picture as a lens with coefficient k shows it: its pixels know where they belong."""
    y, x = torch.meshgrid(*(torch.arange(n, dtype=F64) for n in SIZE), indexing="ij")
    pixels = torch.stack((x, y), -1).view(1, -1, 2)
    straight = undistort_points(pixels, torch.tensor([k], dtype=F64), size=SIZE).points
    return picture(straight).view(1, 1, *SIZE)


def picture(points: Tensor) -> Tensor:
    return (points[..., 0] / 21).sin() + (points[..., 1] / 17).cos()


@pytest.mark.parametrize("k", [-0.12, 0.0, 0.1])
def test_warp_straightens_and_warps_in_one_resampling(k: float) -> None:
    image = bent_image(k)
    coefficient = torch.tensor([k], dtype=F64)
    out = warp_homography(image, TILTED, distortion=coefficient)
    y, x = torch.meshgrid(*(torch.arange(n, dtype=F64) for n in SIZE), indexing="ij")
    pixels = torch.stack((x, y), -1).view(1, -1, 2)
    source = transform_points(pixels, torch.linalg.inv(TILTED)).points
    expected = picture(source).view(1, 1, *SIZE)
    assert out.valid.double().mean() > 0.8
    seen = distort_points(source, coefficient, size=SIZE)
    # The outer half pixel repeats the border.
    last = torch.tensor([399.0, 299.0], dtype=F64)
    within = ((seen.points >= 0) & (seen.points <= last)).all(-1).view_as(out.valid)
    assert (out.image - expected)[out.valid & within].abs().max() < 2e-3
    # Valid exactly where the photo shows it.
    limit = torch.tensor([399.5, 299.5], dtype=F64)
    inside = seen.valid & ((seen.points >= -0.5) & (seen.points <= limit)).all(-1)
    assert torch.equal(out.valid.view(-1), inside.view(-1))
    if k != 0:
        plain = warp_homography(image, TILTED)
        assert (plain.image - expected)[plain.valid & out.valid].abs().max() > 0.3


def test_warp_agrees_with_opencv_remap() -> None:
    import cv2

    rng = generator("remap")
    image = torch.rand(1, 1, *SIZE, generator=rng)
    k = torch.tensor([0.09])
    out = warp_homography(image, TILTED.float(), distortion=k, antialias=False)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float64)
    source = cv2.perspectiveTransform(np.stack((x, y), -1), np.linalg.inv(TILTED[0].numpy()))
    bent = distort_points(torch.from_numpy(source), k.double(), size=SIZE).points.numpy()
    remapped = cv2.remap(
        image[0, 0].numpy(), bent.astype(np.float32), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    difference = (out.image[0, 0] - torch.from_numpy(remapped)).abs()[out.valid[0, 0]]
    # OpenCV rounds positions to 1/32 pixel.
    assert difference.max() < 0.04
    assert difference.mean() < 0.01


@pytest.mark.parametrize("k", [-0.12, 0.1])
@pytest.mark.parametrize("scale", [1.0, 0.3])
def test_warp_of_a_cut_bends_around_the_centre_of_the_photo(k: float, scale: float) -> None:
    """What a cut shows of the output is what the whole photo shows there."""
    image, coefficient = bent_image(k), torch.tensor([k], dtype=F64)
    shrunk = torch.diag(torch.tensor([scale, scale, 1.0], dtype=F64)) @ TILTED
    size = (int(SIZE[0] * scale), int(SIZE[1] * scale))
    whole = warp_homography(image, shrunk, size=size, distortion=coefficient)
    seen = torch.zeros_like(whole.valid)
    for left, top, right, bottom in ((0, 0, 130, 300), (250, 20, 400, 120), (180, 140, 230, 290)):
        shift = torch.eye(3, dtype=F64)
        shift[0, 2], shift[1, 2] = left, top
        part = warp_homography(
            image[..., top:bottom, left:right],
            shrunk @ shift,
            size=size,
            distortion=coefficient,
            photo_size=SIZE,
            photo_offset=(left, top),
        )
        assert part.valid.double().mean() > 0.03
        assert (whole.valid | ~part.valid).all()
        # Near its edges the cut repeats its border, and an average reaches beyond it.
        inner = F.max_pool2d(-F.pad(part.valid.double(), (2, 2, 2, 2)), 5, 1) < 0
        assert_close(part.image[inner], whole.image[inner], atol=1e-9)
        seen |= part.valid
    assert seen.double().mean() > 0.4


def test_warp_with_zero_distortion_is_the_plain_warp() -> None:
    image = torch.rand(2, 3, 40, 50, generator=generator("zero"))
    h = TILTED.float()
    plain, lens = warp_homography(image, h), warp_homography(image, h, distortion=torch.zeros(1))
    assert torch.equal(lens.valid, plain.valid)
    assert_close(lens.image, plain.image)


def test_warp_of_an_unknown_lens_is_invalid() -> None:
    image, h = torch.ones(3, 1, 10, 12), torch.eye(3)[None]
    out = warp_homography(image, h, distortion=torch.tensor([0.05, NAN, -0.05]))
    assert out.valid.flatten(1).any(1).tolist() == [True, False, True]
    assert (out.image[1] == 0).all()
    assert out.image.isfinite().all()


def test_warp_passes_gradients_to_the_lens() -> None:
    image = bent_image(0.05)[:, :, ::8, ::8].contiguous()
    k = torch.tensor([0.05], dtype=F64)

    def warp(x: Tensor, h: Tensor, c: Tensor) -> Tensor:
        return warp_homography(x, h, size=(6, 7), distortion=c, antialias=False).image

    shrunk = torch.diag(torch.tensor([0.213, 0.187, 1.0], dtype=F64))[None]
    shrunk[0, :2, 2] = 0.13  # no sample on a pixel, where bilinear interpolation has a kink
    inputs = (image.requires_grad_(), shrunk.requires_grad_(), k.requires_grad_())
    assert torch.autograd.gradcheck(warp, inputs, fast_mode=True)


def test_warp_compiles_with_a_lens(compile_backend: str) -> None:
    torch.compiler.reset()
    image, h, k = torch.rand(1, 1, 20, 30), TILTED.float(), torch.tensor([-0.1])
    compiled = torch.compile(
        lambda x, a, c: warp_homography(x, a, distortion=c).image, fullgraph=True, backend=compile_backend
    )
    assert_close(compiled(image, h, k), warp_homography(image, h, distortion=k).image, atol=1e-4)


def test_warp_checks_the_lens() -> None:
    image, h = torch.ones(2, 1, 10, 12), torch.eye(3)[None]
    with pytest.raises(ShapeError, match="must broadcast"):
        warp_homography(image, h, distortion=torch.zeros(3))
    with pytest.raises(DtypeError, match="floating point"):
        warp_homography(image, h, distortion=torch.zeros(2, dtype=torch.int64))
    with pytest.raises(OptionError, match=r"a positive size \(height, width\), got \(0, 12\)"):
        warp_homography(image, h, distortion=torch.zeros(2), photo_size=(0, 12))
    with pytest.raises(OptionError, match=r"photo_offset to be a position \(x, y\), got \(1,\)"):
        warp_homography(image, h, distortion=torch.zeros(2), photo_offset=(1,))
