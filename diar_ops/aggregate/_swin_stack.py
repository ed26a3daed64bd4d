"""A stack of Swin blocks, every second one shifted, shared by the Swin aggregates."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from torch import Tensor, nn

from diar_ops._checks import check_option, is_integer
from diar_ops._errors import WeightsError
from diar_ops._module import OpModule
from diar_ops.aggregate._frames import check_frames, usable_frames
from diar_ops.aggregate._swin.block import (
    BlockOptions,
    Window,
    check_channels,
    check_options,
    check_params,
    functional_layers,
    run_block,
)
from diar_ops.aggregate.swin_block import SwinBlock


def swin_stack(
    features: Tensor, valid: Tensor | None, blocks: Iterable[Callable[[Tensor, Tensor | None], Tensor]]
) -> tuple[Tensor, Tensor | None]:
    """Embed frames by a stack of blocks.

    Returns:
        The embedding (B, T, C, H, W) in at least float32, and where it is usable (B, T, 1, H, W),
        ``None`` for everywhere.
    """
    x, usable = usable_frames(features, valid)
    for block in blocks:
        x = block(x, usable)
    return x, usable


def functional_blocks(
    op: str, features: Tensor, params: Mapping[str, Tensor], options: BlockOptions
) -> list[Callable[[Tensor, Tensor | None], Tensor]]:
    """Return the blocks that have ``params``, checked."""
    check_options(op, features.shape[2], options)
    blocks: list[Callable[[Tensor, Tensor | None], Tensor]] = []
    for i, block in enumerate(_split_params(op, params)):
        check_params(op, features, block, options)
        blocks.append(partial(run_block, layers=functional_layers(block), options=options, shift=i % 2 == 1))
    return blocks


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

    def embed(self, op: str, features: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Check the input of ``op``, and embed it by the blocks; see :func:`swin_stack`."""
        check_frames(op, features, valid)
        check_channels(op, features, self.channels)
        return swin_stack(features, valid, self.blocks)
