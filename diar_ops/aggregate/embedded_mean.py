"""Mean over frames of the embedding that Swin blocks make."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from diar_ops.aggregate._frames import check_frames
from diar_ops.aggregate._swin.block import BlockOptions, Window
from diar_ops.aggregate._swin_stack import SwinStack, functional_blocks, swin_stack
from diar_ops.aggregate.mean import mean_aggregate


def embedded_mean_aggregate(
    features: Tensor,
    params: Mapping[str, Tensor],
    valid: Tensor | None = None,
    *,
    window: Window = (None, 4, 4),
    heads: int = 4,
    checkpoint: bool = False,
) -> Tensor:
    """Average the frames of each pixel after windows of all frames have embedded them together.

    The result is the mean over T of ``y = blocks(features)``, a stack of :func:`swin_block`,
    every second one shifted. A frame counts at a pixel where it is valid and finite in all
    channels. Where none counts, the output is 0 with zero gradient. If the position bias has no
    time and all frames fit into the window, the order of the frames does not matter.

    Args:
        features: (B, T, C, H, W) floating point, any T >= 1.
        params: The state dict of an :class:`EmbeddedMeanAggregate`: the parameters of block i of
            :func:`swin_block` as ``blocks.{i}.{name}``. They decide the depth.
        valid: Optional (B, T, 1, H, W) bool.
        window: (t, h, w) of a window; t ``None`` for all frames.
        heads: Number of heads, which divides C.
        checkpoint: Keep only the input of each block for the backward pass.

    Returns:
        (B, C, H, W) in the dtype of ``features``.

    Raises:
        ShapeError: A shape does not fit, or T is 0.
        DtypeError: ``features`` or a parameter is not floating point or ``valid`` not bool.
        OptionError: ``window`` or ``heads`` is not positive, ``heads`` does not divide C, or time
            is ordered in windows without a t.
        WeightsError: A parameter is missing or unknown.

    Source: the embedded mean of deep aligned sequences; Liu et al., "Video Swin Transformer",
    2022.

    Example:
        >>> features = torch.rand(1, 5, 8, 6, 7, generator=torch.Generator().manual_seed(0))
        >>> params = EmbeddedMeanAggregate(8).state_dict()
        >>> mean = embedded_mean_aggregate(features, params)
        >>> other = embedded_mean_aggregate(features.flip(1), params)  # the last frame first
        >>> mean.shape, torch.allclose(other, mean, atol=1e-5)
        (torch.Size([1, 8, 6, 7]), True)
    """
    op = "embedded_mean_aggregate"
    check_frames(op, features, valid)
    blocks = functional_blocks(op, features, params, BlockOptions(window, heads, checkpoint))
    embedding, usable = swin_stack(features, valid, blocks)
    return mean_aggregate(embedding, usable).to(features.dtype)


class EmbeddedMeanAggregate(SwinStack):
    """See :func:`embedded_mean_aggregate`; the options are those of :class:`SwinBlock`."""

    def forward(self, features: Tensor, valid: Tensor | None = None) -> Tensor:
        """Aggregate (B, T, C, H, W) to (B, C, H, W)."""
        embedding, usable = self.embed("embedded_mean_aggregate", features, valid)
        return mean_aggregate(embedding, usable).to(features.dtype)
