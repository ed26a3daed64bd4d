"""DIAR: encode each frame, aggregate by attention over frames and neighbours, decode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from diar_ops._checks import check_option
from diar_ops.aggregate import MOST_RATIO, EmbeddedMeanAggregate, SwinAggregate
from diar_ops.models._options import MOST_BLOCKS, MOST_SIDE, is_integer, is_window
from diar_ops.models.deep_sets import DeepResidualSets, DeepResidualSetsConfig


@dataclass(frozen=True)
class DIARConfig(DeepResidualSetsConfig):
    """Sizes and aggregation of :class:`DIAR`.

    Attributes:
        channels: As in :class:`DeepResidualSetsConfig`; ``heads`` must divide the last one.
        blocks: As in :class:`DeepResidualSetsConfig`.
        decoder_blocks: As in :class:`DeepResidualSetsConfig`.
        aggregation: With x the embeddings of the frames and y what the attention makes of them:
            ``"softmax"`` sums softmax over T of y, times x; ``"embedded_mean"`` averages y over T;
            ``"mean"`` averages x, without attention, as :class:`DeepResidualSets` does.
        window: Frames, rows and columns of features that attend to each other. ``None`` frames
            are all of them, and their order does not matter then. The models of the paper differ
            in this number alone.
        depth: Attention blocks, unshifted and shifted by half a window by turns.
        heads: Attention heads.
        mlp_ratio: Width of the hidden layer behind each attention, in channels of the features.
        temporal_bias: Let the attention know how far apart in the sequence two frames are; needs a
            window of a number of frames.

    Raises:
        OptionError: A field is not as stated.
    """

    aggregation: Literal["softmax", "embedded_mean", "mean"] = "softmax"
    window: tuple[int | None, int, int] = (None, 4, 4)
    depth: int = 2
    heads: int = 4
    mlp_ratio: float = 2.0
    temporal_bias: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        op, names = type(self).__name__, ["softmax", "embedded_mean", "mean"]
        check_option(op, self.aggregation in names, f"an aggregation among {names}", self.aggregation)
        window, expected = self.window, f"a window (frames or None, rows, columns) of sizes from 1 to {MOST_SIDE}"
        check_option(op, is_window(window), expected, window)
        check_option(op, is_integer(self.depth, most=MOST_BLOCKS), f"a depth from 1 to {MOST_BLOCKS}", self.depth)
        heads = is_integer(self.heads, most=self.channels[-1]) and self.channels[-1] % self.heads == 0
        check_option(op, heads, f"heads that divide {self.channels[-1]} channels", self.heads)
        ratio = type(self.mlp_ratio) in (int, float) and 0 < self.mlp_ratio <= MOST_RATIO
        check_option(op, ratio, f"a positive mlp_ratio up to {MOST_RATIO}", self.mlp_ratio)
        flag = isinstance(self.temporal_bias, bool)
        check_option(op, flag, "temporal_bias to be True or False", self.temporal_bias)
        bounded = not self.temporal_bias or window[0] is not None
        check_option(op, bounded, "a window of a number of frames for temporal_bias", window)


class DIAR(DeepResidualSets):
    """Restore a picture from aligned frames by attention over frames and neighbours.

    As :class:`DeepResidualSets`, with a stack of shifted-window attention between encoder and
    decoder, at one resolution. The order of the frames matters only where ``config.window`` limits
    the frames that attend to each other, or ``config.temporal_bias`` is set.

    Args:
        config: Sizes and aggregation; the default ones if ``None``.
        checkpoint: Compute the attention anew in the backward pass, for less memory.

    Source: Kwiatkowski and Hellwich, "DIAR: Deep image alignment and reconstruction using swin
    transformers".

    Example:
        >>> network = DIAR(DIARConfig(depth=2)).eval()
        >>> frames = torch.rand(1, 4, 3, 32, 48, generator=torch.Generator().manual_seed(0))
        >>> valid = torch.ones(1, 4, 1, 32, 48, dtype=torch.bool)
        >>> valid[:, 0] = False
        >>> torch.allclose(network(frames, valid).image, network(frames[:, 1:]).image, atol=1e-4)
        True
    """

    config_type = DIARConfig
    config: DIARConfig

    def __init__(self, config: DIARConfig | None = None, *, checkpoint: bool = False) -> None:
        config = DIARConfig() if config is None else config
        check_option("DIAR", isinstance(config, DIARConfig), "a DIARConfig", config)
        super().__init__(config)
        self.attention: nn.Module | None = None
        if config.aggregation != "mean":
            kind = SwinAggregate if config.aggregation == "softmax" else EmbeddedMeanAggregate
            self.attention = kind(
                config.channels[-1],
                depth=config.depth,
                window=config.window,
                heads=config.heads,
                mlp_ratio=config.mlp_ratio,
                temporal_bias=config.temporal_bias,
                checkpoint=checkpoint,
            )

    def aggregate(self, features: Tensor, valid: Tensor) -> Tensor:
        """Merge the embeddings (B, T, C, h, w) where ``valid`` (B, T, 1, h, w) to (B, C, h, w)."""
        if self.attention is None:
            return super().aggregate(features, valid)
        merged: Tensor = self.attention(features, valid)
        return merged
