"""One Swin block on frames, and the checks of its parameters and options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as recompute

from diar_ops._checks import check_floating, check_option, check_shapes, is_integer, under_transform
from diar_ops._errors import ShapeError, WeightsError
from diar_ops.aggregate._frames import usable_frames
from diar_ops.aggregate._swin.attention import window_attention

#: Size (t, h, w) of a window; ``None`` frames are all frames.
Window = tuple[int | None, int, int]
#: A layer on the last axis.
Layer = Callable[[Tensor], Tensor]

_NORMS, _LINEARS = ("norm1", "norm2"), ("qkv", "proj", "mlp_in", "mlp_out")
PARAMS = ("position_bias", *(f"{layer}.{kind}" for layer in (*_NORMS, *_LINEARS) for kind in ("weight", "bias")))


class BlockOptions(NamedTuple):
    """The options of :func:`swin_block` that all blocks of a stack share."""

    window: Window
    heads: int
    checkpoint: bool


class BlockLayers(NamedTuple):
    """The layers of a block: those of a module, which may be replaced, or functions."""

    norm1: Layer
    qkv: Layer
    position_bias: Tensor
    proj: Layer
    norm2: Layer
    mlp_in: Layer
    mlp_out: Layer


def functional_layers(params: Mapping[str, Tensor]) -> BlockLayers:
    """Return the layers with ``params``, which run in the dtype of what they are given."""

    def weights(name: str, x: Tensor) -> tuple[Tensor, Tensor]:
        return params[f"{name}.weight"].to(x.dtype), params[f"{name}.bias"].to(x.dtype)

    def norm(name: str) -> Layer:
        return lambda x: F.layer_norm(x, x.shape[-1:], *weights(name, x))

    def linear(name: str) -> Layer:
        return lambda x: F.linear(x, *weights(name, x))

    layers = {name: norm(name) for name in _NORMS} | {name: linear(name) for name in _LINEARS}
    return BlockLayers(position_bias=params["position_bias"], **layers)


def module_layers(module: nn.Module, position_bias: Tensor) -> BlockLayers:
    """Return the layers of a module, each called as a module: hooks, adapters and all."""
    layers = {name: _in_own_dtype(module.get_submodule(name)) for name in (*_NORMS, *_LINEARS)}
    return BlockLayers(position_bias=position_bias, **layers)


def _in_own_dtype(layer: nn.Module) -> Layer:
    """Return a layer that computes in the dtype of its parameters, if it has any, as torch's do."""

    def run(x: Tensor) -> Tensor:
        dtypes = (p.dtype for p in layer.parameters() if p.is_floating_point())
        out: Tensor = layer(x.to(next(dtypes, x.dtype)))
        return out.to(x.dtype)

    return run


def run_block(
    features: Tensor, valid: Tensor | None, *, layers: BlockLayers, options: BlockOptions, shift: bool
) -> Tensor:
    """Run a block on ``features`` (B, T, C, H, W), without checks.

    Returns:
        (B, T, C, H, W) in the dtype of ``features``, 0 where they do not count. Its channels are
        neighbours in memory, as the next block wants them.
    """
    window, heads, checkpoint = options
    clean, usable = usable_frames(features, valid)
    tokens = None if usable is None else usable[:, :, 0]

    def run(x: Tensor) -> Tensor:
        y = layers.qkv(layers.norm1(x))
        x = x + layers.proj(window_attention(y, layers.position_bias, tokens, window, shift, heads))
        return x + layers.mlp_out(F.gelu(layers.mlp_in(layers.norm2(x))))

    x = clean.movedim(2, -1).contiguous()
    # Transforms of torch.func know no hooks on saved tensors, which recomputing needs.
    again = checkpoint and torch.is_grad_enabled() and not under_transform()
    x = recompute(run, x, use_reentrant=False) if again else run(x)
    x = x.movedim(-1, 2)
    return (x if usable is None else torch.where(usable, x, 0)).to(features.dtype)


def check_options(op: str, channels: int, options: BlockOptions) -> None:
    """Check the options of a block for features of ``channels``."""
    window, heads = options.window, options.heads
    fits = isinstance(window, (tuple, list)) and len(window) == 3
    fits = fits and all(is_integer(n) and n > 0 for n in window[1:])
    fits = fits and (window[0] is None or (is_integer(window[0]) and window[0] > 0))
    check_option(op, fits, "a window (t, h, w) of positive integers, t or None", window)
    fits = is_integer(heads) and heads > 0 and channels % heads == 0
    check_option(op, fits, f"a number of heads that divides {channels} channels", heads)


def check_channels(op: str, features: Tensor, channels: int) -> None:
    """Check that ``features`` (B, T, C, H, W) have the channels of a module."""
    if features.shape[2] != channels:
        raise ShapeError(f"{op}: features must have shape (B T {channels} H W), got {list(features.shape)}")


def check_params(op: str, features: Tensor, params: Mapping[str, Tensor], options: BlockOptions) -> None:
    """Check the names and shapes of the parameters of a block."""
    missing, unknown = sorted(set(PARAMS) - set(params)), sorted(set(params) - set(PARAMS))
    if missing or unknown:
        raise WeightsError(
            f"{op}: params must be the state dict of a SwinBlock, got "
            + " and ".join(
                f"{len(names)} {what} ({names[0]})"
                for names, what in ((missing, "missing"), (unknown, "unknown"))
                if names
            )
        )
    named = {f"params[{name!r}]": params[name] for name in PARAMS}
    check_shapes(op, features=(features, "..."), **{name: (tensor, "...") for name, tensor in named.items()})
    check_floating(op, **named)
    channels, hidden = features.shape[2], params["mlp_in.bias"].shape[-1]
    t, h, w = options.window
    timed = params["position_bias"].dim() == 4
    check_option(op, not timed or t is not None, "a window with a t for ordered time", options.window)
    offsets = [2 * n - 1 for n in (*([t] if timed and t else []), h, w)]
    rows = {"qkv": 3 * channels, "proj": channels, "mlp_in": hidden, "mlp_out": channels}
    shapes: dict[str, tuple[int, ...]] = {"position_bias": (options.heads, *offsets)}
    for name in _NORMS:
        shapes[f"{name}.weight"] = shapes[f"{name}.bias"] = (channels,)
    for name in _LINEARS:
        columns = hidden if name == "mlp_out" else channels
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (rows[name], columns), (rows[name],)
    for name, expected in shapes.items():
        # Sizes are compared as they are: a symbolic one, of a compiled graph, is no word of a pattern.
        if tuple(params[name].shape) != expected:
            raise ShapeError(
                f"{op}: params[{name!r}] must have shape {list(expected)} for {channels} channels, "
                f"got {list(params[name].shape)}"
            )
