"""rpca_aggregate against inexact ALM with NumPy's SVD, known splits, and the contract."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import diar_ops.aggregate._rpca.alm as alm
from diar_ops import OptionError, mean_aggregate, median_aggregate, rpca_aggregate
from tests.aggregate.contract import ContractTests, frames
from tests.harness import Call, assert_close, generator


def plain_alm(D: np.ndarray, sparsity: float, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
    """Return L and S of algorithm 5 of arXiv:1009.5055, word for word, with full SVDs."""
    norm = np.linalg.norm(D, 2)
    Y = D / max(norm, np.abs(D).max() / sparsity)
    L, mu, largest = np.zeros_like(D), 1.25 / norm, 1.25e7 / norm
    while True:
        X = D - L + Y / mu
        S = np.sign(X) * np.maximum(np.abs(X) - sparsity / mu, 0)
        U, values, Vt = np.linalg.svd(D - S + Y / mu, full_matrices=False)
        L = (U * np.maximum(values - 1 / mu, 0)) @ Vt
        rest = D - L - S
        Y = Y + mu * rest
        mu = min(1.5 * mu, largest)
        if np.linalg.norm(rest) <= tolerance * np.linalg.norm(D):
            return L, S


def spoiled(share: float, size: int = 32) -> tuple[Tensor, Tensor, Tensor]:
    """Return frames, the same without what is sparse (a picture times gains), and where it is."""
    rng = generator("rpca spoiled")
    picture = 0.2 + 0.6 * torch.rand(1, 1, 3, size, size, generator=rng, dtype=torch.float64)
    gains = 0.6 + 0.6 * torch.rand(1, 12, 1, 1, 1, generator=rng, dtype=torch.float64)
    clean = picture * gains
    # At most two frames are spoiled at a pixel: no method can know which half of a split is right.
    order = torch.rand(1, 12, 1, size, size, generator=rng).argsort(1)
    spots = (order < 2) & (torch.rand(1, 12, 1, size, size, generator=rng) < 6 * share)
    dirt = torch.rand(clean.shape, generator=rng, dtype=torch.float64)
    return torch.where(spots, dirt, clean), clean, spots


def objective(L: Tensor, S: Tensor, sparsity: float) -> float:
    return float(torch.linalg.svdvals(L.flatten(1)).sum() + sparsity * S.abs().sum())


class TestRPCAAggregate(ContractTests):
    op = "rpca_aggregate"
    module = "RPCAAggregate"
    waits = 10  # one in eight of at most 80 iterations
    exempt = {"gradcheck": "an iteration of unknown length is not differentiated; documented"}
    #: The order of additions changes the last digits, and an iteration carries them on.
    rounding = (1e-8, 1e-9)

    def call(self, device: torch.device, dtype: torch.dtype) -> Call:
        features, valid = frames("rpca call", 2, 5, 3, 5, 6)
        options = {"tolerance": 1e-6, "max_iterations": 80, "return_low_rank": True}
        return Call((features.to(device, dtype), valid.to(device)), options)

    def test_exception(self) -> None:
        features, _ = frames("rpca errors", 1, 3, 2, 4, 4)
        with pytest.raises(OptionError, match="sparsity > 0 or None, got 0"):
            rpca_aggregate(features, sparsity=0)
        with pytest.raises(OptionError, match="tolerance > 0, got -1"):
            rpca_aggregate(features, tolerance=-1)
        with pytest.raises(OptionError, match="max_iterations >= 1, got 0"):
            rpca_aggregate(features, max_iterations=0)

    @pytest.mark.parametrize("tolerance", [1e-5, 1e-7])
    @pytest.mark.parametrize("kind", ["random", "spoiled", "exact rank one", "huge", "tiny"])
    def test_oracle_numpy(self, kind: str, tolerance: float, dtype: torch.dtype) -> None:
        features, clean, _ = spoiled(0.05)
        if kind == "random":
            features = torch.rand(features.shape, generator=generator("rpca"), dtype=torch.float64)
        elif kind == "exact rank one":
            features = clean
        scale = {"huge": 1e12, "tiny": 1e-12}.get(kind, 1.0)
        features = (features * scale).to(dtype)
        columns = features[0].flatten(1).T.double().numpy()
        expected, _ = plain_alm(columns, 1 / math.sqrt(columns.shape[0]), tolerance)
        image, low_rank = rpca_aggregate(features, tolerance=tolerance, return_low_rank=True)
        # The iteration that finds the end has been done: both are off the limit by the tolerance.
        bound = 50 * tolerance + 1e-6
        assert_close(low_rank[0].flatten(1).T / scale, expected / scale, rtol=0, atol=bound)
        assert_close(image, low_rank.mean(1), rtol=1e-5, atol=1e-6 * scale)

    def test_oracle_known_split(self, dtype: torch.dtype) -> None:
        features, clean, _ = spoiled(0.05)
        image, low_rank = rpca_aggregate(features.to(dtype), tolerance=1e-7, return_low_rank=True)
        error = (low_rank - clean).abs()
        assert error.median() < 1e-3
        assert error.square().mean().sqrt() < 0.01
        assert (features - clean).square().mean().sqrt() > 0.05
        truth = clean.mean(1)
        before = (mean_aggregate(features) - truth).square().mean()
        assert (image - truth).square().mean() < 0.1 * before

    def test_oracle_missing_entries_are_completed(self, dtype: torch.dtype) -> None:
        features, clean, spots = spoiled(0.05)
        holed = features.masked_fill(spots, torch.nan).to(dtype)
        image, low_rank = rpca_aggregate(holed, tolerance=1e-7, return_low_rank=True)
        assert (low_rank - clean).square().mean().sqrt() < 2e-3
        count = (~spots).sum(1)
        expected = torch.where(spots, 0, low_rank.double()).sum(1) / count
        assert_close(image, expected, rtol=1e-5, atol=1e-6)

    def test_oracle_no_feasible_split_is_better(self) -> None:
        """Inexact ALM ends near the optimum of the convex problem, with gaps, too."""
        features, _, _ = spoiled(0.05, size=16)
        sparsity = 1 / math.sqrt(3 * 16 * 16)
        seen = torch.rand(1, 12, 1, 16, 16, generator=generator("rpca gaps")) < 0.8
        for mask in (None, seen):
            _, L = rpca_aggregate(features, mask, tolerance=1e-9, return_low_rank=True)
            counted = torch.ones_like(features) if mask is None else mask.expand_as(features)
            S = (features - L) * counted
            best = objective(L[0], S[0], sparsity)
            for other in (features, torch.zeros_like(L), L * 0.99, L * 1.01, median_frames(L)):
                assert objective(other[0], ((features - other) * counted)[0], sparsity) > best
            for seed in range(3):
                noise = torch.rand(L.shape, generator=generator(f"nudge {seed}"), dtype=L.dtype)
                other = L + 0.01 * (noise - 0.5)
                assert objective(other[0], ((features - other) * counted)[0], sparsity) > best

    @given(st.floats(1e-3, 1e3))
    def test_property_follows_a_gain(self, gain: float) -> None:
        features, valid = frames("rpca gain", 1, 5, 2, 4, 4)
        expected = rpca_aggregate(features, valid) * gain
        assert_close(rpca_aggregate(features * gain, valid), expected, rtol=1e-7, atol=1e-8)

    def test_property_chunks_do_not_show(self, monkeypatch: pytest.MonkeyPatch) -> None:
        features, valid = frames("rpca chunks", 2, 5, 3, 7, 9)
        expected = [rpca_aggregate(features, mask) for mask in (None, valid)]
        monkeypatch.setattr(alm, "CHUNK_ELEMENTS", 5 * 3 * 10)  # 63 pixels: the last has three
        for mask, wanted in zip((None, valid), expected, strict=True):
            assert_close(rpca_aggregate(features, mask), wanted, rtol=1e-8, atol=1e-9)

    def test_property_a_batch_at_once_is_the_same(self) -> None:
        """A GPU solves all items together, each until it is finished."""
        features, valid = frames("rpca batch", 3, 5, 3, 6, 7)
        features[1] *= 1e-4
        features[2] = features[2, :1]  # rank one: finished earlier
        for mask in (None, valid.flatten(3)):
            data = features.flatten(3) if mask is None else features.flatten(3) * mask
            one_by_one = alm.low_rank_part(data, mask, 0.1, 1e-6, 100)
            together = alm._solve(data, mask, 0.1, 1e-6, 100)
            assert_close(together, one_by_one, rtol=1e-8, atol=1e-9)

    def test_property_iterations_end(self) -> None:
        features, _, _ = spoiled(0.05)
        _, few = rpca_aggregate(features, max_iterations=3, return_low_rank=True)
        _, more = rpca_aggregate(features, max_iterations=4, return_low_rank=True)
        assert not torch.equal(few, more)
        _, end = rpca_aggregate(features, tolerance=1e-30, max_iterations=60, return_low_rank=True)
        _, wanted = rpca_aggregate(features, tolerance=1e-9, return_low_rank=True)
        assert_close(end, wanted, rtol=0, atol=1e-7)

    def test_nan_spoiled_frame_does_not_count(self) -> None:
        features, _, _ = spoiled(0.05)
        features[:, 3] = torch.nan
        image, low_rank = rpca_aggregate(features, return_low_rank=True)
        rest = [t for t in range(12) if t != 3]
        assert low_rank[:, 3].eq(0).all()
        valid = torch.ones(1, 11, 1, 32, 32, dtype=torch.bool)
        valid[0, 0, 0, 0, 0] = False  # so that both solve a problem with gaps
        features[:, 0, :, 0, 0] = torch.nan
        expected = rpca_aggregate(features[:, rest], valid)
        assert_close(rpca_aggregate(features), expected, rtol=1e-8, atol=1e-9)
        assert image.isfinite().all()

    def test_nan_everywhere_but_in_one_frame(self) -> None:
        features, _, _ = spoiled(0.05)
        features[:, 1:] = torch.nan
        assert torch.equal(rpca_aggregate(features), features[:, 0])


def median_frames(L: Tensor) -> Tensor:
    return median_aggregate(L).unsqueeze(1).expand_as(L)


def test_constant_and_black_frames() -> None:
    for value in (0.0, 0.5):
        features: Any = torch.full((1, 4, 3, 8, 8), value)
        assert_close(rpca_aggregate(features), features[:, 0])
