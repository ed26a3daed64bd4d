"""What every aggregate promises, whatever it does with the frames."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from diar_ops import DtypeError, ShapeError
from tests.harness import OpTests, assert_close, generator

NAN = float("nan")

SHAPES = [(0, 3, 2, 4, 5), (1, 1, 1, 1, 1), (2, 50, 3, 2, 3)]


def frames(name: str, *shape: int, share_valid: float = 0.7) -> tuple[Tensor, Tensor]:
    """Features and a mask that leaves at least one frame at every pixel."""
    rng = generator(name)
    batch, count, _, height, width = shape
    features = torch.rand(*shape, generator=rng, dtype=torch.float64)
    valid = torch.rand(batch, count, 1, height, width, generator=rng) < share_valid
    valid[:, 0] = True
    return features, valid


class ContractTests(OpTests):
    """The contract: features (B, T, C, H, W) + valid (B, T, 1, H, W) -> (B, C, H, W).

    It holds for aggregates that look at whole frames, too; :class:`AggregateTests` adds what holds
    for weighted means of each pixel by itself.
    """

    #: (rtol, atol) within which the order of the frames and padding may change a float64 output.
    rounding: ClassVar[tuple[float, float]] = (1e-12, 1e-14)

    def extra(self, features: Tensor) -> tuple[Tensor, ...]:
        """Data arguments between features and valid, made for ``features``."""
        return ()

    def apply(self, features: Tensor, *extra: Tensor, valid: Tensor | None = None, **options: Any) -> Any:
        return self.function(features, *(extra or self.extra(features)), valid, **options)

    def test_exception_contract(self) -> None:
        features, valid = frames("exception", 2, 3, 2, 4, 5)
        with pytest.raises(ShapeError, match=r"features must have shape \(B T C H W\)"):
            self.apply(features[0], *self.extra(features))
        with pytest.raises(ShapeError, match="valid must have shape"):
            self.apply(features, valid=valid[:, :2])
        with pytest.raises(ShapeError, match="at least one frame"):
            self.apply(features[:, :0])
        with pytest.raises(DtypeError, match="floating point"):
            self.apply(features.long(), *self.extra(features))
        with pytest.raises(DtypeError, match="valid must be bool"):
            self.apply(features, valid=valid.double())

    @pytest.mark.parametrize("shape", SHAPES)
    def test_cardinality(self, shape: tuple[int, ...]) -> None:
        features, valid = frames("cardinality", *shape)
        for mask in (None, valid):
            image = self.apply(features, valid=mask)
            assert image.shape == (shape[0], *shape[2:])
            assert image.isfinite().all()

    def test_property_one_frame_is_nearly_itself(self, dtype: torch.dtype) -> None:
        features, _ = frames("one frame", 2, 1, 3, 4, 5)
        features = (0.1 + features).to(dtype)
        assert_close(self.apply(features), features[:, 0])

    def test_property_items_do_not_mix(self) -> None:
        features, valid = frames("items", 3, 4, 2, 5, 6)
        extra = self.extra(features)
        before = self.apply(features, *extra, valid=valid)
        features[1] = features[1].flip(0, 3).square()
        after = self.apply(features, *extra, valid=valid)
        assert torch.equal(after[::2], before[::2])
        assert not torch.equal(after[1], before[1])

    def test_nan_pixels_without_a_frame_are_zero(self) -> None:
        features, valid = frames("empty pixels", 2, 4, 3, 4, 5)
        valid[0, :, :, 1, 1] = False
        features.masked_fill_(~valid.expand_as(features), NAN)
        features[1, :, 2, 3, 3] = NAN
        out = self.apply(features, valid=valid)
        assert out.isfinite().all()
        assert out[0, :, 1, 1].eq(0).all()
        assert out[1, :, 3, 3].eq(0).all()
        assert out.ne(0).any()
        assert self.apply(features, valid=torch.zeros_like(valid)).eq(0).all()

    def test_property_order_does_not_matter(self) -> None:
        # Hypothesis wants one owner per property: the inner function is each subclass's own.
        @given(st.integers(1, 9), st.booleans(), st.integers(0, 10_000))
        def check(count: int, masked: bool, seed: int) -> None:
            features, valid = frames(f"order {seed}", 1, count, 2, 3, 4)
            order = torch.randperm(count, generator=generator(f"permutation {seed}"))
            extra = self.extra(features)
            first = self.apply(features, *extra, valid=valid if masked else None)
            second = self.apply(
                features[:, order], *(x[:, order] for x in extra), valid=valid[:, order] if masked else None
            )
            assert_close(second, first, rtol=self.rounding[0], atol=self.rounding[1])

        check()

    @pytest.mark.parametrize("filler", [0.0, 1e30, NAN, torch.inf])
    def test_property_invalid_frames_change_nothing(self, filler: float) -> None:
        features, valid = frames("padding", 2, 4, 3, 5, 6)
        extra = self.extra(features)
        expected = self.apply(features, *extra, valid=valid)
        padded = torch.cat((features, torch.full_like(features, filler)), dim=1)
        mask = torch.cat((valid, torch.zeros_like(valid)), dim=1)
        more = tuple(torch.cat((x, torch.full_like(x, filler)), dim=1) for x in extra)
        padded.masked_fill_(~mask.expand_as(padded), filler)
        actual = self.apply(padded, *more, valid=mask)
        assert_close(actual, expected, rtol=self.rounding[0], atol=self.rounding[1])

    def test_nan_without_a_mask_counts_as_invalid(self) -> None:
        features, _ = frames("nan", 2, 5, 3, 4, 4)
        holes = torch.zeros(2, 5, 1, 4, 4, dtype=torch.bool)
        holes[0, 1, 0, 2, 2] = holes[0, 4, 0, 2, 2] = holes[1, 0, 0, 0, 1] = True
        extra = self.extra(features)
        expected = self.apply(features, *extra, valid=~holes)
        broken = features.clone()
        broken[0, 1, 0, 2, 2], broken[0, 4, 2, 2, 2], broken[1, 0, 1, 0, 1] = NAN, -torch.inf, NAN
        assert torch.equal(self.apply(broken, *extra), expected)

    def test_half_precision_computes_in_float32(self) -> None:
        features, valid = frames("half", 1, 7, 2, 6, 6)
        half = (features * 300).half()
        extra = tuple(x.half() for x in self.extra(features))
        out = self.apply(half, *extra, valid=valid)
        assert out.dtype == torch.float16
        exact = self.apply(half.float(), *(x.float() for x in extra), valid=valid)
        assert torch.equal(out, exact.half())

    def test_vmap(self) -> None:
        features, valid = frames("vmap", 3, 4, 2, 4, 4)
        extra = self.extra(features)

        def single(f: Tensor, v: Tensor, *e: Tensor) -> Tensor:
            return self.apply(f[None], *(x[None] for x in e), valid=v[None])[0]

        expected = self.apply(features, *extra, valid=valid)
        assert_close(torch.vmap(single)(features, valid, *extra), expected)


class DifferentiableTests(ContractTests):
    """The contract of aggregates with a gradient."""

    def test_nan_and_empty_pixels_have_finite_gradients(self) -> None:
        features, valid = frames("gradient", 2, 4, 3, 4, 5)
        extra = tuple(x.requires_grad_() for x in self.extra(features))
        valid[0, :, :, 1, 1] = False
        features.masked_fill_(~valid.expand_as(features), NAN)
        features[1, :, 2, 3, 3] = NAN
        features.requires_grad_()
        out = self.apply(features, *extra, valid=valid)
        assert out[0, :, 1, 1].eq(0).all()
        assert out[1, :, 3, 3].eq(0).all()
        assert out.isfinite().all()
        out.square().sum().backward()
        for tensor in (features, *extra):
            assert tensor.grad is not None
            assert tensor.grad.isfinite().all()
        assert features.grad is not None
        assert features.grad.masked_select(~valid.expand_as(features)).eq(0).all()
        assert features.grad.ne(0).any()


class AggregateTests(DifferentiableTests):
    """The contract of aggregates that are a weighted mean of each pixel by itself."""

    @pytest.mark.parametrize("shape", SHAPES)
    @pytest.mark.parametrize("return_weights", [False, True])
    def test_cardinality_of_the_weights(self, shape: tuple[int, ...], return_weights: bool) -> None:
        features, valid = frames("cardinality", *shape)
        for mask in (None, valid):
            out = self.apply(features, valid=mask, return_weights=return_weights)
            image = out[0] if return_weights else out
            assert image.shape == (shape[0], *shape[2:])

    def test_property_one_frame_is_the_identity(self, dtype: torch.dtype) -> None:
        features, _ = frames("one frame", 2, 1, 3, 4, 5)
        features = features.to(dtype)
        assert torch.equal(self.apply(features), features[:, 0])

    def test_property_one_pixel_changes_only_itself(self) -> None:
        features, valid = frames("isolation", 3, 4, 2, 5, 6, share_valid=1.0)
        extra = self.extra(features)
        before = self.apply(features, *extra, valid=valid)
        features[1, :, 0, 2, 3] += 1
        change = self.apply(features, *extra, valid=valid) - before
        assert change[1, 0, 2, 3] > 0.9
        change[1, 0, 2, 3] = 0
        assert change.eq(0).all()

    @pytest.mark.parametrize("masked", [True, False])
    def test_property_weights_reproduce_the_output(self, masked: bool) -> None:
        features, valid = frames("weights", 2, 6, 3, 5, 7)
        mask = valid if masked else None
        expected = self.apply(features, valid=mask)
        image, weights = self.apply(features, valid=mask, return_weights=True)
        assert_close(image, expected)
        assert_close((weights * features).sum(1), expected)
        assert_close(weights.sum(1), torch.ones_like(weights[:, 0]))
        if masked:
            assert weights.masked_select(~valid).eq(0).all()

    def test_nan_does_not_leak_into_the_weights(self) -> None:
        features, _ = frames("nan weights", 2, 5, 3, 4, 4)
        features[0, 1, 0, 2, 2], features[0, 4, 2, 2, 2], features[1, 0, 1, 0, 1] = (NAN, -torch.inf, NAN)
        _, weights = self.apply(features, return_weights=True)
        assert weights.isfinite().all()
