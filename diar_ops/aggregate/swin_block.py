"""One Swin block over aligned frames."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as recompute

from diar_ops._checks import check_floating, check_option, check_shapes
from diar_ops._errors import WeightsError
from diar_ops.aggregate._frames import check_frames, usable_frames
from diar_ops.aggregate._swin.attention import window_attention

__all__ = ["SwinBlock", "Window", "swin_block"]

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


def swin_block(
    features: Tensor,
    params: Mapping[str, Tensor],
    valid: Tensor | None = None,
    *,
    window: Window = (None, 4, 4),
    shift: bool = False,
    heads: int = 4,
    checkpoint: bool = False,
) -> Tensor:
    """Let the pixels of all frames attend to each other within windows, then an MLP per pixel.

    ``x = x + attention(norm(x)); x = x + mlp(norm(x))`` with layer norms over C and GELU.
    A pixel is used where it is valid and finite in all channels; where not, it is attended to by
    none and the output is 0 with zero gradient.

    Windows tile (T, H, W) from the corner on; with ``shift`` the first one ends after half a
    window. Windows are clipped at the borders: nothing is padded and nothing wraps around. An
    axis that fits into one window is not shifted. The position bias of two pixels depends on
    their true offset, in clipped windows too. If it has no time and all frames fit into the
    window, permuting the frames permutes the output.

    Args:
        features: (B, T, C, H, W) floating point, any T >= 1.
        params: The state dict of a :class:`SwinBlock`: ``norm1.weight`` and ``.bias`` (C),
            ``qkv`` (3 C, C) and (3 C), ``position_bias`` (heads, 2h - 1, 2w - 1), or
            (heads, 2t - 1, 2h - 1, 2w - 1) if time is ordered, by offset query - key, ``proj``
            (C, C) and (C), ``norm2`` (C), ``mlp_in`` (M, C) and (M), ``mlp_out`` (C, M) and (C).
        valid: Optional (B, T, 1, H, W) bool.
        window: (t, h, w) of a window; t ``None`` for all frames.
        shift: Shift the windows by half a window.
        heads: Number of heads, which divides C.
        checkpoint: Keep only the input for the backward pass and compute the rest again.

    Returns:
        (B, T, C, H, W) in the dtype of ``features``. On a CPU once differentiable.

    Raises:
        ShapeError: A shape does not fit, or T is 0.
        DtypeError: ``features`` or a parameter is not floating point or ``valid`` not bool.
        OptionError: ``window`` or ``heads`` is not positive, ``heads`` does not divide C, or time
            is ordered in windows without a t.
        WeightsError: A parameter is missing or unknown.

    Source: Liu et al., "Video Swin Transformer", 2022, eq. 1-4, with the norm first.
    """
    op = "swin_block"
    check_frames(op, features, valid)
    check_window(op, features, window, heads)
    check_params(op, features, params, window, heads)
    dtype = features.dtype
    clean, usable = usable_frames(features, valid)
    x = to_tokens(clean)
    mask = None if usable is None else usable[:, :, 0]
    weights = {name: params[name].to(x.dtype) for name in PARAMS}
    y = to_map(block_tokens(x, weights, mask, window, shift, heads, checkpoint), usable)
    return y.to(dtype)


def to_tokens(x: Tensor) -> Tensor:
    """Return (B, T, H, W, C) of (B, T, C, H, W)."""
    return x.movedim(2, -1).contiguous()


def to_map(x: Tensor, usable: Tensor | None) -> Tensor:
    """Return (B, T, C, H, W) of (B, T, H, W, C), 0 where ``usable`` (B, T, 1, H, W) is not."""
    x = x.movedim(-1, 2)
    return x.contiguous() if usable is None else torch.where(usable, x, 0)


def block_tokens(
    x: Tensor,
    params: Mapping[str, Tensor],
    usable: Tensor | None,
    window: Window,
    shift: bool,
    heads: int,
    checkpoint: bool,
) -> Tensor:
    """Run a block on ``x`` (B, T, H, W, C), without checks."""

    def run(x: Tensor) -> Tensor:
        p, channels = params, x.shape[-1:]
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


def check_window(op: str, features: Tensor, window: Window, heads: int) -> None:
    """Check the options of a block."""
    fits = isinstance(window, (tuple, list)) and len(window) == 3
    fits = fits and all(isinstance(n, int) and n > 0 for n in window[1:])
    fits = fits and (window[0] is None or (isinstance(window[0], int) and window[0] > 0))
    check_option(op, fits, "a window (t, h, w) of positive integers, t or None", window)
    channels = features.shape[2]
    fits = isinstance(heads, int) and heads > 0 and channels % heads == 0
    check_option(op, fits, f"a number of heads that divides {channels} channels", heads)


def check_params(
    op: str, features: Tensor, params: Mapping[str, Tensor], window: Window, heads: int
) -> None:
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
    t, h, w = window
    timed = params["position_bias"].dim() == 4
    check_option(op, not timed or t is not None, "a window with a t for ordered time", window)
    offsets = [2 * n - 1 for n in (*([t] if timed and t else []), h, w)]
    patterns = {
        "norm1": C,
        "qkv": f"{triple} {C}",
        "proj": f"{C} {C}",
        "norm2": C,
        "mlp_in": f"M {C}",
        "mlp_out": f"{C} M",
    }
    named = {"position_bias": " ".join(map(str, (heads, *offsets)))}
    for layer, pattern in patterns.items():
        named[f"{layer}.weight"], named[f"{layer}.bias"] = pattern, pattern.split()[0]
    sizes = {f"params[{name!r}]": (params[name], pattern) for name, pattern in named.items()}
    check_shapes(op, features=(features, f"B T {C} H W"), **sizes)
    check_floating(op, **{name: tensor for name, (tensor, _) in sizes.items()})


class SwinBlock(nn.Module):
    """See :func:`swin_block`.

    Args:
        channels: C.
        window: (t, h, w) of a window; t ``None`` for all frames.
        shift: Shift the windows by half a window.
        heads: Number of heads, which divides ``channels``.
        mlp_ratio: Hidden channels of the MLP over ``channels``.
        temporal_bias: Time is ordered: the position bias depends on the offset in time too. It
            needs a window with a t.
        checkpoint: Keep only the input for the backward pass and compute the rest again.
    """

    def __init__(
        self,
        channels: int,
        *,
        window: Window = (None, 4, 4),
        shift: bool = False,
        heads: int = 4,
        mlp_ratio: float = 2.0,
        temporal_bias: bool = False,
        checkpoint: bool = False,
    ) -> None:
        super().__init__()
        fits = isinstance(channels, int) and channels > 0
        check_option("SwinBlock", fits, "a positive number of channels", channels)
        hidden = int(channels * mlp_ratio)
        check_option("SwinBlock", hidden > 0, "an mlp_ratio with hidden channels", mlp_ratio)
        check_window("SwinBlock", torch.empty(0, 0, channels), window, heads)
        t, h, w = window
        fits = not temporal_bias or t is not None
        check_option("SwinBlock", fits, "a window with a t for ordered time", window)
        self.channels, self.window, self.shift, self.heads = channels, (t, h, w), shift, heads
        self.mlp_ratio, self.temporal_bias, self.checkpoint = mlp_ratio, temporal_bias, checkpoint
        offsets = [2 * n - 1 for n in (*([t] if temporal_bias and t else []), h, w)]
        self.norm1 = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.position_bias = nn.Parameter(torch.empty(heads, *offsets))
        self.proj = nn.Linear(channels, channels)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp_in = nn.Linear(channels, hidden)
        self.mlp_out = nn.Linear(hidden, channels)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters as Swin does: truncated normal of 0.02, biases 0, norms 1."""
        nn.init.trunc_normal_(self.position_bias, std=0.02)
        for module in self.children():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.LayerNorm):
                module.reset_parameters()

    def forward(self, features: Tensor, valid: Tensor | None = None) -> Tensor:
        """Map (B, T, C, H, W) to (B, T, C, H, W)."""
        return swin_block(
            features,
            dict(self.named_parameters()),
            valid,
            window=self.window,
            shift=self.shift,
            heads=self.heads,
            checkpoint=self.checkpoint,
        )

    def extra_repr(self) -> str:
        """Print the options."""
        return (
            f"{self.channels}, window={self.window}, shift={self.shift}, heads={self.heads}, "
            f"mlp_ratio={self.mlp_ratio}, temporal_bias={self.temporal_bias}, "
            f"checkpoint={self.checkpoint}"
        )
