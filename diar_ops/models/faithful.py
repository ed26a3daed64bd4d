"""The faithful network: attention weighs the input pixels themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diar_ops._checks import check_option
from diar_ops._types import Restored, Whole
from diar_ops.aggregate import softmax_aggregate
from diar_ops.models._common_light import CommonLight
from diar_ops.models._inputs import check_sequence, check_whole, pad_to_multiple
from diar_ops.models._stage import Stage
from diar_ops.models.light import (
    TOE,
    compensate,
    median,
    relight,
    sample_field,
    token_window,
    whole_view,
    window_of,
)

__all__ = ["STRIDE", "Evidence", "FaithfulDIAR", "FaithfulDIARConfig", "Light"]

#: Pixels of a side that share one token of attention, in small copies and in the picture.
STRIDE = 8
#: Bounds of log factors and veils (see ``relight``), by where they apply: a frame's light, what
#: the pass over pixels adds to it, and the picture. The last two are linear between the centres of
#: tokens: they shade, and cannot draw.
MOST_LIGHT, MOST_DETAIL, MOST_CORRECTION = (2.0, 0.2), (0.4, 0.05), (0.2, 0.02)

#: Clues by which a pixel is scored, see _scored; the unit of their shares; where clipping is near.
CLUES, CLUE_UNIT, NEARLY_CLIPPED = 5, 10.0, 0.9
#: Reach of a sample of light, in cells of 4 pixels of the small copies, and the support below which
#: the mean of a frame counts more than what is near.
SPREAD, LEAST_SUPPORT = 1.0, 0.01
#: No log of a value is farther from 0.
BRIGHT = 3.0
#: How many times the darkest of the picture a veil may be, since veils differ, and what is believed
#: at the start (a logit).
MOST_HAZE, HAZE_START = 2.0, -4.0
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
        for name in ("whole_channels", "whole_blocks", "common_channels", "context_channels",
                     "channels", "blocks", "heads"):  # fmt: skip
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
            nn.PixelUnshuffle(4), nn.Conv2d(10 * 16, 64, 1), nn.GELU(),
            nn.Conv2d(64, c.whole_channels, 3, 2, 1),
        )  # fmt: skip
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
        self.context = nn.Linear(c.whole_channels, c.context_channels)

        # Means over blocks of pixels of what _blocks lists.
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
        start = _mean((log - median(log, valid)) * known, known)
        log = log - start
        middle = median(log, valid)
        apart = (log - middle) * known
        x = torch.cat((frames, log * known, apart, known), dim=2).flatten(0, 1)
        # A veil lies on the darkest of what is there, too.
        dark, bright = _range(log + start, known)
        dark_all, bright_all = _range(middle, known.amax(1, keepdim=True))
        ranges = torch.cat(
            (dark, bright, dark_all.expand_as(dark), bright_all.expand_as(bright)), dim=2
        )
        x = _frames(self.whole_stem(x) + self.whole_range(ranges.flatten(0, 1)), T)
        # All tokens of a frame count, but a frame that shows nothing has no say.
        seen = valid.flatten(2).any(dim=2)[..., None, None, None]
        tokens = seen.expand(*x.shape[:2], 1, *x.shape[3:])
        for stage in self.whole_stages:
            x = stage(x, tokens)
        x = self.whole_norm(x.movedim(2, -1))
        # How far a frame is from the median, where it can be trusted, is the frame's light.
        trust = _cells(self.trust(x).to(dtype)).sigmoid()
        weight = known * middle.exp().mean(2, keepdim=True)  # of dark pixels, veils are most
        field = _spread(_blocks_of(apart * weight, 4) * trust, _blocks_of(weight, 4) * trust)
        relative = -field - start
        count = seen.sum(1, keepdim=True).clamp_min(1)
        relative = relative - (relative * seen).sum(1, keepdim=True) / count
        told = self.common_light(_blocks_of(relative, 2), seen[:, :, 0, 0, 0]).to(dtype)
        common = F.interpolate(told, relative.shape[-2:], mode="bilinear")[:, None]
        # What is left: veils, and what the picture itself says of the light.
        mean = (x * seen.movedim(2, -1)).sum(1, keepdim=True) / count.movedim(2, -1)
        own, shared = _cells(self.light(x).to(dtype)), _cells(self.shared(mean).to(dtype))
        more, veil = (own + shared).chunk(2, dim=2)
        gain = _bound(relative + common + more, MOST_LIGHT[0])
        # The median has no things in front, so that its darkest is the picture's.
        darkest = dark_all.amin((3, 4), keepdim=True) + common.mean((3, 4), keepdim=True)
        share = MOST_HAZE * (_cells(self.haze(x).to(dtype)) + HAZE_START).sigmoid()
        haze = share * (2.4 * darkest).exp()
        return Light(
            gain,
            _bound(haze + VEIL_UNIT * veil, MOST_LIGHT[1]),
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
        blocks = _blocks(lit, apart, far, known, frames)
        near = self.stem(blocks)
        x = _frames(self.down(F.gelu(near)), T)
        context = sample_field(
            light.context, (x.shape[-2], x.shape[-1]), token_window(frames, window, STRIDE)
        )
        x = x + self.mix_context(context.movedim(2, -1)).movedim(-1, 2)
        tokens = _frames(F.max_pool2d(blocks[:, :1], 2) > 0, T)
        for stage in self.stages:
            x = stage(x, tokens)
        x = self.norm(x.movedim(2, -1))
        up = self.up(x.movedim(-1, 2).flatten(0, 1))
        judged = self.judge(F.gelu(near + F.pixel_shuffle(up, 2))).to(dtype)
        judged = F.interpolate(judged, scale_factor=4, mode="bilinear")[..., :H, :W]
        score = _frames(judged[:, :1], T) + _scored(_frames(judged[:, 1:], T), apart, far, frames)
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


def _range(log: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Return the least and the most of each token of (B, T, 3, H, W), in means of four pixels."""
    T = log.shape[1]
    seen = F.avg_pool2d(known.flatten(0, 1), 2) == 1
    means = F.avg_pool2d(log.flatten(0, 1), 2)
    least = -F.max_pool2d(torch.where(seen, -means, -BRIGHT), STRIDE // 2)
    most = F.max_pool2d(torch.where(seen, means, -BRIGHT), STRIDE // 2)
    return _frames(least.clamp(-BRIGHT, BRIGHT), T), _frames(most, T)


def _mean(x: Tensor, weight: Tensor) -> Tensor:
    """Return the mean of ``x`` / weight over pixels, weighted, (B, T, C, 1, 1)."""
    return x.sum((3, 4), keepdim=True) / weight.sum((3, 4), keepdim=True).clamp_min(1e-6)


def _blocks_of(x: Tensor, side: int) -> Tensor:
    """Return means over blocks of (B, T, C, H, W)."""
    return _frames(F.avg_pool2d(x.flatten(0, 1), side), x.shape[1])


def _cells(x: Tensor) -> Tensor:
    """Return (B, T, C, 2 h, 2 w) of tokens (B, T, h, w, 4 C)."""
    return _frames(F.pixel_shuffle(x.movedim(-1, 2).flatten(0, 1), 2), x.shape[1])


def _spread(x: Tensor, weight: Tensor) -> Tensor:
    """Return the smooth field of samples ``x`` / ``weight``: normalised convolution.

    Far from all samples it is their mean.
    """
    B, T, C, h, w = x.shape
    both = torch.cat((x, weight), dim=2)
    kernel = torch.exp(
        -torch.arange(-3, 4, dtype=x.dtype, device=x.device).square() / (2 * SPREAD**2)
    )
    kernel = kernel / kernel.sum()
    flat = both.view(B * T * (C + 1), 1, h, w)
    flat = F.conv2d(flat, kernel.view(1, 1, 7, 1), padding=(3, 0))
    flat = F.conv2d(flat, kernel.view(1, 1, 1, 7), padding=(0, 3)).view(both.shape)
    total = both.mean((3, 4), keepdim=True)
    total = total[:, :, :C] / total[:, :, C:].clamp_min(1e-6)
    near, support = flat[:, :, :C], flat[:, :, C:]
    return (near + LEAST_SUPPORT * total) / (support + LEAST_SUPPORT)


def _blocks(lit: Tensor, apart: Tensor, far: Tensor, known: Tensor, frames: Tensor) -> Tensor:
    """Return means over blocks of 4 pixels, (B T, 14, 2 h, 2 w): mask first, most distant last."""
    planes = (known, lit * known, apart, far, frames)
    means = [F.avg_pool2d(pad_to_multiple(p, STRIDE).flatten(0, 1), 4) for p in planes]
    most = F.max_pool2d(pad_to_multiple(far.amax(2, keepdim=True), STRIDE).flatten(0, 1), 4)
    return torch.cat((*means, most), dim=1)


def _scored(shares: Tensor, apart: Tensor, far: Tensor, frames: Tensor) -> Tensor:
    """Return what the clues of every pixel add to its score, (B, T, 1, H, W).

    The clues: how far each channel is from the median, which way all are, and how clipped it is.
    """
    score = (shares[:, :, :3] * far).sum(2, keepdim=True)
    score = score + shares[:, :, 3:4] * apart.sum(2, keepdim=True)
    clipped = (frames.amax(2, keepdim=True) - NEARLY_CLIPPED).clamp_min(0)
    return CLUE_UNIT * (score + shares[:, :, 4:] * clipped)


def _frames(x: Tensor, count: int) -> Tensor:
    """Return (B, T, ...) of (B T, ...)."""
    return x.view(-1, count, *x.shape[1:])


def _bound(x: Tensor, most: float) -> Tensor:
    return most * torch.tanh(x / most)


def _bounded_pair(x: Tensor, most: tuple[float, float], dim: int) -> Tensor:
    """Bound log factors and veils, the two halves of ``x``."""
    gain, veil = x.chunk(2, dim=dim)
    return torch.cat((_bound(gain, most[0]), _bound(VEIL_UNIT * veil, most[1])), dim=dim)
