"""Pairs of photos of one picture, with the exact homography between them."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from diar_ops._checks import check_option
from diar_ops._options import option
from diar_ops._seeds import generator_for
from diar_ops.geometry import homography_dlt, transform_points, warp_homography
from diar_ops.scene import photograph
from diar_ops.training.camera import ideal_photos
from diar_ops.training.options import Options
from diar_ops.training.rendered import RenderedSequences

#: Pixels that are cut off a photo on each side at random: JPEG's blocks shall lie anywhere.
BLOCK = 8
#: Draws of a place to look at, among which the first that both frames show is taken.
DRAWS = 16
#: A near photo shows so much more than the other on each side, as a share of its side, that the
#: other finds all of it there.
MARGIN = 0.25
#: How far the corners of a near photo are off beside its shift, as a share of that.
LOOSE = 0.3


@dataclass(frozen=True, kw_only=True)
class PairRanges(Options):
    """How differently the two photos of a pair are taken, beyond how the rendered frames differ.

    Attributes:
        rotation: Largest angle between the photos, in degrees: each turns by up to half of it.
        scale: Largest scale between them, either way: each changes by up to its square root.
        perspective: How far each corner of a photo is moved, in shares of its side.
        shift: How far apart their middles are, in shares of their side.
        near: Share of the pairs that almost lie over each other, as in refinement.
        offset: How far such are shifted along x and y, in pixels.
        plain: Share of the photos that an ideal camera takes.

    Raises:
        OptionError: A value is outside its bounds.
    """

    rotation: float = option(45.0, "most that the photos of a pair are turned", "DEGREES")
    scale: float = option(2.5, "most that they differ in scale", "FACTOR")
    perspective: float = option(0.08, "most that a corner is moved", "SHARE")
    shift: float = option(0.15, "most that the middles are apart", "SHARE")
    near: float = option(0.25, "share of pairs that almost lie over each other", "SHARE")
    offset: float = option(5.0, "how far these are shifted", "PIXELS")
    plain: float = option(0.3, "share of photos that no camera but an ideal one takes", "SHARE")

    def __post_init__(self) -> None:
        """Check the bounds."""
        super().__post_init__()
        bounds = {"rotation": (0, 180), "scale": (1, 10), "perspective": (0, 0.3), "offset": (0, 100)}
        for f in fields(PairRanges):
            value, (least, most) = getattr(self, f.name), bounds.get(f.name, (0, 1))
            fits = least <= value <= most
            check_option(f"PairRanges.{f.name}", fits, f"{least:g} to {most:g}", value)


class PhotoCrop(NamedTuple):
    """A square photo of a part of a frame."""

    image: Tensor  #: (3, c, c) sRGB, NaN beyond the frame
    visible: Tensor  #: (1, c, c) bool, pixels that show the picture
    homography_photo_label: Tensor  #: (3, 3) float64


class ViewPairs(Dataset[dict[str, Tensor]]):
    """An endless stream of pairs, indexed by (step, position in the batch).

    Args:
        views: The rendered frames; those of each sequence are paired.
        batch: Items of a step. The first of them, as many as ``ranges.near`` says, are near pairs.
        crop: Side c of the photos, in pixels.
        ranges: How differently they are taken.
        seed: Of everything that is random.

    Items: ``image0`` and ``image1`` (3, c, c) float32 sRGB in [0, 1], NaN where a photo shows
    nothing; ``visible0`` and ``visible1`` (1, c, c) bool, pixels that show the picture with nothing
    in front; ``homography_1_0`` (3, 3) float64, image1 ~ H @ image0; ``near`` () bool.

    Raises:
        OptionError: An option is not as stated.
    """

    def __init__(
        self, views: RenderedSequences, *, batch: int, crop: int = 128, ranges: PairRanges | None = None, seed: int = 0
    ) -> None:
        check_option("ViewPairs", views.frames >= 2, "views of 2 frames or more", views.frames)
        check_option("ViewPairs", crop >= 16, "crop >= 16 pixels", crop)
        self.views, self.crop, self.seed = views, crop, seed
        self.ranges = PairRanges() if ranges is None else ranges
        self.near = round(batch * self.ranges.near)

    @property
    def sequences(self) -> int:
        """Number of different sequences."""
        return len(self.views)

    def __getitem__(self, index: tuple[int, int]) -> dict[str, Tensor]:
        step, position = index
        generator = generator_for(self.seed, "pair", step, position)
        sequence = int(torch.randint(len(self.views), (), generator=generator))
        near = position < self.near
        return make_pair(self.views[sequence], self.crop, self.ranges, generator, near=near)


def fixed_pairs(
    views: RenderedSequences, count: int, *, crop: int, ranges: PairRanges, seed: int
) -> list[dict[str, Tensor]]:
    """Return the first pairs of a stream, far ones only, sequence by sequence."""
    pairs = []
    for number in range(count):
        generator = generator_for(seed, "fixed", number)
        pairs.append(make_pair(views[number % len(views)], crop, ranges, generator))
    return pairs


def make_pair(
    item: dict[str, Tensor], crop: int, ranges: PairRanges, generator: torch.Generator, *, near: bool = False
) -> dict[str, Tensor]:
    """Photograph two frames of a sequence of :class:`RenderedSequences`.

    Returns:
        An item of :class:`ViewPairs`.
    """
    frames = torch.randperm(len(item["radiance"]), generator=generator)[:2].tolist()
    point = _common_point(item, frames, generator)
    flags = torch.rand(3, generator=generator).tolist()
    photos = []
    for number, frame in enumerate(frames):
        side = crop + 2 * round(MARGIN * crop) if near and number else crop
        H_photo_point = _photo_transform(crop, side, ranges, generator, gentle=near)
        photos.append(_photograph(item, frame, point, H_photo_point, side, ranges, generator))
    if near:
        photos[1] = _align_photo(photos[1], photos[0], ranges, generator)
    # Of both photos alike: mirrored, transposed, a picture is another picture.
    photos = [_flip(photo, flags) for photo in photos]
    to_label = torch.linalg.inv(photos[0].homography_photo_label)
    return {
        "image0": photos[0].image,
        "image1": photos[1].image,
        "visible0": photos[0].visible,
        "visible1": photos[1].visible,
        "homography_1_0": photos[1].homography_photo_label @ to_label,
        "near": torch.tensor(near),
    }


def points_visible(points: Tensor, visible: Tensor) -> Tensor:
    """Return which points (B, N, 2) lie on pixels of the mask ``visible`` (B, 1, H, W), (B, N)."""
    height, width = visible.shape[-2:]
    x, y = points.unbind(dim=-1)
    inside = (x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)
    column = x.nan_to_num(0, 0, 0).round().clamp(0, width - 1).long()
    row = y.nan_to_num(0, 0, 0).round().clamp(0, height - 1).long()
    return inside & visible.flatten(1).gather(1, row * width + column)


def _common_point(item: dict[str, Tensor], frames: list[int], generator: torch.Generator) -> Tensor:
    """Draw a point (2,) of the label that both frames show; its middle if no draw is one."""
    masks = item["seen"][frames]
    height, width = masks.shape[-2:]
    size = torch.tensor([width, height], dtype=torch.float64)
    draws = torch.rand(DRAWS, 2, generator=generator, dtype=torch.float64)
    points = (0.1 + 0.8 * draws) * size - 0.5
    projected = transform_points(points.expand(2, -1, -1), item["homography_frame_label"][frames])
    visible = (points_visible(projected.points, masks) & projected.valid).all(dim=0)
    return points[int(visible.int().argmax())] if bool(visible.any()) else (size - 1) / 2


def _photo_transform(crop: int, side: int, ranges: PairRanges, generator: torch.Generator, *, gentle: bool) -> Tensor:
    """Return the 3 x 3 transform of a photo of ``side`` pixels around the frame's point (0, 0)."""
    unit = 2 * torch.rand(12, generator=generator, dtype=torch.float64) - 1
    strength = 0.4 if gentle else 1.0
    angle = math.radians(ranges.rotation) / 2 * strength * unit[0]
    scale = ranges.scale ** (unit[1] / 2 * strength)
    middle = (side - 1) / 2 + ranges.shift / 2 * strength * crop * unit[2:4]
    c, s = scale * angle.cos(), scale * angle.sin()
    zero, one = torch.zeros_like(c), torch.ones_like(c)
    similarity = torch.stack([c, -s, middle[0], s, c, middle[1], zero, zero, one]).view(3, 3)
    return _corner_homography(side, ranges.perspective * crop * unit[4:].view(4, 2)) @ similarity


def _corner_homography(side: int, shift: Tensor) -> Tensor:
    """Return the homography that moves the corners of a square by ``shift`` (4, 2) pixels."""
    end = side - 0.5
    corners = torch.tensor([[-0.5, -0.5], [end, -0.5], [end, end], [-0.5, end]], dtype=torch.float64)
    return homography_dlt(corners[None], corners[None] + shift)[0]


def _photograph(
    item: dict[str, Tensor],
    frame: int,
    point: Tensor,
    H_photo_point: Tensor,
    side: int,
    ranges: PairRanges,
    generator: torch.Generator,
) -> PhotoCrop:
    """Photograph the surroundings of a point (2,) of the label in one frame.

    ``H_photo_point`` maps to the photo from the frame's pixels relative to the point.
    """
    H_frame_label = item["homography_frame_label"][frame]
    origin = transform_points(point.view(1, 1, 2), H_frame_label[None]).points.view(2)
    H_point_frame = torch.eye(3, dtype=torch.float64)
    H_point_frame[:2, 2] = -origin
    block = torch.randint(BLOCK, (2,), generator=generator)
    H_padded_photo = torch.eye(3, dtype=torch.float64)
    H_padded_photo[:2, 2] = block.to(torch.float64)
    H_padded_frame = (H_padded_photo @ H_photo_point @ H_point_frame)[None].float()
    size = (side + BLOCK, side + BLOCK)
    radiance, visible = (item[name][frame][None].float() for name in ("radiance", "seen"))
    warped = warp_homography(radiance, H_padded_frame, size=size)
    visible = warp_homography(visible, H_padded_frame, size=size, mode="nearest").image.bool()
    ideal = float(torch.rand((), generator=generator)) < ranges.plain
    image = ideal_photos(warped.image) if ideal else photograph(warped.image[None], generator=generator)[0]
    image = torch.where(warped.valid, image, torch.nan)
    left, top = block.tolist()
    crop = (0, ..., slice(top, top + side), slice(left, left + side))
    H_photo_label = H_photo_point @ H_point_frame @ H_frame_label
    return PhotoCrop(image[crop], (visible & warped.valid)[crop], H_photo_label)


def _align_photo(photo: PhotoCrop, other: PhotoCrop, ranges: PairRanges, generator: torch.Generator) -> PhotoCrop:
    """Warp a photo into the coordinates of another one, but for a shift of a few pixels."""
    side = other.image.shape[-1]
    unit = 2 * torch.rand(5, 2, generator=generator, dtype=torch.float64) - 1
    # Shifts are evenly likely. Fine cells may know where they lie among the coarser ones they are
    # made of; were no shift the likeliest, they would lean towards it where in doubt.
    H_shift = _corner_homography(side, ranges.offset * (unit[:1] + LOOSE * unit[1:]))
    H_label = H_shift @ other.homography_photo_label
    H = (H_label @ torch.linalg.inv(photo.homography_photo_label))[None].float()
    size = (side, side)
    warped = warp_homography(photo.image[None], H, size=size)
    visible = warp_homography(photo.visible[None].float(), H, size=size, mode="nearest").image.bool()
    image = torch.where(warped.valid, warped.image, torch.nan)
    return PhotoCrop(image[0], (visible & warped.valid)[0], H_label)


def _flip(photo: PhotoCrop, flags: list[float]) -> PhotoCrop:
    """Mirror along x and along y, and transpose, where a flag is below 0.5."""
    side = photo.image.shape[-1]
    H = photo.homography_photo_label
    image, visible = photo.image, photo.visible
    for dim, flag in ((-1, flags[0]), (-2, flags[1])):
        if flag < 0.5:
            image, visible = image.flip(dim), visible.flip(dim)
            mirror = torch.eye(3, dtype=torch.float64)
            axis = 0 if dim == -1 else 1
            mirror[axis, axis], mirror[axis, 2] = -1, side - 1
            H = mirror @ H
    if flags[2] < 0.5:
        image, visible, H = image.mT, visible.mT, H[[1, 0, 2]]
    return PhotoCrop(image.contiguous(), visible.contiguous(), H)
