"""Scenes survive JSON, and a seed stands for the same scene on every machine.

``golden.json`` beside this file holds one scene as it was drawn once. Where the distribution is
changed on purpose, write it anew with ``python -m tests.scene.test_document``.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from diar_ops.data import ImageError, format_document
from diar_ops.scene import (
    Finish,
    LightKind,
    ObjectKind,
    PlanarScene,
    sample_planar_scene,
    scene_from_document,
    scene_homography,
    scene_to_document,
)
from tests.harness import assert_close, generator

GOLDEN = Path(__file__).with_name("golden.json")


def drawn() -> PlanarScene:
    return sample_planar_scene(3, frames=4, size=(40, 60), picture_size=(5, 9), generator=generator("document"))


def golden() -> dict[str, Any]:
    # A number, not a name: it must not change with the way in which the tests name their seeds.
    scene = sample_planar_scene(
        1, frames=3, size=(90, 120), picture_size=(2, 3), generator=torch.Generator().manual_seed(20261124)
    )
    return scene_to_document(scene)


def assert_same_numbers(found: Any, expected: Any, where: str = "scene") -> None:
    """Same words, same structure, and numbers that agree to what ten digits can say."""
    assert type(found) is type(expected), where
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), where
        for key, value in expected.items():
            assert_same_numbers(found[key], value, f"{where}.{key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for number, value in enumerate(expected):
            assert_same_numbers(found[number], value, f"{where}[{number}]")
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=2e-9, abs=1e-9), where
    else:
        assert found == expected, where


def test_a_seed_gives_the_same_scene_on_every_machine() -> None:
    expected = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert_same_numbers(json.loads(json.dumps(golden())), expected)


@pytest.mark.parametrize("index", range(3))
def test_everything_survives_json(index: int) -> None:
    scene = drawn()
    text = format_document(scene_to_document(scene, index))
    again = scene_from_document(json.loads(text))
    assert again.size == scene.size
    assert scene_to_document(again) == json.loads(text)
    pairs = [(again.wall, scene.wall), (again.picture_size, scene.picture_size)]
    pairs += [(getattr(again, n), getattr(scene, n)) for n in ("K", "R", "t", "ambient")]
    pairs += list(zip(again.material, scene.material, strict=True))
    for result, original in pairs:
        assert result.dtype == original.dtype == torch.float64
        assert_close(result[0], original[index], rtol=1e-9, atol=1e-12)
    for name in ("lights", "objects"):
        result, original = getattr(again, name), getattr(scene, name)
        there = original.valid[index]
        assert torch.equal(result.valid[0].sum(-1), there.sum(-1))
        for part, value in zip(result, original, strict=True):
            # Things move to the first slots, in their order.
            assert_close(part[0][result.valid[0]], value[index][there], rtol=1e-9, atol=1e-12)
            assert part.dtype == value.dtype


def test_ten_digits_are_enough_for_exact_homographies() -> None:
    scene = drawn()
    for index in range(3):
        again = scene_from_document(scene_to_document(scene, index))
        H = scene_homography(again)[0]
        assert_close(H, scene_homography(scene)[index], rtol=1e-7, atol=1e-7)


def test_only_what_is_there_is_described_and_in_words() -> None:
    scene = drawn()
    document = scene_to_document(scene, 1)
    assert document["size"] == [40, 60]
    assert document["picture"]["size"] == [0.5555555556, 1.0]
    for t, frame in enumerate(document["frames"]):
        assert len(frame["lights"]) == int(scene.lights.valid[1, t].sum())
        assert len(frame["objects"]) == int(scene.objects.valid[1, t].sum())
        for light in frame["lights"]:
            assert LightKind[light["kind"].upper()].name.lower() == light["kind"]
            assert "valid" not in light
        for thing in frame["objects"]:
            assert thing["kind"] in [kind.name.lower() for kind in ObjectKind]
            assert thing["finish"] in [finish.name.lower() for finish in Finish]


def test_a_scene_without_things_is_a_scene() -> None:
    document = scene_to_document(drawn())
    for frame in document["frames"]:
        frame["lights"], frame["objects"] = [], []
    scene = scene_from_document(document)
    assert scene.lights.power.shape == (1, 4, 0, 3)
    assert scene.objects.outline.shape == (1, 4, 0, 2, 6)
    assert scene_to_document(scene) == document


def remove(document: Any) -> None:
    del document["frames"][1]["K"]


def no_picture(document: Any) -> None:
    document["picture"] = None


def unknown_word(document: Any) -> None:
    document["frames"][0]["lights"][0]["kind"] = "laser"


def wrong_shape(document: Any) -> None:
    document["frames"][0]["lights"][0]["position"] = [0.0, 1.0]


def not_finite(document: Any) -> None:
    document["frames"][2]["t"][1] = float("nan")


def text_for_a_number(document: Any) -> None:
    document["wall"][0] = "white"


def size_of_one(document: Any) -> None:
    document["size"] = [3]


def negative_size(document: Any) -> None:
    document["size"] = [40, -60]


def fraction_of_a_pixel(document: Any) -> None:
    document["size"] = [40.5, 60]


def number_for_a_word(document: Any) -> None:
    document["frames"][0]["lights"][0]["kind"] = 1


def beyond_float(document: Any) -> None:
    document["frames"][0]["K"] = [[10**400] * 3] * 3


@pytest.mark.parametrize(
    "damage",
    [
        remove,
        no_picture,
        unknown_word,
        wrong_shape,
        not_finite,
        text_for_a_number,
        size_of_one,
        negative_size,
        fraction_of_a_pixel,
        number_for_a_word,
        beyond_float,
    ],
)
def test_what_is_no_scene_is_refused(damage: Callable[[Any], None]) -> None:
    document = copy.deepcopy(scene_to_document(drawn()))
    damage(document)
    with pytest.raises(ImageError, match="this is not the description of a planar scene"):
        scene_from_document(document)


def test_a_pane_and_what_it_mirrors_survive_json() -> None:
    scene = sample_planar_scene(6, frames=3, size=(40, 60), generator=generator("pane document"), glass=0.6)
    assert scene.pane is not None
    assert scene.environment is not None
    assert {True, False} == set(scene.pane.valid.tolist())
    for index, there in enumerate(scene.pane.valid.tolist()):
        document = json.loads(format_document(scene_to_document(scene, index)))
        again = scene_from_document(document)
        assert scene_to_document(again) == document
        assert ("pane" in document) == there
        if not there:
            assert again.pane is again.environment is None
            continue
        assert again.pane is not None
        assert again.environment is not None
        for part, value in zip(again.pane, scene.pane, strict=True):
            assert part.dtype == value.dtype
            assert_close(part[0], value[index], rtol=1e-9, atol=1e-12)
        used = scene.environment.valid[index].any(0)
        assert torch.equal(again.environment.image[0], scene.environment.image[index, used])
        assert torch.equal(again.environment.valid[0], scene.environment.valid[index][:, used])
        there_in_frame = again.environment.valid[0]
        for name in ("centre", "right", "down"):
            part, value = getattr(again.environment, name)[0], getattr(scene.environment, name)[index][:, used]
            assert_close(part[there_in_frame], value[there_in_frame], rtol=1e-9, atol=1e-12)


def odd_pane(document: Any) -> None:
    document["pane"]["kind"] = "mirror"


def no_environment(document: Any) -> None:
    del document["environment"]


def no_such_image(document: Any) -> None:
    document["frames"][0]["environment"]["cards"][0]["image"] = 99


def cut_image(document: Any) -> None:
    document["environment"]["images"][0]["half"] = document["environment"]["images"][0]["half"][:40]


def image_of_another_size(document: Any) -> None:
    document["environment"]["images"][0]["size"] = [7, 7]


def endless_image(document: Any) -> None:
    document["environment"]["images"][0]["size"] = [10**6, 10**6]


def no_base_64(document: Any) -> None:
    document["environment"]["images"][0]["half"] = "???"


@pytest.mark.parametrize(
    "damage", [odd_pane, no_environment, no_such_image, cut_image, image_of_another_size, endless_image, no_base_64]
)
def test_what_is_no_pane_is_refused(damage: Callable[[Any], None]) -> None:
    scene = sample_planar_scene(1, frames=2, size=(40, 60), generator=generator("damaged pane"), glass=1.0)
    document = copy.deepcopy(scene_to_document(scene))
    damage(document)
    with pytest.raises(ImageError, match="this is not the description of a planar scene"):
        scene_from_document(document)


if __name__ == "__main__":
    GOLDEN.write_text(format_document(golden()), encoding="utf-8")
