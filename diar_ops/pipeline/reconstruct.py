"""From aligned frames to one clean picture, strip by strip."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from diar_ops._checks import check_device, check_option, check_shapes, eager, full_precision, is_integer
from diar_ops._errors import DiarError
from diar_ops._pixels import fit_size, resize_matrix
from diar_ops._types import Alignment, Canvas, Reconstruction
from diar_ops.aggregate import exposure_gain
from diar_ops.colour import srgb_to_linear
from diar_ops.pipeline._even_light import even_light, fade_out
from diar_ops.pipeline._frames import Frames, Progress, check_frames
from diar_ops.pipeline._plug_in import PlugIn, resolve_aggregator
from diar_ops.pipeline._sharpness import share_detail
from diar_ops.pipeline._warp import AlignedSequence, warp_frame, window_slices
from diar_ops.pipeline.aggregators import Aggregator, TiledNetwork
from diar_ops.pipeline.canvas import check_canvas
from diar_ops.pipeline.settle import settle_frames

# Longest side of the copies on which exposure is compared: thousands of pixels fix a median.
_EXPOSURE_SIZE = 256
# Longest side of the copies that settle_frames aligns.
_SETTLING_SIZE = 256
# Shares beyond this number are kept in half precision, which is exact to a thousandth of them: ten photos of 12
# megapixels in 3 GB.
_LARGE_WEIGHTS = 2**26
# Of photos of parts, the copies that a network weighs are so many times as large, at most.
_MOST_PARTS = 4.0
# Pixels that one strip holds over all frames; about 200 bytes each at the peak.
_STRIP_PIXELS = 2_000_000
# The same of a square that is worked on with a margin; and of both together, about 70 bytes each.
_SQUARE_PIXELS, _FILLED_PIXELS = 4_000_000, 16_000_000
# Pictures of so many pixels over all frames are warped once and kept: 13 bytes each, twice.
_WHOLE_PIXELS = 4_000_000
# Strips that overlap begin at multiples of so many rows: a multiple of networks' strides and windows.
_STRIP_STEP = 64


@eager
@full_precision
def reconstruct_sequence(
    frames: Frames,
    alignment: Alignment,
    *,
    canvas: Canvas | None = None,
    aggregator: str | Aggregator | TiledNetwork = "diar",
    valid: Sequence[Tensor | None] | None = None,
    compensate: bool = True,
    settle: bool = False,
    working_size: int = 1024,
    device: torch.device | str | None = None,
    progress: Progress | None = None,
) -> Reconstruction:
    """Reconstruct the clean picture from frames and their alignment.

    By default the network in ``load_pretrained("diar")`` brings each frame that was aligned to the
    light of the picture, by smooth factors per place and channel, and weighs its pixels; the
    picture is their weighted mean. It sees small copies of the whole frames and, tile by tile,
    copies whose longest side is ``working_size``; what it finds is applied at full resolution.

    Other aggregators work on frames that are brought to the common exposure and white balance of
    the sequence by one factor per frame and channel in linear light (:func:`exposure_gain` on
    small copies): shadows and glare are left to them.

    Frames that are blurred, or taken from afar, are lent the fine detail of those that are
    sharp at the same place and show the same there: they vote on light and on what hides the
    picture, without making it softer. Where none is sharper, and in sequences of equally sharp
    frames, nothing changes. Weights are of the frames so filled in.

    On a canvas, photos may show parts of the picture only. Where one of them shows less than half
    of what all show, their light is evened out by all overlaps at once, a smooth factor per photo
    and channel, before they are aggregated; a network then gives the weights, which fall towards
    the borders of the photos, so that no seam is seen. Haze is left as it is.

    Works in tiles and strips, so that memory stays bounded for photos of any size, but for
    aggregators that need the whole picture (:class:`Aggregator` has how one says so).

    Args:
        frames: (T, 3, H, W), or T tensors (3, H, W) of any sizes; floating point in [0, 1],
            uint8 or uint16. R, G, B.
        alignment: Result of :func:`align_sequence` on these frames.
        canvas: What the picture is made on, onto which each frame is warped once; ``None``: as the
            reference shows it, pixel by pixel.
        aggregator: ``"diar"``: the network that comes with the package; ``"diar-glass"``: the one
            that was trained on pictures behind glass; another
            :class:`FaithfulDIAR`, on any device, compiled or averaged; a name of
            :data:`diar_ops.pipeline.AGGREGATORS`: ``"mean"``, ``"median"``, ``"consensus"``, the
            average of the frames that agree with the median over frames
            (:func:`consensus_logits`), ``"soft_minimum"``, the average of the darkest that enough
            agree on, ``"rpca"`` or ``"intrinsic"``; or any callable that keeps the contract of
            :class:`diar_ops.pipeline.Aggregator`: it maps frames (1, T, 3, H, W) and valid
            (1, T, 1, H, W) to the picture, or (picture, weights).
        valid: Optional T masks (1, H, W) bool of pixels that the photos really hold.
        compensate: Whether to compensate exposure and white balance; a network does always.
        settle: Lay the frames over what most of them show first (:func:`settle_frames`): for
            alignments that are off by a pixel or two. That of :func:`align_sequence` is not.
        working_size: Longest side of the copies that a network weighs, in pixels; of photos of
            parts up to four times as much.
        device: Where to compute; ``None``: where the frames are. A network of yours, and any Module
            with parameters, stays where it is, and is given its input there.
        progress: Called with (name of the step, done, in all).

    Returns:
        :class:`Reconstruction` on the CPU, float32; weights float16 where they are more than 2^26,
        ``None`` from aggregators that do not tell them.

    Raises:
        ShapeError, DtypeError: The frames are not pictures, or do not fit the alignment; or the
            canvas has no homography.
        OptionError: Unknown aggregator, one that cannot be called with (features, valid), or whose
            values are not as its contract says; ``working_size`` below 64; the canvas has no
            pixels, or its homography no inverse.
        ShapeError, DtypeError, DeviceError: So is what the aggregator returns.
        DeviceError: ``device`` does not compute.
        DiarError: No frame is aligned.

    Example:
        >>> picture = torch.rand(3, 64, 80, generator=torch.Generator().manual_seed(0))
        >>> frames = picture.repeat(3, 1, 1, 1)
        >>> frames[0, :, 20:40, 20:40] = 0.0  # something black in front of the first
        >>> alignment = Alignment.from_homographies(torch.eye(3).repeat(3, 1, 1), [(64, 80)] * 3)
        >>> result = reconstruct_sequence(frames, alignment, aggregator="median")
        >>> torch.allclose(result.image, picture, atol=1e-4), result.coverage.min()
        (True, tensor(3))
    """
    op = "reconstruct_sequence"
    frames = check_frames(op, frames, valid)
    check_option(op, isinstance(alignment, Alignment), "alignment: Alignment", type(alignment).__name__)
    homography, success = alignment.homography_reference_frame, alignment.success
    check_shapes(
        op,
        **{
            "alignment.homography_reference_frame": (homography, f"{len(frames)} 3 3"),
            "alignment.success": (success, f"{len(frames)}"),
            "alignment.grid": (alignment.grid, f"? {len(frames)} 2 rows columns"),
        },
    )
    check_option(op, is_integer(working_size) and working_size >= 64, "working_size >= 64", working_size)
    device = frames[0].device if device is None else check_device(op, device)
    resolved = resolve_aggregator(op, aggregator, device)
    used = alignment.success.nonzero().flatten().tolist()
    if not used:
        raise DiarError(f"{op}: no frame is aligned, nothing to reconstruct from")
    masks: list[Tensor | None] = [None] * len(frames) if valid is None else list(valid)
    # Small matrices whose values crop the frames: on the CPU they cost no wait.
    alignment = alignment._replace(
        homography_reference_frame=alignment.homography_reference_frame.cpu(),
        grid=None if alignment.grid is None else alignment.grid.detach().cpu(),
    )
    sequence = AlignedSequence(frames, masks, alignment, used, device, check_canvas(op, canvas, alignment))
    progress = progress or (lambda step, done, total: None)
    with torch.no_grad():
        if settle:
            sequence = _settle(sequence)
        if compensate or not isinstance(resolved, PlugIn):
            sequence = sequence._replace(light=even_light(sequence))
        if isinstance(resolved, PlugIn):
            restore, gain, margin = _plug_in_windows(op, resolved, sequence, compensate)
            whole = math.isinf(resolved.reach)
        else:
            restore, gain, margin = _tiled_windows(resolved, sequence, working_size, progress)
            whole = False
        return _in_windows(sequence, restore, gain, progress, margin=margin, whole=whole)


class _Window(NamedTuple):
    """A restored window of the picture.

    Attributes:
        image: (1, 3, h, w).
        weights: (1, T, 1 or 3, h, w) of the used frames; ``None`` where they are not known.
        valid: (1, T, 1, h, w) bool, which frames show the pixel.
    """

    image: Tensor
    weights: Tensor | None
    valid: Tensor


#: Restores the window (top, left, height, width) of the picture.
_Restore: TypeAlias = Callable[[tuple[int, int, int, int]], _Window]


def _in_windows(
    sequence: AlignedSequence, restore: _Restore, gain: Tensor, progress: Progress, *, margin: int, whole: bool
) -> Reconstruction:
    """Restore the picture window by window, or at once."""
    (height, width), used = sequence.size, sequence.used
    image = torch.zeros(3, height, width, dtype=torch.float32)
    coverage = torch.zeros(1, height, width, dtype=torch.int64)
    count = len(sequence.frames)
    half = count * height * width >= _LARGE_WEIGHTS
    weights: Tensor | None = None
    boxes = [(0, 0, height, width)] if whole else _windows(sequence.size, len(used), margin)
    for done, box in enumerate(boxes):
        window, part = restore(box), (..., *window_slices(box))
        image[part] = window.image[0].clamp(0, 1)
        coverage[part] = window.valid[0].sum(dim=0)
        if window.weights is not None:
            if weights is None:
                weights = torch.zeros(count, 1, height, width, dtype=torch.float16 if half else torch.float32)
            weights[(used, *part)] = window.weights[0].mean(dim=1, keepdim=True).to(weights)
        progress("putting together", done + 1, len(boxes))
    if sequence.light is not None:
        gain = gain * sequence.light.mean()
    return Reconstruction(image, coverage, weights, gain)


def _windows(size: tuple[int, int], frames: int, margin: int) -> list[tuple[int, int, int, int]]:
    """Cut a picture into windows (top, left, height, width): strips; about squares where a margin is worked on, too."""
    height, width = size
    rows, columns = max(1, min(height, math.ceil(_STRIP_PIXELS / (width * frames)))), width
    if margin:
        side, around = (math.isqrt(pixels // frames) for pixels in (_SQUARE_PIXELS, _FILLED_PIXELS))
        side = max(margin, min(side, around - 2 * margin))
        rows, columns = (math.ceil(n / math.ceil(n / side)) for n in size)
    return [
        (top, left, min(rows, height - top), min(columns, width - left))
        for top in range(0, height, rows)
        for left in range(0, width, columns)
    ]


def _plug_in_windows(
    op: str, aggregate: PlugIn, sequence: AlignedSequence, compensate: bool
) -> tuple[_Restore, Tensor, int]:
    """Return how an aggregator restores windows, the exposure gains, and what margin windows have."""
    full = sequence.size
    exposure = _exposure(sequence)
    gain = exposure if compensate else torch.ones_like(exposure)
    shared = share_detail(sequence, exposure)

    def restore(window: tuple[int, int, int, int]) -> _Window:
        top, left, height, width = window
        first, last = top, top + height
        if 0 < aggregate.reach < math.inf:
            reach = math.ceil(aggregate.reach)
            first = max(0, top - reach) // _STRIP_STEP * _STRIP_STEP
            last = min(full[0], last + reach)
        frames, valid = shared.warp((first, left, last - first, width), gain)
        image, weights = aggregate(op, frames, valid)
        rows = slice(top - first, top - first + height)
        return _Window(image[..., rows, :], None if weights is None else weights[..., rows, :], valid[..., rows, :])

    # What reaches beyond its window needs whole rows.
    return restore, gain, 0 if aggregate.reach else shared.margin


def _tiled_windows(
    network: TiledNetwork, sequence: AlignedSequence, working_size: int, progress: Progress
) -> tuple[_Restore, Tensor, int]:
    """Return how a network that sees whole frames restores windows, the mean gains, and what margin windows have."""
    full, used = sequence.size, sequence.used
    if sequence.light is not None:
        working_size = round(working_size * min(_MOST_PARTS, sequence.light.parts(used)))
    size = fit_size(full, working_size)
    if size == full and len(used) * math.prod(full) <= _WHOLE_PIXELS:
        sequence = sequence.warp_whole()
    working = sequence if size == full else sequence.resized(size, 2 * working_size)
    frame_warpers = [working.only(t).warp for t in used]
    exposure = _exposure(sequence)
    shared = share_detail(sequence, exposure)
    working_warp = shared.warp if working is sequence else share_detail(working, exposure).warp
    tiled = network.prepare_tiles(working_warp, frame_warpers, size, full, progress)
    gain = torch.ones(len(sequence.frames), 3, dtype=torch.float32)
    if sequence.light is None:
        gain[used] = tiled.gain.to(gain)

    def restore(window: tuple[int, int, int, int]) -> _Window:
        frames, valid = shared.warp(window)
        if sequence.light is None:
            image, weights = tiled.restore(frames, valid, window)
        else:
            _, weights = tiled.restore(frames, valid, window, fade_out(sequence, window).to(frames))
            image = (frames * weights).sum(1)  # the light of parts is told by all overlaps, not by what most show
        return _Window(image, weights, valid)

    return restore, gain, shared.margin


def _exposure(sequence: AlignedSequence) -> Tensor:
    """Return factors (T, 3) in linear light that bring the used frames to a common exposure."""
    gain = torch.ones(len(sequence.frames), 3, dtype=torch.float32)
    if len(sequence.used) > 1:
        small = fit_size(sequence.size, _EXPOSURE_SIZE)
        # Twice the size leaves the anti-aliasing of the warp something to average.
        frames, valid = sequence.resized(small, 2 * _EXPOSURE_SIZE).warp((0, 0, *small))
        gain[sequence.used] = exposure_gain(srgb_to_linear(frames), valid)[0].to(gain)
    return gain


def _settle(sequence: AlignedSequence) -> AlignedSequence:
    """Return the sequence with its frames settled on small copies (:func:`settle_frames`)."""
    full, used = sequence.size, sequence.used
    small = fit_size(full, _SETTLING_SIZE)
    frames, valid = sequence.resized(small, 2 * _SETTLING_SIZE).warp((0, 0, *small))
    homography_small_full = resize_matrix(full, small)
    H = torch.linalg.inv(homography_small_full) @ settle_frames(frames, valid)[0].cpu()
    H = H @ homography_small_full
    if sequence.canvas is not None:
        canvas = sequence.canvas.homography_canvas_reference.to("cpu", torch.float64)
        H = torch.linalg.inv(canvas) @ H @ canvas
    homography = sequence.alignment.homography_reference_frame.clone()
    homography[used] = (H @ homography[used].to(H)).to(homography)
    alignment = sequence.alignment._replace(homography_reference_frame=homography)
    return sequence._replace(alignment=alignment)


def aligned_frames(
    frames: Frames,
    alignment: Alignment,
    *,
    canvas: Canvas | None = None,
    valid: Sequence[Tensor | None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Yield the aligned frames one by one, as seen from the reference or on a canvas, colours untouched.

    Args:
        frames: (T, 3, H, W), or T tensors (3, H, W).
        alignment: Result of :func:`align_sequence` on these frames.
        canvas: See :func:`reconstruct_sequence`.
        valid: Optional T masks (1, H, W) bool.
        progress: Called with (frames done, frames in all).

    Yields:
        Frame index, picture (3, H, W) float32 in [0, 1], valid (1, H, W) bool.
    """
    op = "aligned_frames"
    frames, canvas = check_frames(op, frames, valid), check_canvas(op, canvas, alignment)
    used = alignment.success.nonzero().flatten().tolist()
    for done, t in enumerate(used):
        image, shown = warp_frame(
            frames[t],
            alignment.homography_reference_frame[t],
            (0, 0, *(alignment if canvas is None else canvas).size),
            valid=None if valid is None else valid[t],
            distortion=alignment.distortion,
            grid=None if alignment.grid is None else alignment.grid[t],
            size=alignment.size,
            canvas=canvas,
        )
        yield t, image[0].clamp(0, 1), shown[0]
        if progress is not None:
            progress(done + 1, len(used))
