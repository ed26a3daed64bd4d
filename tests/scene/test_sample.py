"""Scenes are drawn as SceneRanges says, and what must hold of every scene holds of each."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from diar_ops import OptionError, transform_points
from diar_ops.scene import (
    Finish,
    LightKind,
    ObjectKind,
    PlanarScene,
    SceneRanges,
    picture_plane,
    sample_planar_scene,
    scene_homography,
)
from tests.harness import Call, OpTests, assert_close, generator

RANGES = SceneRanges()
#: Frames and picture: square, and both not square, with pixels that are not square either.
SHAPES = {"square": ((64, 64), (1, 1)), "wide": ((48, 96), (2, 3)), "tall": ((90, 40), (5, 2))}


class TestSamplePlanarScene(OpTests):
    """What every op answers; what must hold of the scenes themselves is below."""

    op = "sample_planar_scene"
    exempt = {
        "nan": "takes no tensors that could hold NaN; a NaN picture_size is refused",
        "gradcheck": "draws random numbers from options, nothing flows through",
        "compile": "draws from a generator, which torch.compile cannot trace",
    }

    def call(self, device: torch.device, dtype: torch.dtype) -> Call:
        return Call((), {"batch": 2, "frames": 3, "generator": generator("smoke", device)})

    def test_smoke(self, device: torch.device, dtype: torch.dtype) -> None:
        scene = sample_planar_scene(**self.call(device, dtype).kwargs)
        assert scene.K.device.type == device.type
        for value in tensors(scene):
            assert value.dtype in (torch.float64, torch.int64, torch.bool)
            assert bool(value.isfinite().all())

    def test_exception(self) -> None:
        with pytest.raises(OptionError, match="picture_size"):
            sample_planar_scene(1, picture_size=(math.nan, 1))

    def test_cardinality(self) -> None:
        scene = sample_planar_scene(3, frames=2, generator=generator("shapes"))
        assert scene.K.shape == (3, 2, 3, 3)
        assert scene.lights.power.shape[:2] == scene.objects.colour.shape[:2] == (3, 2)

    def test_oracle(self) -> None:
        """White paper where a lone light aims has the radiance that was asked for."""
        ranges = SceneRanges(
            light_count=(1.0, 0.0, 0.0), light_radiance=(0.7, 0.7), light_mirrored=0.0, tint=0.0
        )
        lights = sample_planar_scene(20, generator=generator("radiance"), ranges=ranges).lights
        height = -lights.position[..., 0, 2]
        cosine = lights.direction[..., 0, 2]
        is_area = (lights.kind[..., 0] == LightKind.AREA).double()
        intensity = lights.power[..., 0, 0] / (math.pi * (4 - 3 * is_area))
        irradiance = intensity * cosine / (height / cosine).square()
        assert_close(irradiance / math.pi, torch.full_like(height, 0.7))

    def test_property(self) -> None:
        first, second = (sample_planar_scene(4, generator=generator("again")) for _ in range(2))
        assert all(map(torch.equal, tensors(first), tensors(second)))


@pytest.fixture(scope="module", params=SHAPES)
def scene(request: pytest.FixtureRequest) -> PlanarScene:
    size, picture_size = SHAPES[request.param]
    return sample_planar_scene(
        250,
        frames=6,
        size=size,
        picture_size=picture_size,
        generator=generator(f"scene-{request.param}"),
    )


def real(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def centres(scene: PlanarScene) -> Tensor:
    """Where the cameras are, (B, T, 3)."""
    return -(scene.R.mT @ scene.t[..., None])[..., 0]


def points_of(scene: PlanarScene, count: int = 120) -> Tensor:
    """Points on and in the things, (B, T, O, count, 3) in the world."""
    things = scene.objects
    draw = torch.rand(*things.kind.shape, count, 3, generator=generator("points")).double() * 2 - 1
    # Push to the surface of the cube, then to that of each shape.
    cube = draw / draw.abs().amax(dim=-1, keepdim=True)
    sphere = draw / draw.norm(dim=-1, keepdim=True)
    round_ = torch.cat(
        (draw[..., :2] / draw[..., :2].norm(dim=-1, keepdim=True), draw[..., 2:]), dim=-1
    )
    phi = torch.atan2(cube[..., 1], cube[..., 0])[..., None]
    k = torch.arange(1, 7)
    a, b = things.outline.unsqueeze(-3).unbind(dim=-2)
    swell = 1 + (a * (k * phi).cos() + b * (k * phi).sin()).sum(dim=-1)
    card = draw / draw[..., :2].abs().amax(dim=-1, keepdim=True) * swell[..., None]
    kinds = things.kind[..., None, None]
    local = torch.where(kinds == ObjectKind.SPHERE, sphere, cube)
    local = torch.where((kinds == ObjectKind.CYLINDER) | (kinds == ObjectKind.DISC), round_, local)
    local = torch.where(kinds == ObjectKind.CARD, card, local)
    scaled = local * things.half_size[..., None, :]
    return scaled @ things.rotation.mT + things.position[..., None, :]


def in_view(scene: PlanarScene, points: Tensor) -> Tensor:
    """Which points (B, T, ..., 3) the camera of their frame sees."""
    lead = (1,) * (points.ndim - 4)
    R = scene.R.reshape(*scene.R.shape[:2], *lead, 3, 3)
    t = scene.t.reshape(*scene.t.shape[:2], *lead, 1, 3)
    K = scene.K.reshape(*scene.K.shape[:2], *lead, 3, 3)
    seen = (points @ R.mT + t) @ K.mT
    flat = seen[..., :2] / seen[..., 2:]
    inside = (flat > -0.5) & (flat < real(scene.size[::-1]) - 0.5)
    return (seen[..., 2] > 0) & inside.all(dim=-1)


def is_caster(scene: PlanarScene) -> Tensor:
    """(O,): the last slots hold what only casts shadows."""
    slots = scene.objects.kind.shape[-1]
    return torch.arange(slots) >= len(RANGES.object_count) - 1


def assert_shares(values: Tensor, shares: tuple[float, ...] | list[float]) -> None:
    """Independent values 0, 1, ... occur as often as stated, up to five standard deviations."""
    count = values.numel()
    found = values.flatten().bincount(minlength=len(shares)).double() / count
    assert len(found) == len(shares)
    for measured, share in zip(found.tolist(), shares, strict=True):
        assert abs(measured - share) <= 5 * math.sqrt(share * (1 - share) / count) + 1e-9


def assert_within(values: Tensor, bounds: tuple[float, float], *, used: float = 0.9) -> None:
    """All values are in the range, and they use most of it."""
    low, high = bounds
    slack = 1e-9 * max(abs(low), abs(high))
    assert values.min() >= low - slack
    assert values.max() <= high + slack
    assert values.max() - values.min() >= used * (high - low)


# --- the distribution -------------------------------------------------------------------------


def test_numbers_of_things(scene: PlanarScene) -> None:
    assert_shares(scene.lights.valid.sum(-1) - 1, RANGES.light_count)
    there, caster = scene.objects.valid, is_caster(scene)
    assert_shares(there[..., ~caster].sum(-1), RANGES.object_count)
    # Where no free place was found, there is no caster; that is rare.
    found = there[..., caster].sum(-1).double().mean()
    wanted = sum(count * share for count, share in enumerate(RANGES.caster_count))
    assert 0.85 * wanted < found < 1.05 * wanted


def test_kinds_of_things(scene: PlanarScene) -> None:
    assert_shares(scene.lights.kind[scene.lights.valid], RANGES.light_kind)
    things = scene.objects
    occluder = things.valid & ~is_caster(scene)
    kind, finish = things.kind[occluder], things.finish[occluder]
    assert_shares(kind, RANGES.object_kind)
    flat = kind >= ObjectKind.DISC
    assert_shares(finish[~flat], RANGES.object_finish)
    sheet = list(RANGES.object_finish)
    sheet[Finish.TINTED] += sheet[Finish.GLASS]
    sheet[Finish.GLASS] = 0
    assert_shares(finish[flat], sheet)
    assert (things.half_size[..., 2] == 0)[things.kind >= ObjectKind.DISC].all()
    assert (things.hole > 0)[occluder & (things.kind == ObjectKind.DISC)].double().mean() > 0.3
    assert (things.hole == 0)[things.kind != ObjectKind.DISC].all()
    assert (things.outline == 0)[things.kind != ObjectKind.CARD].all()
    assert ((things.opacity < 1) == (things.finish == Finish.TINTED)).all()


def test_what_the_picture_is_made_of(scene: PlanarScene) -> None:
    material = scene.material
    kind = torch.where(
        material.coat > 0, 3, (material.roughness < 0.6).int() + (material.roughness < 0.275).int()
    )
    assert_shares(kind, RANGES.picture_material)
    for values in (*material, scene.wall, scene.objects.colour):
        assert ((values >= 0) & (values <= 1)).all()


def test_lights_are_as_bright_as_stated(scene: PlanarScene) -> None:
    """Each light's irradiance at the place that it aims at, over pi, sums to the radiance."""
    lights = scene.lights
    reach = -lights.position[..., 2] / lights.direction[..., 2]
    cosine = lights.direction[..., 2].clamp_min(0.3)
    area = lights.kind == LightKind.AREA
    intensity = lights.power / torch.where(area, math.pi, 4 * math.pi)[..., None]
    radiance = intensity * (cosine / reach.square() / math.pi)[..., None]
    total = (radiance * lights.valid[..., None]).sum(dim=2)
    low, high = RANGES.light_radiance
    assert_within(total, (low * (1 - RANGES.tint), high * (1 + RANGES.tint)), used=0.7)
    assert_within(-lights.position[..., 2], RANGES.light_height)
    for kinds, bounds in ((area, RANGES.light_side), (~area, RANGES.light_radius)):
        assert_within(lights.size[kinds], bounds)
    assert_within(lights.cone.rad2deg(), RANGES.light_cone)
    assert_close(lights.direction.norm(dim=-1), torch.ones_like(lights.cone))
    low, high = RANGES.ambient
    assert_within(scene.ambient, (low * (1 - RANGES.tint), high * (1 + RANGES.tint)), used=0.7)


@pytest.mark.parametrize(
    ("share", "least", "most"), [(0.0, 0.3, 0.5), (0.4, 0.55, 0.7), (1.0, 1, 1)]
)
def test_lights_are_mirrored_into_view(share: float, least: float, most: float) -> None:
    """The picture, were it a mirror, would show them: some always, others by chance."""
    scene = sample_planar_scene(
        200, frames=6, generator=generator("lights"), ranges=SceneRanges(light_mirrored=share)
    )
    camera, light = centres(scene)[:, :, None], scene.lights.position
    # The straight line from the camera to the light behind the mirror meets the plane here.
    way = camera[..., 2:] / (camera[..., 2:] + light[..., 2:])
    hit = (camera + way * (light - camera))[..., :2].abs()
    seen = (hit <= 0.5 + 1e-9).all(-1)[scene.lights.valid].double().mean()
    assert least <= seen <= most


def test_things_are_as_large_as_stated(scene: PlanarScene) -> None:
    """Seen from the camera, on the picture: the longest side of a thing."""
    place = scene.objects.position[..., 2] / centres(scene)[..., 2:]
    apparent = 2 * scene.objects.half_size.amax(dim=-1) / (1 - place)
    assert_within(apparent[..., ~is_caster(scene)], RANGES.object_size)
    # Nearer to the picture only if the thing is too large to stand free there.
    assert_within(place[..., ~is_caster(scene)], RANGES.object_place)


def test_free_cameras(scene: PlanarScene) -> None:
    free = scene.R[:, 1:]
    assert_within(torch.acos(free[..., 2, 2]).rad2deg(), RANGES.tilt)
    corners = real([[0, 0], [1, 0], [1, 1], [0, 1]])
    height, width = scene.size
    outer = corners * torch.tensor([width, height]) - 0.5
    x, y = transform_points(outer, scene_homography(scene)[:, 1:]).points.unbind(-1)
    area = (x * y.roll(-1, -1) - y * x.roll(-1, -1)).sum(dim=-1).abs() / 2
    assert_within((area / (height * width)).sqrt(), RANGES.fill, used=0.7)


def test_free_cameras_see_enough(scene: PlanarScene) -> None:
    steps = (torch.arange(40) + 0.5).double() / 40 - 0.5
    grid = torch.cartesian_prod(steps, steps)
    flat = grid * scene.picture_size.flip(-1)[:, None]
    points = torch.nn.functional.pad(flat, (0, 1))[:, None].expand(-1, scene.K.shape[1], -1, -1)
    visible = in_view(scene, points).double().mean(dim=-1)
    assert (visible[:, 0] == 1).all()
    assert (visible >= RANGES.visible).all()
    assert visible[:, 1:].mean() < 0.97, "many do not see all"


# --- what holds of every scene ----------------------------------------------------------------


def test_rotations_are_rotations(scene: PlanarScene) -> None:
    for rotation in (scene.R, scene.objects.rotation):
        eye = torch.eye(3, dtype=torch.float64).expand_as(rotation)
        assert_close(rotation @ rotation.mT, eye, atol=1e-9)
        assert_close(torch.linalg.det(rotation), torch.ones(rotation.shape[:-2]).double())


def test_everything_is_in_front_of_the_picture(scene: PlanarScene) -> None:
    assert (centres(scene)[..., 2] < -0.5).all()
    assert (scene.lights.position[..., 2] < 0).all()
    points, there = points_of(scene), scene.objects.valid
    assert (points[there][..., 2] < 0).all()


def test_no_thing_swallows_the_camera(scene: PlanarScene) -> None:
    camera = centres(scene)[:, :, None]
    offset = (camera - scene.objects.position)[..., None, :]
    local = (offset @ scene.objects.rotation)[..., 0, :] / scene.objects.half_size.clamp_min(1e-3)
    assert (local.abs().amax(dim=-1)[scene.objects.valid] > 1.05).all()


def test_casters_are_never_in_view(scene: PlanarScene) -> None:
    seen = in_view(scene, points_of(scene)).any(dim=-1)
    there, caster = scene.objects.valid, is_caster(scene)
    assert not seen[..., caster][there[..., caster]].any()
    # The other things are, unless the camera sees less than all of the picture behind them.
    assert seen[..., ~caster][there[..., ~caster]].double().mean() > 0.9


def test_casters_are_between_a_light_and_the_picture(scene: PlanarScene) -> None:
    things, lights, caster = scene.objects, scene.lights, is_caster(scene)
    thing = things.position[..., caster, :][:, :, :, None]
    light = lights.position[:, :, None]
    # The light's ray through the thing's middle meets the plane of the picture here.
    share = light[..., 2] / (light[..., 2] - thing[..., 2])
    hit = (light + share[..., None] * (thing - light))[..., :2].abs() * 2
    hits = (hit <= scene.picture_size.flip(-1)[:, None, None, None] + 1e-9).all(-1) & (share > 1)
    shades = (hits & lights.valid[:, :, None]).any(-1)
    assert shades[things.valid[..., caster]].all()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["aligned", "misaligned"])
def test_aligned_cameras_see_exactly_the_picture(shape: str, kind: str) -> None:
    size, picture_size = SHAPES[shape]
    scene = sample_planar_scene(
        3, frames=4, size=size, picture_size=picture_size, kind=kind, generator=generator("aligned")
    )
    still = slice(None) if kind == "aligned" else slice(1)
    H = scene_homography(scene)[:, still]
    assert_close(H, torch.eye(3).double().expand_as(H), atol=1e-11, rtol=0)
    # Without a homography: the corners of the picture are the corners of the frame.
    height, width = scene.picture_size[0].tolist()
    assert max(height, width) == 1
    assert height / width == pytest.approx(picture_size[0] / picture_size[1])
    for sx, sy in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
        corner = real([sx * width / 2, sy * height / 2, 0])
        x, y, w = (scene.K @ (scene.R @ corner + scene.t)[..., None])[:, still, :, 0].unbind(-1)
        assert_close(x / w, torch.full_like(x, (sx + 1) / 2 * size[1] - 0.5))
        assert_close(y / w, torch.full_like(y, (sy + 1) / 2 * size[0] - 0.5))
    if kind == "misaligned":
        others = scene_homography(scene)[:, 1:]
        assert ((others - torch.eye(3)).abs().amax(dim=(-2, -1)) > 1e-3).all()


def test_pixels_of_the_picture_lie_where_its_plane_says() -> None:
    plane = picture_plane(real([0.5, 1.0]), (10, 40))
    pixel = real([[0, 0, 1], [39, 9, 1], [19.5, 4.5, 1]])
    assert_close(pixel @ plane.T, real([[-0.4875, -0.225, 0], [0.4875, 0.225, 0], [0, 0, 0]]))


def test_the_homography_is_what_the_camera_sees(scene: PlanarScene) -> None:
    pixels = torch.rand(50, 2, generator=generator("pixels")).double() * torch.tensor(
        scene.size[::-1]
    )
    plane = picture_plane(scene.picture_size, scene.size)
    world = torch.nn.functional.pad(pixels, (0, 1), value=1) @ plane.mT
    seen = (world[:, None] @ scene.R.mT + scene.t[:, :, None]) @ scene.K.mT
    projected = transform_points(pixels, scene_homography(scene)).points
    assert_close(projected, seen[..., :2] / seen[..., 2:], atol=1e-8)


# --- randomness and arguments -----------------------------------------------------------------


def tensors(scene: PlanarScene) -> list[Tensor]:
    parts = (scene.material, scene.lights, scene.objects)
    return [*scene[:4], scene.wall, scene.ambient, *(value for part in parts for value in part)]


def test_the_generator_decides() -> None:
    torch.manual_seed(0)
    one, again, other = (
        sample_planar_scene(2, frames=3, generator=generator(name)) for name in ("a", "a", "b")
    )
    assert all(map(torch.equal, tensors(one), tensors(again)))
    assert not torch.equal(one.t, other.t)
    before = torch.get_rng_state()
    sample_planar_scene(2, frames=3, generator=generator("a"))
    assert torch.equal(before, torch.get_rng_state())
    sample_planar_scene(1, frames=2)
    assert not torch.equal(before, torch.get_rng_state())


def test_every_sequence_may_have_a_picture_of_its_own() -> None:
    sizes = torch.tensor([[1.0, 1], [3, 4], [600, 200]])
    scene = sample_planar_scene(3, frames=2, picture_size=sizes, generator=generator("sizes"))
    expected = [[1.0, 1], [0.75, 1], [1, 1 / 3]]
    assert_close(scene.picture_size, real(expected), rtol=1e-6)
    assert all(
        value.is_floating_point() is False or value.dtype == torch.float64
        for value in tensors(scene)
    )


@pytest.mark.parametrize("kind", ["aligned", "misaligned"])
@pytest.mark.parametrize(("batch", "frames"), [(0, 2), (1, 1), (2, 1)])
def test_few_are_possible(kind: str, batch: int, frames: int) -> None:
    scene = sample_planar_scene(batch, frames=frames, kind=kind, generator=generator("few"))
    assert all(len(value) == batch for value in tensors(scene))
    assert scene_homography(scene).shape == (batch, frames, 3, 3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"batch": -1}, "batch >= 0"),
        ({"batch": 1.5}, "batch >= 0"),
        ({"frames": 0}, "frames >= 1"),
        ({"kind": "tilted"}, "one of aligned, misaligned"),
        ({"size": (0, 4)}, "positive size"),
        ({"picture_size": (1, 0)}, "picture_size"),
        ({"picture_size": (1, float("inf"))}, "picture_size"),
        ({"picture_size": (1, 2, 3)}, "picture_size"),
        ({"picture_size": "ab"}, "picture_size"),
    ],
)
def test_arguments_are_checked(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        sample_planar_scene(**arguments)


@pytest.mark.parametrize(
    "changed",
    [
        {"light_count": (0.5, 0.5)},
        {"object_kind": (0.5, 0.5, 0.5, 0, 0)},
        {"caster_count": (1.5, -0.5, 0)},
        {"light_mirrored": 1.1},
        {"tint": -0.1},
        {"light_radiance": (0.0, 1.0)},
        {"light_radiance": (2.0, 1.0)},
        {"tilt": (5.0, 81.0)},
        {"tilt": (-1.0, 5.0)},
        {"light_cone": (10.0, 171.0)},
        {"object_place": (0.1, 0.95)},
        {"ambient": (0.1,)},
        {"fill": (0.0, 1.0)},
        {"visible": 1.5},
        {"roll": 181.0},
        {"object_size": (0.1, math.nan)},
        {"fill": 1.0},
        {"light_kind": 1},
        {"roll": (0.0, 20.0)},
        {"visible": "most"},
        {"tilt": ("a", "b")},
        {"fill": None},
        {"distance": (0.5, 2.0)},
    ],
)
def test_ranges_that_cannot_be_drawn_from_are_refused(changed: dict[str, Any]) -> None:
    (name,) = changed
    with pytest.raises(OptionError, match=rf"SceneRanges\.{name}"):
        SceneRanges(**changed)


def test_all_of_the_picture_is_ahead_of_the_nearest_camera_at_the_steepest_tilt() -> None:
    ranges = SceneRanges(distance=(0.91, 0.91), tilt=(80.0, 80.0))
    scene = sample_planar_scene(300, frames=6, generator=generator("near"), ranges=ranges)
    corner = torch.tensor([[x, y, 0.0] for x in (-0.5, 0.5) for y in (-0.5, 0.5)]).double()
    depth = (corner @ scene.R.mT + scene.t[..., None, :])[..., 2]
    assert 0 < depth.min() < 0.1
    with pytest.raises(OptionError, match=r"distance: expected above 0\.91"):
        SceneRanges(distance=(0.9, 0.91), tilt=(80.0, 80.0))


@pytest.mark.parametrize("name", [f.name for f in fields(SceneRanges)])
def test_every_range_changes_the_scene(name: str) -> None:
    """An option that nothing listens to would be a lie."""
    value = getattr(RANGES, name)
    if isinstance(value, float):
        changed: Any = value / 2
    elif name.endswith(("count", "kind", "finish", "material")):
        changed = value[::-1] if value[::-1] != value else (1.0, *(0.0 for _ in value[1:]))
    else:
        changed = (value[0] * 0.9, value[1] * 0.9)
    if name == "visible":
        changed = 1.0

    def drawn(ranges: SceneRanges) -> list[Tensor]:
        scene = sample_planar_scene(20, frames=4, generator=generator("each"), ranges=ranges)
        return tensors(scene)

    default, other = drawn(RANGES), drawn(SceneRanges(**{name: changed}))
    assert not all(map(torch.equal, default, other))
    assert all(np.isfinite(value.numpy()).all() for value in other)
