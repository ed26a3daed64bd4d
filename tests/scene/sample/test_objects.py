"""Objects are sampled as SceneRanges says, where they may be."""

from __future__ import annotations

from diar_ops.scene import Finish, ObjectKind, PlanarScene
from tests.scene.sample.checks import RANGES, assert_shares, assert_within, centres, in_view, is_caster, points_of


def test_numbers_of_lights_and_objects(scene: PlanarScene) -> None:
    assert_shares(scene.lights.valid.sum(-1) - 1, RANGES.light_count)
    there, caster = scene.objects.valid, is_caster(scene)
    assert_shares(there[..., ~caster].sum(-1), RANGES.object_count)
    # Where no free place was found, there is no caster; that is rare.
    result = there[..., caster].sum(-1).double().mean()
    wanted = sum(count * share for count, share in enumerate(RANGES.caster_count))
    assert 0.85 * wanted < result < 1.05 * wanted


def test_kinds_of_lights_and_objects(scene: PlanarScene) -> None:
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


def test_objects_are_as_large_as_stated(scene: PlanarScene) -> None:
    """Seen from the camera, on the picture: the longest side of a thing."""
    place = scene.objects.position[..., 2] / centres(scene)[..., 2:]
    apparent = 2 * scene.objects.half_size.amax(dim=-1) / (1 - place)
    assert_within(apparent[..., ~is_caster(scene)], RANGES.object_size)
    # Nearer to the picture only if the thing is too large to stand free there.
    assert_within(place[..., ~is_caster(scene)], RANGES.object_place)


def test_everything_is_in_front_of_the_picture(scene: PlanarScene) -> None:
    assert (centres(scene)[..., 2] < -0.5).all()
    assert (scene.lights.position[..., 2] < 0).all()
    points, there = points_of(scene), scene.objects.valid
    assert (points[there][..., 2] < 0).all()


def test_no_object_swallows_the_camera(scene: PlanarScene) -> None:
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
