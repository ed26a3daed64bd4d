"""Matching of feature maps: exact positions, sub-cell peaks, fixed-size output."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diar_ops import DtypeError, FeatureMap, OptionError, ShapeError, match_dense, mutual_nearest
from diar_ops.matching._cells import _quadratic_peak
from tests.harness import Call, OpTests, assert_close, generator


def waves(name, shift, size=(24, 28), channels=128, wavelength=16.0):
    """A smooth map of random plane waves, sampled at cell (x + shift_x, y + shift_y): exact."""
    g = generator(name)
    waves = torch.randn(channels, 6, 2, generator=g, dtype=torch.float64) * math.pi / wavelength
    phase = torch.rand(channels, 6, 1, 1, generator=g, dtype=torch.float64) * 2 * math.pi
    x = torch.arange(size[1], dtype=torch.float64) + shift[0]
    y = torch.arange(size[0], dtype=torch.float64)[:, None] + shift[1]
    return (waves[..., :1, None] * x + waves[..., 1:, None] * y + phase).cos().sum(1)[None]


class TestMatchDense(OpTests):
    op = "match_dense"
    module = "MatchDense"
    half_result = torch.float32  # half precision holds no pixel positions

    def call(self, device, dtype):
        a = waves("dense call", (0, 0), (7, 9), 16).to(device, dtype)
        b = waves("dense call", (1.3, -0.4), (6, 8), 16).to(device, dtype)
        valid = torch.ones(1, 6, 8, dtype=torch.bool, device=device)
        valid[:, 2, 3] = False
        maps = FeatureMap(a, (8.0, 8.0), (3.5, 3.5)), FeatureMap(b, (4.0, 8.0), (0.0, 3.5), valid)
        return Call(maps, {"threshold": 0.2, "subpixel": True, "max_matches": 40, "ratio": None})

    def gradcheck_call(self, device):
        a = waves("dense grad", (0, 0), (4, 4), 6).to(device)
        b = waves("dense grad", (0.3, -0.2), (4, 4), 6).to(device)

        def function(a, b):
            matches = match_dense(a, b, subpixel=True)
            return matches.points1, matches.score

        return function, (a.requires_grad_(), b.requires_grad_())

    def test_exception(self):
        a = torch.rand(2, 4, 3, 5)
        for bad in (a[0], a[:1], a[:, :3]):
            with pytest.raises(ShapeError):
                match_dense(a, bad)
        with pytest.raises(ShapeError):
            match_dense(FeatureMap(a, valid=torch.ones(2, 5, 3).bool()), a)
        with pytest.raises(DtypeError, match="must be bool"):
            match_dense(FeatureMap(a, valid=torch.ones(2, 3, 5)), a)
        with pytest.raises(DtypeError, match="floating point"):
            match_dense(a, a.long())
        with pytest.raises(DtypeError):
            match_dense(a, a.double())
        with pytest.raises(DtypeError):
            match_dense(a, None)
        for options in ({"max_matches": 0}, {"ratio": 2.0}, {"temperature": 0.0}, {"threshold": float("inf")}):
            with pytest.raises(OptionError):
                match_dense(a, a, **options)

    @pytest.mark.parametrize("subpixel", [False, True])
    def test_cardinality(self, subpixel):
        a, b = torch.rand(2, 4, 3, 5), torch.rand(2, 4, 2, 7)
        for count, N in ((None, 15), (4, 4), (15, 15), (20, 20)):
            matches = match_dense(a, b, max_matches=count, subpixel=subpixel)
            shapes = [tuple(t.shape) for t in matches]
            assert shapes == [(2, N, 2), (2, N, 2), (2, N), (2, N)]
            assert matches.valid.any()
            assert not matches.valid[:, 15:].any()
        for x, y, N in ((a[:0], b[:0], 15), (a[:, :, :0], b, 0), (a, b[..., :0], 15)):
            matches = match_dense(x, y, subpixel=subpixel)
            assert matches.points1.shape == (len(x), N, 2)
            assert not matches.valid.any()
            padded = match_dense(x, y, subpixel=subpixel, max_matches=6)
            assert padded.points0.shape == (len(x), 6, 2)
            assert padded.points1.isfinite().all()
        one = match_dense(a[..., :1, :1], a[..., :1, :1], subpixel=subpixel)
        assert one.valid.all()
        assert (one.points1 == 0).all()

    def test_oracle_positions_and_partners(self, device, dtype):
        g = generator("dense oracle")
        a = torch.randn(2, 8, 3, 5, generator=g).to(device, dtype)
        b = torch.randn(2, 8, 4, 6, generator=g).to(device, dtype)
        matches = match_dense(FeatureMap(a, (8.0, 4.0), (3.5, 1.5)), FeatureMap(b, (16.0, 2.0), (0.0, -0.5)))
        pairs = mutual_nearest(a.flatten(2).transpose(1, 2), b.flatten(2).transpose(1, 2))
        assert torch.equal(matches.valid, pairs.valid)
        assert_close(matches.score, pairs.score)
        for cell in range(15):
            assert matches.points0[0, cell].tolist() == [3.5 + 8 * (cell % 5), 1.5 + 4 * (cell // 5)]
            partner = int(pairs.index1[0, cell])
            assert matches.points1[0, cell].tolist() == [16 * (partner % 6), -0.5 + 2 * (partner // 6)]

    def test_oracle_quadratic(self):
        """On similarities that are a quadratic, its vertex is found to rounding."""
        y, x = torch.meshgrid(*[torch.arange(-1, 2, dtype=torch.float64)] * 2, indexing="ij")
        for px, py in ((0.3, -0.2), (0.0, 0.45), (-0.5, 0.5)):
            u, v = x - px, y - py
            peak = torch.tensor([px, py], dtype=torch.float64)
            values = (1 - 0.1 * u**2 - 0.2 * v**2 + 0.12 * u * v).reshape(1, 9)
            every = torch.ones(1, 9, dtype=torch.bool)
            assert_close(_quadratic_peak(values, every)[0], peak)
            plain = (1 - 0.1 * u**2 - 0.2 * v**2).reshape(1, 9)
            left = every.clone()
            left[0, 0::3] = False  # the cells at x - 1 are missing: that axis stays put
            assert_close(_quadratic_peak(plain, left)[0], peak * torch.tensor([0, 1]))
            corner = every.clone()
            corner[0, 8] = False  # axis by axis
            assert_close(_quadratic_peak(plain, corner)[0], peak)
        flat, saddle = torch.ones(1, 9, dtype=torch.float64), (x * y).reshape(1, 9)
        for values in (flat, saddle, -flat * 0):
            assert (_quadratic_peak(values, every) == 0).all()
        ridge = (-(x**2)).reshape(1, 9) + 0.5 * x.reshape(1, 9)
        assert_close(_quadratic_peak(ridge, every)[0], torch.tensor([0.25, 0.0]))

    @pytest.mark.parametrize("shift", [(0.3, -0.2), (0.5, 0.25), (1.7, -2.4), (-3.45, 0.9)])
    def test_property_subpixel_recovers_a_shift(self, shift):
        a, b = waves("shift", (0, 0)), waves("shift", (-shift[0], -shift[1]))
        stride = 8.0
        maps = FeatureMap(a, (stride, stride)), FeatureMap(b, (stride, stride))
        truth = stride * torch.tensor(shift, dtype=torch.float64)

        def errors(**options):
            matches = match_dense(*maps, **options)
            inside = matches.valid & (matches.points1 > 0).all(-1)
            inside &= (matches.points1 < stride * torch.tensor([27, 23])).all(-1)
            assert inside.sum() > 200
            result = (matches.points1 - matches.points0)[inside]
            return result.mean(0) - truth, (result - truth).abs().quantile(0.9) / stride

        mean, spread = errors(subpixel=True)
        assert mean.abs().max() < 0.02 * stride
        assert spread < 0.1
        assert spread < 0.5 * errors()[1]  # cells alone are off by the fraction of the shift

    def test_property_identity_stays_put(self):
        a = waves("identity", (0, 0))
        matches = match_dense(a, a, subpixel=True)
        assert matches.valid.all()
        inner = ((matches.points0 > 0) & (matches.points0 < torch.tensor([27, 23]))).all(-1)
        moved = (matches.points1 - matches.points0).abs()
        assert moved[inner].quantile(0.9) < 0.1
        assert moved.max() <= 0.5

    @given(st.integers(0, 2**32 - 1))
    def test_property_swapping_the_images_swaps_the_matches(self, seed):
        g = torch.Generator().manual_seed(seed)
        a, b = torch.randn(1, 6, 5, 7, generator=g), torch.randn(1, 6, 6, 4, generator=g)
        there, back = match_dense(a, b), match_dense(b, a)
        forward = torch.cat([there.points0, there.points1], -1)[there.valid].tolist()
        backward = torch.cat([back.points1, back.points0], -1)[back.valid].tolist()
        assert sorted(forward) == sorted(backward)

    def test_property_max_matches_keeps_the_best(self):
        g = generator("max matches")
        a, b = torch.randn(2, 6, 9, 9, generator=g), torch.randn(2, 6, 9, 9, generator=g)
        every, best = (match_dense(a, b, subpixel=True), match_dense(a, b, subpixel=True, max_matches=10))
        assert best.valid.all()
        for item in range(2):
            order = every.score[item].argsort(descending=True)[:10]
            for x, y in zip(best, every, strict=True):
                assert torch.equal(x[item], y[item, order])

    def test_property_masked_cells_never_match(self):
        (map0, map1), _ = self.call(torch.device("cpu"), torch.float64)
        valid = torch.ones(1, 7, 9, dtype=torch.bool)
        valid[:, :3] = False
        matches = match_dense(replace(map0, valid=valid), map1, subpixel=True)
        assert matches.valid.any()
        assert not matches.valid[:, :27].any()
        plain = match_dense(map0, map1)
        hidden = torch.tensor([0.0 + 4 * 3, 3.5 + 8 * 2], dtype=torch.float64)
        assert not ((plain.points1 == hidden).all(-1) & plain.valid).any()

    def test_property_items_do_not_leak(self):
        g = generator("dense leak")
        a, b = torch.randn(3, 6, 5, 5, generator=g), torch.randn(3, 6, 5, 5, generator=g)
        before = match_dense(a, b, subpixel=True, max_matches=20)
        changed = b.clone()
        changed[1, :, 2, 2] += 1
        after = match_dense(a, changed, subpixel=True, max_matches=20)
        for x, y in zip(before, after, strict=True):
            assert torch.equal(x[[0, 2]], y[[0, 2]])
        assert not torch.equal(before.points1[1], after.points1[1])

    @pytest.mark.parametrize("bad", [float("nan"), float("inf"), 0.0])
    def test_nan_cells_match_nothing_and_shift_nothing(self, bad):
        a, b = waves("dense nan", (0, 0)), waves("dense nan", (0.3, -0.2))
        clean = match_dense(a, b, subpixel=True)
        broken = b.clone()
        broken[0, :, 10, 10] = bad
        broken.requires_grad_()
        matches = match_dense(a, broken, subpixel=True)
        far = ((matches.points1 - 10).abs() > 2).any(-1) & ((clean.points1 - 10).abs() > 2).any(-1)
        assert far.sum() > 500
        for x, y in zip(matches, clean, strict=True):
            assert torch.equal(x[far], y[far])
        assert all(t.isfinite().all() for t in matches)
        assert not ((matches.points1 == 10).all(-1) & matches.valid).any()
        (matches.points1.sum() + matches.score.sum()).backward()
        assert broken.grad.isfinite().all()
        nothing = match_dense(a, torch.full_like(b, bad), subpixel=True)
        assert not nothing.valid.any()
        assert nothing.points1.isfinite().all()

    def test_constant_map(self):
        """Sky: all similarities are equal, so nothing moves off its cell and one pair is left."""
        matches = match_dense(torch.ones(1, 4, 6, 6), torch.ones(1, 4, 6, 6), subpixel=True)
        assert matches.valid.sum() == 1
        assert (matches.points1 == 0).all()

    def test_half_precision_keeps_positions_exact(self):
        a = waves("dense half", (0, 0)).half()
        wide = FeatureMap(a, (151.0, 151.0), (75.0, 75.0))
        matches = match_dense(wide, wide)
        assert matches.points0.dtype == matches.score.dtype == torch.float32
        assert torch.equal(matches.points0, matches.points1)
        assert matches.points0[0, 27].tolist() == [75 + 151 * 27, 75]  # 4152: not in float16
