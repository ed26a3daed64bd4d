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

from diar_ops import (
    DtypeError,
    OptionError,
    ShapeError,
    corner_error,
    homography_dlt,
    refine_homography,
    transform_points,
    warp_homography,
)
from tests.geometry.refine_scene import SIZE, error, moved_corners, pair, spoil, texture
from tests.harness import Call, OpTests, generator

NAN = float("nan")


class TestRefineHomography(OpTests):
    op = "refine_homography"
    infinite = "its accuracies are inf without success"
    module = "RefineHomography"
    free = ((2, 3), (2, 3), (0,))

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
            refined = refine_homography(one, other, start, levels=1, max_iterations=2)
            assert refined.success.all()
            return refined.homography

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
        refined = refine_homography(
            source.expand(sources, -1, -1, -1), destination.expand(destinations, -1, -1, -1), truth.expand(starts, 3, 3)
        )
        assert refined.homography.shape == (expected, 3, 3)
        assert refined.corner_sigma.shape == (expected, 4)
        assert refined.success.all()
        blocks = (SIZE[0] // 6) * (SIZE[1] // 6)
        assert refined.matches.points0.shape == (expected, blocks, 2)

    def test_cardinality_items_do_not_depend_on_each_other(self) -> None:
        one, two = pair("refine first"), pair("refine second")
        both = refine_homography(
            *(torch.cat((a, b)) for a, b in zip(one[:2], two[:2], strict=True)), torch.eye(3).double().expand(2, 3, 3)
        )
        alone = refine_homography(*two[:2], torch.eye(3).double()[None])
        torch.testing.assert_close(both.homography[1:], alone.homography, rtol=0, atol=1e-9)

    def test_cardinality_items_that_shrink_do_not_change_others(self) -> None:
        source = texture("refine shrink", 1, 3, 360, 360)
        shrink = torch.diag(torch.tensor([1 / 1.6, 1 / 1.6, 1.0], dtype=torch.float64))[None]
        destination = warp_homography(source, shrink, size=(220, 220)).image
        much = torch.diag(torch.tensor([0.3, 0.3, 1.0], dtype=torch.float64))[None]
        both = refine_homography(source, destination, torch.cat((shrink, much)), levels=1)
        for start, result in zip((shrink, much), both.homography, strict=True):
            alone = refine_homography(source, destination, start, levels=1)
            torch.testing.assert_close(result, alone.homography[0], rtol=0, atol=1e-9)

    def test_oracle_known_homography(self) -> None:
        source, destination, truth = pair("refine known")
        refined = refine_homography(source, destination, torch.eye(3).double()[None])
        assert refined.success
        assert error(refined, truth) < 0.02
        assert refined.agreement > 0.95
        assert refined.residual_scale < 0.05

    def test_oracle_ecc_of_opencv(self) -> None:
        """On a pair of equal light, OpenCV's maximisation of correlation ends at the same place."""
        source, destination, truth = pair("refine ecc", 3.0)
        grey = [(255 * x[0].mean(0)).numpy().astype(np.float32) for x in (destination, source)]
        ecc = np.eye(3, dtype=np.float32)
        stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 200, 1e-7)
        _, ecc = cv2.findTransformECC(*grey, ecc, cv2.MOTION_HOMOGRAPHY, stop, None, 1)
        theirs = torch.linalg.inv(torch.from_numpy(ecc).double())[None]
        refined = refine_homography(source, destination, torch.eye(3).double()[None])
        assert corner_error(theirs, truth, size=SIZE) < 0.1
        assert error(refined, theirs) < 0.1

    @pytest.mark.parametrize("name", ["light a", "light b", "light c"])
    def test_oracle_light_and_a_thing_in_front(self, name: str) -> None:
        source, destination, truth = pair(name, 8.0)
        refined = refine_homography(spoil(source, name), destination, torch.eye(3).double()[None])
        assert refined.success
        assert error(refined, truth) < 0.1
        assert 0.3 < refined.agreement < 0.95

    def test_oracle_matches_lie_on_the_homography(self) -> None:
        source, destination, truth = pair("refine matches", 6.0)
        refined = refine_homography(spoil(source, "m"), destination, torch.eye(3).double()[None])
        keep = refined.matches.valid[0]
        assert keep.sum() > 150
        landed = transform_points(refined.matches.points0, truth).points
        off = (landed - refined.matches.points1).norm(dim=-1)[0, keep]
        assert off.median() < 0.2  # of single blocks of 6 x 6 pixels, in noise
        # Where the thing stands, nothing agrees.
        there = refined.matches.points1[0, keep]
        hidden = transform_points(torch.tensor([[[120.0, 90.0]]], dtype=torch.float64), truth)
        assert (there - hidden.points[0]).norm(dim=-1).min() > 6

    def test_oracle_corner_sigma_tells_the_error(self) -> None:
        errors, sigmas = [], []
        for k in range(12):
            source, destination, truth = pair(f"sigma {k}", 3.0)
            refined = refine_homography(spoil(source, f"sigma {k}"), destination, truth)
            errors.append(error(refined, truth))
            sigmas.append(refined.corner_sigma.square().mean().sqrt())
        ratio = torch.stack(errors).median() / torch.stack(sigmas).median()
        assert 0.3 < ratio < 3

    @given(
        pixels=st.floats(0, 4),
        gamma=st.floats(0.6, 1.6),
        gain=st.floats(0.4, 1.0),
        veil=st.floats(0, 0.2),
        seed=st.integers(0, 99),
    )
    def test_property_never_worse(self, pixels: float, gamma: float, gain: float, veil: float, seed: int) -> None:
        source, destination, truth = pair(f"never worse {seed % 4}", 6.0)
        start = moved_corners(f"start {seed}", pixels) @ truth
        source = (gain * source.clamp_min(0) ** gamma + veil).clamp(0, 1)
        refined = refine_homography(source, destination, start)
        before = corner_error(start, truth, size=SIZE)
        assert error(refined, truth) <= before.clamp_min(0.05)

    @given(seed=st.integers(0, 50), scale=st.sampled_from([-3.0, 1e-4, 1e5]))
    def test_property_scale_of_the_homography_does_not_matter(self, seed: int, scale: float) -> None:
        source, destination, truth = pair(f"scaled {seed % 3}", 5.0)
        start = moved_corners(f"scaled start {seed}", 1.0) @ truth
        refined = refine_homography(source, destination, start, levels=1)
        again = refine_homography(source, destination, start * scale, levels=1)
        torch.testing.assert_close(refined.homography, again.homography, rtol=0, atol=1e-7)

    def test_property_both_directions_agree(self) -> None:
        source, destination, _ = pair("refine back", 6.0)
        forth = refine_homography(source, destination, torch.eye(3).double()[None])
        back = refine_homography(destination, source, torch.eye(3).double()[None])
        assert error(forth, torch.linalg.inv(back.homography)) < 0.05

    def test_nan_pixels_are_unknown(self) -> None:
        source, destination, truth = pair("refine nan", 4.0)
        source[:, 1, 20:50, 30:70] = NAN
        destination[..., 90:, :40] = torch.inf
        refined = refine_homography(source, destination, torch.eye(3).double()[None])
        assert refined.success
        assert error(refined, truth) < 0.05

    def test_nan_everywhere_keeps_the_start(self) -> None:
        source, destination, truth = pair("refine nan all", 4.0)
        start = torch.cat((truth, truth, truth * NAN, truth * 0, truth))
        source = source.repeat(5, 1, 1, 1)
        source[1] = NAN
        refined = refine_homography(source, destination, start)
        assert refined.success.tolist() == [True, False, False, False, True]
        torch.testing.assert_close(refined.homography[1], truth[0] / truth[0, 2, 2])
        assert torch.equal(refined.homography[2], torch.eye(3).double())
        assert torch.equal(refined.homography[3], torch.eye(3).double())
        assert refined.residual_scale[1:4].isinf().all()
        assert not refined.matches.valid[1:4].any()

    def test_nan_free_gradients_beside_failures(self) -> None:
        source, destination, truth = pair("refine gradients", 2.0)
        source = source.repeat(3, 1, 1, 1)
        source[1] = NAN
        source.requires_grad_()
        start = torch.cat((truth, truth, truth * NAN)).requires_grad_()
        refined = refine_homography(source, destination, start, levels=1, max_iterations=2)
        refined.homography.square().sum().backward()
        assert source.grad is not None
        assert source.grad.isfinite().all()
        assert start.grad is not None
        assert start.grad[:2].isfinite().all()
