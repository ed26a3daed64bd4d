"""Logits from the agreement of the frames."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diar_ops import DtypeError, OptionError, ShapeError, consensus_logits, median_aggregate, softmax_aggregate
from tests.harness import Call, OpTests, assert_close, generator


def features(dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.rand(2, 5, 3, 4, 6, generator=generator("consensus"), dtype=dtype)


class TestConsensusLogits(OpTests):
    op = "consensus_logits"
    module = "ConsensusLogits"

    def call(self, device: torch.device, dtype: torch.dtype) -> Call:
        valid = torch.ones(2, 5, 1, 4, 6, dtype=torch.bool, device=device)
        valid[0, 1] = False
        return Call((features(dtype).to(device), valid), {"sigma": 0.1})

    def gradcheck_call(self, device: torch.device):
        x = features()[:1, :, :, :2, :2].to(device).requires_grad_()
        return (lambda a: consensus_logits(a, sigma=0.5)), (x,)

    def test_exception(self) -> None:
        with pytest.raises(ShapeError, match="features"):
            consensus_logits(features()[0])
        with pytest.raises(ShapeError, match="valid"):
            consensus_logits(features(), torch.ones(2, 4, 1, 4, 6, dtype=torch.bool))
        with pytest.raises(DtypeError, match="floating"):
            consensus_logits(features().long())
        with pytest.raises(OptionError, match="sigma"):
            consensus_logits(features(), sigma=0.0)

    @pytest.mark.parametrize("shape", [(0, 3, 3, 4, 4), (2, 1, 3, 4, 4), (1, 2, 1, 1, 1)])
    def test_cardinality(self, shape: tuple[int, ...]) -> None:
        logits = consensus_logits(torch.rand(shape, generator=generator("consensus-size")))
        assert logits.shape == (shape[0], shape[1], 1, *shape[3:])
        if shape[1] == 1:
            assert (logits == 0).all()

    def test_oracle_numpy(self) -> None:
        x = features().numpy()
        median = np.median(x, axis=1, keepdims=True)
        expected = -((x - median) ** 2).mean(axis=2, keepdims=True) / (2 * 0.05**2)
        assert_close(consensus_logits(features(), sigma=0.05), torch.from_numpy(expected))

    @given(st.permutations(range(5)))
    def test_property_follows_a_permutation_of_the_frames(self, order: list[int]) -> None:
        x = features()
        assert_close(consensus_logits(x[:, order]), consensus_logits(x)[:, order])

    def test_property_outliers_lose_their_say(self) -> None:
        picture = torch.rand(1, 1, 3, 4, 6, generator=generator("consensus-picture"))
        noise = 0.01 * torch.randn(1, 5, 3, 4, 6, generator=generator("consensus-noise"))
        x = picture + noise
        x[0, 1] += 0.5
        x[0, 3] -= 0.4
        result = softmax_aggregate(x, consensus_logits(x))
        clean = (picture + noise)[:, [0, 2, 4]].mean(dim=1)
        assert (result - clean).abs().max() < 0.01
        error = (result - picture[:, 0]).square().mean()
        assert error < (median_aggregate(x) - picture[:, 0]).square().mean()

    def test_nan_and_invalid_pixels_do_not_count(self) -> None:
        x, valid = features(), torch.ones(2, 5, 1, 4, 6, dtype=torch.bool)
        x[0, 1, 0, 2, 3] = float("nan")
        x[1, 2, :, 1, 1] = 1e6
        valid[1, 2, :, 1, 1] = False
        logits = consensus_logits(x, valid)
        assert logits.isfinite().all()
        assert logits[0, 1, 0, 2, 3] == 0
        assert logits[1, 2, 0, 1, 1] == 0
        keep = [0, 1, 3, 4]
        assert_close(logits[1, keep, :, 1, 1], consensus_logits(x[1:, keep])[0, :, :, 1, 1])


def test_logits_stay_finite_in_half_precision() -> None:
    x = features(torch.float32).half() * 2
    logits = consensus_logits(x, sigma=1e-3)
    assert logits.isfinite().all()
    assert (softmax_aggregate(x, logits) > 0).any()
