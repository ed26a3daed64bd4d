"""Pairs of photos of one picture, with the exact homography between them."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from diar_ops._checks import check_option
from diar_ops._seeds import generator_for
from diar_ops.geometry import homography_dlt, transform_points, warp_homography
from diar_ops.scene import photograph
from diar_ops.training.pool import RenderedViews
from diar_ops.training.restoration.augment import ideal_photos

__all__ = ["PairRanges", "Photo", "ViewPairs", "fixed_pairs", "points_seen"]

#: Pixels that are cut off a photo on each side at random: JPEG's blocks shall lie anywhere.
BLOCK = 8
#: Draws of a place to look at, among which the first that both frames show is taken.
DRAWS = 16
#: A near photo shows so much more than the other on each side, as a share of its side, that the
#: other finds all of it there.
MARGIN = 0.25
#: How far the corners of a near photo are off beside its shift, as a share of that.
LOOSE = 0.3


@dataclass(frozen=True)
class PairRanges:
    """How differently the two photos of a pair are taken, beyond how the rendered frames differ.

    Attributes:
        rotation: Largest angle between the photos, in degrees: each turns by up to half of it.
        scale: Largest scale between them, either way: each changes by up to its square root.
        perspective: How far each corner of a photo is moved, in shares of its side.
        shift: How far apart their middles are, in shares of their side.
        near: Share of the pairs that almost lie over each other, as in refinement.
        offset: How far such are shifted along x and y, in pixels.
        plain: Share of the photos that an ideal camera takes.
    """

    rotation: float = 45.0
    scale: float = 2.5
    perspective: float = 0.08
    shift: float = 0.15
    near: float = 0.25
    offset: float = 5.0
    plain: float = 0.3

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn from."""
        tops = {"rotation": 180.0, "scale": 10.0, "offset": 100.0, "perspective": 0.3}
        for f in fields(self):
            value, least = getattr(self, f.name), 1.0 if f.name == "scale" else 0.0
            top = tops.get(f.name, 1.0)
            check_option(
                f"PairRanges.{f.name}", least <= value <= top, f"{least:g} to {top:g}", value
            )


class Photo(NamedTuple):
    """A square photo of a part of a frame."""

    image: Tensor  #: (3, c, c) sRGB, NaN beyond the frame
    seen: Tensor  #: (1, c, c) bool, pixels that show the picture
    homography_photo_label: Tensor  #: (3, 3) float64


class ViewPairs(Dataset[dict[str, Tensor]]):
    """An endless stream of pairs, indexed by (step, place in the batch).

    Args:
        views: The rendered frames; those of each sequence are paired.
        batch: Items of a step. The first of them, as many as ``ranges.near`` says, are near pairs.
        crop: Side c of the photos, in pixels.
        ranges: How differently they are taken.
        seed: Of everything that is random.

    Items: ``image0`` and ``image1`` (3, c, c) float32 sRGB in [0, 1], NaN where a photo shows
    nothing; ``seen0`` and ``seen1`` (1, c, c) bool, pixels that show the picture with nothing in
    front; ``homography_1_0`` (3, 3) float64, image1 ~ H @ image0; ``near`` () bool.

    Raises:
        OptionError: An option is not as stated.
    """

    def __init__(
        self,
        views: RenderedViews,
        *,
        batch: int,
        crop: int = 128,
        ranges: PairRanges | None = None,
        seed: int = 0,
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

    def __getitem__(self, at: tuple[int, int]) -> dict[str, Tensor]:
        step, place = at
        generator = generator_for(self.seed, "pair", step, place)
        index = int(torch.randint(len(self.views), (), generator=generator))
        near = place < self.near
        return make_pair(self.views[index], self.crop, self.ranges, generator, near=near)


def fixed_pairs(
    views: RenderedViews, count: int, *, crop: int, ranges: PairRanges, seed: int
) -> list[dict[str, Tensor]]:
    """Return the first pairs of a stream, far ones only, sequence by sequence."""
    pairs = []
    for number in range(count):
        generator = generator_for(seed, "fixed", number)
        pairs.append(make_pair(views[number % len(views)], crop, ranges, generator))
    return pairs


def make_pair(
    item: dict[str, Tensor],
    crop: int,
    ranges: PairRanges,
    generator: torch.Generator,
    *,
    near: bool = False,
) -> dict[str, Tensor]:
    """Photograph two frames of a sequence of :class:`RenderedViews`.

    Returns:
        An item of :class:`ViewPairs`.
    """
    frames = torch.randperm(len(item["radiance"]), generator=generator)[:2].tolist()
    target = _target(item, frames, generator)
    flags = torch.rand(3, generator=generator).tolist()
    photos = []
    for number, frame in enumerate(frames):
        side = crop + 2 * round(MARGIN * crop) if near and number else crop
        shape = _shape(crop, side, ranges, generator, gentle=near)
        photos.append(_take(item, frame, target, shape, side, ranges, generator))
    if near:
        photos[1] = _lay_over(photos[1], photos[0], ranges, generator)
    # Of both photos alike: mirrored, transposed, a picture is another picture.
    photos = [_turned(photo, flags) for photo in photos]
    to_label = torch.linalg.inv(photos[0].homography_photo_label)
    return {
        "image0": photos[0].image,
        "image1": photos[1].image,
        "seen0": photos[0].seen,
        "seen1": photos[1].seen,
        "homography_1_0": photos[1].homography_photo_label @ to_label,
        "near": torch.tensor(near),
    }


def points_seen(points: Tensor, seen: Tensor) -> Tensor:
    """Return which points (B, N, 2) lie on pixels that ``seen`` (B, 1, H, W) marks, (B, N)."""
    height, width = seen.shape[-2:]
    x, y = points.unbind(dim=-1)
    inside = (x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)
    column = x.nan_to_num(0, 0, 0).round().clamp(0, width - 1).long()
    row = y.nan_to_num(0, 0, 0).round().clamp(0, height - 1).long()
    return inside & seen.flatten(1).gather(1, row * width + column)


def _target(item: dict[str, Tensor], frames: list[int], generator: torch.Generator) -> Tensor:
    """Return a point (2,) of the label that both frames show; its middle if no draw is."""
    seen = item["seen"][frames]
    height, width = seen.shape[-2:]
    size = torch.tensor([width, height], dtype=torch.float64)
    draws = torch.rand(DRAWS, 2, generator=generator, dtype=torch.float64)
    points = (0.1 + 0.8 * draws) * size - 0.5
    there = transform_points(points.expand(2, -1, -1), item["homography_frame_label"][frames])
    fits = (points_seen(there.points, seen) & there.valid).all(dim=0)
    return points[int(fits.int().argmax())] if bool(fits.any()) else (size - 1) / 2


def _shape(
    crop: int, side: int, ranges: PairRanges, generator: torch.Generator, *, gentle: bool
) -> Tensor:
    """Return the 3 x 3 transform of a photo of ``side`` pixels around the frame's point (0, 0)."""
    unit = 2 * torch.rand(12, generator=generator, dtype=torch.float64) - 1
    strength = 0.4 if gentle else 1.0
    angle = math.radians(ranges.rotation) / 2 * strength * unit[0]
    scale = ranges.scale ** (unit[1] / 2 * strength)
    middle = (side - 1) / 2 + ranges.shift / 2 * strength * crop * unit[2:4]
    c, s = scale * angle.cos(), scale * angle.sin()
    zero, one = torch.zeros_like(c), torch.ones_like(c)
    turned = torch.stack([c, -s, middle[0], s, c, middle[1], zero, zero, one]).view(3, 3)
    return _moved_corners(side, ranges.perspective * crop * unit[4:].view(4, 2)) @ turned


def _moved_corners(side: int, shift: Tensor) -> Tensor:
    """Return the homography that moves the corners of a square by ``shift`` (4, 2) pixels."""
    end = side - 0.5
    corners = torch.tensor(
        [[-0.5, -0.5], [end, -0.5], [end, end], [-0.5, end]], dtype=torch.float64
    )
    return homography_dlt(corners[None], corners[None] + shift)[0]


def _take(
    item: dict[str, Tensor],
    frame: int,
    target: Tensor,
    shape: Tensor,
    side: int,
    ranges: PairRanges,
    generator: torch.Generator,
) -> Photo:
    """Photograph the surroundings of the label's point ``target`` in one frame."""
    H_frame_label = item["homography_frame_label"][frame]
    at = transform_points(target.view(1, 1, 2), H_frame_label[None]).points.view(2)
    to_origin = torch.eye(3, dtype=torch.float64)
    to_origin[:2, 2] = -at
    block = torch.randint(BLOCK, (2,), generator=generator)
    padded = torch.eye(3, dtype=torch.float64)
    padded[:2, 2] = block.to(torch.float64)
    H_frame = padded @ shape @ to_origin
    size = (side + BLOCK, side + BLOCK)
    warped = warp_homography(
        item["radiance"][frame][None].float(), H_frame[None].float(), size=size
    )
    seen = warp_homography(
        item["seen"][frame][None].float(), H_frame[None].float(), size=size, mode="nearest"
    ).image.bool()
    ideal = float(torch.rand((), generator=generator)) < ranges.plain
    if ideal:
        image = ideal_photos(warped.image)
    else:
        image = photograph(warped.image[None], generator=generator)[0]
    image = torch.where(warped.valid, image, torch.nan)
    left, top = block.tolist()
    cut = (0, ..., slice(top, top + side), slice(left, left + side))
    return Photo(image[cut], (seen & warped.valid)[cut], shape @ to_origin @ H_frame_label)


def _lay_over(photo: Photo, other: Photo, ranges: PairRanges, generator: torch.Generator) -> Photo:
    """Warp a photo over another one, up to a few pixels."""
    side = other.image.shape[-1]
    unit = 2 * torch.rand(5, 2, generator=generator, dtype=torch.float64) - 1
    # Shifts are evenly likely. Fine cells may know where they lie among the coarser ones they are
    # made of; were no shift the likeliest, they would lean towards it where in doubt.
    off = _moved_corners(side, ranges.offset * (unit[:1] + LOOSE * unit[1:]))
    H_label = off @ other.homography_photo_label
    H = (H_label @ torch.linalg.inv(photo.homography_photo_label))[None].float()
    size = (side, side)
    warped = warp_homography(photo.image[None], H, size=size)
    seen = warp_homography(photo.seen[None].float(), H, size=size, mode="nearest").image.bool()
    image = torch.where(warped.valid, warped.image, torch.nan)
    return Photo(image[0], (seen & warped.valid)[0], H_label)


def _turned(photo: Photo, flags: list[float]) -> Photo:
    """Mirror along x and along y, and transpose, where the flags say so."""
    side = photo.image.shape[-1]
    H = photo.homography_photo_label
    image, seen = photo.image, photo.seen
    for dim, flag in ((-1, flags[0]), (-2, flags[1])):
        if flag < 0.5:
            image, seen = image.flip(dim), seen.flip(dim)
            mirror = torch.eye(3, dtype=torch.float64)
            axis = 0 if dim == -1 else 1
            mirror[axis, axis], mirror[axis, 2] = -1, side - 1
            H = mirror @ H
    if flags[2] < 0.5:
        image, seen, H = image.mT, seen.mT, H[[1, 0, 2]]
    return Photo(image.contiguous(), seen.contiguous(), H)
