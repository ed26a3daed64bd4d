"""What rays from the camera see of things: where they hit, and what colour comes back."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops.scene._lighting import cone_share
from diar_ops.scene._reflect import albedo_of_lobe, disc_share, fresnel, half_vector, mask_share
from diar_ops.scene._shadows import near_beam
from diar_ops.scene._solids import Shape, Vector, dot, into, normal_of, span_of, vector
from diar_ops.scene._stage import Stage, shape_of
from diar_ops.scene.types import Finish, LightKind, ObjectKind

__all__ = ["Looks", "looks_of", "meet_plane"]

#: Index of refraction of glass, and its reflectance at the normal.
GLASS = 1.45
GLASS_F0 = ((GLASS - 1) / (GLASS + 1)) ** 2
GLOSS_F0 = 0.04
#: Points of the plane farther off than this are as good as at this distance.
FAR = 20.0


class Looks(NamedTuple):
    """What n rows of N rays see of one thing each.

    Attributes:
        frame: (n,) of the row.
        row: (n,) of the frame.
        item: (n,) slot of the thing.
        hit: (n, N).
        face: (n, N) int32, different on different sides of an edge.
        radiance: (n, 3, N) of its own.
        passes: (n, 3, N) share of what is straight behind it.
        onward: (n, 3, N) share of what is seen around corners: mirrored or refracted.
        point: (n, N) each, from where that is seen.
        ahead: (n, N) each, in which direction.
    """

    frame: Tensor
    row: Tensor
    item: Tensor
    hit: Tensor
    face: Tensor
    radiance: Tensor
    passes: Tensor
    onward: Tensor
    point: Vector
    ahead: Vector


def looks_of(stage: Stage, x: Tensor, y: Tensor, ray: Vector, behind: Tensor) -> list[Looks]:
    """Look at all things, one entry for each kind that is seen.

    Args:
        stage: F frames.
        x: (F, R, N) where the rays meet the plane.
        y: As ``x``.
        ray: (F, R, N) or (F, 1, 1) each, from the eye to there.
        behind: (F, 3) radiance of the plane, for what things see of it all around.
    """
    things = stage.things
    if things.kind.shape[1] == 0:
        return []
    low = torch.stack((x.amin(-1), y.amin(-1)), dim=-1)
    high = torch.stack((x.amax(-1), y.amax(-1)), dim=-1)
    centre = torch.nn.functional.pad((low + high) / 2, (0, 1))
    reach = (high - low).norm(dim=-1) / 2
    near = (
        near_beam(
            centre[:, :, None],
            reach[:, :, None],
            stage.eye[:, None, None],
            torch.zeros_like(reach)[:, :, None],
            things.position[:, None],
            things.radius[:, None],
        )
        & things.valid[:, None]
    )
    found = []
    for kind in ObjectKind:
        frame, row, item = (near & (things.kind == kind)[:, None]).nonzero(as_tuple=True)
        if len(frame):
            x_, y_, z_ = (part.expand(x.shape)[frame, row] for part in ray)
            found.append(_look(stage, int(kind), frame, row, item, (x_, y_, z_), behind))
    return found


class _Touch(NamedTuple):
    """Where n rows of rays meet things of one kind."""

    shape: Shape
    hit: Tensor  # (n, N)
    face: Tensor  # (n, N)
    own: Vector  # (n, N) each, in own coordinates
    point: Vector  # in the world
    normal: Vector  # towards the eye where the thing is flat
    view: Vector  # unit vector to the eye
    to_view: Tensor  # cosine between both


def _touch(stage: Stage, kind: int, frame: Tensor, item: Tensor, d: Vector) -> _Touch:
    """Meet things with the rays from the eye along d."""
    shape = shape_of(stage.things, (frame, item))
    eye = stage.eye[frame]
    own_o, own_d = into(shape, eye), _turn(shape, d)
    s, _, hit = span_of(kind, shape, own_o, own_d)
    hit = hit & (s > 0) & (s < 1)
    s = torch.where(hit, s, 0.5)
    own = vector(lambda i: own_o[i] + s * own_d[i])
    normal = normal_of(kind, shape, own)
    length = dot(d, d).rsqrt()
    view = vector(lambda i: -d[i] * length)
    to_view = dot(normal, view)
    face = torch.zeros_like(hit, dtype=torch.int32)
    if kind == ObjectKind.BOX:
        face = torch.stack([part.abs() for part in own]).argmax(0).to(torch.int32)
    elif kind == ObjectKind.CYLINDER:
        face = (own[2] ** 2 > own[0] ** 2 + own[1] ** 2).to(torch.int32)
    elif kind >= ObjectKind.DISC:
        flip = 1 - 2 * (to_view < 0).to(s.dtype)
        normal = (normal[0] * flip, normal[1] * flip, normal[2] * flip)
    point = vector(lambda i: eye[:, i : i + 1] + s * d[i])
    to_view = (to_view.abs() if kind >= ObjectKind.DISC else to_view).clamp(1e-3, 1)
    return _Touch(shape, hit, face, own, point, normal, view, to_view)


def _look(
    stage: Stage, kind: int, frame: Tensor, row: Tensor, item: Tensor, d: Vector, behind: Tensor
) -> Looks:
    things = stage.things
    at = (frame, item)
    touch = _touch(stage, kind, frame, item, d)
    to_view, normal, view = touch.to_view, touch.normal, touch.view
    dtype = to_view.dtype

    finish, roughness = things.finish[at][:, None], things.roughness[at][:, None]
    colour = things.colour[at][:, :, None]
    is_mirror, is_glass = finish == Finish.MIRROR, finish == Finish.GLASS
    is_tinted, is_glossy = finish == Finish.TINTED, finish == Finish.GLOSSY
    through = (1 - things.opacity[at])[:, None]
    front = 1 - (through if kind >= ObjectKind.DISC else through.sqrt())
    scatters = torch.where(is_tinted, front, (~(is_mirror | is_glass)).to(dtype))
    shines = is_mirror | is_glass | is_glossy
    f0 = torch.where(is_glass, GLASS_F0, torch.where(is_glossy, GLOSS_F0, 1.0)).to(dtype)

    diffuse = torch.zeros_like(colour.expand(-1, -1, to_view.shape[1]))
    shine = torch.zeros_like(diffuse)
    alpha = roughness.square().clamp_min(1e-3) if bool(shines.any()) else None
    for slot in range(stage.lamps.kind.shape[1]):
        given, glint = _lamp(stage, (frame, slot), touch, alpha, f0)
        power = stage.lamps.power[frame, slot][:, :, None]
        diffuse = diffuse + power * given[:, None]
        if glint is not None:
            shine = shine + power * glint[:, None]
    # Surroundings above, the plane below.
    ambient, below = stage.ambient[frame][:, :, None], behind[frame][:, :, None]
    up = (0.5 - 0.5 * normal[2])[:, None]
    diffuse = diffuse + below + (ambient - below) * up
    ahead = vector(lambda i: 2 * to_view * normal[i] - view[i])
    around = torch.where(ahead[2][:, None] < 0, ambient, below)
    reflected = albedo_of_lobe(f0, roughness, to_view)
    edge = torch.where(is_glass, fresnel(f0, to_view), reflected) * (is_glass | is_glossy)
    kept = torch.where(is_glossy, 1 - reflected, 1)
    radiance = colour * diffuse * (scatters * kept)[:, None]
    tint = torch.where(is_mirror[:, None], colour, 1)
    radiance = radiance + tint * shine * shines[:, None] + around * edge[:, None]
    onward = (colour * (is_mirror | is_glass)[:, None]).expand_as(radiance)
    point = touch.point
    some = is_glass[:, 0].nonzero()[:, 0]
    if len(some):
        part = _Touch(
            Shape(*(field[some] for field in touch.shape)),
            *(_rows(field, some) for field in touch[1:]),  # type: ignore[arg-type]
        )
        start, out, share = _refract(kind, part)
        point, ahead = _put(point, some, start), _put(ahead, some, out)
        onward = onward.index_put((some,), onward[some] * share[:, None])
    passes = (things.clear[at][:, :, None] * is_tinted[:, None]).expand_as(radiance)
    return Looks(frame, row, item, touch.hit, touch.face, radiance, passes, onward, point, ahead)


def _lamp(
    stage: Stage, at: tuple[Tensor, int], touch: _Touch, alpha: Tensor | None, f0: Tensor
) -> tuple[Tensor, Tensor | None]:
    """Return scattered and mirrored radiance (n, N) for each unit of a light's power."""
    point, normal, view, to_view = touch.point, touch.normal, touch.view, touch.to_view
    lamps = stage.lamps
    px, py, pz = lamps.position[at][:, :, None].unbind(1)
    to = (px - point[0], py - point[1], pz - point[2])
    inverse = (dot(to, to) + 1e-6).rsqrt()
    to = (to[0] * inverse, to[1] * inverse, to[2] * inverse)
    to_light = dot(normal, to).clamp_min(0)
    ax, ay, az = lamps.direction[at][:, :, None].unbind(1)
    ahead = -(ax * to[0] + ay * to[1] + az * to[2])
    kind, size = lamps.kind[at][:, None], lamps.size[at][:, None]
    edge = lamps.edge[at][:, None]
    cone = cone_share(ahead, edge, size * inverse)
    is_area = kind == LightKind.AREA
    beam = torch.where(
        is_area, 4 * ahead.clamp_min(0), torch.where(kind == LightKind.SPOT, cone, 1)
    )
    given = to_light * inverse * inverse * beam / (4 * math.pi**2)
    if alpha is None:
        return given, None
    # A square counts as the disc of its area.
    radius = torch.where(is_area, size / math.sqrt(math.pi), size)
    h, unit, cos_half = half_vector(view, to)
    to_half = (dot(normal, h) * unit).clamp(1e-3, 1)
    slope = 1 / (to_half * to_half) - 1
    flat = (radius * inverse) ** 2 / (4 * cos_half * to_half**3)
    share = disc_share(slope, flat * torch.where(is_area, ahead.clamp_min(0), 1), alpha)
    masked = mask_share(alpha, to_view, to_light) * cos_half / (to_view * to_half).clamp_min(1e-3)
    # The plane of slopes is a poor map at grazing angles: no mirror is brighter than the light.
    lit = (share * masked).clamp_max(1)
    bright = torch.where(is_area, (ahead > 0) * 4.0, torch.where(kind == LightKind.SPOT, cone, 1))
    area = 4 * math.pi**2 * radius * radius
    return given, fresnel(f0, cos_half) * lit * bright * (to_light > 0) / area


def _refract(kind: int, touch: _Touch) -> tuple[Vector, Vector, Tensor]:
    """Return where rays leave glass, in which direction, and what share of them."""
    point, view, normal, to_view = touch.point, touch.view, touch.normal, touch.to_view
    f0 = torch.full_like(to_view[:, :1], GLASS_F0)
    share = 1 - fresnel(f0, to_view)
    if kind >= ObjectKind.DISC:
        return point, vector(lambda i: -view[i]), share * share
    bend = to_view / GLASS - (1 - (1 - to_view * to_view) / GLASS**2).sqrt()
    d = vector(lambda i: bend * normal[i] - view[i] / GLASS)
    own_d = _turn(touch.shape, d)
    _, far, _ = span_of(kind, touch.shape, touch.own, own_d)
    far = far.clamp_min(0)
    n = normal_of(kind, touch.shape, vector(lambda i: touch.own[i] + far * own_d[i]))
    c = dot(d, n).clamp(0, 1)
    square = 1 - GLASS**2 * (1 - c * c)
    # Where nothing leaves, all is reflected inside; take it to leave there unbent.
    total = square < 0
    root = square.clamp_min(0).sqrt()
    ahead = vector(
        lambda i: torch.where(total, d[i] - 2 * c * n[i], GLASS * d[i] + (root - GLASS * c) * n[i])
    )
    share = share * torch.where(total, 1, 1 - fresnel(f0, root))
    return vector(lambda i: point[i] + far * d[i]), ahead, share


def meet_plane(point: Vector, ahead: Vector) -> tuple[Tensor, Tensor, Tensor]:
    """Return where rays meet the plane (x, y), and whether they do."""
    down = ahead[2] > 1e-3
    s = torch.where(down, -point[2] / ahead[2].clamp_min(1e-3), 0)
    x, y = point[0] + s * ahead[0], point[1] + s * ahead[1]
    return x.clamp(-FAR, FAR), y.clamp(-FAR, FAR), down


def _turn(shape: Shape, d: Vector) -> Vector:
    """Return world directions (n, N) in own coordinates."""
    turn = shape.rotation / shape.scale[:, None]
    x, y, z = d
    return vector(
        lambda i: x * turn[:, 0, i, None] + y * turn[:, 1, i, None] + z * turn[:, 2, i, None]
    )


def _rows(value: Tensor | Vector, some: Tensor) -> Tensor | Vector:
    if isinstance(value, Tensor):
        return value[some]
    return value[0][some], value[1][some], value[2][some]


def _put(whole: Vector, some: Tensor, part: Vector) -> Vector:
    return vector(lambda i: whole[i].index_put((some,), part[i]))
