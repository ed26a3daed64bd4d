"""Mutual nearest neighbours against the full matrix, and in bounded memory."""

from __future__ import annotations

import os
import subprocess
import sys

import cv2
import kornia
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import normalize

from diar_ops import DtypeError, OptionError, ShapeError, mutual_nearest
from tests.harness import Call, OpTests, assert_close, generator
from tests.matching.descriptor_sets import full_matrix, random_sets


class TestMutualNearest(OpTests):
    op = "mutual_nearest"
    module = "MutualNearest"

    def call(self, device, dtype):
        a, b = random_sets("mutual", (2, 40, 8), (2, 30, 8))
        g = generator("mutual masks")
        masks = [torch.rand(2, n, generator=g) > 0.2 for n in (40, 30)]
        args = [t.to(device, dtype) for t in (a, b)] + [m.to(device) for m in masks]
        return Call(tuple(args), {"threshold": 0.1, "ratio": 0.95, "temperature": None})

    def gradcheck_call(self, device):
        a, b = (x.to(device) for x in random_sets("grad", (2, 6, 4), (2, 5, 4), dtype=torch.float64))
        return (
            lambda a, b: [mutual_nearest(a, b, temperature=t).score for t in (None, 0.2)],
            (a.requires_grad_(), b.requires_grad_()),
        )

    def test_exception(self):
        a, b = random_sets("exception", (2, 5, 4), (2, 6, 4))
        for bad in (b[0], b[:1], b[..., :3]):
            with pytest.raises(ShapeError):
                mutual_nearest(a, bad)
        with pytest.raises(ShapeError, match="valid1"):
            mutual_nearest(a, b, None, torch.ones(2, 5).bool())
        with pytest.raises(DtypeError, match="valid0 must be bool"):
            mutual_nearest(a, b, torch.ones(2, 5))
        with pytest.raises(DtypeError, match="floating point"):
            mutual_nearest(a.long(), b)
        with pytest.raises(DtypeError, match=r"must be torch\.float32"):
            mutual_nearest(a, b.double())
        nan = float("nan")
        for options in (
            {"ratio": 0.0},
            {"ratio": 1.1},
            {"ratio": nan},
            {"threshold": nan},
            {"temperature": 0.0},
            {"temperature": -1.0},
            {"temperature": nan},
            {"temperature": float("inf")},
            {"ratio": 0.9, "temperature": 0.1},
        ):
            with pytest.raises(OptionError):
                mutual_nearest(a, b, **options)
        with pytest.raises(TypeError):
            mutual_nearest(a, b, None, None, 0.5)

    @pytest.mark.parametrize("temperature", [None, 0.1])
    @pytest.mark.parametrize(("B", "N", "M"), [(0, 5, 4), (2, 0, 4), (2, 5, 0), (1, 0, 0)])
    def test_cardinality_empty(self, B, N, M, temperature):
        a, b = torch.rand(B, N, 3, requires_grad=True), torch.rand(B, M, 3)
        pairs = mutual_nearest(a, b, temperature=temperature)
        assert [tuple(x.shape) for x in pairs] == [(B, N)] * 3
        assert pairs.index1.dtype == torch.int64
        assert not pairs.valid.any()
        assert (pairs.score == 0).all()
        pairs.score.sum().backward()
        assert (a.grad == 0).all()

    def test_cardinality_one(self):
        a, b = random_sets("one", (3, 1, 4), (3, 1, 4))
        for options in ({}, {"ratio": 0.5}, {"temperature": 0.1}):
            pairs = mutual_nearest(a, b, **options)
            assert pairs.valid.all()
            assert (pairs.index1 == 0).all()
        assert_close(pairs.score, torch.ones(3, 1))  # the only partner has all the probability
        no_channels = mutual_nearest(a[..., :0], b[..., :0])
        assert not no_channels.valid.any()

    # Sizes below, at, and across the borders of groups and tiles.
    @pytest.mark.parametrize("N", [1, 63, 64, 200])
    @pytest.mark.parametrize("M", [2, 65, 1100])
    def test_oracle_full_matrix(self, N, M):
        a, b = random_sets("oracle", (2, N, 16), (2, M, 16))
        pairs = mutual_nearest(a, b)
        for item in range(2):
            partner, score, mutual = full_matrix(a[item], b[item])
            assert (pairs.index1[item].numpy() == partner).all()
            assert (pairs.valid[item].numpy() == mutual).all()
            assert_close(pairs.score[item], torch.from_numpy(np.where(mutual, score, 0)))

    @given(st.integers(0, 2**32 - 1), st.integers(1, 90), st.integers(1, 90))
    def test_oracle_ties_go_to_the_lowest_index(self, seed, N, M):
        """Signed unit vectors: every similarity is -1, 0 or 1 exactly, and ties abound."""
        g = torch.Generator().manual_seed(seed)
        a, b = (
            torch.eye(4)[torch.randint(4, (n,), generator=g)] * (torch.randint(2, (n, 1), generator=g) * 2 - 1)
            for n in (N, M)
        )
        pairs = mutual_nearest(a[None], b[None])
        partner, _, mutual = full_matrix(a, b)
        assert (pairs.index1[0].numpy() == partner).all()
        assert (pairs.valid[0].numpy() == mutual).all()

    def test_oracle_kornia(self):
        a, b = random_sets("kornia", (500, 32), (400, 32))
        a, b = normalize(a, dim=1), normalize(b, dim=1)
        distance, index = kornia.feature.match_mnn(a, b)
        order = index[:, 0].argsort()
        distance, index = distance[order], index[order]
        pairs = mutual_nearest(a[None], b[None])
        rows = pairs.valid[0].nonzero()[:, 0]
        assert torch.equal(torch.stack([rows, pairs.index1[0, rows]], 1), index)
        assert_close(1 - distance[:, 0].square() / 2, pairs.score[0, rows], atol=1e-4)

    def test_oracle_kornia_ratio(self):
        a, b = random_sets("kornia ratio", (300, 6), (200, 6))
        a, b = normalize(a, dim=1), normalize(b, dim=1)
        _, index = kornia.feature.match_smnn(a, b, 0.9)
        pairs = mutual_nearest(a[None], b[None], ratio=0.9)
        rows = pairs.valid[0].nonzero()[:, 0]
        assert 20 < len(rows) < 200
        assert torch.equal(torch.stack([rows, pairs.index1[0, rows]], 1), index)

    def test_oracle_opencv(self):
        a, b = random_sets("opencv", (300, 32), (350, 32))
        a, b = normalize(a, dim=1), normalize(b, dim=1)
        matches = cv2.BFMatcher(cv2.NORM_L2, crossCheck=True).match(a.numpy(), b.numpy())
        pairs = mutual_nearest(a[None], b[None])
        rows = pairs.valid[0].nonzero()[:, 0].tolist()
        assert {(m.queryIdx, m.trainIdx) for m in matches} == {(i, int(pairs.index1[0, i])) for i in rows}

    def test_oracle_cosine_gradient(self):
        a, b = random_sets("cosine grad", (1, 20, 6), (1, 25, 6), dtype=torch.float64)
        inputs = [x.clone().requires_grad_() for x in (a, b)]
        mutual_nearest(*inputs).score.sum().backward()
        dense = [x.clone().requires_grad_() for x in (a, b)]
        similarity = normalize(dense[0], dim=2) @ normalize(dense[1], dim=2).transpose(1, 2)
        rows, columns = similarity.amax(2, keepdim=True), similarity.amax(1, keepdim=True)
        similarity[(similarity == rows) & (similarity == columns)].sum().backward()
        for mine, theirs in zip(inputs, dense, strict=True):
            assert_close(mine.grad, theirs.grad)

    @given(st.integers(0, 2**32 - 1), st.sampled_from([{}, {"threshold": 0.6}, {"ratio": 0.9}, {"temperature": 0.1}]))
    def test_property_swapping_the_sets_swaps_the_pairs(self, seed, options):
        g = torch.Generator().manual_seed(seed)
        a, b = torch.randn(2, 50, 6, generator=g), torch.randn(2, 70, 6, generator=g)
        forward, backward = mutual_nearest(a, b, **options), mutual_nearest(b, a, **options)
        for item in range(2):
            there, back = (
                {(i, int(p.index1[item, i])): float(p.score[item, i]) for i in p.valid[item].nonzero()[:, 0].tolist()}
                for p in (forward, backward)
            )
            assert there.keys() == {(j, i) for i, j in back}
            for i, j in there:
                assert there[i, j] == pytest.approx(back[j, i], rel=1e-4)

    @given(st.integers(0, 2**32 - 1))
    def test_property_permutation_equivariance(self, seed):
        g = torch.Generator().manual_seed(seed)
        a, b = torch.randn(1, 60, 6, generator=g), torch.randn(1, 80, 6, generator=g)
        p, q = torch.randperm(60, generator=g), torch.randperm(80, generator=g)
        plain, permuted = mutual_nearest(a, b), mutual_nearest(a[:, p], b[:, q])
        assert torch.equal(q[permuted.index1], plain.index1[:, p])
        assert torch.equal(permuted.valid, plain.valid[:, p])

    @pytest.mark.parametrize("factor", [1e-30, 1e30])
    def test_property_length_does_not_matter(self, factor):
        a, b = random_sets("length", (1, 50, 8), (1, 60, 8))
        plain, scaled = mutual_nearest(a, b), mutual_nearest(a * factor, b)
        assert torch.equal(plain.index1, scaled.index1)
        assert_close(plain.score, scaled.score)

    def test_property_masked_is_removed(self):
        (a, b, valid0, valid1), _ = self.call(torch.device("cpu"), torch.float32)
        for options in ({}, {"ratio": 0.9}, {"temperature": 0.1}):
            pairs = mutual_nearest(a, b, valid0, valid1, **options)
            for item in range(2):
                kept0, kept1 = (v[item].nonzero()[:, 0] for v in (valid0, valid1))
                alone = mutual_nearest(a[item, kept0][None], b[item, kept1][None], **options)
                assert torch.equal(kept1[alone.index1[0]], pairs.index1[item, kept0])
                assert torch.equal(alone.valid[0], pairs.valid[item, kept0])
                assert_close(alone.score[0], pairs.score[item, kept0])
                assert not pairs.valid[item, ~valid0[item]].any()
        nothing = mutual_nearest(a, b, valid0, torch.zeros_like(valid1), temperature=0.1)
        assert not nothing.valid.any()
        assert (nothing.score == 0).all()

    def test_property_threshold_and_ratio_only_remove(self):
        a, b = random_sets("options", (1, 200, 5), (1, 200, 5))
        plain = mutual_nearest(a, b)
        high = mutual_nearest(a, b, threshold=0.95)
        assert torch.equal(high.valid, plain.valid & (plain.score >= 0.95))
        assert 0 < high.valid.sum() < plain.valid.sum()
        counts = [int(mutual_nearest(a, b, ratio=r).valid.sum()) for r in (0.5, 0.8, 1.0)]
        assert 0 < counts[0] < counts[1] < counts[2] == int(plain.valid.sum())

    def test_property_items_do_not_leak(self):
        a, b = random_sets("leak", (3, 40, 8), (3, 50, 8))
        for options in ({"ratio": 0.9}, {"temperature": 0.1}):
            before = mutual_nearest(a, b, **options)
            changed = a.clone()
            changed[1, 7] += 1
            after = mutual_nearest(changed, b, **options)
            for x, y in zip(before, after, strict=True):
                assert torch.equal(x[[0, 2]], y[[0, 2]])
            assert not torch.equal(before.score[1], after.score[1])

    @pytest.mark.parametrize("bad", [float("nan"), float("inf"), 0.0])
    @pytest.mark.parametrize("options", [{}, {"ratio": 0.9}, {"temperature": 0.1}])
    def test_nan_inf_and_zero_match_nothing_and_poison_nothing(self, bad, options):
        a, b = random_sets("nan", (2, 40, 8), (2, 50, 8))
        broken0, broken1 = a.clone(), b.clone()
        broken0[0, 3], broken1[0, 5] = bad, bad
        if bad != 0:
            broken0[0, 4, 2] = bad  # a single entry is enough
        broken0.requires_grad_()
        pairs = mutual_nearest(broken0, broken1, **options)
        usable0, usable1 = torch.ones(2, 40).bool(), torch.ones(2, 50).bool()
        usable0[0, 3], usable1[0, 5] = False, False
        usable0[0, 4] = bad == 0
        expected = mutual_nearest(a, b, usable0, usable1, **options)
        assert torch.equal(pairs.valid, expected.valid)
        assert torch.equal(pairs.index1[usable0], expected.index1[usable0])
        assert_close(pairs.score, expected.score)
        assert pairs.valid.sum() > 10
        pairs.score.sum().backward()
        assert broken0.grad.isfinite().all()
        assert (broken0.grad[~usable0] == 0).all()

    def test_nan_everywhere(self):
        a = torch.full((1, 70, 8), torch.nan)
        pairs = mutual_nearest(a, torch.rand(1, 5, 8))
        assert not pairs.valid.any()
        assert (pairs.score == 0).all()
        assert ((pairs.index1 >= 0) & (pairs.index1 < 5)).all()

    @pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
    def test_half_precision(self, half):
        a, b = random_sets("half", (1, 60, 16), (1, 60, 16), dtype=half)
        pairs, expected = mutual_nearest(a, b), mutual_nearest(a.float(), b.float())
        assert pairs.score.dtype == half
        assert torch.equal(pairs.index1, expected.index1)
        assert_close(pairs.score, expected.score)

    def test_compile_with_options(self, compile_backend):
        torch.compiler.reset()
        a, b = random_sets("compile", (2, 50, 8), (2, 60, 8))
        for x in (a, b):
            x.requires_grad_()
        compiled = torch.compile(
            lambda a, b: mutual_nearest(a, b, temperature=0.1), fullgraph=True, backend=compile_backend
        )
        expected = mutual_nearest(a, b, temperature=0.1)
        assert_close(compiled(a, b).score, expected.score)
        (gradient,) = torch.autograd.grad(expected.score.sum(), a)
        assert_close(torch.autograd.grad(compiled(a, b).score.sum(), a)[0], gradient)

    # The peak of the resident set grows by what a call adds, torch's start-up aside.
    @pytest.mark.parametrize(
        ("N", "channels", "limit", "options"),
        [
            # The full matrix would take 400 MiB.
            (10240, 16, 64, "{}"),
            (10240, 16, 64, "{'ratio': 0.9}"),
            (10240, 16, 64, "{'temperature': 0.1}"),
            pytest.param(65536, 128, 512, "{}", marks=pytest.mark.slow),
        ],
    )
    def test_memory(self, N, channels, limit, options):
        if not sys.platform.startswith("linux"):
            pytest.skip("reads the kernel's high-water mark of the resident set")
        code = f"""
import resource, torch
from diar_ops import mutual_nearest
a, b = torch.randn(1, {N}, {channels}), torch.randn(1, {N}, {channels})
mutual_nearest(a[:, :2048], b[:, :2048], **{options})
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before = peak()
assert mutual_nearest(a, b, **{options}).valid.any()
print(peak() - before)
"""
        done = subprocess.run(
            [sys.executable, "-c", code],
            # One thread: what is asked is memory, and barriers crawl on a busy machine.
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert float(done.stdout) < limit
