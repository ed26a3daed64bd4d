"""Random changes of sequences, so that each is seen differently every time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional as F

from diar_ops._filters import filter_axis
from diar_ops._options import option
from diar_ops._types import Warped
from diar_ops.colour import linear_to_srgb, srgb_to_linear
from diar_ops.geometry import homography_dlt, warp_homography
from diar_ops.scene import CameraRanges, photograph
from diar_ops.training.camera import ideal_photos
from diar_ops.training.options import SHARE, Options, at_least

#: The darkest that a picture is made, as a factor of linear light.
DARKEST = 0.6
#: How far the corners of a frame move that is far off, in shares of its size.
FAR = (0.05, 0.3)
#: Fewest frames of a sequence one of which may be far off: the others outvote it.
FEWEST_FAR = 5
#: Blur of soft frames, standard deviation in pixels.
SOFT = (0.6, 2.5)
#: Share of the frames of a partly covered sequence that show only a part, and share of such
#: sequences of which one frame surely shows all.
CUT, ONE_WHOLE = 0.5, 0.9


@dataclass(frozen=True, kw_only=True)
class AugmentRanges(Options):
    """How often, and how much, sequences are changed.

    Attributes:
        plain: Share of sequences whose photos an ideal camera takes: light is clipped, coded as
            sRGB and rounded to 8 bits. The camera of :func:`photograph` takes the others.
        jitter: Largest standard deviation of the frames' corners in those that are not exactly
            aligned, in pixels.
        exact: Share of sequences that stay exactly aligned.
        misaligned: Share of sequences one of whose frames, if there are 5, is far off.
        partial: Share of sequences with frames that show only a part of the picture.
        permute: Share of sequences whose colour channels are permuted.
        albedo: Share of sequences whose picture is darkened, by a factor down to 0.6.
        phone: Share of the photos that :func:`photograph` takes that a phone develops.
        bent: Share of the exactly aligned sequences whose frames are bent a little.
        bend: Most that those are bent by, in pixels (deviation).
        foreign: Share of sequences some of whose frames, if there are 5, show another picture.
        soft: Share of sequences some of whose frames are blurred.

    Raises:
        OptionError: A share is not from 0 to 1, or ``jitter`` below 0.
    """

    plain: Annotated[float, SHARE] = option(0.6, "share of items that no camera but an ideal one takes", "SHARE")
    jitter: Annotated[float, at_least(0)] = option(1.0, "most misalignment of frames, pixels (deviation)", "PIXELS")
    exact: Annotated[float, SHARE] = option(0.5, "share of items whose frames are exactly aligned", "SHARE")
    misaligned: Annotated[float, SHARE] = option(0.1, "share of items with one frame that is far off", "SHARE")
    partial: Annotated[float, SHARE] = option(0.3, "share of items with frames that show only a part", "SHARE")
    permute: Annotated[float, SHARE] = option(0.5, "share of items whose colour channels change places", "SHARE")
    albedo: Annotated[float, SHARE] = option(0.3, "share of items with a darker picture", "SHARE")
    phone: Annotated[float, SHARE] = option(0.0, "share of the other items that a phone develops", "SHARE")
    bent: Annotated[float, SHARE] = option(0.0, "share of the exactly aligned items that are bent a little", "SHARE")
    bend: Annotated[float, at_least(0)] = option(1.0, "most that those are bent by, pixels (deviation)", "PIXELS")
    foreign: Annotated[float, SHARE] = option(0.0, "share of items with frames of another picture", "SHARE")
    soft: Annotated[float, SHARE] = option(0.0, "share of items with blurred frames", "SHARE")


def turn(pictures: Tensor, label: Tensor, ranges: AugmentRanges, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Mirror and transpose a sequence, and permute its channels, at random.

    Args:
        pictures: (T, 3, H, W), light or photos.
        label: (3, H, W).
        ranges: How often.
        generator: Source of randomness.

    Returns:
        Both, changed alike; only square pictures are transposed.
    """
    flags = torch.rand(4, generator=generator).tolist()
    channels = torch.randperm(3, generator=generator)
    sides = [side for side, flag in zip((-2, -1), flags[1:3], strict=True) if flag < 0.5]

    def apply(picture: Tensor) -> Tensor:
        if flags[0] < ranges.permute:
            picture = picture[..., channels, :, :]
        picture = picture.flip(sides) if sides else picture
        square = picture.shape[-1] == picture.shape[-2]
        return (picture.mT if flags[3] < 0.5 and square else picture).contiguous()

    return apply(pictures), apply(label)


def take_photos(
    radiance: Tensor, label: Tensor, ranges: AugmentRanges, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Take photos of the light of a sequence, of whose picture a darker one may be made.

    Args:
        radiance: (T, 3, H, W) linear light, float32 or, faster, float16.
        label: (3, H, W) sRGB in [0, 1].
        ranges: How often.
        generator: Source of randomness.

    Returns:
        frames (T, 3, H, W) float32 and label, both sRGB in [0, 1].
    """
    darken, strength, camera, phone = torch.rand(4, generator=generator).tolist()
    factor = DARKEST**strength if darken < ranges.albedo else 1.0
    if factor < 1:
        label = linear_to_srgb(srgb_to_linear(label) * factor)
    if camera < ranges.plain:
        return ideal_photos(radiance, factor), label
    camera_ranges = CameraRanges.phone() if phone < ranges.phone else None
    return photograph(radiance[None].float() * factor, ranges=camera_ranges, generator=generator)[0], label


def soften(frames: Tensor, ranges: AugmentRanges, generator: torch.Generator) -> Tensor:
    """Blur some of the frames (T, 3, H, W) of a sequence, never all."""
    T, side = len(frames), min(frames.shape[-2:])
    apply, share, strength = torch.rand(3, generator=generator).tolist()
    order = torch.randperm(T, generator=generator)
    if apply >= ranges.soft or T < 2:
        return frames
    sigma = SOFT[0] * (SOFT[1] / SOFT[0]) ** strength
    reach = min(math.ceil(3 * sigma), side - 1)
    kernel = torch.exp(-torch.arange(-reach, reach + 1).square() / (2 * sigma**2))
    weights = (kernel / kernel.sum()).tolist()
    chosen = order[: 1 + int(share * (T - 1))]
    x = frames[chosen].flatten(0, 1)[:, None]
    x = filter_axis(F.pad(x, (reach, reach, 0, 0), mode="reflect"), weights, -1)
    x = filter_axis(F.pad(x, (0, 0, reach, reach), mode="reflect"), weights, -2)
    frames = frames.clone()
    frames[chosen] = x.view_as(frames[chosen])
    return frames


def bend(frames: Tensor, ranges: AugmentRanges, generator: torch.Generator) -> Tensor:
    """Bend frames (T, 3, H, W) smoothly, as what is left of a surface that is not flat."""
    T, _, height, width = frames.shape
    apply, strength = torch.rand(2, generator=generator).tolist()
    cells = int(torch.randint(2, 6, (), generator=generator))
    knots = torch.randn(T, 2, cells, cells, generator=generator).clamp(-2, 2)
    if apply >= ranges.bent or ranges.bend == 0:
        return frames
    shift = F.interpolate(strength * ranges.bend * knots, (height, width), mode="bicubic")
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    grid = torch.stack((2 * (x + shift[:, 0]) / width - 1, 2 * (y + shift[:, 1]) / height - 1), dim=-1)
    return F.grid_sample(frames, grid, padding_mode="border", align_corners=False)


def misalign(frames: Tensor, ranges: AugmentRanges, generator: torch.Generator) -> Warped:
    """Move the frames (T, 3, H, W) of a sequence a little, and one of them perhaps far; or bend them.

    No frame is the reference: all corners scatter around the truth.
    """
    T, _, height, width = frames.shape
    exact, misaligned, sigma = torch.rand(3, generator=generator).tolist()
    noise = torch.randn(T, 4, 2, generator=generator).clamp(-3, 3)
    far = torch.rand(4, 2, generator=generator)
    far_frame = int(torch.randint(T, (), generator=generator))
    jittered = exact >= ranges.exact and ranges.jitter > 0
    one_far = misaligned < ranges.misaligned and T >= FEWEST_FAR
    moved = torch.full((T,), jittered)
    shift = noise * (sigma * ranges.jitter if jittered else 0)
    if one_far:
        moved[far_frame] = True
        length, angle = FAR[0] + (FAR[1] - FAR[0]) * far[:, 0], 2 * math.pi * far[:, 1]
        direction = torch.stack((angle.cos() * width, angle.sin() * height), dim=-1)
        shift[far_frame] = length[:, None] * direction
    valid = torch.ones(T, 1, height, width, dtype=torch.bool)
    if not bool(moved.any()):
        return Warped(bend(frames, ranges, generator), valid)
    right, bottom = width - 0.5, height - 0.5
    corners = torch.tensor([[-0.5, -0.5], [right, -0.5], [right, bottom], [-0.5, bottom]])
    H = homography_dlt(corners.expand(int(moved.sum()), 4, 2), corners + shift[moved])
    warped = warp_homography(frames[moved], H)
    if bool(moved.all()):
        return warped
    frames = frames.clone()
    frames[moved], valid[moved] = warped.image, warped.valid
    return Warped(frames, valid)


def cover_partly(valid: Tensor, ranges: AugmentRanges, generator: torch.Generator) -> Tensor:
    """Let some frames show only a part of the picture.

    Args:
        valid: (T, 1, H, W) bool.
        ranges: How often.
        generator: Source of randomness.

    Returns:
        valid, False also beyond a random line through a frame, or outside a random quadrilateral.
    """
    T, _, height, width = valid.shape
    apply, keep_one = torch.rand(2, generator=generator).tolist()
    unit = torch.rand(T, 11, generator=generator)
    whole_frame = int(torch.randint(T, (), generator=generator))
    if apply >= ranges.partial:
        return valid
    cut = unit[:, 0] < CUT
    if keep_one < ONE_WHOLE:
        cut[whole_frame] = False
    # Four lines around the middle, in shares of the picture; of half the frames only one.
    angle = 2 * math.pi * unit[:, 1:2] + torch.arange(4) * math.pi / 2 + (unit[:, 3:7] - 0.5) * 0.7
    distance = 0.2 + 0.45 * unit[:, 7:11]
    single = unit[:, 2] < 0.5
    distance[single, 0] = -0.15 + 0.6 * unit[single, 7]
    distance[single, 1:] = math.inf
    y = ((torch.arange(height) + 0.5) / height - 0.5)[:, None]
    x = (torch.arange(width) + 0.5) / width - 0.5
    normal = torch.stack((angle.cos(), angle.sin()), dim=-1)[..., None, None]
    inside = (normal[:, :, 0] * x + normal[:, :, 1] * y <= distance[..., None, None]).all(dim=1)
    return valid & (inside | ~cut[:, None, None])[:, None]
