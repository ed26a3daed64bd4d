"""The faithful network: attention weighs the input pixels themselves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diar_ops._checks import check_option
from diar_ops._types import Restored, Whole
from diar_ops.aggregate import softmax_aggregate
from diar_ops.models._inputs import check_sequence
from diar_ops.models.faithful.common_light import CommonLight
from diar_ops.models.faithful.light import (
    TOE,
    check_whole,
    compensate,
    median,
    relight,
    sample_field,
    token_window,
    whole_view,
    window_of,
)
from diar_ops.models.faithful.planes import (
    CLUES,
    STRIDE,
    block_means,
    by_frame,
    cells_of_tokens,
    describe_blocks,
    score_clues,
    spread,
    token_range,
    weighted_mean,
)
from diar_ops.models.faithful.stage import Stage
from diar_ops.models.faithful.tone import ToneVeil, tone_curves

__all__ = ["STRIDE", "Evidence", "FaithfulDIAR", "FaithfulDIARConfig", "Light"]

#: Bounds of log factors and veils (see ``relight``), by where they apply: a frame's light, what
#: the pass over pixels adds to it, and the picture. The last two are linear between the centres of
#: tokens: they shade, and cannot draw.
MOST_LIGHT, MOST_DETAIL, MOST_CORRECTION = (2.0, 0.2), (0.4, 0.05), (0.2, 0.02)

#: How far what the picture itself says of the light may move its brightness.
MOST_SHARED = 0.2
#: A usual veil, in light; and how many times the darkest of the picture it may be, since veils
#: differ.
USUAL_HAZE, MOST_HAZE = 0.015, 2.0
#: Veils are dim: what the layers say is taken in this unit.
VEIL_UNIT = 0.05


@dataclass(frozen=True)
class FaithfulDIARConfig:
    """Sizes of a :class:`FaithfulDIAR`.

    Attributes:
        whole_channels: Channels of the pass over small copies.
        whole_blocks: Its Swin blocks.
        common_channels: Width of what tells the common light of all frames.
        context_channels: What it tells the pass over pixels, per token.
        channels: Channels of the pass over pixels; even.
        blocks: Its Swin blocks.
        heads: Heads of all attention; they divide both numbers of channels.
        window: (frames, rows, columns) of its windows, in tokens of 8 pixels; ``None`` frames are
            all of them.

    Raises:
        OptionError: A field is not as stated.
    """

    whole_channels: int = 96
    whole_blocks: int = 4
    common_channels: int = 320
    context_channels: int = 16
    channels: int = 64
    blocks: int = 3
    heads: int = 4
    window: tuple[int | None, int, int] = (None, 4, 4)

    def __post_init__(self) -> None:
        for name in (
            "whole_channels",
            "whole_blocks",
            "common_channels",
            "context_channels",
            "channels",
            "blocks",
            "heads",
        ):
            value = getattr(self, name)
            fits = type(value) is int and value >= 1
            check_option(f"FaithfulDIARConfig.{name}", fits, "a positive integer", value)
        even = self.channels % 2 == 0
        check_option("FaithfulDIARConfig.channels", even, "an even number", self.channels)
        for name in ("whole_channels", "channels"):
            value = getattr(self, name)
            words = f"a number that {self.heads} heads divide"
            check_option(f"FaithfulDIARConfig.{name}", value % self.heads == 0, words, value)
        window = self.window
        fits = isinstance(window, tuple) and len(window) == 3
        fits = fits and all(type(n) is int and n >= 1 for n in window[window[0] is None :])
        words = "(frames or None, rows, columns) of positive sizes"
        check_option("FaithfulDIARConfig.window", fits, words, window)


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
            nn.PixelUnshuffle(4),
            nn.Conv2d(10 * 16, 64, 1),
            nn.GELU(),
            nn.Conv2d(64, c.whole_channels, 3, 2, 1),
        )
        self.whole_stages = nn.ModuleList(
            Stage(c.whole_channels, c.heads, (None, 4, 4), bool(i % 2), pool=True)
            for i in range(c.whole_blocks)
        )
        # Darkest and brightest of what a token covers, in the frame and in the median.
        self.whole_range = nn.Conv2d(12, c.whole_channels, 1)
        self.whole_norm = nn.LayerNorm(c.whole_channels)
        self.haze = nn.Linear(c.whole_channels, 4 * 3)
        self.trust = nn.Linear(c.whole_channels, 4)
        self.light = nn.Linear(c.whole_channels, 4 * 6)
        self.shared = nn.Linear(c.whole_channels, 4 * 6)
        self.common_light = CommonLight(c.common_channels)
        self.tone_veil = ToneVeil(c.whole_channels)
        self.context = nn.Linear(c.whole_channels, c.context_channels)

        # Means over blocks of pixels of what describe_blocks lists.
        half = c.channels // 2
        self.stem = nn.Conv2d(14, half, 3, padding=1)
        self.down = nn.Conv2d(half, c.channels, 2, 2)
        self.mix_context = nn.Linear(c.context_channels, c.channels)
        self.stages = nn.ModuleList(
            Stage(c.channels, c.heads, c.window, bool(i % 2)) for i in range(c.blocks)
        )
        self.norm = nn.LayerNorm(c.channels)
        self.up = nn.Conv2d(c.channels, 4 * half, 1)
        self.judge = nn.Conv2d(half, 1 + CLUES, 1)
        self.detail = nn.Linear(c.channels, 6)
        self.say = nn.Linear(c.channels, 1)
        self.correction = nn.Linear(c.channels, 6)
        # The start is what frames of equal brightness agree on.
        layers = (
            self.trust,
            self.haze,
            self.light,
            self.shared,
            self.detail,
            self.correction,
            self.judge,
        )
        for name, value in ((n, p) for m in layers for n, p in m.named_parameters()):
            nn.init.zeros_(value) if name == "bias" else nn.init.trunc_normal_(value, std=0.01)
        start = torch.tensor([0.0, -1.0, -1.0, -1.0, 0.0, -1.0])
        self.judge.bias = nn.Parameter(start)

    def forward(
        self, frames: Tensor, valid: Tensor | None = None, *, whole: Whole | None = None
    ) -> Restored:
        """Restore a picture, or a part of it.

        Args:
            frames: (B, T, 3, H, W) sRGB in [0, 1], aligned; T, H, W at least 1.
            valid: Optional (B, T, 1, H, W) bool, False where a frame does not show the picture.
                NaN counts as False.
            whole: Small copies of the whole frames, of 64 by 64 pixels, where ``frames`` are a part
                of them.

        Returns:
            :class:`Restored`, all of it, in the dtype of ``frames``; computed in the parameters'.

        Raises:
            ShapeError: A shape does not fit, or there is no frame or no pixel.
            DtypeError: ``frames`` is not floating point or ``valid`` not bool.
        """
        check_sequence("FaithfulDIAR", frames, valid)
        check_whole("FaithfulDIAR", frames, whole)
        if len(frames) == 0:  # some of what follows knows no empty batch
            one = self(frames.new_zeros(1, *frames.shape[1:]))
            return Restored(*(x[:0] for x in one))
        usable = frames.sum(dim=2, keepdim=True).isfinite()
        usable = usable if valid is None else usable & valid
        clean = torch.where(usable, frames, 0).to(self.light.weight.dtype)
        if whole is None:
            whole = whole_view(clean, usable)
        seen = whole.frames.isfinite().all(dim=2, keepdim=True) & whole.valid
        light = self.judge_light(torch.where(seen, whole.frames, 0).to(clean), seen)
        evidence = self.weigh(clean, usable, light, whole.window)
        restored = self.compose(clean, usable, light, evidence, whole.window)
        return Restored(*(x.to(frames.dtype) for x in restored if x is not None))

    def judge_light(self, frames: Tensor, valid: Tensor) -> Light:
        """Tell the light from small copies: (B, T, 3, h, w), 0 where not valid, and their mask."""
        T, dtype = frames.shape[1], frames.dtype
        known = valid.to(dtype)
        log = ((frames.clamp_min(0) + TOE) / (1 + TOE)).log()
        # Exposure first, so that the median mixes frames of equal brightness.
        start = weighted_mean((log - median(log, valid)) * known, known)
        log = log - start
        middle = median(log, valid)
        apart = (log - middle) * known
        x = torch.cat((frames, log * known, apart, known), dim=2).flatten(0, 1)
        # A veil lies on the darkest of what is there, too.
        dark, bright = token_range(log + start, known)
        dark_all, bright_all = token_range(middle, known.amax(1, keepdim=True))
        ranges = torch.cat(
            (dark, bright, dark_all.expand_as(dark), bright_all.expand_as(bright)), dim=2
        )
        x = by_frame(self.whole_stem(x) + self.whole_range(ranges.flatten(0, 1)), T)
        # All tokens of a frame count, but a frame that shows nothing has no say.
        seen = valid.flatten(2).any(dim=2)[..., None, None, None]
        tokens = seen.expand(*x.shape[:2], 1, *x.shape[3:])
        for stage in self.whole_stages:
            x = stage(x, tokens)
        x = self.whole_norm(x.movedim(2, -1))
        # How far a frame is from the median, where it can be trusted, is the frame's light.
        trust = cells_of_tokens(self.trust(x).to(dtype)).sigmoid()
        weight = known * middle.exp().mean(2, keepdim=True)  # of dark pixels, veils are most
        field = spread(block_means(apart * weight, 4) * trust, block_means(weight, 4) * trust)
        count = seen.sum(1, keepdim=True).clamp_min(1)
        level = field + start
        mean_level = (level * seen).sum(1, keepdim=True) / count
        relative = mean_level - level
        shows = seen[:, :, 0, 0, 0]
        told = self.common_light(block_means(relative, 2), shows).to(dtype)
        common = F.interpolate(told, relative.shape[-2:], mode="bilinear")[:, None]
        # What is left: veils, and what the picture itself says of the light.
        near = F.interpolate(field.detach().flatten(0, 1), apart.shape[-2:], mode="bilinear")
        both = torch.cat((apart, apart - by_frame(near, T)), dim=2)
        haze, toned = self.tone_veil(*tone_curves(both, middle, valid), shows)
        mean = (x * seen.movedim(2, -1)).sum(1, keepdim=True) / count.movedim(2, -1)
        own, own_veil = cells_of_tokens(self.light(x).to(dtype)).chunk(2, dim=2)
        shared, veil = cells_of_tokens(self.shared(mean).to(dtype)).chunk(2, dim=2)
        # Frames' own words leave the brightness of the picture as it is: a veil that is taken off
        # as a factor would take contrast with it.
        own = own - (own * seen).mean((3, 4), keepdim=True).sum(1, keepdim=True) / count
        common = common + _bound(shared + toned.to(dtype)[..., None, None], MOST_SHARED)
        gain = _bound(relative + common + own, MOST_LIGHT[0])
        # The median has no things in front, so that its darkest is the picture's.
        shift = (mean_level + common).mean((3, 4), keepdim=True)
        darkest = dark_all.amin((3, 4), keepdim=True) + shift
        logs = cells_of_tokens(self.haze(x).to(dtype)) + haze.to(dtype)[..., None, None]
        logs = math.log(USUAL_HAZE) + logs.clamp(-8, 4)
        # The smaller of the usual and the most, smoothly; logs, as squares leave half precision.
        beyond = (logs - math.log(MOST_HAZE) - 2.4 * darkest).clamp(-5, 5)
        haze = logs.exp() * (1 + (2 * beyond).exp()).rsqrt()
        return Light(
            gain,
            _bound(haze + VEIL_UNIT * (own_veil + veil), MOST_LIGHT[1]),
            self.context(x).movedim(-1, 2).to(dtype),
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
        T, (H, W), dtype = frames.shape[1], frames.shape[-2:], frames.dtype
        known = valid.to(dtype)
        lit = compensate(frames, light.gain, light.veil, window)
        apart = (lit - median(lit, valid)) * known
        far = apart.abs()
        blocks = describe_blocks(lit, apart, far, known, frames)
        near = self.stem(blocks)
        x = by_frame(self.down(F.gelu(near)), T)
        context = sample_field(
            light.context, (x.shape[-2], x.shape[-1]), token_window(frames, window, STRIDE)
        )
        x = x + self.mix_context(context.movedim(2, -1)).movedim(-1, 2)
        tokens = by_frame(F.max_pool2d(blocks[:, :1], 2) > 0, T)
        for stage in self.stages:
            x = stage(x, tokens)
        x = self.norm(x.movedim(2, -1))
        up = self.up(x.movedim(-1, 2).flatten(0, 1))
        judged = self.judge(F.gelu(near + F.pixel_shuffle(up, 2))).to(dtype)
        judged = F.interpolate(judged, scale_factor=4, mode="bilinear")[..., :H, :W]
        judged = by_frame(judged, T)
        score = judged[:, :, :1] + score_clues(judged[:, :, 1:], apart, far, frames)
        together = softmax_aggregate(x.movedim(-1, 2), self.say(x).movedim(-1, 2), tokens)
        detail = self.detail(x).movedim(-1, 2)
        correction = self.correction(together.movedim(1, -1)).movedim(-1, 1)
        return Evidence(
            score,
            _bounded_pair(detail.to(dtype), MOST_DETAIL, 2),
            _bounded_pair(correction.to(dtype), MOST_CORRECTION, 1),
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
            evidence_window = window_of(frames, [0.0, 0.0, *share])
        gain = sample_field(torch.cat((light.gain, light.veil), dim=2), size, window)
        gain, veil = (gain + sample_field(evidence.detail, size, evidence_window)).chunk(2, dim=2)
        lit = relight(frames, gain, veil)
        mean, weights = softmax_aggregate(lit, evidence.score, valid, return_weights=True)
        correction = sample_field(evidence.correction[:, None], size, evidence_window)[:, 0]
        picture = relight(mean, *correction.chunk(2, dim=1))
        # Clipped, yet with the gradient of what is not: a pixel beyond white can come back.
        picture = picture + (picture.clamp(0, 1) - picture).detach()
        return Restored(picture * valid.any(dim=1), weights, light.gain, light.veil)


def _bound(x: Tensor, most: float) -> Tensor:
    return most * torch.tanh(x / most)


def _bounded_pair(x: Tensor, most: tuple[float, float], dim: int) -> Tensor:
    """Bound log factors and veils, the two halves of ``x``."""
    gain, veil = x.chunk(2, dim=dim)
    return torch.cat((_bound(gain, most[0]), _bound(VEIL_UNIT * veil, most[1])), dim=dim)
