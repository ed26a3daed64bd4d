"""The walk over tiles is exact across their borders."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

import diar_ops.matching._mutual_nearest.nearest as search
from diar_ops import mutual_nearest
from tests.harness import assert_close, generator
from tests.matching.descriptor_sets import full_matrix, random_sets


@pytest.fixture
def small_tiles(monkeypatch):
    """Shrink the tiles, so that small sets cross many tile borders."""
    monkeypatch.setattr(search, "TILE_CPU", 64 * 128)
    for name in ("ROW_GROUP", "COLUMN_GROUP", "GROUP"):
        monkeypatch.setattr(search, name, 8)


@pytest.mark.parametrize(("N", "M"), [(64, 128), (200, 300), (700, 70), (9, 600)])
def test_full_matrix_over_many_tiles(N, M, small_tiles):
    a, b = random_sets("tiles", (3, N, 8), (3, M, 8))
    valid0, valid1 = (torch.rand(3, n, generator=generator("tile masks")) > 0.3 for n in (N, M))
    pairs = mutual_nearest(a, b, valid0, valid1)
    for item in range(3):
        partner, score, mutual = full_matrix(a[item], b[item], valid0[item], valid1[item])
        assert (pairs.valid[item].numpy() == mutual).all()
        usable = valid0[item].numpy()
        assert (pairs.index1[item].numpy() == partner)[usable].all()
        assert_close(pairs.score[item], torch.from_numpy(np.where(mutual, score, 0)))


@pytest.mark.parametrize(("N", "M"), [(128, 192), (64, 640), (128, 190)])
def test_without_a_mask(N, M):
    """Whole groups take the descriptors as they are, others are padded: both are exact."""
    a, b = random_sets("whole groups", (2, N, 16), (2, M, 16))
    pairs = mutual_nearest(a, b)
    for item in range(2):
        partner, _, mutual = full_matrix(a[item], b[item], torch.ones(N).bool(), torch.ones(M).bool())
        assert (pairs.index1[item].numpy() == partner).all()
        assert (pairs.valid[item].numpy() == mutual).all()


@pytest.mark.parametrize(("N", "M"), [(300, 500), (256, 512)])
def test_ties_across_tiles(N, M, small_tiles):
    a, b = torch.ones(1, N, 4), torch.ones(1, M, 4)
    pairs = mutual_nearest(a, b)
    assert (pairs.index1 == 0).all()
    assert pairs.valid[0].nonzero().tolist() == [[0]]
    assert not mutual_nearest(a, b, ratio=0.99).valid.any()  # ambiguous


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("temperature", [1.0, 0.1, 0.01])
def test_dual_softmax(temperature, masked, small_tiles):
    a, b = random_sets("dual", (2, 150, 6), (2, 170, 6), dtype=torch.float64)
    valid0, valid1 = torch.ones(2, 150).bool(), torch.ones(2, 170).bool()
    if masked:
        valid0[:, ::3] = False
        valid1[1, 1::2] = False
    inputs = [x.clone().requires_grad_() for x in (a, b)]
    pairs = mutual_nearest(*inputs, valid0, valid1, temperature=temperature)

    dense = [x.clone().requires_grad_() for x in (a, b)]
    logits = normalize(dense[0], dim=2) @ normalize(dense[1], dim=2).transpose(1, 2)
    both = valid0[:, :, None] & valid1[:, None]
    logits = (logits / temperature).masked_fill(~both, -1e6)
    probability = (logits.softmax(1) * logits.softmax(2)).masked_fill(~both, 0)
    best, partner = probability.max(2)
    mutual = probability.argmax(1).gather(1, partner) == torch.arange(150)
    mutual &= both.gather(2, partner[..., None])[..., 0]
    assert torch.equal(pairs.valid, mutual)
    assert torch.equal(pairs.index1[mutual], partner[mutual])
    expected = torch.where(mutual, best, 0)
    assert_close(pairs.score, expected)
    weight = torch.rand(expected.shape, generator=generator("dual weight"), dtype=torch.float64)
    (pairs.score * weight).sum().backward()
    (expected * weight).sum().backward()
    for mine, theirs in zip(inputs, dense, strict=True):
        assert_close(mine.grad, theirs.grad, rtol=1e-7, atol=1e-9)
