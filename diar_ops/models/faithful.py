"""The faithful network: attention weighs the input pixels themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diar_ops._checks import check_option
from diar_ops._types import Restored, Whole
from diar_ops.aggregate import SwinBlock, softmax_aggregate
from diar_ops.models._inputs import check_sequence, pad_to_multiple
from diar_ops.models.light import TOE, compensate, median, relight, sample_field, whole_view

__all__ = ["STRIDE", "Evidence", "FaithfulDIAR", "FaithfulDIARConfig", "Light"]

#: Pixels of a side that share one token of attention, in small copies and in the picture.
STRIDE = 8
#: Bounds of log factors and veils (see ``relight``), by where they apply: a frame's light, what
#: the pass over pixels adds to it, and the picture. The last two are linear between the centres of
#: tokens: they shade, and cannot draw.
MOST_LIGHT, MOST_DETAIL, MOST_CORRECTION = (2.0, 0.2), (0.4, 0.05), (0.2, 0.02)

#: Veils are dim: what the layers say is taken in this unit.
VEIL_UNIT = 0.05


@dataclass(frozen=True)
class FaithfulDIARConfig:
    """Sizes of a :class:`FaithfulDIAR`.

    Attributes:
        whole_channels: Channels of the pass over small copies.
        whole_blocks: Its Swin blocks.
        context_channels: What it tells the pass over pixels, per token.
        channels: Channels of the pass over pixels; even.
        blocks: Its Swin blocks.
        heads: Heads of all attention; they divide both numbers of channels.
        window: (frames, rows, columns) of its windows, in tokens of 8 pixels; ``None`` frames are
            all of them.
        detail_channels: Channels at full resolution; even.

    Raises:
        OptionError: A field is not as stated.
    """

    whole_channels: int = 96
    whole_blocks: int = 4
    context_channels: int = 16
    channels: int = 64
    blocks: int = 3
    heads: int = 4
    window: tuple[int | None, int, int] = (None, 4, 4)
    detail_channels: int = 12

    def __post_init__(self) -> None:
        for name in ("whole_channels", "whole_blocks", "context_channels", "channels", "blocks",
                     "heads", "detail_channels"):  # fmt: skip
            value = getattr(self, name)
            fits = type(value) is int and value >= 1
            check_option(f"FaithfulDIARConfig.{name}", fits, "a positive integer", value)
        for name in ("channels", "detail_channels"):
            value = getattr(self, name)
            check_option(f"FaithfulDIARConfig.{name}", value % 2 == 0, "an even number", value)


class Light(NamedTuple):
    """What the small copies tell of every frame, on coarse grids over the whole of it.

    Attributes:
        gain: (B, T, 3, h, w) log factors, see ``relight``.
        veil: (B, T, 3, h, w) what is taken off behind them.
        context: (B, T, K, h', w') features for the pass over pixels.
    """

    gain: Tensor
    veil: Tensor
    context: Tensor


class Evidence(NamedTuple):
    """What the pass over pixels finds.

    Attributes:
        score: (B, T, 1, H, W) logits of the frames' weights.
        detail: (B, T, 6, h, w) log factors and veils beside those of :class:`Light`, one per token
            of 8 pixels.
        correction: (B, 6, h, w) log factors and veils on the picture, likewise.
    """

    score: Tensor
    detail: Tensor
    correction: Tensor


class FaithfulDIAR(nn.Module):
    """Restore a picture from aligned frames as a weighted mean of their own pixels.

    1. Small copies of the whole frames tell the light: attention over all frames gives each a
       smooth field of factors (exposure, uneven light, broad shadows) and a smooth veil (haze,
       reflected surroundings) that bring it to the light of the picture.
    2. Compensated so, each pixel is compared with the median over frames; attention over frames
       and neighbours scores every pixel of every frame at full resolution.
    3. The picture is the mean of the compensated pixels with the softmax of the scores over the
       frames as weights, times a smooth, bounded correction. Every detail of it stands in the
       frames, and the weights say in which.

    Order of frames does not matter with ``config.window[0]`` None, nor does their number.

    Args:
        config: Sizes; the default ones if ``None``.

    Source: the weights follow Kwiatkowski and Hellwich, "DIAR: Deep image alignment and
    reconstruction using swin transformers", there on embeddings, here on pixels.
    """

    def __init__(self, config: FaithfulDIARConfig | None = None) -> None:
        super().__init__()
        self.config = c = FaithfulDIARConfig() if config is None else config
        fits = isinstance(c, FaithfulDIARConfig)
        check_option("FaithfulDIAR", fits, "a FaithfulDIARConfig", config)
        # Small copies: values, their logs, distance to the median over frames, mask.
        self.whole_stem = nn.Sequential(
            nn.Conv2d(10, 24, 3, 2, 1), nn.GELU(),
            nn.Conv2d(24, 48, 3, 2, 1), nn.GELU(),
            nn.Conv2d(48, c.whole_channels, 3, 2, 1),
        )  # fmt: skip
        self.whole_stages = nn.ModuleList(
            _Stage(c.whole_channels, c.heads, (None, 4, 4), bool(i % 2), pool=True)
            for i in range(c.whole_blocks)
        )
        self.whole_norm = nn.LayerNorm(c.whole_channels)
        self.light = nn.Linear(c.whole_channels, 4 * 6)
        self.context = nn.Linear(c.whole_channels, c.context_channels)

        # Pixels: compensated values, distance to their median, mask, values as they are.
        half = c.channels // 2
        self.stem = nn.Conv2d(10 * 16, half, 1)
        self.down = nn.Conv2d(half, c.channels, 2, 2)
        self.mix_context = nn.Linear(c.context_channels, c.channels)
        self.stages = nn.ModuleList(
            _Stage(c.channels, c.heads, c.window, bool(i % 2)) for i in range(c.blocks)
        )
        self.norm = nn.LayerNorm(c.channels)
        self.up = nn.Conv2d(c.channels, 4 * half, 1)
        self.fine = nn.Conv2d(half, 16 * c.detail_channels // 2, 1)
        self.score_in = nn.Conv2d(c.detail_channels // 2 + 10, c.detail_channels, 3, padding=1)
        self.score_out = nn.Conv2d(c.detail_channels, 1, 3, padding=1)
        self.detail = nn.Linear(c.channels, 6)
        self.say = nn.Linear(c.channels, 1)
        self.correction = nn.Linear(c.channels, 6)
        # The start is the mean of frames that are made equally bright.
        layers = (self.light, self.detail, self.correction, self.score_out)
        for name, value in ((n, p) for m in layers for n, p in m.named_parameters()):
            nn.init.zeros_(value) if name == "bias" else nn.init.trunc_normal_(value, std=0.01)

    def forward(
        self, frames: Tensor, valid: Tensor | None = None, *, whole: Whole | None = None
    ) -> Restored:
        """Restore a picture, or a part of it.

        Args:
            frames: (B, T, 3, H, W) sRGB in [0, 1], aligned; T, H, W at least 1.
            valid: Optional (B, T, 1, H, W) bool, False where a frame does not show the picture.
                NaN counts as False.
            whole: Small copies of the whole frames, where ``frames`` are a part of them.

        Returns:
            :class:`Restored`, all of it.

        Raises:
            ShapeError: A shape does not fit, or there is no frame or no pixel.
            DtypeError: ``frames`` is not floating point or ``valid`` not bool.
        """
        check_sequence("FaithfulDIAR", frames, valid)
        usable = frames.isfinite().all(dim=2, keepdim=True)
        usable = usable if valid is None else usable & valid
        clean = torch.where(usable, frames, 0).to(self.light.weight.dtype)
        if whole is None:
            whole = whole_view(clean, usable)
        light = self.judge_light(whole.frames.to(clean), whole.valid)
        evidence = self.weigh(clean, usable, light, whole.window)
        restored = self.compose(clean, usable, light, evidence, whole.window)
        return Restored(*(x.to(frames.dtype) for x in restored if x is not None))

    def judge_light(self, frames: Tensor, valid: Tensor) -> Light:
        """Tell the light from small copies: (B, T, 3, h, w), 0 where not valid, and their mask."""
        T = frames.shape[1]
        known = valid.to(frames.dtype)
        log = ((frames + TOE) / (1 + TOE)).log()
        apart = (log - median(log, valid)) * known
        x = torch.cat((frames, log * known, apart, known), dim=2).flatten(0, 1)
        x = _frames(self.whole_stem(x), T)
        for stage in self.whole_stages:
            x = stage(x, None)
        x = self.whole_norm(x.movedim(2, -1))
        fields = F.pixel_shuffle(self.light(x).movedim(-1, 2).flatten(0, 1), 2)
        log_factor, veil = _frames(fields, T).chunk(2, dim=2)
        # How far a frame is from the median, on the whole, is where its factor starts.
        mean = apart.sum((3, 4), keepdim=True) / known.sum((3, 4), keepdim=True).clamp_min(1)
        return Light(
            _bound(log_factor - mean, MOST_LIGHT[0]),
            _bound(VEIL_UNIT * veil, MOST_LIGHT[1]),
            self.context(x).movedim(-1, 2),
        )

    def weigh(
        self, frames: Tensor, valid: Tensor, light: Light, window: Tensor | None = None
    ) -> Evidence:
        """Score the pixels of a part of the frames.

        Args:
            frames: (B, T, 3, H, W), 0 where not valid.
            valid: (B, T, 1, H, W) bool.
            light: Of the whole frames.
            window: (B, 4) where the part lies, see :class:`Whole`; all of it by default.
        """
        T, (H, W) = frames.shape[1], frames.shape[-2:]
        known = valid.to(frames.dtype)
        lit = compensate(frames, light.gain, light.veil, window)
        apart = (lit - median(lit, valid)) * known
        planes = pad_to_multiple(torch.cat((lit * known, apart, known, frames), dim=2), STRIDE)
        planes = planes.flatten(0, 1)
        near = self.stem(F.pixel_unshuffle(planes, 4))
        x = _frames(self.down(F.gelu(near)), T)
        context = sample_field(light.context, (x.shape[-2], x.shape[-1]), window)
        x = x + self.mix_context(context.movedim(2, -1)).movedim(-1, 2)
        tokens = _frames(F.max_pool2d(planes[:, 6:7], STRIDE) > 0, T)
        for stage in self.stages:
            x = stage(x, tokens)
        x = self.norm(x.movedim(2, -1))
        up = self.up(x.movedim(-1, 2).flatten(0, 1))
        near = F.gelu(near + F.pixel_shuffle(up, 2))
        near = torch.cat((F.pixel_shuffle(self.fine(near), 4), planes), dim=1)
        score = _frames(self.score_out(F.gelu(self.score_in(near))), T)[..., :H, :W]
        together = softmax_aggregate(x.movedim(-1, 2), self.say(x).movedim(-1, 2), tokens)
        correction = self.correction(together.movedim(1, -1)).movedim(-1, 1)
        return Evidence(
            score,
            _bounded_pair(self.detail(x).movedim(-1, 2), MOST_DETAIL, 2),
            _bounded_pair(correction, MOST_CORRECTION, 1),
        )

    def compose(
        self,
        frames: Tensor,
        valid: Tensor,
        light: Light,
        evidence: Evidence,
        window: Tensor | None = None,
        evidence_window: Tensor | None = None,
    ) -> Restored:
        """Put a part of the picture together.

        Args:
            frames: (B, T, 3, H, W), 0 where not valid.
            valid: (B, T, 1, H, W) bool.
            light: Of the whole frames.
            evidence: Its ``score`` has the size of ``frames``.
            window: (B, 4) where the part lies, see :class:`Whole`; all of it by default.
            evidence_window: (B, 4) where the part lies in what the coarse fields of ``evidence``
                cover; by default it is what :meth:`weigh` was given.
        """
        size = (frames.shape[-2], frames.shape[-1])
        if evidence_window is None:  # the last tokens reach beyond the part
            share = [n / (n + -n % STRIDE) for n in size]
            evidence_window = frames.new_tensor([[0.0, 0.0, *share]]).expand(len(frames), 4)
        gain = sample_field(torch.cat((light.gain, light.veil), dim=2), size, window)
        gain, veil = (gain + sample_field(evidence.detail, size, evidence_window)).chunk(2, dim=2)
        lit = relight(frames, gain, veil)
        mean, weights = softmax_aggregate(lit, evidence.score, valid, return_weights=True)
        correction = sample_field(evidence.correction[:, None], size, evidence_window)[:, 0]
        picture = relight(mean, *correction.chunk(2, dim=1))
        # Clipped, yet with the gradient of what is not: a pixel beyond white can come back.
        picture = picture + (picture.clamp(0, 1) - picture).detach()
        return Restored(picture * valid.any(dim=1), weights, light.gain, light.veil)


class _Stage(nn.Module):
    """A depthwise convolution, a Swin block, and with ``pool`` what whole frames say together."""

    def __init__(
        self,
        channels: int,
        heads: int,
        window: tuple[int | None, int, int],
        shift: bool,
        *,
        pool: bool = False,
    ) -> None:
        super().__init__()
        self.near = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.block = SwinBlock(channels, window=window, shift=shift, heads=heads)
        self.pool: nn.Module | None = None
        if pool:
            self.pool = nn.Sequential(
                nn.Linear(3 * channels, channels), nn.GELU(), nn.Linear(channels, channels)
            )
        # Swin's deviation of 0.02 is made for many more channels; here it would begin as nothing.
        for layer in (self.block.qkv, self.block.proj, self.block.mlp_in, self.block.mlp_out):
            nn.init.xavier_uniform_(layer.weight)
        nn.init.trunc_normal_(self.near.weight, std=0.02)

    def forward(self, x: Tensor, tokens: Tensor | None) -> Tensor:
        """Map (B, T, C, h, w), whose ``tokens`` (B, T, 1, h, w) count, to the same shape."""
        x = x + self.near(x.flatten(0, 1)).view(x.shape)
        x = self.block(x, tokens)
        if self.pool is None:
            return x
        # Of each frame, of the mean frame, and of the extreme one: how bright the picture is shows
        # in how the light of all frames is spread.
        frame = x.mean((3, 4))
        everything = torch.cat((frame.mean(1), frame.amax(1)), dim=-1)[:, None]
        both = torch.cat((frame, everything.expand(-1, x.shape[1], -1)), dim=-1)
        said: Tensor = self.pool(both)[..., None, None]
        return x + said


def _frames(x: Tensor, count: int) -> Tensor:
    """Return (B, T, ...) of (B T, ...)."""
    return x.view(-1, count, *x.shape[1:])


def _bound(x: Tensor, most: float) -> Tensor:
    return most * torch.tanh(x / most)


def _bounded_pair(x: Tensor, most: tuple[float, float], dim: int) -> Tensor:
    """Bound log factors and veils, the two halves of ``x``."""
    gain, veil = x.chunk(2, dim=dim)
    return torch.cat((_bound(gain, most[0]), _bound(VEIL_UNIT * veil, most[1])), dim=dim)
