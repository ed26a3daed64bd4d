"""The faithful network: attention that weighs the input pixels themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diar_ops._checks import check_bool, check_floating, check_option, check_shapes
from diar_ops._types import Restored, Whole
from diar_ops.aggregate import SwinBlock, median_aggregate, softmax_aggregate

__all__ = ["FaithfulDIAR", "FaithfulDIARConfig", "Light", "compensate", "whole_view"]

#: Side of the small copies in which light is judged, in pixels.
WHOLE_SIZE = 64
#: Pixels that share one token, in small copies and in the picture.
STRIDE = 8
#: Offset of the coded value in the power law of sRGB: a factor in linear light is a factor here.
TOE = 0.055
#: Bounds: log factor and veil of a frame, log factor of its details, and of the final correction.
MOST_GAIN, MOST_VEIL, MOST_DETAIL, MOST_CORRECTION = 2.0, 0.3, 0.4, 0.2


@dataclass(frozen=True)
class FaithfulDIARConfig:
    """Sizes of a :class:`FaithfulDIAR`.

    Attributes:
        whole_channels: Channels of the pass over small copies.
        whole_blocks: Its Swin blocks.
        context_channels: What it tells the pass over pixels, per token.
        channels: Channels of the pass over pixels.
        blocks: Its Swin blocks.
        heads: Heads of all attention.
        window: (t, h, w) of its windows, in tokens of 8 pixels; t ``None`` for all frames.
        detail_channels: Channels at full resolution.
    """

    whole_channels: int = 80
    whole_blocks: int = 4
    context_channels: int = 16
    channels: int = 64
    blocks: int = 3
    heads: int = 4
    window: tuple[int | None, int, int] = (None, 4, 4)
    detail_channels: int = 12

    def __post_init__(self) -> None:
        """Refuse sizes that no network has."""
        for name in ("whole_channels", "whole_blocks", "context_channels", "channels", "blocks",
                     "heads", "detail_channels"):  # fmt: skip
            value = getattr(self, name)
            fits = isinstance(value, int) and value >= 1
            check_option(f"FaithfulDIARConfig.{name}", fits, "a positive integer", value)
        object.__setattr__(self, "window", tuple(self.window))


class Light(NamedTuple):
    """What the small copies tell of every frame, on a coarse grid over the whole of it.

    Attributes:
        gain: (B, T, 3, h, w) log of the factor on the coded value.
        veil: (B, T, 3, h, w) what is taken off behind it.
        context: (B, T, K, h', w') features for the pass over pixels.
    """

    gain: Tensor
    veil: Tensor
    context: Tensor


class FaithfulDIAR(nn.Module):
    def __init__(self, config: FaithfulDIARConfig | None = None) -> None:
        super().__init__()
        self.config = c = FaithfulDIARConfig() if config is None else config
        # Small copies: colours, their logs, distance to the median over frames, mask.
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

        # Pixels: compensated colours, distance to their median, mask, colours as they are.
        half = c.channels // 2
        self.stem = nn.Conv2d(10 * 16, half, 1)
        self.down = nn.Conv2d(half, c.channels, 2, 2)
        self.mix_context = nn.Linear(c.context_channels, c.channels)
        self.stages = nn.ModuleList(
            _Stage(c.channels, c.heads, c.window, bool(i % 2)) for i in range(c.blocks)
        )
        self.norm = nn.LayerNorm(c.channels)
        self.up = nn.Conv2d(c.channels, 4 * half, 1)
        self.detail = nn.Conv2d(half, 16 * c.detail_channels // 2, 1)
        self.score_in = nn.Conv2d(c.detail_channels // 2 + 10, c.detail_channels, 3, padding=1)
        self.score_out = nn.Conv2d(c.detail_channels, 1, 3, padding=1)
        self.detail_gain = nn.Linear(c.channels, 3)
        self.say = nn.Linear(c.channels, 1)
        self.correction = nn.Linear(c.channels, 3)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start as an average of lightly compensated frames."""
        for layer in (self.light, self.detail_gain, self.correction, self.score_out):
            nn.init.trunc_normal_(layer.weight, std=0.01)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def judge_light(self, frames: Tensor, valid: Tensor) -> Light:
        B, T, _, H, W = frames.shape
        known = valid.to(frames.dtype)
        log = torch.log((frames + TOE) / (1 + TOE))
        apart = (log - _median(log, valid)) * known
        x = torch.cat((frames * known, log * known, apart, known), dim=2).flatten(0, 1)
        h = self.whole_stem(x).unflatten(0, (B, T))
        for stage in self.whole_stages:
            h = stage(h)
        h = self.whole_norm(h.movedim(2, -1))
        light = F.pixel_shuffle(self.light(h).movedim(-1, 2).flatten(0, 1), 2).unflatten(0, (B, T))
        # The mean distance to the median is where a frame's gain starts from.
        mean = apart.sum((3, 4), keepdim=True) / known.sum((3, 4), keepdim=True).clamp_min(1)
        gain = MOST_GAIN * torch.tanh((light[:, :, :3] - mean) / MOST_GAIN)
        veil = MOST_VEIL * torch.tanh(light[:, :, 3:] / MOST_VEIL)
        return Light(gain, veil, self.context(h).movedim(-1, 2))

    def forward(self, frames: Tensor, valid: Tensor | None = None, *, whole: Whole | None = None) -> Restored:
        B, T, _, H, W = frames.shape
        if valid is None:
            valid = torch.ones_like(frames[:, :, :1], dtype=torch.bool)
        if whole is None:
            whole = whole_view(frames, valid)
        light = self.judge_light(whole.frames, whole.valid)
        return self.restore(frames, valid, light, whole.window)

    def restore(self, frames: Tensor, valid: Tensor, light: Light, window: Tensor) -> Restored:
        B, T, _, H, W = frames.shape
        known = valid.to(frames.dtype)
        y = compensate(frames, light.gain, light.veil, window)
        apart = (y - _median(y, valid)) * known
        full = torch.cat((y * known, apart, known, frames * known), dim=2).flatten(0, 1)
        s = self.stem(F.pixel_unshuffle(full, 4))
        h = self.down(F.gelu(s))
        context = _sample(light.context, window, (h.shape[-2], h.shape[-1])).flatten(0, 1)
        h = h + self.mix_context(context.movedim(1, -1)).movedim(-1, 1)
        h = h.unflatten(0, (B, T))
        tokens = F.max_pool2d(known.flatten(0, 1), STRIDE).unflatten(0, (B, T)) > 0
        for stage in self.stages:
            h = stage(h, None if valid.all() else tokens)
        last = self.norm(h.movedim(2, -1))
        t = F.gelu(s + F.pixel_shuffle(self.up(last.movedim(-1, 2).flatten(0, 1)), 2))
        t = F.pixel_shuffle(self.detail(t), 4)
        score = self.score_out(F.gelu(self.score_in(torch.cat((t, full), dim=1))))
        score = score.unflatten(0, (B, T))
        detail = MOST_DETAIL * torch.tanh(self.detail_gain(last)).movedim(-1, 2)
        y = _amplify(y, _grow(detail, (H, W)))
        picture, weights = softmax_aggregate(y, score, valid, return_weights=True)
        last = last.movedim(-1, 2)
        together = softmax_aggregate(last, self.say(last.movedim(2, -1)).movedim(-1, 2), tokens)
        correction = MOST_CORRECTION * torch.tanh(self.correction(together.movedim(1, -1)))
        picture = _amplify(picture, _grow(correction.movedim(-1, 1)[:, None], (H, W))[:, 0])
        picture = picture + (picture.clamp(0, 1) - picture).detach()
        return Restored(picture * valid.any(1), weights, light.gain, light.veil)


class _Stage(nn.Module):
    """A depthwise convolution, then a Swin block; with ``pool`` what all tokens say together."""

    def __init__(self, channels: int, heads: int, window, shift: bool, *, pool: bool = False) -> None:
        super().__init__()
        self.near = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.block = SwinBlock(channels, window=window, shift=shift, heads=heads)
        self.pool = None
        if pool:
            self.pool = nn.Sequential(
                nn.Linear(channels, channels), nn.GELU(), nn.Linear(channels, channels)
            )
        for layer in (self.block.qkv, self.block.proj, self.block.mlp_in, self.block.mlp_out):
            nn.init.xavier_uniform_(layer.weight)
        nn.init.trunc_normal_(self.near.weight, std=0.02)
        nn.init.zeros_(self.near.bias)

    def forward(self, x: Tensor, tokens: Tensor | None = None) -> Tensor:
        B, T = x.shape[:2]
        x = x + self.near(x.flatten(0, 1)).unflatten(0, (B, T))
        x = self.block(x, tokens)
        if self.pool is not None:
            x = x + self.pool(x.mean((1, 3, 4)))[:, None, :, None, None]
        return x


def compensate(
    frames: Tensor, gain: Tensor, veil: Tensor, window: Tensor | None = None
) -> Tensor:
    size = (frames.shape[-2], frames.shape[-1])
    if window is None:
        window = frames.new_tensor([[0.0, 0.0, 1.0, 1.0]]).expand(len(frames), 4)
    return _amplify(frames, _sample(gain, window, size)) - _sample(veil, window, size)


def whole_view(frames: Tensor, valid: Tensor) -> Whole:
    B, T = frames.shape[:2]
    known = valid.to(frames.dtype)
    size = (WHOLE_SIZE, WHOLE_SIZE)
    share = F.interpolate(known.flatten(0, 1), size, mode="area").unflatten(0, (B, T))
    small = F.interpolate((frames * known).flatten(0, 1), size, mode="area").unflatten(0, (B, T))
    seen = share > 0.5
    window = frames.new_tensor([[0.0, 0.0, 1.0, 1.0]]).expand(B, 4)
    return Whole(torch.where(seen, small / share.clamp_min(0.5), 0), seen, window)


def _median(x: Tensor, valid: Tensor) -> Tensor:
    with torch.no_grad():
        return median_aggregate(x.detach(), valid)[:, None]


def _amplify(x: Tensor, log_factor: Tensor) -> Tensor:
    return (x + TOE) * log_factor.exp() - TOE


def _grow(field: Tensor, size: tuple[int, int]) -> Tensor:
    B, T = field.shape[:2]
    return F.interpolate(field.flatten(0, 1), size, mode="bilinear").unflatten(0, (B, T))


def _sample(field: Tensor, window: Tensor, size: tuple[int, int]) -> Tensor:
    """Sample (B, T, C, h, w) at the pixels of a part: two products with interpolation matrices."""
    top, left, bottom, right = window.to(field).unbind(1)
    down = _tents(top, bottom, size[0], field.shape[-2])  # [B, H, h]
    across = _tents(left, right, size[1], field.shape[-1])
    return torch.einsum("bHh,btchw,bWw->btcHW", down, field, across)


def _tents(start: Tensor, stop: Tensor, count: int, cells: int) -> Tensor:
    steps = (torch.arange(count, device=start.device, dtype=start.dtype) + 0.5) / count
    at = (start[:, None] + (stop - start)[:, None] * steps) * cells - 0.5
    at = at.clamp(0, cells - 1)
    return (1 - (at[..., None] - torch.arange(cells, device=at.device)).abs()).clamp_min(0)
