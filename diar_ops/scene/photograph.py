"""Simulate a camera: from radiance to the photo that it stores."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from diar_ops._checks import (
    check_floating,
    check_generator,
    check_has_values,
    check_option,
    check_shapes,
    eager,
    full_precision,
    solve_dtype,
)
from diar_ops._seeds import fresh_generator
from diar_ops.colour import linear_to_srgb
from diar_ops.scene.camera import CameraRanges
from diar_ops.scene.jpeg import jpeg_compress, round_through

#: Weights of linear R, G, B in luminance (ITU-R BT.709).
LUMINANCE = (0.2126, 0.7152, 0.0722)
#: Metering takes no pixel for brighter than this, and no frame for darker than the other.
BRIGHTEST, DARKEST = 2.0, 0.01
#: Values that are worked on at a time on a CPU: what stays in its cache.
CHUNK = 1_000_000
#: Points per pixel by which the path of a shake is approximated.
PATH_POINTS = 4


@eager
@full_precision
def photograph(
    radiance: Tensor, *, ranges: CameraRanges | None = None, generator: torch.Generator | None = None
) -> Tensor:
    r"""Convert the light that reaches a camera to the photos that it stores.

    In the order of a camera: exposure, metered in part, and white balance; vignetting by the
    :math:`\cos^4` law; a Gaussian blur and a straight shake; sensor noise of variance
    :math:`\sigma_{shot}^2 x + \sigma_{read}^2` at signal :math:`x`; saturation at 1; the transfer
    function of sRGB; JPEG; eight bits. Every number is drawn from ``ranges``, which also says
    what belongs to the camera of a sequence and what changes from frame to frame.

    Args:
        radiance: (B, T, 3, H, W) linear R, G, B; white paper in label light is 1, and nothing is
            clipped yet.
        ranges: The distribution; that of :class:`CameraRanges` by default.
        generator: Source of randomness. Best on the device of ``radiance``; numbers from another
            one are copied, so that one on the CPU gives the same numbers everywhere. A fresh one,
            seeded by the operating system, if None.

    Returns:
        (B, T, 3, H, W) sRGB in [0, 1]. Differentiable with respect to ``radiance``, roundings
        straight through, saturated pixels with gradient 0. A NaN stays in its frame: in the
        blocks around it with compression, within reach of the blur without. Compiled code calls
        the function as it is (``torch.compiler.disable``): generators cannot be traced.

    Raises:
        ShapeError: ``radiance`` is not (B, T, 3, H, W).
        DtypeError: ``radiance`` is not floating point.

    Source: noise after Foi et al., "Practical Poissonian-Gaussian noise modeling and fitting for
    single-image raw-data", IEEE TIP 2008.

    Example:
        >>> paper = torch.ones(1, 3, 3, 32, 32)  # three photos of white paper in even light
        >>> photos = photograph(paper, generator=torch.Generator().manual_seed(0))
        >>> photos.mean(dim=(-2, -1)).round(decimals=2)  # exposure and white balance of each
        tensor([[[0.5900, 0.6000, 0.6200],
                 [0.6300, 0.6400, 0.6400],
                 [0.6600, 0.6900, 0.7100]]])
    """
    check_generator("photograph", generator)
    check_shapes("photograph", radiance=(radiance, "B T 3 H W"))
    check_has_values("photograph", radiance=radiance)
    check_floating("photograph", radiance=radiance)
    ranges = CameraRanges() if ranges is None else ranges
    check_option("photograph", isinstance(ranges, CameraRanges), "ranges: CameraRanges", ranges)
    if radiance.numel() == 0:
        return radiance.clone()
    B, T = radiance.shape[:2]
    dtype, device = solve_dtype(radiance.dtype), radiance.device
    generator = fresh_generator(device) if generator is None else generator
    source = generator.device
    shots = _draw(B, T, ranges, generator, source)
    shots = _Shots(*(value.flatten(0, 1).to(dtype=dtype, device=device) for value in shots))
    light = radiance.flatten(0, 1)
    noise = None
    if max(*ranges.shot_noise, *ranges.read_noise) > 0:
        noise = torch.randn(light.shape, generator=generator, dtype=dtype, device=source).to(device)
    blotches = None
    if ranges.develops:
        half = (len(light), 3, -(-light.shape[2] // 2), -(-light.shape[3] // 2))
        blotches = torch.randn(half, generator=generator, dtype=dtype, device=source).to(device)
    if device.type != "cpu" or light.requires_grad:
        photos = _expose(light.to(dtype), shots, noise, blotches, ranges).to(radiance.dtype)
    else:
        photos = torch.empty_like(light, memory_format=torch.contiguous_format)
        step = max(1, CHUNK // light[0].numel())
        for first in range(0, len(light), step):
            chunk = slice(first, first + step)
            chunk_shots = _Shots(*(value[chunk] for value in shots))
            chunk_noise = None if noise is None else noise[chunk]
            chunk_blotches = None if blotches is None else blotches[chunk]
            photos[chunk] = _expose(light[chunk].to(dtype), chunk_shots, chunk_noise, chunk_blotches, ranges)
    return photos.reshape(radiance.shape)


class _Shots(NamedTuple):
    """The random parameters of N frames, or (B, T)."""

    gain: Tensor  #: (N, 3) exposure and white balance
    metering: Tensor  #: (N,)
    vignetting: Tensor  #: (N,)
    blur: Tensor  #: (N,)
    shake: Tensor  #: (N, 2) of the motion, x and y
    shot_noise: Tensor  #: (N,)
    read_noise: Tensor  #: (N,)
    knee: Tensor  #: (N,)
    quality: Tensor  #: (N,)
    development: Tensor  #: (N, 4) S-curve, local contrast, sharpening, noise of colour


def _draw(B: int, T: int, ranges: CameraRanges, generator: torch.Generator, device: torch.device) -> _Shots:
    """Draw B sequences of T frames; the same numbers, whatever but the development is switched off."""
    shared = torch.rand((6, B, 1), generator=generator, dtype=torch.float64, device=device)
    single = torch.rand((6, B, T), generator=generator, dtype=torch.float64, device=device)

    development = torch.zeros(B, T, 4, dtype=torch.float64, device=device)
    if ranges.develops:
        low, high = torch.tensor(
            (ranges.tone, ranges.local_contrast, ranges.sharpening, ranges.chroma_noise),
            dtype=torch.float64,
            device=device,
        ).unbind(1)
        unit = torch.rand((B, 1, 4), generator=generator, dtype=torch.float64, device=device)
        development = (low + (high - low) * unit).expand(B, T, 4)

    def scale(unit: Tensor, low: float, high: float) -> Tensor:
        return (low + (high - low) * unit).expand(B, T)

    temperature = scale(single[1], *ranges.temperature)
    tint = scale(single[2], *ranges.tint)
    # Red and blue are half the temperature away from their mean, green the tint.
    ev = torch.stack((temperature / 2 - tint / 3, tint * 2 / 3, -temperature / 2 - tint / 3), dim=-1)
    white = torch.exp2(ev)
    white = white / _luminance(white)[..., None]
    angle = scale(single[5], 0, 2 * math.pi)
    motion = scale(single[4], *ranges.motion)
    return _Shots(
        gain=torch.exp2(scale(single[0], *ranges.exposure))[..., None] * white,
        metering=scale(shared[0], *ranges.metering),
        vignetting=scale(shared[1], *ranges.vignetting),
        blur=scale(single[3], *ranges.blur),
        shake=motion[..., None] * torch.stack((angle.cos(), angle.sin()), dim=-1),
        shot_noise=scale(shared[2], *ranges.shot_noise),
        read_noise=scale(shared[3], *ranges.read_noise),
        knee=scale(shared[4], *ranges.knee),
        quality=scale(shared[5], *(ranges.quality or (100.0, 100.0))),
        development=development,
    )


def _expose(
    light: Tensor, shots: _Shots, noise: Tensor | None, blotches: Tensor | None, ranges: CameraRanges
) -> Tensor:
    """Photograph ``light`` (N, 3, H, W)."""
    gain = shots.gain[:, :, None, None]
    if max(ranges.metering) > 0:
        gain = gain * _metered_gain(light, shots.metering, ranges.metered)[:, None, None, None]
    if max(ranges.vignetting) > 0:
        gain = gain * _falloff(shots.vignetting, light.shape[-2:])[:, None]
    x = light * gain
    if max(*ranges.blur, *ranges.motion) > 0:
        x = _blur(x, shots.blur, shots.shake, ranges)
    if noise is not None:
        shot, read = shots.shot_noise[:, None, None, None], shots.read_noise[:, None, None, None]
        # Kept off zero, where the square root has no gradient.
        variance = (x.clamp_min(0) * shot.square() + read.square()).clamp_min(1e-12)
        x = torch.addcmul(x, noise, variance.sqrt())
    if max(ranges.knee) > 0:
        x = _roll_off(x, shots.knee[:, None, None, None])
    photo = linear_to_srgb(x.clamp(0, 1)).clamp(0, 1)
    if blotches is not None:
        photo = _develop(photo, blotches, shots.development)
    if ranges.quality is not None:
        photo = jpeg_compress(photo, quality=shots.quality, subsample=ranges.subsample)
    return round_through(photo * 255) / 255 if ranges.eight_bits else photo


def _develop(photo: Tensor, blotches: Tensor, strengths: Tensor) -> Tensor:
    """Develop sRGB photos (N, 3, H, W) as a phone does, by strengths (N, 4); see :class:`_Shots`."""
    tone, local, sharp, noise = strengths[:, :, None, None, None].unbind(1)
    size = photo.shape[-2:]
    colour = blotches - blotches.mean(1, keepdim=True)
    photo = photo + noise * F.interpolate(colour, size, mode="bilinear")
    photo = torch.lerp(photo, photo.square() * (3 - 2 * photo), tone)
    grey = photo.mean(1, keepdim=True)
    around = F.interpolate(F.adaptive_avg_pool2d(grey, 8), size, mode="bilinear")
    near = F.avg_pool2d(F.pad(photo, (1, 1, 1, 1), mode="replicate"), 3, 1)
    return (photo + local * (grey - around) + sharp * (photo - near)).clamp(0, 1)


def _luminance(rgb: Tensor) -> Tensor:
    """Return the luminance (...,) of linear R, G, B (..., 3)."""
    red, green, blue = (rgb[..., i] * weight for i, weight in enumerate(LUMINANCE))
    return red + green + blue


def _metered_gain(light: Tensor, metering: Tensor, target: float) -> Tensor:
    """Return the factor (N,) by which a camera corrects the exposure of (N, 3, H, W)."""
    # Luminance of pixels that are not capped; NaN is not seen.
    level = light.clamp(0, BRIGHTEST).flatten(2).nanmean(dim=2).nan_to_num(target)
    level = _luminance(level).clamp_min(DARKEST)
    return (target / level) ** metering


def _falloff(vignetting: Tensor, size: torch.Size) -> Tensor:
    """Return cos^4 of the angle to the axis (N, H, W); 1 - ``vignetting`` (N,) in the corners."""
    height, width = size
    across = torch.arange(width, dtype=vignetting.dtype, device=vignetting.device)
    down = torch.arange(height, dtype=vignetting.dtype, device=vignetting.device)
    across, down = across - (width - 1) / 2, down - (height - 1) / 2
    corner2 = max(((height - 1) ** 2 + (width - 1) ** 2) / 4, 1)
    radius2 = (down.square()[:, None] + across.square()) / corner2
    tangent2 = (1 - vignetting).rsqrt() - 1  # of the angle of the corners
    return (1 + tangent2[:, None, None] * radius2).square().reciprocal()


def _blur(x: Tensor, sigma: Tensor, shake: Tensor, ranges: CameraRanges) -> Tensor:
    """Blur (N, 3, H, W) by a Gaussian and along a straight path (N, 2) centred at the pixel."""
    reach = math.ceil(3 * ranges.blur[1])
    path = math.ceil(ranges.motion[1] / 2)
    offset = torch.arange(-reach, reach + 1, dtype=x.dtype, device=x.device)
    gauss = torch.exp(-offset.square() / (2 * sigma[:, None].square()).clamp_min(1e-8))
    gauss = gauss / gauss.sum(dim=1, keepdim=True)
    # The path visits points between pixels: two-pixel tents, the bilinear weights.
    cells = torch.arange(-path, path + 1, dtype=x.dtype, device=x.device)
    count = max(1, 2 * PATH_POINTS * path)
    points = (torch.arange(count, dtype=x.dtype, device=x.device) + 0.5) / count - 0.5
    tents = (1 - (shake[:, :, None, None] * points[:, None] - cells).abs()).clamp_min(0)
    trail = torch.einsum("npy,npx->nyx", tents[:, 1], tents[:, 0]) / count
    # [N, k, k], the two convolved.
    kernel = F.conv2d(
        F.pad(trail[None], (2 * reach,) * 4), (gauss[:, :, None] * gauss[:, None, :])[:, None], groups=len(x)
    )[0]
    # Three standard deviations beyond the ends of the path are enough.
    side = math.ceil(3 * ranges.blur[1] + ranges.motion[1] / 2)
    spare = reach + path - side
    kernel = kernel[:, spare : spare + 2 * side + 1, spare : spare + 2 * side + 1]
    kernel = kernel / kernel.sum(dim=(1, 2), keepdim=True)
    N, C = x.shape[:2]
    padded = F.pad(x, (side,) * 4, mode="replicate").reshape(1, N * C, x.shape[2] + 2 * side, -1)
    kernel = kernel.repeat_interleave(C, dim=0)[:, None]
    return F.conv2d(padded, kernel, groups=N * C).reshape(x.shape)


def _roll_off(x: Tensor, knee: Tensor) -> Tensor:
    """Bend the curve down to slope 0 between 1 - knee and 1 + knee, where it meets 1."""
    above = (x - (1 - knee)).clamp_min(0)
    # Beyond the knee the parabola would fall again.
    bend = torch.minimum(above, 2 * knee).square() / (4 * knee).clamp_min(1e-12)
    return torch.where(x > 1 + knee, 1, x - bend)
