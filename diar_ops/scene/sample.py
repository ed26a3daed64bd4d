"""Draw planar scenes: one distribution for the Cycles renderer and the torch renderer."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from diar_ops._checks import check_option, check_size
from diar_ops.geometry import homography_from_camera
from diar_ops.scene._turn import shortest_turn
from diar_ops.scene.ranges import TARGET, SceneRanges
from diar_ops.scene.types import (
    Finish,
    LightKind,
    Lights,
    ObjectKind,
    Objects,
    PictureMaterial,
    PlanarScene,
)

__all__ = ["ALIGNED_DISTANCE", "KINDS", "picture_plane", "sample_planar_scene", "scene_homography"]

#: What a sequence may be.
KINDS = ("aligned", "misaligned")
#: Distance of the camera that sees exactly the picture.
ALIGNED_DISTANCE = 2.0
#: Draws among which the first that fits is taken.
CAMERA_CANDIDATES = 8
CASTER_CANDIDATES = 16
#: A light's power is not raised further for grazing incidence than for this cosine.
MIN_COSINE = 0.3
OUTLINE_TERMS = 6


def sample_planar_scene(
    batch: int = 1,
    *,
    frames: int = 10,
    size: tuple[int, int] = (256, 256),
    picture_size: tuple[int, int] | Tensor = (1, 1),
    kind: str = "misaligned",
    generator: torch.Generator | None = None,
    ranges: SceneRanges | None = None,
) -> PlanarScene:
    """Draw sequences of a flat picture under random cameras, lights and things in the way.

    Every frame has its own light and things; the picture, its material and the wall stay. The
    camera of an *aligned* sequence is perpendicular and sees exactly the picture, whatever its
    aspect ratio (pixels are then not square). In a *misaligned* one that holds for frame 0, and
    the other frames have free cameras with pixels of the same shape.

    Args:
        batch: Number of sequences B.
        frames: Number of frames T of each.
        size: (height, width) of frames and label, in pixels.
        picture_size: (height, width) of the picture in any unit; only the ratio counts. One for
            all, or a (B, 2) tensor.
        kind: ``"aligned"`` or ``"misaligned"``.
        generator: Source of randomness; its device is where the scene is made. Torch's global
            CPU generator by default.
        ranges: The distribution; that of :class:`SceneRanges` by default.

    Returns:
        The :class:`PlanarScene`. The same generator state gives the same scene on every machine,
        up to the last digits of float64.

    Raises:
        OptionError: An argument is not as stated.

    Source: Kwiatkowski and Hellwich, DIAR, section 3.
    """
    op = "sample_planar_scene"
    check_option(op, isinstance(batch, int) and batch >= 0, "batch >= 0", batch)
    check_option(op, isinstance(frames, int) and frames >= 1, "frames >= 1", frames)
    check_option(op, kind in KINDS, f"kind to be one of {', '.join(KINDS)}", kind)
    check_size(op, size)
    draw = _Draw(generator)
    try:
        shape = torch.as_tensor(picture_size, dtype=torch.float64, device=draw.device)
    except (TypeError, ValueError, RuntimeError):
        shape = torch.empty(0)  # refused in the next line, like numbers of another shape
    fits = shape.shape in ((2,), (batch, 2)) and bool((shape > 0).all() & shape.isfinite().all())
    check_option(op, fits, "picture_size (height, width) or (B, 2), positive", picture_size)
    shape = shape.expand(batch, 2)
    shape = shape / shape.amax(dim=-1, keepdim=True)
    ranges = SceneRanges() if ranges is None else ranges

    K, R, t = _cameras(draw, ranges, shape, frames, size, kind)
    material = _material(draw, ranges, batch)
    wall = draw.uniform((batch, 3), 0.15, 0.85)
    centre = -(R.mT @ t[..., None])[..., 0]
    lights = _lights(draw, ranges, shape, centre)
    ambient = draw.log_uniform((batch, frames, 1), *ranges.ambient) * draw.tint(
        (batch, frames), ranges
    )
    occluders = _occluders(draw, ranges, shape, centre)
    casters = _casters(draw, ranges, shape, lights, (K, R, t), size)
    objects = Objects(*(torch.cat(pair, dim=2) for pair in zip(occluders, casters, strict=True)))
    return PlanarScene(
        K, R, t, shape, material, wall, ambient, lights, objects, (int(size[0]), int(size[1]))
    )


def picture_plane(picture_size: Tensor, size: tuple[int, int]) -> Tensor:
    """Return where the pixels of a picture lie in the world, for ``homography_from_camera``.

    Args:
        picture_size: (..., 2) height and width in the world.
        size: (height, width) in pixels.

    Returns:
        (..., 3, 3) whose columns are the steps of one pixel to the right and down, and the centre
        of the top-left pixel.
    """
    pixels = torch.tensor(size, dtype=picture_size.dtype, device=picture_size.device)
    step = picture_size / pixels
    first = (step - picture_size) / 2
    plane = picture_size.new_zeros(*picture_size.shape[:-1], 3, 3)
    plane[..., 0, 0], plane[..., 1, 1] = step[..., 1], step[..., 0]
    plane[..., 0, 2], plane[..., 1, 2] = first[..., 1], first[..., 0]
    return plane


def scene_homography(scene: PlanarScene) -> Tensor:
    """Return the exact ``homography_frame_label`` (B, T, 3, 3), frame ~ H @ label, H[2, 2] = 1."""
    plane = picture_plane(scene.picture_size, scene.size)[:, None]
    H = homography_from_camera(scene.K, scene.R, scene.t, plane)
    # H[2, 2] is the depth of the label's first pixel, which the cameras' ranges keep in front.
    return H / H[..., 2:, 2:]


class _Draw:
    """Random float64 tensors from one generator, always drawn in the same order."""

    def __init__(self, generator: torch.Generator | None) -> None:
        self.generator = generator
        self.device = torch.device("cpu") if generator is None else generator.device

    def uniform(self, shape: tuple[int, ...], low: float = 0.0, high: float = 1.0) -> Tensor:
        unit = torch.rand(shape, generator=self.generator, dtype=torch.float64, device=self.device)
        return low + (high - low) * unit

    def log_uniform(self, shape: tuple[int, ...], low: float, high: float) -> Tensor:
        return torch.exp(self.uniform(shape, math.log(low), math.log(high)))

    def choice(self, shape: tuple[int, ...], shares: tuple[float, ...]) -> Tensor:
        edges = torch.tensor(shares, dtype=torch.float64, device=self.device).cumsum(0)[:-1]
        return torch.bucketize(self.uniform(shape), edges, right=True)

    def tint(self, shape: tuple[int, ...], ranges: SceneRanges) -> Tensor:
        return self.uniform((*shape, 3), 1 - ranges.tint, 1 + ranges.tint)

    def on_picture(self, shape: Tensor, *counts: int) -> Tensor:
        """Return (B, *counts, 3) points of pictures whose (B, 2) sizes are ``shape``."""
        batch = len(shape)
        flip = shape.flip(-1).reshape(batch, *(1 for _ in counts), 2)
        return F.pad(self.uniform((batch, *counts, 2), -0.5, 0.5) * flip, (0, 1))

    def rotation(self, shape: tuple[int, ...]) -> Tensor:
        """Return uniformly distributed rotations (Shoemake 1992)."""
        a, b, c = self.uniform((*shape, 3)).unbind(-1)
        near, far = (1 - a).sqrt(), a.sqrt()
        two_pi = 2 * math.pi
        x, y = near * torch.sin(two_pi * b), near * torch.cos(two_pi * b)
        z, w = far * torch.sin(two_pi * c), far * torch.cos(two_pi * c)
        rows = (
            1 - 2 * (y * y + z * z),
            2 * (x * y - z * w),
            2 * (x * z + y * w),
            2 * (x * y + z * w),
            1 - 2 * (x * x + z * z),
            2 * (y * z - x * w),
            2 * (x * z - y * w),
            2 * (y * z + x * w),
            1 - 2 * (x * x + y * y),
        )
        return torch.stack(rows, dim=-1).reshape(*shape, 3, 3)


def _first(fits: Tensor, fallback: Tensor, *values: Tensor) -> list[Tensor]:
    """Pick along dim 2 the first candidate that fits, else the one of the largest fallback.

    ``fits`` and ``fallback`` (B, T, N, ...), with ``fallback`` in [0, 1]; values (B, T, N, ...).
    """
    count = fits.shape[2]
    rank = torch.arange(count, 0, -1, device=fits.device, dtype=torch.float64) + 1
    rank = rank.reshape(1, 1, count, *(1 for _ in fits.shape[3:]))
    chosen = torch.where(fits, rank, fallback).argmax(dim=2, keepdim=True)
    picked = []
    for value in values:
        index = chosen.reshape(*chosen.shape, *(1 for _ in value.shape[chosen.ndim :]))
        index = index.expand(*chosen.shape, *value.shape[chosen.ndim :])
        picked.append(value.gather(2, index)[:, :, 0])
    return picked


def _cameras(
    draw: _Draw, ranges: SceneRanges, shape: Tensor, frames: int, size: tuple[int, int], kind: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Return K (B, T, 3, 3), R (B, T, 3, 3), t (B, T, 3)."""
    batch, (height, width) = len(shape), size
    # Focal lengths are per unit of `focal`: a point at depth `focal` is as large as on the label.
    scale = torch.tensor([width, height], dtype=torch.float64, device=draw.device) / shape.flip(-1)

    def intrinsics(focal: Tensor) -> Tensor:
        K = torch.zeros(*focal.shape, 3, 3, dtype=torch.float64, device=draw.device)
        pair = focal[..., None] * scale.reshape(batch, *(1 for _ in focal.shape[1:]), 2)
        K[..., 0, 0], K[..., 1, 1], K[..., 2, 2] = pair[..., 0], pair[..., 1], 1
        K[..., 0, 2], K[..., 1, 2] = (width - 1) / 2, (height - 1) / 2
        return K

    still = 1 if kind == "misaligned" else frames
    facing = torch.eye(3, dtype=torch.float64, device=draw.device).expand(batch, still, 3, 3)
    away = torch.tensor([0, 0, ALIGNED_DISTANCE], dtype=torch.float64, device=draw.device)
    distance = torch.full((batch, still), ALIGNED_DISTANCE, dtype=torch.float64, device=draw.device)
    aligned = intrinsics(distance), facing, away.expand(batch, still, 3)
    free = frames - still
    if free == 0:
        return aligned

    many = (batch, free, CAMERA_CANDIDATES)
    tilt = draw.uniform(many, *ranges.tilt).deg2rad()
    azimuth = draw.uniform(many, 0, 2 * math.pi)
    roll = draw.uniform(many, -ranges.roll, ranges.roll).deg2rad()
    far = draw.uniform(many, *ranges.distance)
    fill = draw.uniform(many, *ranges.fill)
    target = draw.on_picture(shape, free, CAMERA_CANDIDATES) * TARGET
    ahead = torch.stack(
        (-tilt.sin() * azimuth.cos(), -tilt.sin() * azimuth.sin(), tilt.cos()), dim=-1
    )
    # Turn the aligned camera so that it looks ahead by the shortest way, then around that axis:
    # unlike a fixed "up", this has no preferred direction.
    turn = shortest_turn(ahead)
    cos, sin, zero = roll.cos(), roll.sin(), torch.zeros_like(roll)
    around = torch.stack((cos, -sin, zero, sin, cos, zero, zero, zero, zero + 1), dim=-1)
    R = around.reshape(*many, 3, 3) @ turn
    t = -(R @ (target - far[..., None] * ahead)[..., None])[..., 0]

    grid = torch.linspace(-0.5, 0.5, 9, dtype=torch.float64, device=draw.device)
    square = F.pad(torch.cartesian_prod(grid, grid), (0, 1))
    points = square * F.pad(shape.flip(-1), (0, 1))[:, None]
    seen = points[:, None, None] @ R.mT + t[..., None, :]
    # In half frames from the centre, for a focal of 1.
    flat = seen[..., :2] / seen[..., 2:] * (2 / shape.flip(-1)[:, None, None, None])
    a, b, d, c = flat[..., [0, 8, 72, 80], :].unbind(dim=-2)
    one, other = c - a, d - b
    area = (one[..., 0] * other[..., 1] - one[..., 1] * other[..., 0]).abs() / 2
    focal = fill / (area / 4).sqrt()
    visible = ((flat * focal[..., None, None]).abs() <= 1).all(dim=-1).double().mean(dim=-1)
    K, R, t = _first(visible >= ranges.visible, visible, intrinsics(focal), R, t)
    moving = K, R, t
    K, R, t = (torch.cat(pair, dim=1) for pair in zip(aligned, moving, strict=True))
    return K, R, t


def _material(draw: _Draw, ranges: SceneRanges, batch: int) -> PictureMaterial:
    kind = draw.choice((batch,), ranges.picture_material)
    # Low and high of roughness, specular, coat, coat_roughness for matte, satin, gloss, varnish.
    table = torch.tensor(
        [
            [[0.6, 1.0], [0.0, 0.3], [0.0, 0.0], [0.1, 0.1]],
            [[0.3, 0.55], [0.3, 0.6], [0.0, 0.0], [0.1, 0.1]],
            [[0.08, 0.25], [0.4, 0.6], [0.0, 0.0], [0.1, 0.1]],
            [[0.4, 0.8], [0.2, 0.5], [0.5, 1.0], [0.03, 0.15]],
        ],
        dtype=torch.float64,
        device=draw.device,
    )[kind]
    values = table[..., 0] + (table[..., 1] - table[..., 0]) * draw.uniform((batch, 4))
    return PictureMaterial(*values.unbind(-1))


def _lights(draw: _Draw, ranges: SceneRanges, shape: Tensor, centre: Tensor) -> Lights:
    """Draw lights for cameras at ``centre`` (B, T, 3)."""
    batch, frames = centre.shape[:2]
    slots = len(ranges.light_count)
    every = (batch, frames, slots)
    count = 1 + draw.choice((batch, frames), ranges.light_count)
    valid = torch.arange(slots, device=draw.device) < count[..., None]
    kind = draw.choice(every, ranges.light_kind)

    share = draw.uniform(every, 0.3, 1.0) * valid
    radiance = draw.log_uniform((batch, frames, 1), *ranges.light_radiance)
    radiance = radiance * share / share.sum(dim=-1, keepdim=True)
    aim = draw.on_picture(shape, frames, slots)
    height = draw.uniform(every, *ranges.light_height)
    # Either anywhere above, up to 60 degrees off the normal, or where the picture mirrors it.
    off = draw.uniform(every, 0, math.sqrt(3)) * height
    azimuth = draw.uniform(every, 0, 2 * math.pi)
    anywhere = torch.stack((off * azimuth.cos(), off * azimuth.sin(), -height), dim=-1)
    toward = aim - centre[:, :, None]
    mirrored = toward * (height / toward[..., 2])[..., None]
    mirrored = torch.cat((mirrored[..., :2], -height[..., None]), dim=-1)
    is_mirrored = draw.uniform(every) < ranges.light_mirrored
    offset = torch.where(is_mirrored[..., None], mirrored, anywhere)

    distance = offset.norm(dim=-1)
    cosine = (height / distance).clamp_min(MIN_COSINE)
    spread = math.pi**2 * (4 - 3 * (kind == LightKind.AREA).double())
    power = spread * distance.square() * radiance / cosine
    radius = draw.log_uniform(every, *ranges.light_radius)
    side = draw.log_uniform(every, *ranges.light_side)
    return Lights(
        kind=kind,
        position=aim + offset,
        direction=-offset / distance[..., None],
        power=power[..., None] * draw.tint(every, ranges),
        size=torch.where(kind == LightKind.AREA, side, radius),
        cone=draw.uniform(every, *ranges.light_cone).deg2rad(),
        valid=valid,
    )


def _things(draw: _Draw, ranges: SceneRanges, every: tuple[int, ...]) -> Objects:
    """Draw things of size 1 (the longest half size is 0.5) at the origin, all valid."""
    kind = draw.choice(every, ranges.object_kind)
    finish = draw.choice(every, ranges.object_finish)
    flat = kind >= ObjectKind.DISC
    # A sheet has no inside to refract in: what would be glass is a tinted sheet.
    finish = torch.where(flat & (finish == Finish.GLASS), Finish.TINTED, finish)
    aspect = draw.log_uniform((*every, 2), 0.4, 1.0)
    half_size = 0.5 * F.pad(aspect, (1, 0), value=1.0)
    half_size = torch.cat((half_size[..., :2], half_size[..., 2:] * ~flat[..., None]), dim=-1)
    order = torch.arange(1, OUTLINE_TERMS + 1, device=draw.device)
    roughness_of_outline = draw.uniform((*every, 1, 1), 0.0, 0.25)
    outline = draw.uniform((*every, 2, OUTLINE_TERMS), -1, 1) * roughness_of_outline / order.sqrt()
    hole = draw.uniform(every, -0.7, 0.7).clamp_min(0)
    colour = draw.uniform((*every, 3)) * draw.uniform((*every, 1), 0.4, 1.0)
    # Light that passes keeps most of its energy, light that a surface scatters need not.
    clear = (finish == Finish.GLASS) | (finish == Finish.TINTED) | (finish == Finish.MIRROR)
    colour = torch.where(clear[..., None], 0.35 + 0.65 * colour, 0.05 + 0.85 * colour)
    rough = draw.uniform(every)
    roughness = torch.where(finish == Finish.GLOSSY, 0.05 + 0.35 * rough, 0.15 * rough)
    opacity = draw.uniform(every, 0.2, 0.7)
    return Objects(
        kind=kind,
        position=draw.uniform((*every, 3), 0, 0),
        rotation=draw.rotation(every),
        half_size=half_size,
        outline=outline * (kind == ObjectKind.CARD)[..., None, None],
        hole=hole * (kind == ObjectKind.DISC),
        finish=finish,
        colour=colour,
        roughness=roughness,
        opacity=torch.where(finish == Finish.TINTED, opacity, 1.0),
        valid=torch.ones(every, dtype=torch.bool, device=draw.device),
    )


def bounding_radius(objects: Objects) -> Tensor:
    """Return the radius (B, T, O) of a sphere around each thing's centre that holds all of it."""
    corner = objects.half_size.norm(dim=-1)
    widest = objects.half_size.amax(dim=-1)
    round_ = (objects.kind == ObjectKind.SPHERE) | (objects.kind == ObjectKind.DISC)
    # No outline reaches beyond the sum of its terms.
    return torch.where(round_, widest, corner * (1 + objects.outline.abs().sum(dim=(-2, -1))))


def _occluders(draw: _Draw, ranges: SceneRanges, shape: Tensor, centre: Tensor) -> Objects:
    """Draw things between the picture and cameras at ``centre`` (B, T, 3)."""
    batch, frames = centre.shape[:2]
    slots = len(ranges.object_count) - 1
    every = (batch, frames, slots)
    count = draw.choice((batch, frames), ranges.object_count)
    things = _things(draw, ranges, every)
    apparent = draw.log_uniform(every, *ranges.object_size)
    place = draw.uniform(every, *ranges.object_place)
    behind = draw.on_picture(shape, frames, slots)
    radius = bounding_radius(things)
    depth = -centre[:, :, None, 2]
    # Size shrinks with the way to the camera; away from the picture far enough to stand free:
    # place * depth >= 1.02 * radius * apparent * (1 - place).
    reach = 1.02 * radius * apparent / depth
    place = torch.maximum(place, reach / (1 + reach))
    position = behind + place[..., None] * (centre[:, :, None] - behind)
    return things._replace(
        position=position,
        half_size=things.half_size * (apparent * (1 - place))[..., None],
        valid=torch.arange(slots, device=draw.device) < count[..., None],
    )


def _casters(
    draw: _Draw,
    ranges: SceneRanges,
    shape: Tensor,
    lights: Lights,
    cameras: tuple[Tensor, Tensor, Tensor],
    size: tuple[int, int],
) -> Objects:
    """Draw things that no camera sees, on the way from a light to the picture."""
    K, R, t = cameras
    batch, frames = t.shape[:2]
    slots = len(ranges.caster_count) - 1
    every = (batch, frames, CASTER_CANDIDATES, slots)
    count = draw.choice((batch, frames), ranges.caster_count)
    things = _things(draw, ranges, (batch, frames, slots))
    apparent = draw.log_uniform((batch, frames, slots), *ranges.object_size)
    place = draw.uniform(every, 0.15, 0.8)
    shaded = draw.on_picture(shape, frames, CASTER_CANDIDATES, slots)
    lit = lights.valid.sum(dim=-1)[..., None, None]
    source = (draw.uniform(every) * lit).long()
    origin = lights.position.gather(2, source.flatten(2)[..., None].expand(-1, -1, -1, 3))
    position = shaded + place[..., None] * (origin.reshape(*every, 3) - shaded)
    half_size = (apparent[:, :, None] * (1 - place))[..., None] * things.half_size[:, :, None]
    radius = bounding_radius(things)[:, :, None] * apparent[:, :, None] * (1 - place)
    in_camera = position.flatten(2, 3) @ R.mT + t[:, :, None]
    in_camera = in_camera.reshape(*every, 3)
    # Distance from each side plane of the view, positive outside.
    corner = torch.tensor([size[1], size[0]], dtype=torch.float64, device=draw.device)
    focal = torch.stack((K[..., 0, 0], K[..., 1, 1]), dim=-1)[:, :, None, None]
    slope = corner / 2 / focal
    outside = (in_camera[..., :2].abs() - slope * in_camera[..., 2:]) / (1 + slope.square()).sqrt()
    free = (outside.amax(dim=-1) > radius) | (in_camera[..., 2] < -radius)
    free = free & (-position[..., 2] > 1.02 * radius)
    found, position, half_size = _first(free, torch.zeros_like(place), free, position, half_size)
    wanted = torch.arange(slots, device=draw.device) < count[..., None]
    return things._replace(position=position, half_size=half_size, valid=wanted & found)
