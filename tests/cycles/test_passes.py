"""From light passes to masks."""

import numpy as np
import pytest
import torch

from diar_ops.colour import linear_to_srgb
from diar_ops.cycles.light import plane_points, unshadowed_radiance
from diar_ops.cycles.passes import frame_masks, frame_picture
from diar_ops.data import ImageError
from diar_ops.scene import FrameFlag, sample_planar_scene
from tests.harness import generator

SIZE = (32, 48)
LEFT, RIGHT = np.s_[:, :24], np.s_[:, 24:]


@pytest.fixture
def scene():
    return sample_planar_scene(1, frames=2, size=SIZE, generator=generator("cycles-passes"))


@pytest.fixture
def passes(scene):
    """A grey picture as it looks with nothing in the way."""
    free = unshadowed_radiance(scene, 0, plane_points(scene, 0)).numpy()
    full = {"UV.A": np.ones(SIZE, np.float32)}
    for i, channel in enumerate("RGB"):
        full[f"DiffCol.{channel}"] = np.full(SIZE, 0.2, np.float32)
        full[f"DiffDir.{channel}"] = free[..., i].copy()
        full[f"GlossCol.{channel}"] = np.full(SIZE, 0.04, np.float32)
        full[f"Combined.{channel}"] = np.full(SIZE, 0.1, np.float32)
        for name in ("DiffInd", "GlossDir", "GlossInd"):
            full[f"{name}.{channel}"] = np.zeros(SIZE, np.float32)
    return {f"ViewLayer.{name}": value for name, value in full.items()}


def masks(passes, scene, frame=0):
    occluded, flags = frame_masks(passes, frame_picture(passes), scene, frame)
    assert occluded.shape == flags.shape == (1, *SIZE)
    return occluded[0].numpy(), flags[0].numpy()


def paint(passes, name, where, value, scale=False):
    for channel in "RGB":
        pixels = passes[f"ViewLayer.{name}.{channel}"]
        pixels[where] = pixels[where] * value if scale else value


def test_nothing_in_the_way(passes, scene):
    occluded, flags = masks(passes, scene)
    assert not occluded.any()
    assert not flags.any()


def test_picture_is_coded_and_clipped(passes):
    paint(passes, "Combined", LEFT, 3.0)
    picture = frame_picture(passes)
    assert picture.dtype == torch.uint8
    assert bool((picture[:, :, :24] == 255).all())
    grey = round(float(linear_to_srgb(torch.tensor(0.1))) * 255)
    assert bool((picture[:, :, 24:] == grey).all())


def test_each_flag(passes, scene):
    paint(passes, "DiffDir", LEFT, 0.5, scale=True)
    paint(passes, "GlossDir", np.s_[:16], 5.0)
    paint(passes, "Combined", RIGHT, 1.0)
    _, flags = masks(passes, scene)
    inner = np.s_[3:-3]  # edges between regions are smoothed
    for flag, where, elsewhere in (
        (FrameFlag.SHADOW, np.s_[:, :21], np.s_[:, 27:]),
        (FrameFlag.HIGHLIGHT, np.s_[:13], np.s_[19:]),
        (FrameFlag.SATURATED, RIGHT, LEFT),
    ):
        mask = (flags & flag) > 0
        assert mask[inner][:, 3:-3].any()
        assert mask[where].all(), flag
        assert not mask[elsewhere].any(), flag


def test_slightly_less_light_is_no_shadow(passes, scene):
    paint(passes, "DiffDir", LEFT, 0.85, scale=True)
    assert not masks(passes, scene)[1].any()


def test_light_from_other_things_counts(passes, scene):
    paint(passes, "DiffDir", LEFT, 0.5, scale=True)
    for channel in "RGB":
        passes[f"ViewLayer.DiffInd.{channel}"][:] = passes[f"ViewLayer.DiffDir.{channel}"]
    assert not masks(passes, scene)[1][LEFT].any()


def test_one_covered_sample_is_enough_and_hides_the_flags(passes, scene):
    passes["ViewLayer.UV.A"][LEFT] = 15 / 16
    paint(passes, "DiffDir", LEFT, 0.0)
    paint(passes, "GlossDir", LEFT, 50.0)
    occluded, flags = masks(passes, scene)
    assert occluded[LEFT].all()
    assert not occluded[RIGHT].any()
    assert not flags[LEFT].any()


def test_noise_makes_no_speckles(passes, scene):
    # Each bright enough for the nine pixels around it, but alone.
    paint(passes, "GlossInd", np.s_[3::7, 3::7], 60.0)
    paint(passes, "DiffDir", np.s_[5::7, 5::7], 0.0)
    assert not masks(passes, scene)[1].any()


def test_black_paint_is_not_taken_for_shadow(passes, scene):
    # Where no light is scattered, Blender cannot say how much falls.
    paint(passes, "DiffCol", np.s_[10:20], 0.0)
    paint(passes, "DiffDir", np.s_[10:20], 0.0)
    assert not masks(passes, scene)[1].any()


def test_outside_the_picture_no_flag_is_set(passes, scene):
    points = plane_points(scene, 1)
    half = scene.picture_size[0].float() / 2
    outside = ((points[..., 0].abs() > half[1]) | (points[..., 1].abs() > half[0])).numpy()
    assert outside.any()
    assert not outside.all()
    paint(passes, "DiffDir", np.s_[:], 0.0)
    paint(passes, "GlossDir", np.s_[:], 50.0)
    paint(passes, "Combined", np.s_[:], 1.0)
    _, flags = masks(passes, scene, frame=1)
    assert not flags[outside].any()
    assert (flags[~outside] == 7).mean() > 0.95


def test_missing_pass(passes, scene):
    del passes["ViewLayer.DiffDir.G"]
    with pytest.raises(ImageError, match=r"no pass DiffDir\.G"):
        masks(passes, scene)
