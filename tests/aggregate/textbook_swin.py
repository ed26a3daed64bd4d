"""Swin blocks written down as the definition says, and what every op made of them promises."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import diar_ops
from diar_ops import DtypeError, OptionError, ShapeError, WeightsError
from tests.aggregate.contract import NAN, frames
from tests.harness import OpTests, assert_close, generator

KEPT_PARAMS: dict[tuple[Any, ...], dict[str, Tensor]] = {}


def random_params(module: nn.Module, name: str) -> dict[str, Tensor]:
    """Return a float64 state dict in which every parameter matters."""
    rng = generator(name)
    return {
        key: torch.randn(value.shape, generator=rng, dtype=torch.float64) * 0.4
        for key, value in module.state_dict().items()
    }


def window_number(size: int, window: int | None, shift: bool) -> list[int]:
    """Return which window each place of an axis is in."""
    if window is None or size <= window:
        return [0] * size
    ahead = (window - window // 2) % window if shift else 0
    return [(i + ahead) // window for i in range(size)]


def textbook_block(
    features: Tensor,
    params: dict[str, Tensor],
    valid: Tensor,
    window: tuple[int | None, int, int],
    shift: bool,
    heads: int,
) -> Tensor:
    """One block as attention of all tokens to all tokens, masked; every bias looked up by hand."""
    B, T, C, H, W = features.shape
    usable = (valid & features.isfinite().all(2, keepdim=True)).flatten(3)[:, :, 0].flatten(1)
    x = features.permute(0, 1, 3, 4, 2).reshape(B, -1, C)
    x = torch.where(usable[..., None], x, 0)
    places = [(t, h, w) for t in range(T) for h in range(H) for w in range(W)]
    numbers = [window_number(*axis, shift) for axis in zip((T, H, W), window, strict=True)]
    table = params["position_bias"]
    middle = [n // 2 for n in table.shape[1:]]
    skip = 4 - table.dim()  # without time in the table the first offset is left out
    rows = []
    for p in places:
        row = []
        for q in places:
            if any(n[i] != n[j] for n, i, j in zip(numbers, p, q, strict=True)):
                row.append(torch.full((heads,), -math.inf, dtype=table.dtype))
                continue
            offset = [i - j for i, j in zip(p, q, strict=True)][skip:]
            index = [m + o for m, o in zip(middle, offset, strict=True)]
            assert all(0 <= i < n for i, n in zip(index, table.shape[1:], strict=True))
            row.append(table[(slice(None), *index)])
        rows.append(torch.stack(row))
    bias = torch.stack(rows).permute(2, 0, 1)  # [heads, N, N]

    def norm(x: Tensor, name: str) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        scale = (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        return centred / scale * params[f"{name}.weight"] + params[f"{name}.bias"]

    def linear(x: Tensor, name: str) -> Tensor:
        return x @ params[f"{name}.weight"].T + params[f"{name}.bias"]

    q, k, v = linear(norm(x, "norm1"), "qkv").view(B, -1, 3, heads, C // heads).unbind(2)
    score = torch.einsum("bihd,bjhd->bhij", q, k) / math.sqrt(C // heads) + bias
    score = score.masked_fill(~usable[:, None, None], -math.inf)
    score = (score - score.amax(-1, keepdim=True).clamp(min=-1e9)).exp()
    weights = score / score.sum(-1, keepdim=True).clamp(min=1e-300)
    y = torch.einsum("bhij,bjhd->bihd", weights, v).reshape(B, -1, C)
    x = x + linear(y, "proj")
    hidden = linear(norm(x, "norm2"), "mlp_in")
    x = x + linear(hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2))), "mlp_out")
    x = torch.where(usable[..., None], x, 0)
    return x.view(B, T, H, W, C).permute(0, 1, 4, 2, 3)


def textbook_stack(
    features: Tensor, params: dict[str, Tensor], valid: Tensor, window: tuple[int | None, int, int], heads: int
) -> Tensor:
    """Blocks, every second one shifted."""
    usable = valid & features.isfinite().all(2, keepdim=True)
    depth = 1 + max(int(name.split(".")[1]) for name in params)
    for i in range(depth):
        prefix = f"blocks.{i}."
        block = {k.removeprefix(prefix): v for k, v in params.items() if k.startswith(prefix)}
        features = textbook_block(features, block, usable, window, i % 2 == 1, heads)
    return features


class SwinTests(OpTests):
    """Tests of an op of (features, params, valid) with a window and heads."""

    #: A parameter and a linear layer of the state dict.
    one_param, one_layer = "blocks.1.mlp_in.bias", "blocks.0.qkv"
    #: The sizes of frames are free, those of parameters are not.
    free = ((0, 1, 3, 4), *((),) * 26, (0, 1, 3, 4))

    def make_params(self, channels: int, name: str, **options: Any) -> dict[str, Tensor]:
        return random_params(getattr(diar_ops, self.module)(channels, **options), name)

    def apply(self, features: Tensor, *_: Tensor, valid: Tensor | None = None, **options: Any) -> Any:
        """Call the op with parameters that its data do not matter for."""
        options = {"window": (None, 2, 2), "heads": 1, **options}
        made = {k: v for k, v in options.items() if k in ("window", "heads")}
        # Kept, because vmap forbids to draw them again.
        key = (self.op, features.shape[2], *made.values())
        if key not in KEPT_PARAMS:
            KEPT_PARAMS[key] = self.make_params(features.shape[2], "contract", **made)
        return self.function(features, KEPT_PARAMS[key], valid, **options)

    def test_module(self, device: torch.device, dtype: torch.dtype) -> None:
        (features, params, valid), kwargs = self.call(device, dtype)
        assert self.module is not None
        twin = getattr(diar_ops, self.module)(features.shape[2], **kwargs).to(device, dtype)
        for name, value in kwargs.items():
            assert f"{name}={value}" in repr(twin), "the repr must print every option"
        twin.load_state_dict(params)
        expected = self.function(features, params, valid, **kwargs)
        actual = twin(features, valid)
        for a, e in zip(
            actual if isinstance(actual, tuple) else [actual],
            expected if isinstance(expected, tuple) else [expected],
            strict=True,
        ):
            assert torch.equal(a, e)

    def test_module_starts_like_swin(self) -> None:
        twin = getattr(diar_ops, self.module)(96, heads=4)
        for name, value in twin.state_dict().items():
            if name.endswith(("norm1.weight", "norm2.weight")):
                assert value.eq(1).all()
            elif name.endswith("bias") and not name.endswith("position_bias"):
                assert value.eq(0).all()
            else:
                assert 0.015 < value.std() < 0.025, name

    def test_module_rejects_nonsense(self) -> None:
        module = getattr(diar_ops, self.module)
        with pytest.raises(OptionError, match="heads that divides 10 channels, got 4"):
            module(10)
        with pytest.raises(OptionError, match="a window with a t for ordered time"):
            module(8, temporal_bias=True)
        with pytest.raises(OptionError, match=r"window \(t, h, w\) of positive integers"):
            module(8, window=(4, 4))
        with pytest.raises(OptionError, match="a positive number of channels"):
            module(0)
        with pytest.raises(OptionError, match="hidden channels"):
            module(8, mlp_ratio=0)

    def test_exception(self) -> None:
        features, _ = frames("swin errors", 1, 2, 4, 3, 3)
        params = self.make_params(4, "swin errors", heads=2, window=(2, 3, 3))
        call = {"heads": 2, "window": (2, 3, 3)}
        assert self.function(features, params, **call).isfinite().all()
        with pytest.raises(ShapeError, match="position_bias"):
            self.function(features, params, heads=2, window=(2, 4, 4))
        with pytest.raises(ShapeError, match="position_bias"):
            self.function(features, params, heads=4, window=(2, 3, 3))
        with pytest.raises(OptionError, match="heads that divides 4 channels, got 3"):
            self.function(features, params, heads=3, window=(2, 3, 3))
        for window in ((2, 3), (0, 3, 3), (2, 3, None), (2, 3.0, 3), 4):
            with pytest.raises(OptionError, match=r"window \(t, h, w\)"):
                self.function(features, params, heads=2, window=window)
        less = {k: v for k, v in params.items() if k != self.one_param}
        with pytest.raises(WeightsError, match=r"1 missing \(mlp_in.bias\)"):
            self.function(features, less, **call)
        more = {**params, self.one_layer + ".scale": features}
        with pytest.raises(WeightsError, match=r"1 unknown \(qkv.scale\)"):
            self.function(features, more, **call)
        for name in (self.one_layer + ".weight", self.one_param):
            with pytest.raises(ShapeError, match="must have shape"):
                self.function(features, {**params, name: params[name][:-1]}, **call)
            with pytest.raises(DtypeError, match="must be floating point"):
                self.function(features, {**params, name: params[name].long()}, **call)
        ordered = self.make_params(4, "timed", heads=2, window=(2, 3, 3), temporal_bias=True)
        with pytest.raises(OptionError, match="a window with a t for ordered time"):
            self.function(features, ordered, heads=2, window=(None, 3, 3))

    @pytest.mark.parametrize("shape", [(0, 2, 4, 3, 3), (1, 2, 4, 0, 3), (1, 1, 4, 1, 1)])
    def test_cardinality_of_maps_without_pixels(self, shape: tuple[int, ...]) -> None:
        features = torch.zeros(shape, dtype=torch.float64, requires_grad=True)
        out = self.apply(features, heads=2)
        batch, _, channels, height, width = shape
        assert out.shape in (shape, (batch, channels, height, width))
        out.sum().backward()
        assert features.grad is not None

    def test_property_one_pixel_reaches_its_windows_only(self) -> None:
        features, valid = frames("swin isolation", 3, 3, 2, 9, 9, share_valid=1.0)
        before = self.apply(features, valid=valid, window=(None, 2, 2))
        features[1, 2, 0, 4, 4] += 1
        change = self.apply(features, valid=valid, window=(None, 2, 2)) - before
        assert change[[0, 2]].eq(0).all()
        seen = change[1].abs().amax(tuple(range(change.dim() - 3)))
        reached = seen.ne(0)
        assert reached[4, 4]
        assert not reached[:3].any()
        assert not reached[7:].any()
        assert not reached[:, :3].any()
        assert not reached[:, 7:].any()

    def test_property_items_do_not_mix(self) -> None:
        features, valid = frames("swin items", 4, 3, 2, 5, 6)
        order = torch.tensor([2, 0, 3, 1])
        out = self.apply(features, valid=valid)
        assert torch.equal(self.apply(features[order], valid=valid[order]), out[order])

    def test_property_checkpoint_changes_nothing(self) -> None:
        features, valid = frames("swin checkpoint", 1, 3, 2, 5, 6)
        results = []
        for checkpoint in (False, True):
            leaf = features.clone().requires_grad_()
            out = self.apply(leaf, valid=valid, checkpoint=checkpoint)
            results.append((out, *torch.autograd.grad(out.square().sum(), leaf)))
        for first, second in zip(*results, strict=True):
            assert torch.equal(first, second)

    def test_nan_in_one_channel_is_as_if_masked(self) -> None:
        features, valid = frames("swin nan", 2, 3, 2, 5, 6)
        expected = self.apply(features, valid=valid)
        for filler in (NAN, torch.inf, 1e30):
            broken = features.clone()
            hole = ~valid[:, :, 0]
            broken[:, :, 1][hole] = filler
            assert torch.equal(self.apply(broken, valid=valid), expected)
            if filler != 1e30:
                assert torch.equal(self.apply(broken), expected)

    def test_nan_windows_without_a_valid_pixel(self) -> None:
        features, valid = frames("swin empty", 2, 3, 2, 6, 6)
        valid[0, :, :, 0:4, 0:4] = False
        features[0, :, :, 0:4, 0:4] = NAN
        features.requires_grad_()
        out = self.apply(features, valid=valid)
        assert out.isfinite().all()
        assert out[0, ..., 0:4, 0:4].eq(0).all()
        (grad,) = torch.autograd.grad(out.square().sum(), features)
        assert grad.isfinite().all()
        assert grad.masked_select(~valid.expand_as(grad)).eq(0).all()
        assert grad.ne(0).any()

    def test_compile_with_gradients(self) -> None:
        torch.compiler.reset()
        options: dict[str, Any] = {"window": (None, 2, 2), "heads": 2}
        features, valid = frames("swin compile", 2, 3, 4, 5, 6)
        params = self.make_params(4, "swin compile", **options)
        leaves = [x.requires_grad_() for x in (features, *params.values())]

        def function(x: Tensor, *values: Tensor) -> Tensor:
            return self.function(x, dict(zip(params, values, strict=True)), valid, **options)

        compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
        actual = torch.autograd.grad(compiled(*leaves).square().sum(), leaves)
        expected = torch.autograd.grad(function(*leaves).square().sum(), leaves)
        for a, e in zip(actual, expected, strict=True):
            assert_close(a, e)

    @pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")  # which torch.func.jvp uses itself
    def test_transforms_of_torch_func(self) -> None:
        """Gradients by torch.func, of parameters too, and one per item, are those of autograd."""
        options: dict[str, Any] = {"window": (None, 2, 2), "heads": 2}
        features, valid = frames("swin func", 2, 2, 2, 3, 5)
        params = self.make_params(2, "swin func", **options)
        leaves = [x.requires_grad_() for x in (features, *params.values())]

        def function(x: Tensor, params: dict[str, Tensor], valid: Tensor = valid, **more: Any) -> Tensor:
            return self.function(x, params, valid, **options, **more)

        out = function(features, params)
        exact = torch.autograd.grad(out.square().sum(), leaves)
        for more in ({}, {"checkpoint": True}):
            actual = torch.func.grad(lambda *a, more=more: function(*a, **more).square().sum(), (0, 1))(
                features, params
            )
            for a, e in zip((actual[0], *actual[1].values()), exact, strict=True):
                assert_close(a, e)
        jacobian = torch.func.jacrev(function)(features, params)
        assert_close(torch.tensordot(2 * out.detach(), jacobian, out.dim()), exact[0])
        forward = torch.func.jacfwd(function)(features, params)
        assert_close(forward, jacobian)
        each = torch.vmap(torch.func.grad(lambda x, v: function(x[None], params, v[None]).square().sum()))
        assert_close(each(features, valid), exact[0])

    def test_gradgradcheck(self) -> None:
        function, inputs = self.gradcheck_call(torch.device("cpu"))
        assert torch.autograd.gradgradcheck(function, inputs, fast_mode=True)

    def test_vmap_of_params(self) -> None:
        features, valid = frames("swin vmap", 1, 2, 2, 3, 5)
        sets = [self.make_params(2, f"vmap {i}", heads=2, window=(None, 2, 2)) for i in range(3)]
        stacked = {k: torch.stack([s[k] for s in sets]) for k in sets[0]}

        def single(params: dict[str, Tensor]) -> Tensor:
            return self.function(features, params, valid, heads=2, window=(None, 2, 2))

        expected = torch.stack([single(s) for s in sets])
        leaves = [x.requires_grad_() for x in stacked.values()]
        actual = torch.vmap(single)(stacked)
        assert_close(actual, expected)
        grads = torch.autograd.grad(actual.square().sum(), leaves)
        for i, params in enumerate(sets):
            leaves = [x.requires_grad_() for x in params.values()]
            exact = torch.autograd.grad(single(params).square().sum(), leaves)
            for grad, e in zip(grads, exact, strict=True):
                assert_close(grad[i], e)
