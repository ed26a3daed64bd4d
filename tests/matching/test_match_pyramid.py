"""Matching across all levels of two pyramids."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diar_ops import (
    DtypeError,
    FeatureMap,
    OptionError,
    ShapeError,
    image_pyramid,
    level_features,
    match_dense,
    match_pyramid,
)
from tests.harness import Call, OpTests, assert_close, generator
from tests.matching.test_match_dense import waves


def random_levels(name, batch=2, sizes=((5, 6), (3, 4)), dtype=torch.float32):
    g = generator(name)
    return [
        FeatureMap(
            torch.randn(batch, 6, *size, generator=g, dtype=torch.float64).to(dtype),
            (2.0**n, 2.0**n),
            (2.0**n / 2 - 0.5, 2.0**n / 2 - 0.5),
        )
        for n, size in enumerate(sizes)
    ]


class TestMatchPyramid(OpTests):
    op = "match_pyramid"
    module = "MatchPyramid"
    half_result = torch.float32  # half precision holds no pixel positions

    def call(self, device, dtype):
        levels = (random_levels("call 0", dtype=dtype), random_levels("call 1", dtype=dtype))
        moved = tuple([replace(f, descriptors=f.descriptors.to(device)) for f in x] for x in levels)
        return Call(moved, {"threshold": 0.1, "subpixel": True, "max_matches": 30, "ratio": 0.99})

    def gradcheck_call(self, device):
        a, b = (random_levels(n, 1, ((3, 3), (2, 2)), torch.float64) for n in ("ga", "gb"))
        tensors = tuple(f.descriptors.to(device).requires_grad_() for f in (*a, *b))

        def function(a0, a1, b0, b1):
            matches = match_pyramid(
                [replace(a[0], descriptors=a0), replace(a[1], descriptors=a1)],
                [replace(b[0], descriptors=b0), replace(b[1], descriptors=b1)],
                subpixel=True,
            )
            return matches.points1, matches.score

        return function, tensors

    def test_exception(self):
        levels = random_levels("exception")
        with pytest.raises(OptionError, match="at least one level in levels1"):
            match_pyramid(levels, [])
        with pytest.raises(ShapeError, match=r"levels0\[1\]"):
            match_pyramid([levels[0], FeatureMap(torch.rand(2, 5, 3, 3))], levels)
        with pytest.raises(ShapeError, match=r"levels1\[0\]"):
            match_pyramid(levels, [FeatureMap(torch.rand(3, 6, 3, 3))])
        with pytest.raises(DtypeError):
            match_pyramid(levels, [levels[0], FeatureMap(levels[1].descriptors.double())])
        with pytest.raises(DtypeError, match="FeatureMap, got Tensor"):
            match_pyramid(levels, [levels[0].descriptors])
        with pytest.raises(OptionError):
            match_pyramid(levels, levels, max_matches=-1)

    def test_cardinality(self):
        levels = random_levels("cardinality")
        assert match_pyramid(levels, levels[:1]).points0.shape == (2, 42, 2)
        assert match_pyramid(levels[1:], levels).points0.shape == (2, 12, 2)
        assert match_pyramid(levels, levels, max_matches=50).score.shape == (2, 50)
        empty = [FeatureMap(f.descriptors[:0]) for f in levels]
        assert match_pyramid(empty, empty, subpixel=True).points0.shape == (0, 42, 2)

    @pytest.mark.parametrize("subpixel", [False, True])
    def test_oracle_one_level_is_match_dense(self, subpixel):
        a, b = random_levels("one a"), random_levels("one b")
        for x, y in zip(
            match_pyramid(a[:1], b[:1], subpixel=subpixel), match_dense(a[0], b[0], subpixel=subpixel), strict=True
        ):
            assert torch.equal(x, y)

    def test_oracle_full_matrix(self):
        a, b = random_levels("full a", 1), random_levels("full b", 1, ((4, 4), (7, 3), (2, 2)))
        sets, places = [], []
        for levels in (a, b):
            sets.append(torch.cat([f.descriptors[0].flatten(1) for f in levels], 1))
            places.append(
                [
                    [f.offset[0] + f.stride[0] * j, f.offset[1] + f.stride[1] * i]
                    for f in levels
                    for i in range(f.descriptors.shape[2])
                    for j in range(f.descriptors.shape[3])
                ]
            )
        similarity = torch.nn.functional.cosine_similarity(sets[0][:, :, None], sets[1][:, None], dim=0)
        matches = match_pyramid(a, b)
        partner, back = similarity.argmax(1), similarity.argmax(0)
        assert matches.points0[0].tolist() == places[0]
        for i, j in enumerate(partner.tolist()):
            assert matches.points1[0, i].tolist() == places[1][j]
            assert bool(matches.valid[0, i]) == (int(back[j]) == i)
            assert_close(matches.score[0, i], similarity[i, j] * matches.valid[0, i])

    def test_property_subpixel_uses_the_partners_level(self):
        """Map 0 equals level 1 of image 1, shifted by a fraction of that level's cells."""
        shift, stride = (0.3, -0.2), 6.0
        a = FeatureMap(waves("levels", (0, 0)), (stride, stride), (1.0, 2.0))
        levels = [
            FeatureMap(waves("elsewhere", (0, 0), (9, 40))),
            FeatureMap(waves("levels", (-shift[0], -shift[1])), (stride, stride), (1.0, 2.0)),
            FeatureMap(waves("nowhere", (0, 0), (40, 9))),
        ]
        matches = match_pyramid([a], levels, subpixel=True)
        inner = matches.valid & ((matches.points0 - 60).abs() < 48).all(-1)
        assert inner.sum() > 150
        result = (matches.points1 - matches.points0)[inner] / stride
        assert_close(result.mean(0), torch.tensor(shift), atol=0.02, rtol=0)
        assert (result - torch.tensor(shift)).abs().quantile(0.9) < 0.1
        # The same pair of maps alone gives the same points.
        alone = match_dense(a, levels[1], subpixel=True)
        assert_close(matches.points1[inner], alone.points1[inner])

    def test_property_scaled_image_matches_across_levels(self):
        """A half-size copy finds its full-size cells through the half-size level."""
        image = torch.rand(1, 12, 16, 20, generator=generator("scaled"), dtype=torch.float64)
        half = image_pyramid(image - 0.5, scales=(0.5,))[0].image
        levels = [
            level_features(FeatureMap(level.image), scale=level.scale)
            for level in image_pyramid(image - 0.5, scales=(1.0, 0.5))
        ]
        matches = match_pyramid([FeatureMap(half)], levels)
        assert matches.valid.all()
        assert_close(matches.points1, (matches.points0 + 0.5) * 2 - 0.5)
        assert_close(matches.score, torch.ones_like(matches.score))

    @given(st.integers(0, 2**32 - 1))
    def test_property_swapping_the_images_swaps_the_matches(self, seed):
        a, b = random_levels(f"a {seed}", 1), random_levels(f"b {seed}", 1, ((4, 4), (2, 7)))
        there, back = match_pyramid(a, b), match_pyramid(b, a)
        forward = torch.cat([there.points0, there.points1], -1)[there.valid].tolist()
        backward = torch.cat([back.points1, back.points0], -1)[back.valid].tolist()
        assert sorted(forward) == sorted(backward)

    def test_property_masked_level_is_left_out(self):
        a, b = random_levels("mask a"), random_levels("mask b")
        shut = replace(b[0], valid=torch.zeros(2, 5, 6, dtype=torch.bool))
        masked, without = match_pyramid(a, [shut, b[1]]), match_pyramid(a, b[1:])
        for x, y in zip(masked, without, strict=True):
            assert torch.equal(x, y)

    def test_property_items_do_not_leak(self):
        a, b = random_levels("leak a", 3), random_levels("leak b", 3)
        before = match_pyramid(a, b, subpixel=True)
        b[1].descriptors[1] += 1
        after = match_pyramid(a, b, subpixel=True)
        for x, y in zip(before, after, strict=True):
            assert torch.equal(x[[0, 2]], y[[0, 2]])
        assert not torch.equal(before.points1[1], after.points1[1])

    def test_nan_level_matches_nothing(self):
        a, b = random_levels("nan a"), random_levels("nan b")
        expected = match_pyramid(a, b[:1], subpixel=True)
        b[1].descriptors.fill_(torch.nan)
        for x, y in zip(match_pyramid(a, b, subpixel=True), expected, strict=True):
            assert_close(x, y)
