"""Deep residual sets: encode each frame, average, decode."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from diar_ops._checks import check_option
from diar_ops._types import Restored, WholeFrames
from diar_ops.aggregate import mean_aggregate
from diar_ops.models._inputs import (
    check_sequence,
    finish_image,
    network_dtype,
    pad_to_multiple,
    token_valid,
    usable_pixels,
)
from diar_ops.models._options import MOST_BLOCKS, MOST_CHANNELS, is_integer_tuple
from diar_ops.models._pretrained.hub import Pretrained
from diar_ops.models.residual import ResidualDecoder, ResidualEncoder

#: Features of a larger stride than 2**5 tell nothing of the pixels they stand for.
MOST_STAGES = 6


@dataclass(frozen=True)
class DeepResidualSetsConfig:
    """Sizes of :class:`DeepResidualSets`.

    Attributes:
        channels: Channels of each stage, finest first; stage i has stride ``2**i``, and the frames
            are aggregated at the stride of the last one.
        blocks: Residual blocks of each stage of the encoder, which runs once a frame.
        decoder_blocks: Residual blocks of each stage of the decoder, which runs once a sequence.

    Raises:
        OptionError: A field is not as stated.
    """

    channels: tuple[int, ...] = (24, 48, 64)
    blocks: tuple[int, ...] = (0, 1, 2)
    decoder_blocks: tuple[int, ...] = (1, 1, 1)

    def __post_init__(self) -> None:
        op = type(self).__name__
        fits = is_integer_tuple(self.channels, least=1, most=MOST_CHANNELS) and 1 <= len(self.channels) <= MOST_STAGES
        expected = f"channels to be a tuple of 1 to {MOST_STAGES} positive numbers up to {MOST_CHANNELS}"
        check_option(op, fits, expected, self.channels)
        for field in ("blocks", "decoder_blocks"):
            value = getattr(self, field)
            fits = is_integer_tuple(value, least=0, most=MOST_BLOCKS, length=len(self.channels))
            expected = f"{field} to be a tuple of {len(self.channels)} numbers of residual blocks up to {MOST_BLOCKS}"
            check_option(op, fits, expected, value)

    @property
    def stride(self) -> int:
        """Pixels from one feature to the next where the frames are aggregated."""
        return 1 << (len(self.channels) - 1)


class DeepResidualSets(Pretrained):
    """Restore a picture from a set of aligned frames by the mean of their embeddings.

    A residual encoder embeds each frame by itself, the embeddings are averaged over the frames
    that are valid there, and a residual decoder makes the picture of the average. The order of the
    frames does not matter. Nothing depends on other items of the batch, and a pixel only on those
    within the reach of the convolutions.

    Args:
        config: Sizes; the default ones if ``None``.

    Source: Kwiatkowski and Hellwich, "DIAR: Deep image alignment and reconstruction using swin
    transformers", its baseline without attention; after Zaheer et al., "Deep sets", NIPS 2017.

    Example:
        >>> network = DeepResidualSets().eval()
        >>> frames = torch.rand(1, 4, 3, 32, 48, generator=torch.Generator().manual_seed(0))
        >>> image = network(frames).image  # of any number of frames, in any order
        >>> image.shape, torch.allclose(network(frames.flip(1)).image, image, atol=1e-4)
        (torch.Size([1, 3, 32, 48]), True)
    """

    config_type = DeepResidualSetsConfig

    def __init__(self, config: DeepResidualSetsConfig | None = None) -> None:
        super().__init__()
        config = DeepResidualSetsConfig() if config is None else config
        fits = isinstance(config, DeepResidualSetsConfig)
        check_option("DeepResidualSets", fits, "a DeepResidualSetsConfig", config)
        self.config = config
        self.encoder = ResidualEncoder(4, config.channels, config.blocks)
        self.decoder = ResidualDecoder(config.channels, config.decoder_blocks)

    def forward(self, frames: Tensor, valid: Tensor | None = None, *, whole: WholeFrames | None = None) -> Restored:
        """Restore the picture that the frames show.

        A pixel of a frame counts where it is valid and finite; others change nothing but the mask
        that the encoder sees. Sizes that the stride does not divide are padded and cropped. The
        network computes in the dtype of its parameters.

        Args:
            frames: (B, T, 3, H, W) floating point, aligned, sRGB in [0, 1], any T >= 1.
            valid: Optional (B, T, 1, H, W) bool.
            whole: Ignored: this network sees nothing but the frames.

        Returns:
            The image (B, 3, H, W) in the dtype of ``frames``, 0 where no frame counts; no weights
            and no gain.

        Raises:
            ShapeError: A shape does not fit, or there is no frame or no pixel.
            DtypeError: ``frames`` is not floating point or ``valid`` not bool.
        """
        check_sequence(type(self).__name__, frames, valid)
        planes, usable = usable_pixels(frames, valid, network_dtype(self))
        planes = pad_to_multiple(planes, self.config.stride)
        features: Tensor = self.encoder(planes.flatten(0, 1))
        features = features.view(*frames.shape[:2], *features.shape[1:])
        merged = self.aggregate(features, token_valid(planes, self.config.stride))
        return Restored(finish_image(self.decoder(merged), usable, frames.dtype))

    def aggregate(self, features: Tensor, valid: Tensor) -> Tensor:
        """Merge the embeddings (B, T, C, h, w) where ``valid`` (B, T, 1, h, w) to (B, C, h, w)."""
        return mean_aggregate(features, valid)

    def extra_repr(self) -> str:
        """Return the sizes."""
        return f"config={self.config}"
