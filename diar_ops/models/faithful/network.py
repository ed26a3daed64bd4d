"""The faithful network: attention weighs the input pixels themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diar_ops._checks import check_option
from diar_ops._types import Restored, WholeFrames
from diar_ops.aggregate import softmax_aggregate
from diar_ops.models._inputs import check_sequence, network_dtype
from diar_ops.models._pretrained.hub import Pretrained
from diar_ops.models.faithful.common_light import CommonLight
from diar_ops.models.faithful.config import FaithfulDIARConfig
from diar_ops.models.faithful.estimates import Evidence, Light
from diar_ops.models.faithful.light import (
    MOST_CORRECTION,
    MOST_DETAIL,
    MOST_LIGHT,
    MOST_SHARED,
    VEIL_UNIT,
    bound,
    bound_light,
    check_whole,
    compensate,
    frame_median,
    haze_veil,
    relight,
    repeat_window,
    sample_field,
    token_window,
    whole_view,
)
from diar_ops.models.faithful.planes import (
    BLOCK_PLANES,
    CLUES,
    STRIDE,
    LogCopies,
    block_means,
    by_frame,
    cells_of_tokens,
    compare_copies,
    darker_median,
    describe_blocks,
    score_clues,
    spread,
    token_range,
)
from diar_ops.models.faithful.stage import Stage
from diar_ops.models.faithful.tiles import TiledRestorer, Warper
from diar_ops.models.faithful.tone import ToneVeil, tone_curves


class FaithfulDIAR(Pretrained):
    """Restore a picture from aligned frames as a weighted mean of their own pixels.

    1. The light is estimated from small copies of the whole frames: attention over all frames gives
       each a smooth field of factors (exposure, uneven light, broad shadows) and a smooth veil
       (haze, reflected surroundings) that bring it to the light of the picture.
    2. Compensated so, each pixel is compared with the median over frames, and with that of their
       darker half, since reflections only add light; attention over frames and neighbours scores
       every pixel of every frame at full resolution.
    3. The picture is the mean of the compensated pixels with the softmax of the scores over the
       frames as weights, times a smooth, bounded correction. Every detail of it stands in the
       frames, and the weights say in which.

    Order of frames does not matter with ``config.window[0]`` None, nor does their number.

    Args:
        config: Sizes; the default ones if ``None``.

    Source: the weights follow Kwiatkowski and Hellwich, "DIAR: Deep image alignment and
    reconstruction using swin transformers", there on embeddings, here on pixels.

    Example:
        >>> network = load_pretrained("diar")
        >>> picture = torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(0))
        >>> frames = picture[:, None].repeat(1, 5, 1, 1, 1)
        >>> frames[:, 0, :, 8:24, 8:24] = 0.0  # a black card in front of one frame
        >>> with torch.no_grad():
        ...     restored = network(frames)
        >>> restored.weights[0, :, 0, 16, 16].round(decimals=2)  # of each frame behind the card
        tensor([0.0000, 0.2500, 0.2500, 0.2500, 0.2500])
    """

    config_type = FaithfulDIARConfig

    def __init__(self, config: FaithfulDIARConfig | None = None) -> None:
        super().__init__()
        self.config = c = FaithfulDIARConfig() if config is None else config
        fits = isinstance(c, FaithfulDIARConfig)
        check_option("FaithfulDIAR", fits, "a FaithfulDIARConfig", config)
        # Small copies: values, their logs, distance to both medians over frames, mask.
        self.whole_stem = nn.Sequential(
            nn.PixelUnshuffle(4), nn.Conv2d(13 * 16, 64, 1), nn.GELU(), nn.Conv2d(64, c.whole_channels, 3, 2, 1)
        )
        self.whole_stages = nn.ModuleList(
            Stage(c.whole_channels, c.heads, (None, 4, 4), bool(i % 2), pool=True) for i in range(c.whole_blocks)
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
        self.stem = nn.Conv2d(BLOCK_PLANES, half, 3, padding=1)
        self.down = nn.Conv2d(half, c.channels, 2, 2)
        self.mix_context = nn.Linear(c.context_channels, c.channels)
        self.stages = nn.ModuleList(Stage(c.channels, c.heads, c.window, bool(i % 2)) for i in range(c.blocks))
        self.norm = nn.LayerNorm(c.channels)
        self.up = nn.Conv2d(c.channels, 4 * half, 1)
        self.judge = nn.Conv2d(half, 1 + CLUES, 1)
        self.detail = nn.Linear(c.channels, 6)
        self.say = nn.Linear(c.channels, 1)
        self.correction = nn.Linear(c.channels, 6)
        # The start is what frames of equal brightness agree on.
        layers = (self.trust, self.haze, self.light, self.shared, self.detail, self.correction, self.judge)
        for name, value in ((n, p) for m in layers for n, p in m.named_parameters()):
            nn.init.zeros_(value) if name == "bias" else nn.init.trunc_normal_(value, std=0.01)
        start = torch.tensor([0.0, -1.0, -1.0, -1.0, 0.0, -1.0, 0.0])
        self.judge.bias = nn.Parameter(start)

    def forward(self, frames: Tensor, valid: Tensor | None = None, *, whole: WholeFrames | None = None) -> Restored:
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
        if frames.shape[0] == 0:  # some of what follows knows no empty batch
            single = self(frames.new_zeros(1, *frames.shape[1:]))
            return Restored(*(x[:0] for x in single))
        usable = frames.sum(dim=2, keepdim=True).isfinite()
        usable = usable if valid is None else usable & valid
        clean = torch.where(usable, frames, 0).to(network_dtype(self))
        if whole is None:
            whole = whole_view(clean, usable)
        known = whole.frames.isfinite().all(dim=2, keepdim=True) & whole.valid
        light = self.estimate_light(torch.where(known, whole.frames, 0).to(clean), known)
        evidence = self.score_pixels(clean, usable, light, whole.window)
        restored = self.compose(clean, usable, light, evidence, whole.window)
        return Restored(*(x.to(frames.dtype) for x in restored if x is not None))

    def prepare_tiles(
        self,
        warper: Warper,
        frame_warpers: Sequence[Warper],
        size: tuple[int, int],
        full: tuple[int, int],
        progress: Callable[[str, int, int], None],
    ) -> TiledRestorer:
        """Prepare for a sequence of any size, which is seen tile by tile; see :class:`TiledRestorer`."""
        return TiledRestorer(self, warper, frame_warpers, size, full, progress)

    def estimate_light(self, frames: Tensor, valid: Tensor) -> Light:
        """Estimate the light of frames from small copies.

        Args:
            frames: (B, T, 3, h, w), 0 where not valid.
            valid: (B, T, 1, h, w) bool.
        """
        T, dtype = frames.shape[1], frames.dtype
        copies = compare_copies(frames, valid)
        known, exposure, median = copies.known, copies.exposure, copies.median
        dark, bright = token_range(median, known.amax(1, keepdim=True))
        # All tokens of a frame count, but a frame that shows nothing has no say.
        shown = valid.flatten(2).any(dim=2)
        mask = shown[..., None, None, None]
        x = self._encode_copies(frames, copies, dark, bright, mask)
        # How far a frame is from the median, where it can be trusted, is the frame's light.
        trust = cells_of_tokens(self.trust(x).to(dtype)).sigmoid()
        weight = known * median.exp().mean(2, keepdim=True)  # of dark pixels, veils are most
        weighted = copies.difference * weight
        field = spread(block_means(weighted, 4) * trust, block_means(weight, 4) * trust)
        count = mask.sum(1, keepdim=True).clamp_min(1)
        level = field + exposure
        mean_level = (level * mask).sum(1, keepdim=True) / count
        relative = mean_level - level
        common = self.common_light(block_means(relative, 2), shown).to(dtype)
        common = F.interpolate(common, relative.shape[-2:], mode="bilinear")[:, None]
        # What is left: veils, and what the picture itself suggests of the light.
        difference = copies.difference
        near = F.interpolate(field.detach().flatten(0, 1), difference.shape[-2:], mode="bilinear")
        both = torch.cat((difference, difference - by_frame(near, T)), dim=2)
        haze, toned = self.tone_veil(*tone_curves(both, median, valid), shown)
        mean = (x * mask.movedim(2, -1)).sum(1, keepdim=True) / count.movedim(2, -1)
        own, own_veil = cells_of_tokens(self.light(x).to(dtype)).chunk(2, dim=2)
        shared, veil = cells_of_tokens(self.shared(mean).to(dtype)).chunk(2, dim=2)
        # Frames' own estimates leave the brightness of the picture as it is: a veil that is taken
        # off as a factor would take contrast with it.
        own = own - (own * mask).mean((3, 4), keepdim=True).sum(1, keepdim=True) / count
        common = common + bound(shared + toned.to(dtype)[..., None, None], MOST_SHARED)
        gain = bound(relative + common + own, MOST_LIGHT[0])
        # The median has no things in front, so that its darkest is the picture's.
        shift = (mean_level + common).mean((3, 4), keepdim=True)
        darkest = dark.amin((3, 4), keepdim=True) + shift
        haze = haze_veil(cells_of_tokens(self.haze(x).to(dtype)) + haze.to(dtype)[..., None, None], darkest)
        return Light(
            gain, bound(haze + VEIL_UNIT * (own_veil + veil), MOST_LIGHT[1]), self.context(x).movedim(-1, 2).to(dtype)
        )

    def _encode_copies(self, frames: Tensor, copies: LogCopies, dark: Tensor, bright: Tensor, mask: Tensor) -> Tensor:
        """Return features of the tokens of small copies, (B, T, h, w, C).

        ``dark`` and ``bright`` are the ranges of the median's tokens; ``mask`` (B, T, 1, 1, 1) bool
        marks the frames that count.
        """
        known, log = copies.known, copies.log
        planes = torch.cat((frames, log * known, copies.difference, copies.added, known), dim=2).flatten(0, 1)
        # A veil lies on the darkest of what is there, too.
        own_dark, own_bright = token_range(log + copies.exposure, known)
        ranges = (own_dark, own_bright, dark.expand_as(own_dark), bright.expand_as(own_dark))
        x = self.whole_stem(planes) + self.whole_range(torch.cat(ranges, dim=2).flatten(0, 1))
        x = by_frame(x, frames.shape[1])
        tokens = mask.expand(*x.shape[:2], 1, *x.shape[3:])
        for stage in self.whole_stages:
            x = stage(x, tokens)
        features: Tensor = self.whole_norm(x.movedim(2, -1))
        return features

    def score_pixels(self, frames: Tensor, valid: Tensor, light: Light, window: Tensor | None = None) -> Evidence:
        """Score the pixels of a part of the frames.

        Args:
            frames: (B, T, 3, H, W), 0 where not valid.
            valid: (B, T, 1, H, W) bool.
            light: Of the whole frames.
            window: (B, 4) where the part lies, see :class:`WholeFrames`; all of it by default.
        """
        T, (H, W), dtype = frames.shape[1], frames.shape[-2:], frames.dtype
        known = valid.to(dtype)
        lit = compensate(frames, light.gain, light.veil, window)
        median = frame_median(lit, valid)
        difference = (lit - median) * known
        added = (lit - darker_median(lit, median, valid)) * known
        distance = difference.abs()
        blocks = describe_blocks(lit, difference, added, distance, known, frames)
        near = self.stem(blocks)
        x = by_frame(self.down(F.gelu(near)), T)
        context = sample_field(light.context, (x.shape[-2], x.shape[-1]), token_window(frames, window, STRIDE))
        x = x + self.mix_context(context.movedim(2, -1)).movedim(-1, 2)
        tokens = by_frame(F.max_pool2d(blocks[:, :1], 2) > 0, T)
        for stage in self.stages:
            x = stage(x, tokens)
        x = self.norm(x.movedim(2, -1))
        up = self.up(x.movedim(-1, 2).flatten(0, 1))
        logits = self.judge(F.gelu(near + F.pixel_shuffle(up, 2))).to(dtype)
        logits = F.interpolate(logits, scale_factor=4, mode="bilinear")[..., :H, :W]
        logits = by_frame(logits, T)
        score = logits[:, :, :1] + score_clues(logits[:, :, 1:], difference, added, distance, frames)
        merged = softmax_aggregate(x.movedim(-1, 2), self.say(x).movedim(-1, 2), tokens)
        detail = self.detail(x).movedim(-1, 2)
        correction = self.correction(merged.movedim(1, -1)).movedim(-1, 1)
        return Evidence(
            score, bound_light(detail.to(dtype), MOST_DETAIL, 2), bound_light(correction.to(dtype), MOST_CORRECTION, 1)
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
        """Compose a part of the picture.

        Args:
            frames: (B, T, 3, H, W), 0 where not valid.
            valid: (B, T, 1, H, W) bool.
            light: Of the whole frames.
            evidence: Its ``score`` has the size of ``frames``.
            window: (B, 4) where the part lies, see :class:`WholeFrames`; all of it by default.
            evidence_window: (B, 4) where the part lies in what the coarse fields of ``evidence``
                cover; by default it is what :meth:`score_pixels` was given.
        """
        size = (frames.shape[-2], frames.shape[-1])
        if evidence_window is None:  # the last tokens reach beyond the part
            share = [n / (n + -n % STRIDE) for n in size]
            evidence_window = repeat_window(frames, [0.0, 0.0, *share])
        gain = sample_field(torch.cat((light.gain, light.veil), dim=2), size, window)
        gain, veil = (gain + sample_field(evidence.detail, size, evidence_window)).chunk(2, dim=2)
        lit = relight(frames, gain, veil)
        mean, weights = softmax_aggregate(lit, evidence.score, valid, return_weights=True)
        correction = sample_field(evidence.correction[:, None], size, evidence_window)[:, 0]
        picture = relight(mean, *correction.chunk(2, dim=1))
        # Clipped, yet with the gradient of what is not: a pixel beyond white can come back.
        picture = picture + (picture.clamp(0, 1) - picture).detach()
        return Restored(picture * valid.any(dim=1), weights, light.gain, light.veil)
