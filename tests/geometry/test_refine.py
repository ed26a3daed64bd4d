"""refine_homography: hundredths of a pixel, whatever the light does and whatever hides."""

from __future__ import annotations

from typing import Any

import cv2
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
    RefinedHomography,
    ShapeError,
    corner_error,
    homography_dlt,
    refine_homography,
    transform_points,
    warp_homography,
)
from tests.harness import Call, OpTests, generator

NAN = float("nan")
SIZE = (120, 150)


def texture(name: str, *shape: int) -> Tensor:
    """Pictures with detail of every size, in [0.1, 0.9]."""
    seeded = generator(name)
    picture = torch.zeros(*shape, dtype=torch.float64)
    for cell in (4, 8, 16, 32):
        coarse = torch.rand(
            *shape[:-2], *(n // cell + 2 for n in shape[-2:]), generator=seeded, dtype=torch.float64
        )
        picture += F.interpolate(coarse, shape[-2:], mode="bicubic", align_corners=True)
    return 0.1 + 0.8 * (picture / 4).clamp(0, 1)


def moved_corners(name: str, pixels: float, count: int = 1) -> Tensor:
    """Homographies (count, 3, 3) that move each corner by about so many pixels."""
    right, bottom = SIZE[1] - 1.0, SIZE[0] - 1.0
    corners = torch.tensor([[0, 0], [right, 0], [right, bottom], [0, bottom]], dtype=torch.float64)
    angle = 6.2832 * torch.rand(count, 4, generator=generator(name), dtype=torch.float64)
    moves = pixels * torch.stack((angle.cos(), angle.sin()), -1)
    return homography_dlt(corners.expand(count, 4, 2), corners + moves)


def pair(name: str, pixels: float = 6.0) -> tuple[Tensor, Tensor, Tensor]:
    """Return source, destination (1, 3, h, w) and the true homography."""
    larger = texture(name, 1, 3, SIZE[0] + 60, SIZE[1] + 60)
    shift = torch.tensor([[1.0, 0, -30], [0, 1, -30], [0, 0, 1]], dtype=torch.float64)[None]
    truth = moved_corners(name + " truth", pixels)
    source = warp_homography(larger, torch.linalg.inv(truth) @ shift, size=SIZE, mode="bicubic")
    destination = warp_homography(larger, shift, size=SIZE, mode="bicubic")
    return source.image, destination.image, truth


def spoil(image: Tensor, name: str) -> Tensor:
    """Shade it, darken it, cast a shadow, glare, and put a thing in front of a fifth of it."""
    seeded = generator(name)
    h, w = image.shape[-2:]
    ramp = torch.linspace(0.5, 1.1, w, dtype=image.dtype)
    image = image * ramp + 0.05
    image[..., : h // 3, w // 2 :] *= 0.5
    image[..., h // 2 : h // 2 + 12, 10:30] = 1.0
    thing = texture(name + " thing", 1, 3, h // 2, w * 2 // 5)
    image[..., h // 2 :, w * 3 // 5 :] = thing
    noise = torch.randn(image.shape, generator=seeded, dtype=image.dtype)
    return (image + 0.004 * noise).clamp(0, 1)


def error(found: RefinedHomography, truth: Tensor) -> Tensor:
    return corner_error(found.homography, truth, size=SIZE)


class TestRefineHomography(OpTests):
    op = "refine_homography"
    module = "RefineHomography"

    def call(self, device: torch.device, dtype: torch.dtype) -> Call:
        source, destination, truth = pair("refine call", 4.0)
        start = moved_corners("refine start", 1.0, 2) @ truth
        args = (source.to(device, dtype), destination.to(device, dtype), start.to(device, dtype))
        return Call(args, {"levels": 1, "max_iterations": 3})

    def gradcheck_call(self, device: torch.device) -> tuple[Any, tuple[Tensor, ...]]:
        source, destination, truth = (x.to(device) for x in pair("refine gradcheck", 2.0))
        parts = [texture(f"gradcheck {k}", 1, 1, *SIZE).to(device) for k in range(2)]
        small = (..., slice(40, 80), slice(40, 82))
        shift = torch.tensor([[1.0, 0, 40], [0, 1, 40], [0, 0, 1]]).to(truth)
        truth = torch.linalg.inv(shift) @ truth @ shift
        corners = torch.tensor([[[0, 0], [41, 0], [41, 39], [0, 39]]]).to(truth)

        def refine(shares: Tensor, moves: Tensor) -> Tensor:
            """Thousands of pixels move by a few numbers: differences need a call for each."""
            start = homography_dlt(corners, corners + moves) @ truth
            one = source[small] + shares[0] * parts[0][small]
            other = destination[small] + shares[1] * parts[1][small]
            found = refine_homography(one, other, start, levels=1, max_iterations=2)
            assert found.success.all()
            return found.homography

        shares = torch.tensor([0.01, 0.02], dtype=torch.float64, device=device)
        moves = 0.3 * torch.rand(1, 4, 2, generator=generator("moves"), dtype=torch.float64)
        return refine, (shares.requires_grad_(), moves.to(device).requires_grad_())

    def test_exception(self) -> None:
        image, eye = torch.rand(2, 3, 40, 50), torch.eye(3).expand(2, 3, 3)
        with pytest.raises(ShapeError, match="image_dst must have shape"):
            refine_homography(image, image[0], eye)
        with pytest.raises(ShapeError, match="with C = 3"):
            refine_homography(image, image[:, :1], eye)
        with pytest.raises(ShapeError, match="must broadcast, got"):
            refine_homography(image, image, torch.eye(3).expand(3, 3, 3))
        with pytest.raises(ShapeError, match="image_src must have at least 18 x 18 pixels"):
            refine_homography(image[..., :17], image, eye)
        with pytest.raises(DtypeError, match="floating point, got"):
            refine_homography(image.byte(), image, eye)
        with pytest.raises(DtypeError, match="valid_dst must be bool"):
            refine_homography(image, image, eye, valid_dst=image[:, :1])
        with pytest.raises(OptionError, match="levels >= 1"):
            refine_homography(image, image, eye, levels=0)
        with pytest.raises(OptionError, match="levels that leave 6 pixels of 40"):
            refine_homography(image, image, eye, levels=4)
        with pytest.raises(OptionError, match="max_iterations >= 0"):
            refine_homography(image, image, eye, max_iterations=-1)

    @pytest.mark.parametrize(
        ("sources", "destinations", "starts", "expected"),
        [(1, 1, 1, 1), (3, 1, 1, 3), (1, 1, 3, 3), (1, 3, 3, 3), (0, 1, 0, 0), (0, 0, 0, 0)],
    )
    def test_cardinality(self, sources: int, destinations: int, starts: int, expected: int) -> None:
        source, destination, truth = pair("refine sizes", 3.0)
        found = refine_homography(
            source.expand(sources, -1, -1, -1),
            destination.expand(destinations, -1, -1, -1),
            truth.expand(starts, 3, 3),
        )
        assert found.homography.shape == (expected, 3, 3)
        assert found.corner_sigma.shape == (expected, 4)
        assert found.success.all()
        blocks = (SIZE[0] // 6) * (SIZE[1] // 6)
        assert found.matches.points0.shape == (expected, blocks, 2)

    def test_cardinality_items_do_not_depend_on_each_other(self) -> None:
        one, two = pair("refine first"), pair("refine second")
        both = refine_homography(
            *(torch.cat((a, b)) for a, b in zip(one[:2], two[:2], strict=True)),
            torch.eye(3).double().expand(2, 3, 3),
        )
        alone = refine_homography(*two[:2], torch.eye(3).double()[None])
        torch.testing.assert_close(both.homography[1:], alone.homography, rtol=0, atol=1e-9)

    def test_cardinality_items_that_shrink_do_not_change_others(self) -> None:
        source = texture("refine shrink", 1, 3, 360, 360)
        shrink = torch.diag(torch.tensor([1 / 1.6, 1 / 1.6, 1.0], dtype=torch.float64))[None]
        destination = warp_homography(source, shrink, size=(220, 220)).image
        much = torch.diag(torch.tensor([0.3, 0.3, 1.0], dtype=torch.float64))[None]
        both = refine_homography(source, destination, torch.cat((shrink, much)), levels=1)
        for start, found in zip((shrink, much), both.homography, strict=True):
            alone = refine_homography(source, destination, start, levels=1)
            torch.testing.assert_close(found, alone.homography[0], rtol=0, atol=1e-9)

    def test_oracle_known_homography(self) -> None:
        source, destination, truth = pair("refine known")
        found = refine_homography(source, destination, torch.eye(3).double()[None])
        assert found.success
        assert error(found, truth) < 0.02
        assert found.agreement > 0.95
        assert found.residual_scale < 0.05

    def test_oracle_ecc_of_opencv(self) -> None:
        """On a pair of equal light, OpenCV's maximisation of correlation ends at the same place."""
        source, destination, truth = pair("refine ecc", 3.0)
        grey = [(255 * x[0].mean(0)).numpy().astype(np.float32) for x in (destination, source)]
        ecc = np.eye(3, dtype=np.float32)
        stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 200, 1e-7)
        _, ecc = cv2.findTransformECC(*grey, ecc, cv2.MOTION_HOMOGRAPHY, stop, None, 1)
        theirs = torch.linalg.inv(torch.from_numpy(ecc).double())[None]
        found = refine_homography(source, destination, torch.eye(3).double()[None])
        assert corner_error(theirs, truth, size=SIZE) < 0.1
        assert error(found, theirs) < 0.1

    @pytest.mark.parametrize("name", ["light a", "light b", "light c"])
    def test_oracle_light_and_a_thing_in_front(self, name: str) -> None:
        source, destination, truth = pair(name, 8.0)
        found = refine_homography(spoil(source, name), destination, torch.eye(3).double()[None])
        assert found.success
        assert error(found, truth) < 0.1
        assert 0.3 < found.agreement < 0.95

    def test_oracle_matches_lie_on_the_homography(self) -> None:
        source, destination, truth = pair("refine matches", 6.0)
        found = refine_homography(spoil(source, "m"), destination, torch.eye(3).double()[None])
        keep = found.matches.valid[0]
        assert keep.sum() > 150
        landed = transform_points(found.matches.points0, truth).points
        off = (landed - found.matches.points1).norm(dim=-1)[0, keep]
        assert off.median() < 0.2  # of single blocks of 6 x 6 pixels, in noise
        # Where the thing stands, nothing agrees.
        there = found.matches.points1[0, keep]
        hidden = transform_points(torch.tensor([[[120.0, 90.0]]], dtype=torch.float64), truth)
        assert (there - hidden.points[0]).norm(dim=-1).min() > 6

    def test_oracle_corner_sigma_tells_the_error(self) -> None:
        errors, sigmas = [], []
        for k in range(12):
            source, destination, truth = pair(f"sigma {k}", 3.0)
            found = refine_homography(spoil(source, f"sigma {k}"), destination, truth)
            errors.append(error(found, truth))
            sigmas.append(found.corner_sigma.square().mean().sqrt())
        ratio = torch.stack(errors).median() / torch.stack(sigmas).median()
        assert 0.3 < ratio < 3

    @given(
        pixels=st.floats(0, 4),
        gamma=st.floats(0.6, 1.6),
        gain=st.floats(0.4, 1.0),
        veil=st.floats(0, 0.2),
        seed=st.integers(0, 99),
    )
    def test_property_never_worse(
        self, pixels: float, gamma: float, gain: float, veil: float, seed: int
    ) -> None:
        source, destination, truth = pair(f"never worse {seed % 4}", 6.0)
        start = moved_corners(f"start {seed}", pixels) @ truth
        source = (gain * source.clamp_min(0) ** gamma + veil).clamp(0, 1)
        found = refine_homography(source, destination, start)
        before = corner_error(start, truth, size=SIZE)
        assert error(found, truth) <= before.clamp_min(0.05)

    @given(seed=st.integers(0, 50), scale=st.sampled_from([-3.0, 1e-4, 1e5]))
    def test_property_scale_of_the_homography_does_not_matter(
        self, seed: int, scale: float
    ) -> None:
        source, destination, truth = pair(f"scaled {seed % 3}", 5.0)
        start = moved_corners(f"scaled start {seed}", 1.0) @ truth
        found = refine_homography(source, destination, start, levels=1)
        again = refine_homography(source, destination, start * scale, levels=1)
        torch.testing.assert_close(found.homography, again.homography, rtol=0, atol=1e-7)

    def test_property_both_directions_agree(self) -> None:
        source, destination, _ = pair("refine back", 6.0)
        forth = refine_homography(source, destination, torch.eye(3).double()[None])
        back = refine_homography(destination, source, torch.eye(3).double()[None])
        assert error(forth, torch.linalg.inv(back.homography)) < 0.05

    def test_nan_pixels_are_unknown(self) -> None:
        source, destination, truth = pair("refine nan", 4.0)
        source[:, 1, 20:50, 30:70] = NAN
        destination[..., 90:, :40] = torch.inf
        found = refine_homography(source, destination, torch.eye(3).double()[None])
        assert found.success
        assert error(found, truth) < 0.05

    def test_nan_everywhere_keeps_the_start(self) -> None:
        source, destination, truth = pair("refine nan all", 4.0)
        start = torch.cat((truth, truth, truth * NAN, truth * 0, truth))
        source = source.repeat(5, 1, 1, 1)
        source[1] = NAN
        found = refine_homography(source, destination, start)
        assert found.success.tolist() == [True, False, False, False, True]
        torch.testing.assert_close(found.homography[1], truth[0] / truth[0, 2, 2])
        assert torch.equal(found.homography[2], torch.eye(3).double())
        assert torch.equal(found.homography[3], torch.eye(3).double())
        assert found.residual_scale[1:4].isinf().all()
        assert not found.matches.valid[1:4].any()

    def test_nan_free_gradients_beside_failures(self) -> None:
        source, destination, truth = pair("refine gradients", 2.0)
        source = source.repeat(3, 1, 1, 1)
        source[1] = NAN
        source.requires_grad_()
        start = torch.cat((truth, truth, truth * NAN)).requires_grad_()
        found = refine_homography(source, destination, start, levels=1, max_iterations=2)
        found.homography.square().sum().backward()
        assert source.grad is not None
        assert source.grad.isfinite().all()
        assert start.grad is not None
        assert start.grad[:2].isfinite().all()


def test_unrelated_pictures_do_not_agree() -> None:
    one, two = texture("refine one", 1, 3, *SIZE), texture("refine two", 1, 3, *SIZE)
    found = refine_homography(one, two, moved_corners("nowhere", 3.0, 6))
    assert (found.agreement < 0.1).all()


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_flat_pictures_say_nothing(level: float) -> None:
    flat, picture = torch.full((1, 3, *SIZE), level), texture("beside flat", 1, 3, *SIZE).float()
    start = moved_corners("flat start", 2.0).float()
    for pair_of in ((flat, picture), (picture, flat), (flat, flat)):
        found = refine_homography(*pair_of, start)
        assert not found.success
        torch.testing.assert_close(found.homography, start / start[:, 2:, 2:])


def test_a_small_source_in_a_large_destination() -> None:
    source, destination, truth = pair("refine small", 2.0)
    small = F.interpolate(source, (30, 38), mode="area")
    sy, sx = SIZE[0] / 30, SIZE[1] / 38
    grow = torch.tensor([[sx, 0, sx / 2 - 0.5], [0, sy, sy / 2 - 0.5], [0, 0, 1]]).double()
    large = F.interpolate(destination, scale_factor=4, mode="bicubic").clamp(0, 1)
    four = torch.tensor([[4, 0, 1.5], [0, 4, 1.5], [0, 0, 1]], dtype=torch.float64)
    found = refine_homography(small, large, four @ truth @ grow)
    assert found.homography.isfinite().all()


def test_masks_keep_pixels_out() -> None:
    source, destination, truth = pair("refine masks", 4.0)
    spoiled = source.clone()
    spoiled[..., 40:] = texture("something else", 1, 3, *SIZE)[..., 40:]
    valid = torch.ones(1, 1, *SIZE, dtype=torch.bool)
    valid[..., 40:] = False
    found = refine_homography(spoiled, destination, truth, valid, levels=1)
    assert found.success
    assert found.agreement > 0.8
    assert not found.matches.points0[0, found.matches.valid[0], 0].gt(40).any()


def test_other_features_can_be_compared() -> None:
    source, destination, truth = pair("refine features", 3.0)

    def colours(image: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        return (image - 0.5) / 0.2, valid

    found = refine_homography(source, destination, torch.eye(3).double()[None], features=colours)
    assert error(found, truth) < 0.05


def test_photos_of_other_sizes() -> None:
    source, destination, truth = pair("refine other sizes", 4.0)
    twice = F.interpolate(source, scale_factor=2, mode="bicubic").clamp(0, 1)
    shrink = torch.tensor([[0.5, 0, -0.25], [0, 0.5, -0.25], [0, 0, 1]], dtype=torch.float64)
    found = refine_homography(twice, destination, (moved_corners("b", 2.0) @ truth @ shrink))
    off = corner_error(found.homography, truth @ shrink, size=(2 * SIZE[0], 2 * SIZE[1]))
    assert off < 0.1
