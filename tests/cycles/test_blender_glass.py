"""Panes in the real Blender: against torch, and against a real mirror. Skipped where it is not installed."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from diar_ops import render_planar_scene
from diar_ops._files import write_image
from diar_ops._pixels import image_to_float
from diar_ops.cycles.exr import read_exr
from diar_ops.data import read_image
from diar_ops.scene import sample_planar_scene, scene_to_document
from diar_ops.scene.reflection import blur_environment
from tests.harness import generator
from tests.scene.render.panes import behind, make_environment, make_pane
from tests.scene.render.scenes import make_object, make_scene

pytestmark = pytest.mark.slow


def render(process, scene, texture, folder, **options):
    """Render frame 0 and return radiance (3, h, w) of a pass by its name."""
    job = {
        "document": scene_to_document(scene),
        "texture": str(texture),
        "folder": str(folder),
        "samples": 64,
        "label_samples": 16,
        "denoise": False,
        "frames": [0],
        "label": False,
        "emission": False,
        "seed": 1,
        **options,
    }
    process.render(job, timeout=120, on_frame=lambda name: None)
    passes = read_exr(folder / "0.exr")
    return lambda name: torch.from_numpy(np.stack([passes[f"ViewLayer.{name}.{c}"] for c in "RGB"]))


@pytest.mark.parametrize("name", ["pane a", "pane b", "pane c"])
def test_both_renderers_show_the_same(blender_process, painted, tmp_path, name):
    scene = sample_planar_scene(1, frames=1, size=(48, 64), generator=generator(name), glass=1.0, kind="aligned")
    scene = scene._replace(
        objects=scene.objects._replace(valid=scene.objects.valid & False),
        lights=scene.lights._replace(valid=scene.lights.valid & False),
    )
    texture = painted((96, 128))
    shown = scene._replace(
        environment=scene.environment._replace(image=blur_environment(scene.pane, scene.environment))
    )
    found = render(blender_process, shown, texture, tmp_path)
    pixels = image_to_float(read_image(texture).pixels)[None]
    expected = render_planar_scene(pixels, scene).radiance[0, 0]
    bare = render_planar_scene(pixels, scene._replace(pane=None, environment=None)).radiance[0, 0]
    difference = (found("Combined") - expected).abs().clamp_max(1)
    # Borders of cards are smooth in Blender, whose samples are spread over the pixel.
    assert difference.median() < 0.003
    assert difference.mean() < 0.01
    assert (expected - bare).abs().mean() > 2 * difference.mean()


def test_a_pane_mirrors_as_a_mirror_of_the_path_tracer_does(blender_process, tmp_path):
    """A black disc behind the camera, mirrored by paths of light and by the formula."""
    write_image(tmp_path / "black.png", torch.zeros(3, 8, 8, dtype=torch.uint8))
    height, at, radius, size = 0.05, [0.3, -0.2, -3.0], 0.4, (64, 64)
    mirror = make_object(
        "card", [0.0, 0.0, -height], half_size=[3.0, 3.0, 0.0], finish="mirror", colour=[1.0] * 3, roughness=0.0
    )
    disc = make_object("disc", at, half_size=[radius, radius, 0.0])
    real = make_scene(objects=[mirror, disc], ambient=1.0, size=size)
    traced = render(blender_process, real, tmp_path / "black.png", tmp_path)("Combined")[0]

    texels = torch.cartesian_prod(*[(torch.arange(256) + 0.5) / 128 - 1] * 2).norm(dim=1).reshape(256, 256)
    image = F.pad((texels <= 1).float()[None], (0, 0, 0, 0, 3, 0))[None]
    environment = make_environment(image, centre=[at], half=(radius, radius), background=1.0)
    pane = make_pane(is_coat=True, distance=height, half_size=[3.0, 3.0])
    black = torch.zeros(1, 3, 8, 8)
    by_formula, all_light = (
        render_planar_scene(black, behind(pane, surroundings, size=size)).radiance[0, 0, 0]
        for surroundings in (environment, make_environment(background=1.0))
    )
    share = by_formula / all_light
    assert 0.02 < (1 - share).mean() < 0.2
    assert (traced - share).abs().mean() < 0.005
    assert abs((1 - traced).sum() / (1 - share).sum() - 1) < 0.02


def test_the_label_and_things_know_no_pane(blender_process, tmp_path):
    write_image(tmp_path / "white.png", torch.full((3, 8, 8), 255, dtype=torch.uint8))
    ball = make_object("sphere", [0.0, 0.0, -0.5], half_size=[0.2] * 3, colour=[0.5] * 3)
    environment = make_environment(background=5.0)
    scene = behind(make_pane(), environment, objects=[ball], ambient=1.0, size=(32, 32))
    found = render(blender_process, scene, tmp_path / "white.png", tmp_path)
    bare = render(
        blender_process, make_scene(objects=[ball], ambient=1.0, size=(32, 32)), tmp_path / "white.png", tmp_path
    )
    centre = np.s_[:, 13:19, 13:19]
    assert torch.allclose(found("Combined")[centre], bare("Combined")[centre], atol=0.02)
    assert (found("Emit")[centre] == 0).all()
    face = 0.04
    expected = (1 - face) / (1 + face) + 5 * 2 * face / (1 + face)
    assert abs(float(found("Combined")[:, 0, 0].mean()) - expected) < 0.03
    shining = render(blender_process, scene, tmp_path / "white.png", tmp_path, emission=True)
    assert torch.allclose(shining("Combined"), torch.ones(3, 32, 32), atol=1e-3)
