"""Mean over frames with the weights that Swin blocks find."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from diar_ops.aggregate._frames import check_frames
from diar_ops.aggregate._swin.block import BlockOptions, Window
from diar_ops.aggregate._swin_stack import SwinStack, functional_blocks, swin_stack
from diar_ops.aggregate.softmax import softmax_aggregate


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
        (B, T, C, H, W), whose products with the features sum to the output over T.

    Raises:
        ShapeError: A shape does not fit, or T is 0.
        DtypeError: ``features`` or a parameter is not floating point or ``valid`` not bool.
        OptionError: ``window`` or ``heads`` is not positive, ``heads`` does not divide C, or time
            is ordered in windows without a t.
        WeightsError: A parameter is missing or unknown.

    Source: the weighted aggregation of deep aligned sequences; Liu et al., "Video Swin
    Transformer", 2022.

    Example:
        >>> features = torch.rand(1, 5, 8, 6, 7, generator=torch.Generator().manual_seed(0))
        >>> params = SwinAggregate(8).state_dict()
        >>> image, weights = swin_aggregate(features, params, return_weights=True)
        >>> image.shape, torch.allclose((weights * features).sum(1), image, atol=1e-5)
        (torch.Size([1, 8, 6, 7]), True)
    """
    op = "swin_aggregate"
    check_frames(op, features, valid)
    blocks = functional_blocks(op, features, params, BlockOptions(window, heads, checkpoint))
    logits, _ = swin_stack(features, valid, blocks)
    return softmax_aggregate(features, logits, valid, return_weights=return_weights)


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

    def forward(self, features: Tensor, valid: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """Aggregate (B, T, C, H, W) to (B, C, H, W)."""
        logits, _ = self.embed("swin_aggregate", features, valid)
        return softmax_aggregate(features, logits, valid, return_weights=self.return_weights)
