"""The real Blender: pixels, radiometry, materials. Skipped where it is not installed."""

import hashlib
import shutil
from dataclasses import replace

import numpy as np
import psutil
import pytest
import torch

from diar_ops._files import write_image
from diar_ops._pixels import image_to_float
from diar_ops.cycles import RenderError, RenderSettings, render_dataset
from diar_ops.cycles.exr import read_exr
from diar_ops.cycles.light import plane_points, unshadowed_radiance
from diar_ops.cycles.texture import prepare_texture
from diar_ops.cycles.worker import BlenderProcess, WorkerCrash, blender_command
from diar_ops.data import read_image, read_sequence
from diar_ops.engines import LocalEngine
from diar_ops.scene import Finish, LightKind, ObjectKind, sample_planar_scene, scene_to_document
from tests.harness import generator

pytestmark = pytest.mark.slow
SETTINGS = RenderSettings(kind="misaligned", sequences=3, frames=2, size=(32, 48), samples=4, label_samples=16, seed=1)


def pixels(folder):
    """A hash of the pixels of every picture of a set."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(read_image(path).pixels.numpy()).hexdigest()
        for path in sorted(folder.rglob("*.png"))
    }


def render_scene(process, scene, texture, folder, **options):
    """Render frame 0 and return its passes."""
    job = {
        "document": scene_to_document(scene),
        "texture": str(texture),
        "folder": str(folder),
        "samples": 64,
        "label_samples": 64,
        "denoise": False,
        "frames": [0],
        "label": False,
        "emission": False,
        "seed": 1,
        **options,
    }
    process.render(job, timeout=120, on_frame=lambda name: None)
    return read_exr(folder / "0.exr")


def colour(passes, name):
    return np.stack([passes[f"ViewLayer.{name}.{c}"] for c in "RGB"], axis=-1)


@pytest.fixture
def white(tmp_path):
    write_image(tmp_path / "white.png", torch.full((3, 8, 8), 188, dtype=torch.uint8))
    return tmp_path / "white.png"


@pytest.fixture
def empty_scene():
    """Nothing but the picture, matte, and dim surroundings."""
    scene = sample_planar_scene(1, frames=1, size=(32, 32), kind="aligned", generator=generator("blender-tests"))
    objects = scene.objects._replace(valid=torch.zeros_like(scene.objects.valid))
    material = scene.material._replace(
        specular=torch.zeros_like(scene.material.specular), coat=torch.zeros_like(scene.material.coat)
    )
    return scene._replace(objects=objects, material=material)


def test_same_seed_same_pixels_with_any_number_of_workers_and_after_a_kill(blender, painted, tmp_path):
    for number, size in enumerate([(60, 40), (50, 50), (30, 80)]):
        folder = painted(size, f"{number}.png", seed=number).parent
    result = render_dataset(folder, tmp_path / "one", SETTINGS, blender=blender)
    assert result.finished == [0, 1, 2]
    render_dataset(folder, tmp_path / "two", SETTINGS, blender=blender, engine=LocalEngine(2))
    assert pixels(tmp_path / "one") == pixels(tmp_path / "two")
    assert len(pixels(tmp_path / "one")) == 3 * (1 + 2 + 4)

    # Blender is killed in the middle of the first sequence; a second run finishes the set.
    def kill(done, total):
        for child in psutil.Process().children():  # the others are helpers of multiprocessing
            if done == 1 and any("blender_scene" in word for word in child.cmdline()):
                child.kill()

    notes = []
    few = replace(SETTINGS, sequences=1)
    for _ in range(5):  # where other programs keep this one waiting, Blender may have finished before it is killed
        shutil.rmtree(tmp_path / "three", ignore_errors=True)
        render_dataset(folder, tmp_path / "three", few, blender=blender, progress=kill, note=notes.append)
        if notes:
            break
    assert "signal 9" in notes[0]
    result = render_dataset(folder, tmp_path / "three", SETTINGS, blender=blender)
    assert (result.finished, result.already) == ([1, 2], 1)
    assert pixels(tmp_path / "one") == pixels(tmp_path / "three")


@pytest.mark.parametrize("kind", LightKind)
def test_lights_have_the_power_that_the_scene_says(blender_process, empty_scene, white, tmp_path, kind):
    scene = empty_scene
    lights = scene.lights._replace(
        kind=torch.full_like(scene.lights.kind, int(kind)),
        size=torch.full_like(scene.lights.size, 0.3),
        cone=torch.full_like(scene.lights.cone, 0.9),
    )
    scene = scene._replace(lights=lights)
    passes = render_scene(blender_process, scene, white, tmp_path)
    found = colour(passes, "DiffDir")
    wanted = unshadowed_radiance(scene, 0, plane_points(scene, 0)).numpy()
    assert wanted.max() > 2 * wanted.min() or kind != LightKind.SPOT
    error = np.abs(found - wanted) / wanted
    assert np.median(error) < 0.03
    assert abs(found.mean() / wanted.mean() - 1) < 0.01
    # A matte picture scatters its colour: what the file says, decoded.
    reflected = colour(passes, "Combined") / colour(passes, "DiffDir")
    assert np.abs(reflected - ((188 / 255 + 0.055) / 1.055) ** 2.4).max() < 0.01


def test_ambient_light_alone_shows_the_picture(blender_process, empty_scene, painted, tmp_path):
    # The label is the picture under ambient light of radiance 1.
    photo = read_image(painted((64, 64)))
    write_image(tmp_path / "texture.png", prepare_texture(photo, (32, 32)))
    lights = empty_scene.lights._replace(valid=torch.zeros_like(empty_scene.lights.valid))
    scene = empty_scene._replace(lights=lights, ambient=torch.ones_like(empty_scene.ambient))
    lit = render_scene(blender_process, scene, tmp_path / "texture.png", tmp_path, samples=256)
    shining = render_scene(blender_process, scene, tmp_path / "texture.png", tmp_path, emission=True)
    assert np.abs(colour(lit, "Combined") - colour(shining, "Combined")).mean() < 0.01
    # ... and that is the picture's area average, pixel by pixel: geometry and colour are right.
    texture = image_to_float(photo.pixels).numpy()
    linear = np.where(texture <= 0.04045, texture / 12.92, ((texture + 0.055) / 1.055) ** 2.4)
    mean = linear.reshape(3, 32, 2, 32, 2).mean(axis=(2, 4)).transpose(1, 2, 0)
    assert np.abs(colour(shining, "Combined") - mean).mean() < 0.01


@pytest.mark.parametrize("kind", ObjectKind)
def test_things_are_where_and_as_large_as_the_scene_says(blender_process, empty_scene, white, tmp_path, kind):
    scene = empty_scene
    spot = torch.tensor([0.2, -0.1, -0.5], dtype=torch.float64)
    half = torch.tensor([0.25, 0.15, 0.1], dtype=torch.float64)
    outline = torch.zeros_like(scene.objects.outline)
    outline[..., 0, 0] = 0.3 * (kind == ObjectKind.CARD)
    valid = torch.zeros_like(scene.objects.valid)
    valid[..., 0] = True
    flat = kind >= ObjectKind.DISC
    objects = scene.objects._replace(
        kind=torch.full_like(scene.objects.kind, int(kind)),
        position=spot.expand_as(scene.objects.position),
        rotation=torch.eye(3).double().expand_as(scene.objects.rotation),
        half_size=(half * torch.tensor([1, 1, 0 if flat else 1])).expand_as(scene.objects.half_size),
        outline=outline,
        hole=torch.full_like(scene.objects.hole, 0.5 * (kind == ObjectKind.DISC)),
        finish=torch.full_like(scene.objects.finish, int(Finish.TINTED)),
        opacity=torch.full_like(scene.objects.opacity, 0.01),
        valid=valid,
    )
    passes = render_scene(blender_process, scene._replace(objects=objects), white, tmp_path)
    covered = 1 - passes["ViewLayer.UV.A"]

    # What a fine grid of rays hits, by each shape's own inequality.
    fine = (torch.arange(32 * 8) + 0.5) / 8 - 0.5
    v, u = torch.meshgrid(fine, fine, indexing="ij")
    rays = torch.stack((u, v, torch.ones_like(u)), -1).double()
    rays = rays @ torch.linalg.inv(scene.K[0, 0]).T  # the camera faces the picture, at z = -2
    steps = torch.linspace(1.3, 1.7, 81) if not flat else torch.tensor([1.5])
    points = rays[None] * steps[:, None, None, None] - torch.tensor([0, 0, 2.0])
    x, y, z = ((points - spot) / half).unbind(-1)
    phi = torch.atan2(y, x)
    inside = {
        ObjectKind.SPHERE: x**2 + y**2 + z**2 <= 1,
        ObjectKind.BOX: (x.abs() <= 1) & (y.abs() <= 1) & (z.abs() <= 1),
        ObjectKind.CYLINDER: (x**2 + y**2 <= 1) & (z.abs() <= 1),
        ObjectKind.DISC: (x**2 + y**2 <= 1) & (x**2 + y**2 >= 0.25),
        ObjectKind.CARD: torch.maximum(x.abs(), y.abs()) <= 1 + 0.3 * phi.cos(),
    }[kind]
    wanted = inside.any(0).double().reshape(32, 8, 32, 8).mean((1, 3)).numpy()
    assert wanted.sum() > 20
    # Edges are counted by 64 samples of Blender's and 64 of ours.
    assert np.abs(covered - wanted).max() < 0.2
    assert abs(covered.sum() / wanted.sum() - 1) < 0.01


@pytest.mark.parametrize("finish", Finish)
def test_every_finish_on_every_shape(blender_process, empty_scene, white, tmp_path, finish):
    scene = empty_scene
    slots = scene.objects.kind.shape[2]
    objects = scene.objects._replace(
        kind=torch.arange(slots).expand_as(scene.objects.kind),
        finish=torch.full_like(scene.objects.finish, int(finish)),
        colour=torch.full_like(scene.objects.colour, 0.5),
        valid=torch.ones_like(scene.objects.valid),
    )
    scene = scene._replace(objects=objects)
    radiance = colour(render_scene(blender_process, scene, white, tmp_path, samples=8), "Combined")
    assert np.isfinite(radiance).all()
    alone = colour(render_scene(blender_process, empty_scene, white, tmp_path), "Combined")
    assert np.abs(radiance - alone).mean() > 0.01


def test_no_such_graphics_card(blender, blender_process):
    if torch.cuda.is_available():
        pytest.skip("there is one")
    for device in ("cuda", "optix"):
        with pytest.raises(RenderError, match="use --device cpu"):
            BlenderProcess(blender_command(blender), device)


def test_a_bad_job_ends_in_one_sentence(blender_process, empty_scene, tmp_path):
    with pytest.raises(WorkerCrash, match=r"nowhere\.png"):
        render_scene(blender_process, empty_scene, tmp_path / "nowhere.png", tmp_path)


def test_sequences_can_be_read(blender, painted, tmp_path):
    folder = painted((40, 60)).parent
    settings = replace(SETTINGS, kind="aligned", sequences=1)
    render_dataset(folder, tmp_path / "out", settings, blender=blender)
    sequence = read_sequence(tmp_path / "out" / "000000")
    assert sequence.document["software"]["blender"].startswith("4.")
    assert all(torch.equal(f.homography_frame_label, torch.eye(3).double()) for f in sequence.frames)
