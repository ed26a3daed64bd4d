"""Differentiable JPEG compression."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diar_ops._checks import check_floating, check_option, check_shapes, full_precision, is_number, solve_dtype
from diar_ops._pixels import constant

#: Tables K.1 and K.2 of the standard: steps of the 8 x 8 coefficients at quality 50.
LUMINANCE = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
CHROMINANCE = (
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99,
    24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
)  # fmt: skip
#: From R, G, B to Y, Cb, Cr of JFIF, the last two without their offset.
TO_YCC = ((0.299, 0.587, 0.114), (-0.299 / 1.772, -0.587 / 1.772, 0.5), (0.5, -0.587 / 1.402, -0.114 / 1.402))
TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.114 * 1.772 / 0.587, -0.299 * 1.402 / 0.587), (1.0, 1.772, 0.0))


@full_precision
def jpeg_compress(image: Tensor, *, quality: float | Tensor = 75.0, subsample: bool = True) -> Tensor:
    """Return what is left of pictures that were saved as JPEG and read again.

    Baseline JPEG as the common encoders and decoders do it: Y, Cb and Cr of JFIF, chroma averaged
    over 2 x 2 pixels and interpolated again, coefficients of 8 x 8 blocks rounded to multiples of
    the standard's example tables; Y, Cb and Cr are integers before and after. The entropy coding
    loses nothing and is left out. Rounding has the gradient of the identity (straight through).

    Args:
        image: (B, 3, H, W) sRGB in [0, 1], any size; what lies outside is clipped.
        quality: 1 (worst) to 100 on the scale of the Independent JPEG Group; one number for all,
            or (B,).
        subsample: Halve the resolution of chroma (4:2:0), as cameras do.

    Returns:
        (B, 3, H, W) in [0, 1], not rounded to 8 bits. NaN spoils the blocks around it only.

    Raises:
        ShapeError: ``image`` is not (B, 3, H, W), or ``quality`` not (B,).
        DtypeError: ``image`` is not floating point.
        OptionError: ``quality`` is a number outside 1 to 100. Tensors are clipped to that range.

    Source: ITU-T T.81 (1992), annexes A and K; T.871 (2011) for Y, Cb, Cr.

    Example:
        >>> image = torch.linspace(0, 1, 32).expand(1, 3, 32, 32)
        >>> [round(psnr(jpeg_compress(image, quality=q), image).item()) for q in (5, 50, 95)]  # dB
        [31, 49, 59]
    """
    if isinstance(quality, Tensor):
        check_shapes("jpeg_compress", image=(image, "B 3 H W"), quality=(quality, "B"))
    else:
        check_shapes("jpeg_compress", image=(image, "B 3 H W"))
        check_option("jpeg_compress", is_number(quality) and 1 <= quality <= 100, "quality 1 to 100", quality)
        quality = torch.full((image.shape[0],), float(quality), dtype=torch.float64, device=image.device)
    check_floating("jpeg_compress", image=image)
    if image.numel() == 0:
        return image.clone()
    height, width = image.shape[-2:]
    rgb = image.to(solve_dtype(image.dtype)).clamp(0, 1)
    luma, chroma = _steps(LUMINANCE, quality).to(rgb), _steps(CHROMINANCE, quality).to(rgb)
    dct = _dct(image.device).to(rgb)

    # Whole blocks, the last row and column repeated.
    side = 16 if subsample else 8
    if height % side or width % side:
        rgb = F.pad(rgb, (0, -width % side, 0, -height % side), mode="replicate")
    to_ycc, to_rgb = (constant(matrix, dtype=rgb.dtype, device=rgb.device) for matrix in (TO_YCC, TO_RGB))
    to_ycc, to_rgb = to_ycc * 255, to_rgb / 255
    ycc = round_through(to_ycc @ rgb.flatten(2)).reshape(rgb.shape)
    # The offset of Y is removed before rounding, and put back after it.
    y = _quantise(ycc[:, :1] - 128, dct, luma) + 128
    cbcr = round_through(F.avg_pool2d(ycc[:, 1:], 2)) if subsample else ycc[:, 1:]
    cbcr = _quantise(cbcr, dct, chroma)
    if subsample:
        # Decoders interpolate linearly between the centres of the chroma cells.
        cbcr = F.interpolate(cbcr, scale_factor=2, mode="bilinear", align_corners=False)
    ycc = torch.cat((y, cbcr), dim=1)[..., :height, :width]
    rgb = (to_rgb @ ycc.flatten(2)).clamp(0, 1)
    return rgb.reshape(image.shape).to(image.dtype)


class JpegCompress(nn.Module):
    """See :func:`jpeg_compress`."""

    def __init__(self, *, quality: float = 75.0, subsample: bool = True) -> None:
        super().__init__()
        self.quality, self.subsample = quality, subsample

    def forward(self, image: Tensor) -> Tensor:
        """See :func:`jpeg_compress`."""
        return jpeg_compress(image, quality=self.quality, subsample=self.subsample)

    def extra_repr(self) -> str:
        """Return the options."""
        return f"quality={self.quality}, subsample={self.subsample}"


def round_through(x: Tensor) -> Tensor:
    """Round to integers, with the gradient of the identity."""
    return x + (x.round() - x).detach() if x.requires_grad else x.round()


def _steps(table: tuple[int, ...], quality: Tensor) -> Tensor:
    """Scale a table of the standard to each quality: (B, 64), 1 to 255."""
    quality = quality.double().clamp(1, 100)[:, None]
    # The group's own code divides integers.
    percent = torch.where(quality < 50, (5000 / quality).floor(), 200 - 2 * quality)
    base = constant(table, dtype=torch.float64, device=quality.device)
    return ((base * percent + 50) / 100).floor().clamp(1, 255)


def _dct(device: torch.device) -> Tensor:
    """Return (64, 64) whose row u * 8 + v is the orthonormal cosine of frequency (u, v)."""
    k = torch.arange(8, dtype=torch.float64, device=device)
    basis = torch.cos(math.pi / 8 * (k + 0.5) * k[:, None]) / 2
    basis = torch.where(k[:, None] == 0, basis / math.sqrt(2), basis)
    return torch.kron(basis, basis)


def _quantise(planes: Tensor, dct: Tensor, steps: Tensor) -> Tensor:
    """Round the coefficients of (B, C, H, W) to multiples of ``steps`` (B, 64)."""
    B, C, H, W = planes.shape
    blocks = planes.reshape(B, C, H // 8, 8, W // 8, 8).transpose(3, 4).reshape(B, -1, 64)
    # The division by the steps is folded into the transform.
    levels = round_through(blocks @ (dct.mT / steps[:, None, :]))
    blocks = round_through(levels @ (dct * steps[:, :, None])).clamp(-128, 127)
    return blocks.reshape(B, C, H // 8, W // 8, 8, 8).transpose(3, 4).reshape(B, C, H, W)
