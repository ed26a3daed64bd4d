"""One Swin block on tokens, and the checks of its parameters and options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint as recompute

from diar_ops._checks import check_floating, check_option, check_shapes, is_integer
from diar_ops._errors import WeightsError
from diar_ops.aggregate._swin.attention import window_attention

#: Size (t, h, w) of a window; ``None`` frames are all frames.
Window = tuple[int | None, int, int]

PARAMS = (
    "norm1.weight",
    "norm1.bias",
    "qkv.weight",
    "qkv.bias",
    "position_bias",
    "proj.weight",
    "proj.bias",
    "norm2.weight",
    "norm2.bias",
    "mlp_in.weight",
    "mlp_in.bias",
    "mlp_out.weight",
    "mlp_out.bias",
)


class BlockOptions(NamedTuple):
    """The options of :func:`swin_block` that all blocks of a stack share."""

    window: Window
    heads: int
    checkpoint: bool


def to_tokens(x: Tensor) -> Tensor:
    """Return (B, T, H, W, C) of (B, T, C, H, W)."""
    return x.movedim(2, -1).contiguous()


def to_map(x: Tensor, usable: Tensor | None) -> Tensor:
    """Return (B, T, C, H, W) of (B, T, H, W, C), 0 where ``usable`` (B, T, 1, H, W) is not."""
    x = x.movedim(-1, 2)
    return x.contiguous() if usable is None else torch.where(usable, x, 0)


def run_block(
    x: Tensor, params: Mapping[str, Tensor], usable: Tensor | None, options: BlockOptions, *, shift: bool
) -> Tensor:
    """Run a block on ``x`` (B, T, H, W, C), in its dtype, without checks."""
    p = {name: params[name].to(x.dtype) for name in PARAMS}
    window, heads, checkpoint = options

    def run(x: Tensor) -> Tensor:
        channels = x.shape[-1:]
        y = F.layer_norm(x, channels, p["norm1.weight"], p["norm1.bias"])
        y = F.linear(y, p["qkv.weight"], p["qkv.bias"])
        y = window_attention(y, p["position_bias"], usable, window, shift, heads)
        x = x + F.linear(y, p["proj.weight"], p["proj.bias"])
        y = F.layer_norm(x, channels, p["norm2.weight"], p["norm2.bias"])
        y = F.gelu(F.linear(y, p["mlp_in.weight"], p["mlp_in.bias"]))
        return x + F.linear(y, p["mlp_out.weight"], p["mlp_out.bias"])

    if not (checkpoint and torch.is_grad_enabled()):
        return run(x)
    out: Tensor = recompute(run, x, use_reentrant=False, preserve_rng_state=False)
    return out


def check_options(op: str, channels: int, options: BlockOptions) -> None:
    """Check the options of a block for features of ``channels``."""
    window, heads = options.window, options.heads
    fits = isinstance(window, (tuple, list)) and len(window) == 3
    fits = fits and all(is_integer(n) and n > 0 for n in window[1:])
    fits = fits and (window[0] is None or (is_integer(window[0]) and window[0] > 0))
    check_option(op, fits, "a window (t, h, w) of positive integers, t or None", window)
    fits = is_integer(heads) and heads > 0 and channels % heads == 0
    check_option(op, fits, f"a number of heads that divides {channels} channels", heads)


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
    channels = features.shape[2]
    C, triple = str(channels), str(3 * channels)
    t, h, w = options.window
    timed = params["position_bias"].dim() == 4
    check_option(op, not timed or t is not None, "a window with a t for ordered time", options.window)
    offsets = [2 * n - 1 for n in (*([t] if timed and t else []), h, w)]
    patterns = {
        "norm1": C,
        "qkv": f"{triple} {C}",
        "proj": f"{C} {C}",
        "norm2": C,
        "mlp_in": f"M {C}",
        "mlp_out": f"{C} M",
    }
    named = {"position_bias": " ".join(map(str, (options.heads, *offsets)))}
    for layer, pattern in patterns.items():
        named[f"{layer}.weight"], named[f"{layer}.bias"] = pattern, pattern.split()[0]
    sizes = {f"params[{name!r}]": (params[name], pattern) for name, pattern in named.items()}
    check_shapes(op, features=(features, f"B T {C} H W"), **sizes)
    check_floating(op, **{name: tensor for name, (tensor, _) in sizes.items()})
