"""A stack of Swin blocks, every second one shifted, shared by the Swin aggregates."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from diar_ops._checks import check_option, is_integer
from diar_ops._errors import WeightsError
from diar_ops._module import OpModule
from diar_ops.aggregate._frames import check_frames, usable_frames
from diar_ops.aggregate._swin.block import (
    BlockOptions,
    Window,
    check_options,
    check_params,
    run_block,
    to_map,
    to_tokens,
)
from diar_ops.aggregate.swin_block import SwinBlock


def swin_stack(
    op: str, features: Tensor, params: Mapping[str, Tensor], valid: Tensor | None, options: BlockOptions
) -> tuple[Tensor, Tensor | None]:
    """Embed frames by a stack of blocks.

    Returns:
        The embedding (B, T, C, H, W) in at least float32, and where it is usable (B, T, 1, H, W),
        ``None`` for everywhere.
    """
    check_frames(op, features, valid)
    check_options(op, features.shape[2], options)
    blocks = _split_params(op, params)
    for block in blocks:
        check_params(op, features, block, options)
    clean, usable = usable_frames(features, valid)
    x = to_tokens(clean)
    mask = None if usable is None else usable[:, :, 0]
    for i, block in enumerate(blocks):
        x = run_block(x, block, mask, options, shift=i % 2 == 1)
    return to_map(x, usable), usable


def _split_params(op: str, params: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
    """Return the parameters of each block."""
    blocks: dict[str, dict[str, Tensor]] = {}
    for name, value in params.items():
        root, _, rest = name.partition(".")
        index, _, leaf = rest.partition(".")
        if root != "blocks" or not leaf:
            raise WeightsError(f"{op}: params must be named blocks.0.qkv.weight and so on, got {name}")
        blocks.setdefault(index, {})[leaf] = value
    order = [str(i) for i in range(len(blocks))]
    if not blocks or set(blocks) != set(order):
        raise WeightsError(f"{op}: params must hold blocks 0, 1, ... without a gap, got {sorted(blocks)}")
    return [blocks[i] for i in order]


class SwinStack(OpModule):
    """Base of the modules that run a stack of :class:`SwinBlock`, with its options."""

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
        fits = is_integer(depth) and depth > 0
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
