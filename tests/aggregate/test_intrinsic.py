"""intrinsic_aggregate against dense least squares and SciPy, known pictures, and the contract."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.fft
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from diar_ops import OptionError, intrinsic_aggregate
from diar_ops.aggregate._intrinsic.poisson import divergence, solve_poisson
from tests.aggregate.contract import DifferentiableTests, frames
from tests.harness import Call, assert_close, generator


def lit(height: int = 24, width: int = 31, count: int = 7) -> tuple[Tensor, Tensor]:
    """Return frames of a picture (1, 3, H, W), each with a bright bar of its own, and it."""
    rng = generator("intrinsic lit")
    picture = 0.2 + 0.6 * torch.rand(1, 3, height, width, generator=rng, dtype=torch.float64)
    light = torch.ones(1, count, 1, height, width, dtype=torch.float64)
    for t in range(count):  # no two frames share an edge of their bars
        light[0, t, :, :, 3 * t : 3 * t + 5] = 0.3
        light[0, t, :, 2 * t : 2 * t + 7] *= 2.5
    return picture.unsqueeze(1) * light, picture


def dense(across: Tensor, down: Tensor, weights: tuple[Tensor, Tensor]) -> np.ndarray:
    """Return the least squares integral (H, W) of mean 0 by a pseudo-inverse."""
    H, W = down.shape[0] + 1, across.shape[1] + 1
    at = np.arange(H * W).reshape(H, W)
    pairs = [(at[:, :-1], at[:, 1:]), (at[:-1], at[1:])]
    rows, right = [], []
    for (first, second), values, weight in zip(pairs, (across, down), weights, strict=True):
        root = np.sqrt(weight.numpy().ravel())
        block = np.zeros((first.size, H * W))
        block[np.arange(first.size), first.ravel()] = -root
        block[np.arange(first.size), second.ravel()] = root
        rows.append(block)
        right.append(root * values.numpy().ravel())
    return (np.linalg.pinv(np.concatenate(rows)) @ np.concatenate(right)).reshape(H, W)


class TestIntrinsicAggregate(DifferentiableTests):
    op = "intrinsic_aggregate"
    module = "IntrinsicAggregate"
    rounding = (1e-9, 1e-10)

    def call(self, device: torch.device, dtype: torch.dtype) -> Call:
        features, valid = frames("intrinsic call", 2, 5, 3, 5, 6)
        return Call((features.to(device, dtype), valid.to(device)), {"floor": 0.01})

    def gradcheck_call(self, device: torch.device) -> tuple[Any, tuple[Tensor, ...]]:
        features, valid = frames("intrinsic gradcheck", 1, 3, 2, 3, 4)
        valid[0, :, 0, 1, 1] = False
        valid[0, :, 0, :, 3] = False
        valid[0, 2, 0, 0, 3] = True
        features = (0.2 + features).to(device).requires_grad_()
        valid = valid.to(device)
        return lambda f: (intrinsic_aggregate(f, valid), intrinsic_aggregate(f)), (features,)

    def test_exception(self) -> None:
        features, _ = frames("intrinsic errors", 1, 3, 2, 4, 4)
        with pytest.raises(OptionError, match="a positive floor, got 0"):
            intrinsic_aggregate(features, floor=0)

    @pytest.mark.parametrize("size", [(1, 1), (1, 6), (5, 1), (2, 3), (4, 8), (7, 7)])
    def test_cardinality_of_any_size(self, size: tuple[int, int]) -> None:
        features, valid = frames("intrinsic size", 2, 4, 3, *size)
        out = intrinsic_aggregate(features, valid)
        assert out.shape == (2, 3, *size)
        single = (0.1 + features)[:, :1]
        assert_close(intrinsic_aggregate(single), single[:, 0])

    def test_oracle_sparse_light_is_removed_exactly(self, dtype: torch.dtype) -> None:
        features, picture = lit()
        ratio = intrinsic_aggregate(features.to(dtype)) / picture
        assert_close(ratio, ratio.mean((2, 3), keepdim=True).expand_as(ratio), rtol=1e-5)
        # The factor is the typical light of all frames and pixels.
        light = (features / picture.unsqueeze(1)).movedim(1, 2).flatten(2).median(2).values
        assert_close(ratio.mean((2, 3)), light, rtol=1e-5)

    def test_oracle_masked_frames_and_gaps(self, dtype: torch.dtype) -> None:
        features, picture = lit()
        valid = torch.rand(1, 7, 1, 24, 31, generator=generator("intrinsic gaps")) < 0.95
        valid[:, 0] = True
        valid[:, :, :, 8:11, 5:9] = False  # a hole that no frame covers
        clean = picture.unsqueeze(1).expand_as(features)
        ratio = intrinsic_aggregate(clean.to(dtype), valid) / picture
        covered = valid.any(1).expand_as(ratio)
        assert_close(ratio[covered], torch.ones_like(ratio[covered]), rtol=1e-4)
        assert ratio[~covered].eq(0).all()

    def test_oracle_parts_that_a_gap_separates_keep_their_step(self) -> None:
        _, picture = lit()
        features = picture.unsqueeze(1).repeat(1, 3, 1, 1, 1)
        valid = torch.ones(1, 3, 1, 24, 31, dtype=torch.bool)
        valid[..., 15] = False
        ratio = (intrinsic_aggregate(features, valid) / picture)[..., [0, 14, 16, 30]]
        assert_close(ratio, torch.ones_like(ratio), rtol=1e-3)

    @pytest.mark.parametrize("size", [(1, 5), (6, 1), (5, 8), (7, 7), (9, 4)])
    def test_oracle_dense_least_squares(self, size: tuple[int, int]) -> None:
        rng = generator("poisson dense")
        H, W = size
        across = torch.randn(1, 1, H, W - 1, generator=rng, dtype=torch.float64)
        down = torch.randn(1, 1, H - 1, W, generator=rng, dtype=torch.float64)
        ones = torch.ones_like(across[:, :1]), torch.ones_like(down[:, :1])
        expected = dense(across[0, 0], down[0, 0], tuple(w[0, 0] for w in ones))
        u = solve_poisson(divergence(across, down), None, None, 1e-12)
        assert_close(u[0, 0], expected)
        assert_close(solve_poisson(divergence(across, down), *ones, 1e-12), u)
        weights = tuple(torch.where(torch.rand(w.shape, generator=rng) < 0.3, 1e-3, w) for w in ones)
        right = divergence(weights[0] * across, weights[1] * down)
        u = solve_poisson(right, *weights, 1e-13)
        expected = dense(across[0, 0], down[0, 0], tuple(w[0, 0] for w in weights))
        assert_close(u[0, 0], expected, rtol=1e-7, atol=1e-8)

    @pytest.mark.parametrize("size", [(16, 24), (31, 17)])
    def test_oracle_scipy(self, size: tuple[int, int]) -> None:
        features, _ = frames("intrinsic scipy", 1, 5, 2, *size)
        features += 0.1
        log = np.log(features[0].numpy())
        x, y = np.median(np.diff(log, axis=3), axis=0), np.median(np.diff(log, axis=2), axis=0)
        pad = ((0, 0), (0, 0))
        right = np.pad(x, (*pad, (1, 0))) - np.pad(x, (*pad, (0, 1)))
        right += np.pad(y, (pad[0], (1, 0), pad[1])) - np.pad(y, (pad[0], (0, 1), pad[1]))
        waves = scipy.fft.dctn(right, axes=(1, 2))
        spectrum = sum(
            (2 - 2 * np.cos(np.pi * np.arange(n) / n)).reshape(shape)
            for n, shape in zip(size, ((-1, 1), (1, -1)), strict=True)
        )
        spectrum[0, 0] = np.inf
        picture = scipy.fft.idctn(waves / spectrum, axes=(1, 2))
        ratio = intrinsic_aggregate(features)[0].log() - torch.from_numpy(picture)
        assert_close(ratio, ratio.mean((1, 2), keepdim=True).expand_as(ratio))

    @given(st.floats(0.01, 100))
    def test_property_follows_a_gain(self, gain: float) -> None:
        features, valid = frames("intrinsic gain", 1, 5, 2, 4, 4)
        features += 0.1
        expected = intrinsic_aggregate(features, valid, floor=1e-6) * gain
        assert_close(intrinsic_aggregate(features * gain, valid, floor=1e-6), expected, rtol=1e-7)

    def test_property_gains_of_a_minority_of_frames_do_not_matter(self) -> None:
        features, _ = frames("intrinsic gains", 1, 7, 2, 6, 6)
        features = (0.1 + features[:, :1]).repeat(1, 7, 1, 1, 1)
        expected = intrinsic_aggregate(features)
        features[:, :3] *= torch.tensor([0.3, 2.0, 5.0]).view(3, 1, 1, 1)
        assert_close(intrinsic_aggregate(features, floor=1e-6), expected)

    def test_property_black_counts_as_the_floor(self) -> None:
        features, _ = frames("intrinsic black", 1, 4, 2, 5, 5)
        black = features.clone()
        black[:, :, :, 2, 2], features[:, :, :, 2, 2] = -1.0, 1 / 255
        assert torch.equal(intrinsic_aggregate(black), intrinsic_aggregate(features))

    def test_nan_hole_is_filled_smoothly_before_it_is_zeroed(self) -> None:
        """A hole must not bend what surrounds it."""
        features, picture = lit()
        features[..., 5:9, 6:12] = torch.nan
        out = intrinsic_aggregate(features) / picture
        seen = out[out > 0]
        assert_close(seen, seen.median().expand_as(seen), rtol=2e-3)
