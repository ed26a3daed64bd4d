"""What panes mirror and let through, against closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from diar_ops import render_planar_scene
from diar_ops._errors import DtypeError, OptionError, ShapeError
from diar_ops.scene import PlanarScene, sample_planar_scene, scene_from_document, scene_to_document
from diar_ops.scene.reflection import blur_environment, dielectric_reflectance
from diar_ops.scene.seen_cards import seen_cards
from tests.harness import assert_close, generator
from tests.pretend_gpu import GPU, pretend_gpu
from tests.scene.render.panes import behind, centroid, dot, make_environment, make_pane, plain
from tests.scene.render.scenes import SIZE, drawn, grey, make_object, positions, texture, white
from tests.scene.sample.checks import real

R0 = 0.04  # (0.5 / 2.5)^2


def brewster() -> float:
    return math.cos(math.atan(1.5))


def test_reflectance_is_fresnels() -> None:
    angle = torch.linspace(0, math.pi / 2 - 1e-3, 200, dtype=torch.float64)
    inside = (angle.sin() / 1.5).asin()
    across = (torch.sin(angle - inside) / torch.sin(angle + inside)).square()[1:]
    along = (torch.tan(angle - inside) / torch.tan(angle + inside)).square()[1:]
    found = dielectric_reflectance(angle.cos())
    assert_close(found[1:], (across + along) / 2, rtol=1e-9)
    assert_close(found[0], real(R0))
    # All that is mirrored at Brewster's angle is polarised across the plane of incidence.
    inside_brewster = math.pi / 2 - math.atan(1.5)
    half = 0.5 * math.sin(math.atan(1.5) - inside_brewster) ** 2
    assert_close(dielectric_reflectance(real(brewster())), real(half))


@pytest.mark.parametrize("is_coat", [False, True])
def test_every_pixel_mirrors_and_lets_through_by_its_angle(is_coat: bool) -> None:
    pane = make_pane(is_coat=is_coat, distance=0.0 if is_coat else 0.05, tint=[0.9] * 3, reflectivity=0.8)
    scene = behind(pane, make_environment(background=2.0, brightness=1.5), ambient=0.5)
    out = grey(render_planar_scene(white(), scene))
    x, y = positions(scene)
    face = 0.8 * dielectric_reflectance(2 / (4 + x * x + y * y).sqrt())
    if is_coat:
        expected = 0.5 * 0.9 * (1 - face) + 3 * face
    else:
        expected = 0.5 * 0.9 * (1 - face) / (1 + face) + 3 * face * (1 + 0.81 * (1 - face) / (1 + face))
    assert_close(out, expected)


def test_light_is_neither_made_nor_lost() -> None:
    """What is as bright before clear glass as behind it hides the glass."""
    scene = behind(make_pane(), make_environment(background=0.5), ambient=0.5)
    assert_close(grey(render_planar_scene(white(), scene)), torch.full(SIZE, 0.5))


def camera_image(scene: PlanarScene, frame: int, point: Tensor) -> Tensor:
    """Where a point of the world is seen, pixels."""
    seen = scene.K[0, frame] @ (scene.R[0, frame] @ point + scene.t[0, frame])
    return seen[:2] / seen[2]


def test_a_mirrored_point_is_seen_where_its_mirror_image_is() -> None:
    """In every frame of free cameras, and moves against the picture: true parallax."""
    scene = sample_planar_scene(1, frames=6, size=(96, 96), generator=generator("mirrored"))
    distance = 0.05
    lit = scene._replace(
        lights=scene.lights._replace(valid=scene.lights.valid & False),
        objects=scene.objects._replace(valid=scene.objects.valid & False),
        ambient=scene.ambient * 0,
    )
    half, found = 0.3, []
    for frame in range(6):
        # A card around the point where this camera's axis is mirrored to, so that the spot is in view.
        eye = -(scene.R[0, frame].T @ scene.t[0, frame])
        gaze = scene.R[0, frame, 2] * torch.tensor([1.0, 1.0, -1.0])
        start = eye + (-distance - eye[2]) / scene.R[0, frame, 2, 2] * scene.R[0, frame, 2]
        at = start + 2.0 * gaze
        spot = dot(0.0, 0.0, 128, half)
        environment = make_environment(spot, centre=[at.tolist()], half=(half, half), frames=6)
        pane = make_pane(distance=distance, half_size=[9.0, 9.0])
        out = render_planar_scene(white(), lit._replace(pane=pane, environment=environment))
        image = at * torch.tensor([1.0, 1.0, -1.0]) + torch.tensor([0.0, 0.0, -2 * distance])
        expected = camera_image(scene, frame, image)
        found.append((centroid(out.radiance[0, frame, 0]) - expected).norm())
    assert max(found) < 0.1


def test_reflections_move_by_the_depth_of_what_is_mirrored() -> None:
    scene = drawn(1, 2, size=(64, 64))
    scene = scene._replace(
        K=scene.K[:, :1].expand(1, 2, 3, 3),
        R=torch.eye(3).double().expand(1, 2, 3, 3),
        t=torch.tensor([[[0.0, 0.0, 2.0], [-0.1, 0.0, 2.0]]]).double(),
        lights=scene.lights._replace(valid=scene.lights.valid & False),
        objects=scene.objects._replace(valid=scene.objects.valid & False),
        ambient=scene.ambient * 0,
    )
    for depth in (1.0, 4.0):
        environment = make_environment(dot(0.0, 0.0), centre=[[0.0, 0.0, -depth]], frames=2)
        pane = make_pane(distance=0.0, half_size=[9.0, 9.0])
        out = render_planar_scene(white(), scene._replace(pane=pane, environment=environment))
        shift = centroid(out.radiance[0, 1, 0]) - centroid(out.radiance[0, 0, 0])
        # The camera moves right by 0.1; focal length is 2 pictures, of 64 pixels.
        assert_close(shift, torch.tensor([-0.1 * 2 * 64 / (2 + depth), 0.0]).double(), atol=0.02)


def test_thick_glass_shows_all_twice() -> None:
    thickness = 0.2
    environment = make_environment(dot(0.5, 0.0, 256, spread=1.5), centre=[[0.0, 0.0, -2.0]])
    for pane, sign in ((make_pane(thickness=thickness, distance=0.1), 1), (make_pane(distance=0.1), 0)):
        scene = behind(pane, environment, size=(256, 256))
        row = grey(render_planar_scene(white(), scene)).sum(0)
        x = torch.arange(256).double()
        # Mirror images of the spot are 1.8 behind the front face's picture plane, 2.2 behind the back's.
        places = [256 * (0.5 + 0.5 * 2 / (2 + depth)) - 0.5 for depth in (1.8, 1.8 + 2 * thickness)]
        for place, there in zip(places, (True, sign == 1), strict=True):
            near = (x - place).abs() < 4
            total = row[near].sum()
            assert (total > 0.1 * row.sum()) == there
            if there and sign:
                assert abs(float((row * x)[near].sum() / total) - place) < 0.3


def test_a_wedge_turns_the_second_image() -> None:
    environment = make_environment(dot(0.0, 0.0, 256, spread=1.5), centre=[[0.0, 0.0, -2.0]])
    scene = behind(make_pane(wedge=[0.03, 0.0], distance=0.0), environment, size=(256, 256))
    row = grey(render_planar_scene(white(), scene)).sum(0)
    x = torch.arange(256).double()
    # A mirror turned by a small angle turns what it shows by twice that, about where it is.
    place = 127.5 - math.tan(2 * math.atan(0.03)) * 2 * 2 / 4 * 256
    place_plus = 255 - place
    found = [float(row[(x - p).abs() < 5].sum() / row.sum()) for p in (place, place_plus)]
    assert max(found) > 0.3
    assert min(found) < 0.05


def test_nearer_cards_cover_and_clear_ones_do_not() -> None:
    cards = torch.cat((plain(1.0), plain(0.25, 0.5), plain(0.0, 0.0)))
    centres = [[0.0, 0.0, -4.0], [0.0, 0.0, -3.0], [0.0, 0.0, -2.5]]
    scene = behind(make_pane(reflectivity=0.5), make_environment(cards, centre=centres, half=(9.0, 9.0)))
    out = grey(render_planar_scene(white(), scene))
    alone = behind(make_pane(reflectivity=0.5), make_environment(background=0.75))
    assert_close(out, grey(render_planar_scene(white(), alone)))


def test_the_pane_ends_where_it_ends() -> None:
    environment = make_environment(background=10.0)
    out = grey(render_planar_scene(white(), behind(make_pane(half_size=[0.25, 0.4], distance=0.0), environment)))
    assert_close(out[32, 32], 10 * 2 * R0 / (1 + R0), rtol=1e-3)
    cover = (out / out[32, 32]).round(decimals=1)
    assert cover[:, 16:48].sum(1).bool().sum() == 52  # 51.2 pixels
    assert cover[32].sum() == 32


def test_things_are_before_the_pane_and_unseen_in_it() -> None:
    item = make_object("sphere", [0.0, 0.0, -0.5], half_size=[0.2] * 3)
    environment = make_environment(background=5.0)
    out = render_planar_scene(white(), behind(make_pane(), environment, objects=[item]))
    bare = render_planar_scene(white(), behind(make_pane(valid=False), environment, objects=[item]))
    assert_close(out.radiance[0, 0, :, 32, 32], bare.radiance[0, 0, :, 32, 32])
    assert (out.occluded == bare.occluded).all()
    assert out.highlight[0, 0, 0, 2, 2]
    assert not (out.highlight & out.occluded).any()
    assert not bare.highlight.any()
    assert torch.equal(out.label, bare.label)


def test_blur_spreads_by_the_distance_and_keeps_the_light() -> None:
    environment = make_environment(dot(0.0, 0.0), centre=[[0.0, 0.0, -3.0]])
    pane = make_pane(blur=0.03, distance=0.0)
    blurred = blur_environment(pane, environment)[0, 0, 0].double()
    sharp = environment.image[0, 0, 0].double()
    assert_close(blurred.sum(), sharp.sum(), rtol=1e-4)
    place = ((torch.arange(128) + 0.5) * 2 / 128 - 1).double()
    spread = [float((light.sum(0) * place.square()).sum() / light.sum()) for light in (sharp, blurred)]
    assert abs((spread[1] - spread[0]) / (0.03 * 3) ** 2 - 1) < 0.01
    assert torch.equal(blur_environment(make_pane(), environment), environment.image)


def test_batches_with_and_without_a_pane() -> None:
    scene = sample_planar_scene(6, frames=3, size=(32, 48), generator=generator("mixed panes"), glass=0.5)
    assert scene.pane is not None
    there = scene.pane.valid
    assert there.any()
    assert not there.all()
    images = texture(6, (32, 48))
    both = render_planar_scene(images, scene)
    bare = render_planar_scene(images, scene._replace(pane=None, environment=None))
    assert_close(both.radiance[~there], bare.radiance[~there])
    for item in range(6):
        one = render_planar_scene(images[item : item + 1], scene_from_document(scene_to_document(scene, item)))
        # Documents keep ten digits, but for images, which are drawn in half precision.
        assert_close(one.radiance[0], both.radiance[item], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["aligned", "misaligned"])
def test_cards_that_are_not_seen_may_be_left_out(kind: str) -> None:
    scene = sample_planar_scene(4, frames=3, size=(24, 32), kind=kind, generator=generator("seen"), glass=1.0)
    environment = scene.environment
    assert environment is not None
    seen = environment.valid & seen_cards(scene)
    assert seen.sum() < environment.valid.sum()
    images = texture(4, (24, 32))
    few = render_planar_scene(images, scene._replace(environment=environment._replace(valid=seen)))
    assert torch.equal(few.radiance, render_planar_scene(images, scene).radiance)


def test_a_gpu_gives_the_same_and_is_waited_for_once_more() -> None:
    images = texture(2, (64, 64)).float()
    scene = sample_planar_scene(2, frames=4, size=(64, 64), generator=generator("pane gpu"), glass=1.0)
    expected = render_planar_scene(images, scene)
    with pretend_gpu() as work:
        out = render_planar_scene(images.to(GPU), scene)
        assert work.waits.total() <= 11
        assert work.kernels.total() <= 5000
        for a, b in zip(out, expected, strict=True):
            assert a.device == GPU
            assert_close(a.cpu(), b)


def test_gradients_reach_what_is_mirrored() -> None:
    scene = sample_planar_scene(1, frames=1, size=(3, 2), generator=generator("pane gradients"), glass=1.0)
    assert scene.pane is not None
    assert scene.environment is not None
    environment, pane = scene.environment, scene.pane

    def function(image: Tensor, background: Tensor, brightness: Tensor, tint: Tensor) -> Tensor:
        changed = environment._replace(background=background, brightness=brightness)
        return render_planar_scene(image, scene._replace(environment=changed, pane=pane._replace(tint=tint))).radiance

    inputs = (texture(1, (2, 3)), environment.background, environment.brightness, pane.tint)
    assert torch.autograd.gradcheck(function, tuple(x.clone().requires_grad_() for x in inputs))
    shown = environment.image.clone().requires_grad_()
    lit = scene._replace(environment=environment._replace(image=shown))
    (gradient,) = torch.autograd.grad(render_planar_scene(white(), lit).radiance.sum(), shown)
    assert gradient.isfinite().all()
    assert (gradient[:, :, :3] > 0).any()


def test_what_does_not_fit_is_refused() -> None:
    pane, environment = make_pane(), make_environment(plain(1.0))
    scene = behind(pane, environment)
    far = scene._replace(environment=environment._replace(centre=torch.zeros(1, 1, 2, 3).double()))
    odd = scene._replace(pane=pane._replace(is_coat=torch.zeros(1).double()))
    dark = scene._replace(environment=environment._replace(image=environment.image * float("nan")))
    with pytest.raises(OptionError, match="both a pane and an environment"):
        render_planar_scene(white(), scene._replace(environment=None))
    with pytest.raises(ShapeError, match=r"scene\.environment\.centre must have shape"):
        render_planar_scene(white(), far)
    with pytest.raises(DtypeError, match=r"scene\.pane\.is_coat must be torch\.bool"):
        render_planar_scene(white(), odd)
    with pytest.raises(OptionError, match="finite"):
        render_planar_scene(white(), dark)
