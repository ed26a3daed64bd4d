"""swin_block against attention of all tokens to all tokens."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from diar_ops import SwinBlock, swin_block
from diar_ops.aggregate._swin.attention import window_attention
from tests.aggregate.contract import frames
from tests.aggregate.textbook_swin import SwinTests, textbook_block
from tests.harness import Call, assert_close, generator


class TestSwinBlock(SwinTests):
    op = "swin_block"
    infinite = "products of 1e30 leave float32"
    module = "SwinBlock"
    exempt = {"autocast": "learned layers run in the precision that autocast asks for, as torch's own do"}
    one_param, one_layer = "mlp_in.bias", "qkv"
    free = ((0, 1, 3, 4), *((),) * 13, (0, 1, 3, 4))

    def call(self, device: torch.device, dtype: torch.dtype) -> Call:
        kwargs = {"window": (2, 3, 2), "shift": True, "heads": 2}
        features, valid = frames("block call", 2, 3, 4, 5, 7)
        params = self.make_params(4, "block call", **kwargs)
        params = {k: v.to(device, dtype) for k, v in params.items()}
        return Call((features.to(device, dtype), params, valid.to(device)), kwargs)

    def gradcheck_call(self, device: torch.device) -> tuple[Any, tuple[Tensor, ...]]:
        options: dict[str, Any] = {"window": (2, 2, 2), "heads": 2, "shift": True}
        features, valid = frames("block gradcheck", 1, 3, 2, 3, 2, share_valid=0.5)
        valid[0, 0, 0, 2, 0] = False
        params = self.make_params(2, "block gradcheck", temporal_bias=True, **options)
        names = list(params)
        inputs = [x.to(device).requires_grad_() for x in (features, *params.values())]
        valid = valid.to(device)

        def function(x: Tensor, *values: Tensor) -> Tensor:
            return swin_block(x, dict(zip(names, values, strict=True)), valid, **options)

        return function, tuple(inputs)

    def test_oracle(self) -> None:
        sizes = st.tuples(st.integers(1, 2), st.integers(1, 4), st.integers(1, 6), st.integers(1, 5))
        windows = st.tuples(st.one_of(st.none(), st.integers(1, 5)), st.integers(1, 4), st.integers(1, 4))

        @given(sizes, windows, st.booleans(), st.booleans(), st.booleans(), st.integers(0, 9999))
        def check(
            size: tuple[int, int, int, int],
            window: tuple[int | None, int, int],
            shift: bool,
            timed: bool,
            masked: bool,
            seed: int,
        ) -> None:
            batch, count, height, width = size
            timed = timed and window[0] is not None
            features, valid = frames(f"block {seed}", batch, count, 4, height, width)
            valid[:, 0] = torch.rand(valid[:, 0].shape, generator=generator("hole")) < 0.5
            options: dict[str, Any] = {"window": window, "heads": 2}
            params = self.make_params(4, f"block {seed}", temporal_bias=timed, **options)
            leaves = [x.requires_grad_() for x in (features, *params.values())]
            mask = valid if masked else torch.ones_like(valid)
            out = swin_block(features, params, valid if masked else None, shift=shift, **options)
            expected = textbook_block(features, params, mask, window, shift, 2)
            assert_close(out, expected)
            weights = torch.randn(out.shape, generator=generator("above"), dtype=out.dtype)
            actual = torch.autograd.grad((out * weights).sum(), leaves)
            exact = torch.autograd.grad((expected * weights).sum(), leaves)
            for a, e in zip(actual, exact, strict=True):
                assert_close(a, e, rtol=1e-8, atol=1e-9)

        check()

    def test_oracle_of_float32(self) -> None:
        features, valid = frames("block float32", 2, 3, 8, 7, 9)
        params = self.make_params(8, "block float32", window=(None, 4, 4), heads=4)
        for shift in (False, True):
            out = swin_block(features.float(), params, valid, shift=shift)
            expected = textbook_block(features, params, valid, (None, 4, 4), shift, 4)
            assert_close(out, expected, rtol=1e-4, atol=2e-5)

    @pytest.mark.parametrize("precision", ["float32", "float64"])
    def test_property_frames_are_a_set(self, precision: str) -> None:
        dtype: torch.dtype = getattr(torch, precision)
        features, valid = frames("block order", 2, 7, 8, 9, 6)
        features, options = features.to(dtype), {"window": (None, 4, 4), "heads": 4}
        params = random_block(self, dtype)
        order = torch.randperm(7, generator=generator("block order"))
        for shift in (False, True):
            out = swin_block(features, params, valid, shift=shift, **options)
            other = swin_block(features[:, order], params, valid[:, order], shift=shift, **options)
            eps = 1e-6 if dtype == torch.float32 else 1e-12
            assert_close(other, out[:, order], rtol=eps, atol=eps)

    def test_property_ordered_time_is_no_set(self) -> None:
        features, _ = frames("block time", 1, 4, 4, 4, 4)
        params = self.make_params(4, "time", window=(4, 4, 4), heads=2, temporal_bias=True)
        out = swin_block(features, params, window=(4, 4, 4), heads=2)
        other = swin_block(features.flip(1), params, window=(4, 4, 4), heads=2).flip(1)
        assert (other - out).abs().max() > 1e-3

    def test_property_a_map_of_many_windows_is_cut_into_chunks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        features, valid = frames("block chunks", 2, 3, 4, 11, 9)
        leaf = features.requires_grad_()
        params = self.make_params(4, "chunks", window=(None, 2, 2), heads=2)
        module = sys.modules["diar_ops.aggregate._swin.attention"]
        results = []
        for scores in (1, 700, 2**30):
            monkeypatch.setattr(module, "SCORES", scores)
            out = swin_block(leaf, params, valid, window=(None, 2, 2), heads=2, shift=True)
            results.append((out, *torch.autograd.grad(out.square().sum(), leaf)))
        for result in results[1:]:
            for actual, expected in zip(result, results[0], strict=True):
                assert_close(actual, expected)

    def test_property_other_devices_get_the_same(self, monkeypatch: pytest.MonkeyPatch) -> None:
        features, valid = frames("block devices", 2, 3, 4, 7, 9)
        params = self.make_params(4, "devices", window=(2, 4, 4), heads=2)
        leaves = [x.requires_grad_() for x in (features, *params.values())]
        module = sys.modules["diar_ops.aggregate._swin.attention"]
        results = []
        for fast in ("cpu", "none"):
            monkeypatch.setattr(module, "FAST_DEVICE", fast)
            for mask in (None, valid):
                out = swin_block(features, params, mask, window=(2, 4, 4), heads=2, shift=True)
                results.append((out, *torch.autograd.grad(out.square().sum(), leaves)))
        for actual, expected in zip(sum(results[:2], ()), sum(results[2:], ()), strict=True):
            assert_close(actual, expected)


def random_block(tests: SwinTests, dtype: torch.dtype) -> dict[str, Tensor]:
    """Parameters of the size that training starts from, where float32 rounds to 1e-6."""
    params = tests.make_params(8, "block order", window=(None, 4, 4), heads=4)
    return {k: (v * 0.25).to(dtype) for k, v in params.items()}


def test_attention_of_windows_without_keys_is_zero() -> None:
    qkv = torch.randn(1, 2, 4, 4, 6, generator=generator("no keys"))
    usable = torch.ones(1, 2, 4, 4, dtype=torch.bool)
    usable[:, :, :2, :2] = False
    out = window_attention(qkv, torch.zeros(1, 3, 3), usable, (None, 2, 2), False, 1)
    assert out[:, :, :2, :2].eq(0).all()
    assert out[:, :, 2:].ne(0).all()
    assert out.isfinite().all()


def test_parameters_of_a_block_are_those_of_the_documentation() -> None:
    shapes = {k: tuple(v.shape) for k, v in SwinBlock(8, mlp_ratio=3).state_dict().items()}
    assert shapes == {
        "position_bias": (4, 7, 7),
        "norm1.weight": (8,),
        "norm1.bias": (8,),
        "qkv.weight": (24, 8),
        "qkv.bias": (24,),
        "proj.weight": (8, 8),
        "proj.bias": (8,),
        "norm2.weight": (8,),
        "norm2.bias": (8,),
        "mlp_in.weight": (24, 8),
        "mlp_in.bias": (24,),
        "mlp_out.weight": (8, 24),
        "mlp_out.bias": (8,),
    }
    timed = SwinBlock(8, window=(5, 4, 3), temporal_bias=True).position_bias
    assert timed.shape == (4, 9, 7, 5)
