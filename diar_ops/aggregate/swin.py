"""Mean over frames with the weights that Swin blocks find."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, overload

from torch import Tensor, nn

from diar_ops._checks import check_option
from diar_ops._errors import WeightsError
from diar_ops.aggregate._frames import check_frames, usable_frames
from diar_ops.aggregate.softmax import softmax_aggregate
from diar_ops.aggregate.swin_block import (
    PARAMS,
    SwinBlock,
    Window,
    block_tokens,
    check_params,
    check_window,
    to_map,
    to_tokens,
)

__all__ = ["SwinAggregate", "SwinStack", "swin_aggregate", "swin_stack"]


@overload
def swin_aggregate(
    features: Tensor,
    params: Mapping[str, Tensor],
    valid: Tensor | None = None,
    *,
    window: Window = (None, 4, 4),
    heads: int = 4,
    checkpoint: bool = False,
    return_weights: Literal[False] = False,
) -> Tensor: ...
@overload
def swin_aggregate(
    features: Tensor,
    params: Mapping[str, Tensor],
    valid: Tensor | None = None,
    *,
    window: Window = (None, 4, 4),
    heads: int = 4,
    checkpoint: bool = False,
    return_weights: Literal[True],
) -> tuple[Tensor, Tensor]: ...
@overload
def swin_aggregate(
    features: Tensor,
    params: Mapping[str, Tensor],
    valid: Tensor | None = None,
    *,
    window: Window = (None, 4, 4),
    heads: int = 4,
    checkpoint: bool = False,
    return_weights: bool,
) -> Tensor | tuple[Tensor, Tensor]: ...


def swin_aggregate(
    features: Tensor,
    params: Mapping[str, Tensor],
    valid: Tensor | None = None,
    *,
    window: Window = (None, 4, 4),
    heads: int = 4,
    checkpoint: bool = False,
    return_weights: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """Average the frames of each pixel with weights that windows of all frames decide together.

    The logits of the weights are ``y = blocks(features)``, a stack of :func:`swin_block`, every
    second one shifted. The result is the sum over T of softmax_T(y) * features, per channel and
    pixel: the weights apply to the features themselves. A frame counts at a pixel where it is
    valid and finite in all channels. Where none counts, the output is 0 with zero gradient.
    If the position bias has no time and all frames fit into the window, the order of the frames
    does not matter.

    Args:
        features: (B, T, C, H, W) floating point, any T >= 1.
        params: The state dict of a :class:`SwinAggregate`: the parameters of block i of
            :func:`swin_block` as ``blocks.{i}.{name}``. They decide the depth.
        valid: Optional (B, T, 1, H, W) bool.
        window: (t, h, w) of a window; t ``None`` for all frames.
        heads: Number of heads, which divides C.
        checkpoint: Keep only the input of each block for the backward pass.
        return_weights: Also return the weights.

    Returns:
        (B, C, H, W) in the dtype of ``features``; with ``return_weights`` also weights
        (B, T, C, H, W), whose products with the features sum to the output over T. On a CPU once
        differentiable.

    Raises:
        ShapeError: A shape does not fit, or T is 0.
        DtypeError: ``features`` or a parameter is not floating point or ``valid`` not bool.
        OptionError: ``window`` or ``heads`` is not positive, ``heads`` does not divide C, or time
            is ordered in windows without a t.
        WeightsError: A parameter is missing or unknown.

    Source: the weighted aggregation of deep aligned sequences; Liu et al., "Video Swin
    Transformer", 2022.
    """
    logits, _ = swin_stack("swin_aggregate", features, params, valid, window, heads, checkpoint)
    return softmax_aggregate(features, logits, valid, return_weights=return_weights)


def swin_stack(
    op: str,
    features: Tensor,
    params: Mapping[str, Tensor],
    valid: Tensor | None,
    window: Window,
    heads: int,
    checkpoint: bool,
) -> tuple[Tensor, Tensor | None]:
    """Run blocks, every second one shifted.

    Returns:
        The embedding (B, T, C, H, W) in at least float32, and where it is usable (B, T, 1, H, W),
        ``None`` for everywhere.
    """
    check_frames(op, features, valid)
    check_window(op, features, window, heads)
    blocks = _split_params(op, params)
    for block in blocks:
        check_params(op, features, block, window, heads)
    clean, usable = usable_frames(features, valid)
    x = to_tokens(clean)
    mask = None if usable is None else usable[:, :, 0]
    for i, block in enumerate(blocks):
        weights = {name: block[name].to(x.dtype) for name in PARAMS}
        x = block_tokens(x, weights, mask, window, i % 2 == 1, heads, checkpoint)
    return to_map(x, usable), usable


def _split_params(op: str, params: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
    """Return the parameters of each block."""
    blocks: dict[str, dict[str, Tensor]] = {}
    for name, value in params.items():
        root, _, rest = name.partition(".")
        index, _, leaf = rest.partition(".")
        if root != "blocks" or not leaf:
            raise WeightsError(
                f"{op}: params must be named blocks.0.qkv.weight and so on, got {name}"
            )
        blocks.setdefault(index, {})[leaf] = value
    order = [str(i) for i in range(len(blocks))]
    if not blocks or set(blocks) != set(order):
        raise WeightsError(
            f"{op}: params must hold blocks 0, 1, ... without a gap, got {sorted(blocks)}"
        )
    return [blocks[i] for i in order]


class SwinStack(nn.Module):
    """The blocks and options that the modules of this kind share."""

    def __init__(
        self,
        channels: int,
        *,
        depth: int = 2,
        window: Window = (None, 4, 4),
        heads: int = 4,
        mlp_ratio: float = 2.0,
        temporal_bias: bool = False,
        checkpoint: bool = False,
    ) -> None:
        super().__init__()
        fits = isinstance(depth, int) and depth > 0
        check_option(type(self).__name__, fits, "a positive depth", depth)
        self.channels, self.depth, self.window, self.heads = channels, depth, window, heads
        self.mlp_ratio, self.temporal_bias, self.checkpoint = mlp_ratio, temporal_bias, checkpoint
        self.blocks = nn.ModuleList(
            SwinBlock(
                channels,
                window=window,
                shift=i % 2 == 1,
                heads=heads,
                mlp_ratio=mlp_ratio,
                temporal_bias=temporal_bias,
                checkpoint=checkpoint,
            )
            for i in range(depth)
        )

    def extra_repr(self) -> str:
        """Print the options."""
        return (
            f"{self.channels}, depth={self.depth}, window={self.window}, heads={self.heads}, "
            f"mlp_ratio={self.mlp_ratio}, temporal_bias={self.temporal_bias}, "
            f"checkpoint={self.checkpoint}"
        )


class SwinAggregate(SwinStack):
    """See :func:`swin_aggregate`; the options of the blocks are those of :class:`SwinBlock`."""

    def __init__(
        self,
        channels: int,
        *,
        depth: int = 2,
        window: Window = (None, 4, 4),
        heads: int = 4,
        mlp_ratio: float = 2.0,
        temporal_bias: bool = False,
        checkpoint: bool = False,
        return_weights: bool = False,
    ) -> None:
        super().__init__(
            channels,
            depth=depth,
            window=window,
            heads=heads,
            mlp_ratio=mlp_ratio,
            temporal_bias=temporal_bias,
            checkpoint=checkpoint,
        )
        self.return_weights = return_weights

    def forward(
        self, features: Tensor, valid: Tensor | None = None
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Aggregate (B, T, C, H, W) to (B, C, H, W)."""
        return swin_aggregate(
            features,
            dict(self.named_parameters()),
            valid,
            window=self.window,
            heads=self.heads,
            checkpoint=self.checkpoint,
            return_weights=self.return_weights,
        )

    def extra_repr(self) -> str:
        """Print the options."""
        return f"{super().extra_repr()}, return_weights={self.return_weights}"
