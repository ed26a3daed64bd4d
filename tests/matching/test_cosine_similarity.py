"""Cosine similarity of all pairs."""

from __future__ import annotations

import pytest
import torch

from diar_ops import DtypeError, ShapeError, cosine_similarity
from tests.harness import Call, OpTests, assert_close, generator


class TestCosineSimilarity(OpTests):
    op = "cosine_similarity"

    def call(self, device, dtype):
        g = generator("cosine")
        a, b = torch.randn(2, 6, 3, 4, generator=g), torch.randn(2, 6, 5, 2, generator=g)
        return Call((a.to(device, dtype), b.to(device, dtype)))

    def gradcheck_call(self, device):
        args, _ = self.call(device, torch.float64)
        a, b = (x[:1, :, :2, :2].clone() for x in args)
        a[0, :, 0, 0] = 0  # a zero descriptor has zero gradient, not NaN: checked below
        return lambda b: cosine_similarity(a, b), (b.requires_grad_(),)

    def test_exception(self):
        a = torch.rand(2, 6, 3)
        with pytest.raises(ShapeError, match="must have shape"):
            cosine_similarity(a, torch.rand(2))
        with pytest.raises(ShapeError, match=r"\(B, C\) = \[2, 6\]"):
            cosine_similarity(a, torch.rand(2, 5, 3))
        with pytest.raises(DtypeError):
            cosine_similarity(a, a.long())
        with pytest.raises(DtypeError):
            cosine_similarity(a, [1.0])

    def test_cardinality(self):
        a = torch.rand(2, 6, 3, 4)
        assert cosine_similarity(a, torch.rand(2, 6)).shape == (2, 12, 1)
        assert cosine_similarity(a, torch.rand(2, 6, 2, 3, 2)).shape == (2, 12, 12)
        assert cosine_similarity(a, a[..., :0]).shape == (2, 12, 0)
        assert cosine_similarity(a[:0], a[:0]).shape == (0, 12, 12)
        assert (cosine_similarity(a[:, :0], a[:, :0]) == 0).all()

    def test_oracle_torch(self, device, dtype):
        (a, b), _ = self.call(device, dtype)
        expected = torch.nn.functional.cosine_similarity(a.flatten(2)[:, :, :, None], b.flatten(2)[:, :, None], dim=1)
        assert_close(cosine_similarity(a, b), expected)

    @pytest.mark.parametrize("factor", [1e-30, 1e-3, 1e30])
    def test_property_length_does_not_matter(self, factor):
        (a, b), _ = self.call(torch.device("cpu"), torch.float32)
        assert_close(cosine_similarity(a * factor, b), cosine_similarity(a, b))

    def test_property_transposes_under_swap(self, device, dtype):
        (a, b), _ = self.call(device, dtype)
        assert_close(cosine_similarity(a, b), cosine_similarity(b, a).transpose(1, 2))

    @pytest.mark.parametrize("bad", [0.0, float("nan"), float("inf")])
    def test_nan_and_zero_descriptors_give_zero(self, bad):
        (a, b), _ = self.call(torch.device("cpu"), torch.float64)
        clean = cosine_similarity(a, b)
        a[1, :, 0, 2] = bad
        a.requires_grad_()
        result = cosine_similarity(a, b)
        assert (result[1, 2] == 0).all()
        clean[1, 2] = 0
        assert_close(result, clean)
        result.sum().backward()
        assert a.grad.isfinite().all()
        assert (a.grad[1, :, 0, 2] == 0).all()

    def test_half_precision(self):
        (a, b), _ = self.call(torch.device("cpu"), torch.float32)
        result = cosine_similarity(a.half() * 1e4, b.half())  # the squares overflow float16
        assert result.dtype == torch.float16
        assert_close(result, cosine_similarity(a, b))
