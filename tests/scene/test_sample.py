"""Sampled scenes: what holds of all of them, randomness and arguments."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from diar_ops import OptionError
from diar_ops.scene import LightKind, PlanarScene, SceneRanges, sample_planar_scene, scene_homography
from tests.harness import Call, OpTests, assert_close, generator
from tests.modes import global_states
from tests.scene.sample.checks import RANGES, assert_shares, real, tensors


class TestSamplePlanarScene(OpTests):
    """What every op answers; the scenes themselves are looked at below and in sample/."""

    op = "sample_planar_scene"
    exempt = {
        "nan": "takes no tensors that could hold NaN; a NaN picture_size is refused",
        "gradcheck": "draws random numbers from options, nothing flows through",
        "half": "takes no tensors of the data; scenes are float64",
        "gpu": "the shares and sizes of the distribution are copied to the device, a few numbers each",
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
        ranges = SceneRanges(light_count=(1.0, 0.0, 0.0), light_radiance=(0.7, 0.7), light_mirrored=0.0, tint=0.0)
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


def test_materials_of_the_picture(scene: PlanarScene) -> None:
    material = scene.material
    kind = torch.where(material.coat > 0, 3, (material.roughness < 0.6).int() + (material.roughness < 0.275).int())
    assert_shares(kind, RANGES.picture_material)
    for values in (*material, scene.wall, scene.objects.colour):
        assert ((values >= 0) & (values <= 1)).all()


def test_rotations_are_rotations(scene: PlanarScene) -> None:
    for rotation in (scene.R, scene.objects.rotation):
        eye = torch.eye(3, dtype=torch.float64).expand_as(rotation)
        assert_close(rotation @ rotation.mT, eye, atol=1e-9)
        assert_close(torch.linalg.det(rotation), torch.ones(rotation.shape[:-2]).double())


def test_the_generator_decides() -> None:
    one, again, other = (sample_planar_scene(2, frames=3, generator=generator(name)) for name in ("a", "a", "b"))
    assert all(map(torch.equal, tensors(one), tensors(again)))
    assert not torch.equal(one.t, other.t)
    before = global_states()
    sample_planar_scene(2, frames=3, generator=generator("a"))
    assert not torch.equal(sample_planar_scene(2, frames=3).t, sample_planar_scene(2, frames=3).t)
    assert global_states() == before


def test_every_sequence_may_have_a_picture_of_its_own() -> None:
    sizes = torch.tensor([[1.0, 1], [3, 4], [600, 200]])
    scene = sample_planar_scene(3, frames=2, picture_size=sizes, generator=generator("sizes"))
    expected = [[1.0, 1], [0.75, 1], [1, 1 / 3]]
    assert_close(scene.picture_size, real(expected), rtol=1e-6)
    assert all(value.is_floating_point() is False or value.dtype == torch.float64 for value in tensors(scene))


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
