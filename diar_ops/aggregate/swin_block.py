"""One Swin block over aligned frames."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from diar_ops._checks import check_option, is_integer
from diar_ops._module import OpModule
from diar_ops.aggregate._frames import check_frames
from diar_ops.aggregate._swin.block import (
    BlockOptions,
    Window,
    check_channels,
    check_options,
    check_params,
    functional_layers,
    module_layers,
    run_block,
)

#: More hidden channels per channel are a mistake.
MOST_RATIO = 1024


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
        (B, T, C, H, W) in the dtype of ``features``.

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
    options = BlockOptions(window, heads, checkpoint)
    check_options(op, features.shape[2], options)
    check_params(op, features, params, options)
    check_option("swin_block", isinstance(shift, bool), "shift to be True or False", shift)
    return run_block(features, valid, layers=functional_layers(params), options=options, shift=shift)


class SwinBlock(OpModule):
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
        fits = is_integer(channels) and channels > 0
        check_option("SwinBlock", fits, "a positive number of channels", channels)
        fits = mlp_ratio <= MOST_RATIO and channels * mlp_ratio >= 1
        check_option("SwinBlock", fits, f"an mlp_ratio with hidden channels, up to {MOST_RATIO}", mlp_ratio)
        hidden = int(channels * mlp_ratio)
        check_options("SwinBlock", channels, BlockOptions(window, heads, checkpoint))
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
        check_frames("swin_block", features, valid)
        check_channels("swin_block", features, self.channels)
        options = BlockOptions(self.window, self.heads, self.checkpoint)
        layers = module_layers(self, self.position_bias)
        return run_block(features, valid, layers=layers, options=options, shift=self.shift)
