"""Refine roughly aligned frames against the median of all."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diar_ops._checks import (
    check_bool,
    check_floating,
    check_no_gradient,
    check_option,
    check_shapes,
    full_precision,
    is_integer,
    solve_dtype,
    widest_dtype,
)
from diar_ops._custom_op import custom_op
from diar_ops._errors import ShapeError
from diar_ops._pixels import resize_matrix
from diar_ops.aggregate import median_aggregate
from diar_ops.geometry import corner_error, local_contrast, refine_homography, warp_homography

#: Shorter side of the small copies, in pixels, at least.
_LEAST_SIZE = 24
#: Rounds; the first one's median is blurred by what it mends.
_ROUNDS = 2
#: Steps of each round, at most.
_STEPS = 2
#: Least share of the texture that is alike in a frame that can be moved.
_LEAST_AGREEMENT = 0.15
#: Moves by more than this share of the longer side are not trusted.
_MOST_MOVE = 0.03
#: Moves by less, in pixels, are not worth another resampling.
_LEAST_MOVE = 0.2


@full_precision
def settle_frames(frames: Tensor, valid: Tensor | None = None, *, longest: int = 128) -> Tensor:
    """Estimate homographies that lay frames aligned to a pixel or two over their common picture.

    Each frame's local contrast is refined against the median of all, twice
    (:func:`refine_homography`), on small copies, to a tenth of their pixels. The motion that all
    frames have in common is removed again. Two frames stay as they are: which of them is right
    cannot be told.

    For alignments from elsewhere: :func:`align_sequence` is more exact than this.

    Args:
        frames: (B, T, C, H, W) floating point in [0, 1], aligned.
        valid: Optional (B, T, 1, H, W) bool. Pixels that are not finite count as invalid.
        longest: Longest side of the small copies, in pixels, about; at least 64.

    Returns:
        (B, T, 3, 3) float64 (float32 on MPS), settled ~ H @ frame, in pixels. The identity for
        frames that lie within 0.2 pixels of their place, that move by more than 3 % of the longer
        side, or of which too little agrees with the others. Without a gradient.

    Raises:
        ShapeError, DtypeError: The tensors do not fit together, or ask for a gradient.
        OptionError: ``longest`` is below 64.

    Example:
        >>> noise = torch.rand(1, 1, 70, 90, generator=torch.Generator().manual_seed(0))
        >>> picture = torch.nn.functional.avg_pool2d(noise, 5, stride=1)
        >>> frames = torch.stack([picture[..., :64, x : x + 80] for x in (0, 0, 0, 0, 2)], dim=1)
        >>> H = settle_frames(frames)
        >>> H[0, :, 0, 2].round(decimals=1)  # the last moves by 2; the mean motion is taken off all
        tensor([-0.4000, -0.4000, -0.4000, -0.4000,  1.6000], dtype=torch.float64)
    """
    op = "settle_frames"
    check_shapes(op, frames=(frames, "B T C H W"), valid=(valid, "? B T 1 H W"))
    check_floating(op, frames=frames)
    check_bool(op, valid=valid)
    check_no_gradient(op, frames=frames)
    check_option(op, is_integer(longest) and longest >= 64, "longest >= 64", longest)
    if frames.shape[2] == 0:
        raise ShapeError(f"{op}: frames must have at least one channel, got {list(frames.shape)}")
    B, T = frames.shape[:2]
    size = (frames.shape[-2], frames.shape[-1])
    shrink = max(1, round(max(size) / longest))
    if B == 0 or T < 3 or min(size) // shrink < _LEAST_SIZE:
        return torch.eye(3, dtype=widest_dtype(frames.device), device=frames.device).repeat(B, T, 1, 1)
    usable = frames.isfinite().all(2, keepdim=True)
    usable = usable if valid is None else usable & valid
    with torch.no_grad():
        frames = torch.where(usable, frames, 0).to(solve_dtype(frames.dtype))
        return (_operator if torch.compiler.is_compiling() else _settle)(frames, usable, shrink)


def _settle(frames: Tensor, usable: Tensor, shrink: int) -> Tensor:
    """Settle frames (B, T, C, H, W), 0 where not usable, on copies ``shrink`` times as small."""
    B, T = frames.shape[:2]
    size = (frames.shape[-2], frames.shape[-1])
    eye = torch.eye(3, dtype=widest_dtype(frames.device), device=frames.device)
    frames = frames.flatten(0, 1)
    whole = F.avg_pool2d(usable.flatten(0, 1).to(frames.dtype), shrink) == 1
    contrast, contrast_valid = local_contrast(F.avg_pool2d(frames, shrink), whole)
    small = (contrast.shape[-2], contrast.shape[-1])
    H = eye.repeat(B * T, 1, 1)
    for _ in range(_ROUNDS):
        warped = warp_homography(contrast, H.to(contrast.dtype), contrast_valid, size=small)
        warped_valid = warped.valid.reshape(B, T, 1, *small)
        median = median_aggregate(warped.image.reshape(B, T, 1, *small), warped_valid)
        refined = refine_homography(
            contrast,
            median.repeat_interleave(T, 0),
            H,
            contrast_valid,
            warped_valid.any(1).repeat_interleave(T, 0),
            levels=1,
            max_iterations=_STEPS,
            features="images",
        )
        near = corner_error(refined.homography, eye, size=small) < _MOST_MOVE * max(small)
        fits = refined.success & near & (refined.agreement >= _LEAST_AGREEMENT)
        H = torch.where(fits[:, None, None], refined.homography, eye)
    return _remove_common_motion(H.reshape(B, T, 3, 3), fits.reshape(B, T), size, small, shrink)


#: One node of a compiled graph: traced, its rounds take minutes.
_operator = custom_op("settle_frames")(_settle)


@_operator.register_fake
def _fake(frames: Tensor, usable: Tensor, shrink: int) -> Tensor:
    return frames.new_empty(*frames.shape[:2], 3, 3, dtype=widest_dtype(frames.device))


def _remove_common_motion(
    homography: Tensor, fits: Tensor, size: tuple[int, int], small: tuple[int, int], shrink: int
) -> Tensor:
    """Return (B, T, 3, 3) in pixels of the frames, without the motion that all have in common."""
    whole = (small[0] * shrink, small[1] * shrink)
    homography_small_frame = resize_matrix(whole, small, homography)
    H = torch.linalg.inv_ex(homography_small_frame).inverse @ homography @ homography_small_frame
    H = H / H[..., 2:, 2:]
    # For moves of a few pixels the mean of matrices is the mean of moves.
    share = fits.to(H.dtype)[..., None, None]
    common = (share * H).sum(1, keepdim=True) / share.sum(1, keepdim=True).clamp_min(1)
    eye = torch.eye(3, dtype=H.dtype, device=H.device)
    common = torch.where(fits.any(1)[:, None, None, None], common, eye)
    H = torch.linalg.inv_ex(common).inverse @ H
    still = corner_error(H, eye, size=size) < _LEAST_MOVE
    return torch.where((still | ~fits)[..., None, None], eye, H / H[..., 2:, 2:])


class SettleFrames(nn.Module):
    """See :func:`settle_frames`."""

    def __init__(self, *, longest: int = 128) -> None:
        super().__init__()
        self.longest = longest

    def forward(self, frames: Tensor, valid: Tensor | None = None) -> Tensor:
        """See :func:`settle_frames`."""
        return settle_frames(frames, valid, longest=self.longest)

    def extra_repr(self) -> str:
        """Return the options."""
        return f"longest={self.longest}"
