"""Where a warp shrinks, it averages."""

from __future__ import annotations

import cv2
import pytest
import torch

from diar_ops import warp_homography
from tests.geometry.warp_scene import NAN, homography, scaling, smooth
from tests.harness import assert_close

CHECKERBOARD = torch.zeros(1, 1, 128, 160).double()


CHECKERBOARD[..., ::2, ::2] = 1


@pytest.mark.parametrize("factor", [2.0, 3.0, 4.0, 5.3, 8.0, 16.0])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_checkerboard_shrinks_to_its_mean(factor: float, mode: str) -> None:
    size = (int(128 / factor), int(160 / factor))
    out = warp_homography(CHECKERBOARD, scaling(1 / factor), size=size, mode=mode)
    assert out.valid.all()
    # 3 is odd: the exact mean of a 3 x 3 block of the board is between 1 and 4 ninths.
    deviation = 4 / 9 - 0.25 + 1e-9 if factor == 3 else 0.02
    assert (out.image - 0.25).abs().max() < deviation
    assert abs(out.image.mean() - 0.25) < 0.01


@pytest.mark.parametrize("phase", [0.0, 0.3, 0.5])
def test_checkerboard_at_any_phase(phase: float) -> None:
    h = homography([[0.25, 0, phase], [0, 0.25, phase], [0, 0, 1]])
    out = warp_homography(CHECKERBOARD, h, size=(32, 40))
    inner = out.image[..., 2:-2, 2:-2]
    assert (inner - 0.25).abs().max() < 0.02
    aliased = warp_homography(CHECKERBOARD, h, size=(32, 40), antialias=False)
    assert (aliased.image[..., 2:-2, 2:-2] - 0.25).abs().max() > 0.1


def test_shrink_along_one_axis_keeps_the_other_sharp() -> None:
    stripes = torch.zeros(1, 1, 64, 64).double()
    stripes[..., ::2, :] = 1
    out = warp_homography(stripes, scaling(0.25, 1.0), size=(64, 16))
    assert_close(out.image, stripes[..., :16])
    out = warp_homography(stripes.mT, scaling(0.25, 1.0), size=(64, 16))
    assert_close(out.image, torch.full((1, 1, 64, 16), 0.5))


def test_shrink_equals_area_averages() -> None:
    """Integer shrinks of smooth images: OpenCV's INTER_AREA."""
    image = smooth("area", 1, 1, 96, 96)
    for factor in (2, 3, 4, 6, 8):
        side = 96 // factor
        out = warp_homography(image, scaling(1 / factor), size=(side, side))
        expected = cv2.resize(image[0, 0].numpy(), (side, side), interpolation=cv2.INTER_AREA)
        assert_close(out.image[0, 0], expected, rtol=0, atol=2e-3)


def test_perspective_shrink_varies_over_the_image() -> None:
    h = homography([[1, 0, 0], [0, 1, 0], [0.03, 0, 1]])  # x_dst -> 33: ever stronger shrink
    out = warp_homography(CHECKERBOARD, h, size=(20, 30))
    assert out.valid[..., :27].all()
    assert_close(out.image[0, 0, 0, 0], 1.0)
    far = out.image[0, 0, 1:15, 18:26]
    assert (far - 0.25).abs().max() < 0.1
    assert abs(far.mean() - 0.25) < 0.02
    bounded = warp_homography(CHECKERBOARD, h, size=(20, 30), max_shrink=40)
    assert_close(bounded.image, out.image)


def test_max_shrink_is_a_promise() -> None:
    shrink = scaling(0.25)
    free = warp_homography(CHECKERBOARD, shrink, size=(32, 40))
    kept = warp_homography(CHECKERBOARD, shrink, size=(32, 40), max_shrink=4.0)
    assert_close(kept.image, free.image)
    none = warp_homography(CHECKERBOARD, shrink, size=(32, 40), max_shrink=1.0)
    plain = warp_homography(CHECKERBOARD, shrink, size=(32, 40), antialias=False)
    assert torch.equal(none.image, plain.image)


def test_compile_without_a_promise_assumes_a_shrink_of_four(compile_backend: str) -> None:
    torch.compiler.reset()
    image = CHECKERBOARD.float().clone()
    image[0, 0, 3, 5] = NAN
    mask = torch.ones(1, 1, 128, 160, dtype=torch.bool)
    mask[..., 100:, :] = False
    compiled = torch.compile(warp_homography, fullgraph=True, backend=compile_backend)
    for factor in (1.0, 0.5, 0.25):
        h = scaling(factor).float()
        expected, actual = (f(image, h, mask) for f in (warp_homography, compiled))
        assert_close(actual.image, expected.image)
        assert torch.equal(actual.valid, expected.valid)


def test_pixels_survive_a_shrink() -> None:
    image = torch.rand(1, 1, 64, 64)
    image[..., 20, 20] = NAN
    out = warp_homography(image, scaling(1 / 8).float(), size=(8, 8))
    assert out.image.isfinite().all()
    assert not out.valid[0, 0, 2, 2]
    assert out.valid.sum() >= 8 * 8 - 4
