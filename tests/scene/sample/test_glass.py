"""Sampled panes, and what they mirror."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from diar_ops import OptionError, render_planar_scene
from diar_ops._errors import DtypeError, ShapeError
from diar_ops.scene import Environment, Pane, PlanarScene, sample_planar_scene
from tests.harness import assert_close, generator
from tests.scene.render.scenes import texture


def drawn(batch: int, name: str = "glass", **options: Any) -> tuple[PlanarScene, Pane, Environment]:
    options = {"frames": 3, "size": (24, 32), "glass": 1.0, **options}
    scene = sample_planar_scene(batch, generator=generator(name), **options)
    assert scene.pane is not None
    assert scene.environment is not None
    return scene, scene.pane, scene.environment


@pytest.mark.parametrize("kind", ["aligned", "misaligned"])
def test_glass_is_drawn_last(kind: str) -> None:
    """Scenes without glass are what they were, and those with it differ by nothing else."""
    without = sample_planar_scene(3, frames=2, kind=kind, generator=generator("glass"))
    assert without.pane is None
    assert without.environment is None
    scene, pane, _ = drawn(3, frames=2, kind=kind, size=(256, 256))
    moved = scene.objects.position - without.objects.position
    occluders = torch.arange(moved.shape[2]) < 3
    expected = torch.zeros_like(moved)
    expected[:, :, occluders, 2] = -pane.distance[:, None, None]
    assert_close(moved, expected, atol=1e-12)
    same = scene._replace(objects=without.objects, pane=None, environment=None)
    assert all(torch.equal(a, b) for a, b in zip(_leaves(same), _leaves(without), strict=True))


def test_the_share_is_that_of_sequences_with_a_pane() -> None:
    _, pane, environment = drawn(200, glass=0.3, frames=1, size=(8, 8))
    count = int(pane.valid.sum())
    assert 35 <= count <= 85
    assert not environment.valid[~pane.valid].any()
    assert (environment.image[~pane.valid] == 0).all()
    coats = pane.is_coat[pane.valid].double().mean()
    assert 0.15 < coats < 0.55


def test_panes_are_before_the_picture_and_things_before_them() -> None:
    scene, pane, environment = drawn(60, frames=2)
    assert ((pane.distance == 0) == pane.is_coat).all()
    assert (pane.half_size >= scene.picture_size.flip(-1) / 2).all()
    assert (scene.objects.position[..., :3, 2] < -pane.distance[:, None, None]).all()
    assert ((pane.tint <= 1) & (pane.tint > 0.5)).all()
    is_single = (pane.thickness == 0) & (pane.wedge == 0).all(-1)
    assert is_single[pane.is_coat].all()
    assert 0.2 < is_single.double().mean() < 0.9
    assert (environment.image >= 0).all()
    assert (environment.image[:, :, 3] <= 1).all()
    along = (environment.right * environment.down).sum(-1)
    assert_close(along, torch.zeros_like(along), atol=1e-9)
    # Rooms, their windows and their lamps.
    brightest = environment.image[:, :, :3].flatten(1).amax(1)
    assert brightest.min() < 5
    assert brightest.max() > 50


def test_what_stands_still_stands_still_and_the_photographer_does_not() -> None:
    scene, _, environment = drawn(20, frames=4)
    walls, photographer = environment.centre[:, :, :-1], environment.centre[:, :, -1]
    assert torch.equal(walls, walls[:, :1].expand_as(walls))
    eye = -(scene.R.mT @ scene.t[..., None])[..., 0]
    assert ((photographer - eye).norm(dim=-1) < 3.5).all()
    assert (photographer[:, 1:] != photographer[:, :1]).any(-1).all()


def test_in_aligned_sequences_all_moves_as_if_the_photos_had_been_aligned() -> None:
    _, _, environment = drawn(20, frames=4, kind="aligned")
    walls = environment.centre[:, :, 0]
    # It turns about the middle of the picture, and keeps its size.
    assert_close(walls.norm(dim=-1), walls[:, :1].norm(dim=-1).expand(20, 4))
    assert (walls[:, 1:] != walls[:, :1]).any(-1).all()


def test_pictures_may_be_seen() -> None:
    red = torch.zeros(2, 3, 9, 9)
    red[:, 0] = 1.0
    _, _, environment = drawn(12, surroundings=red, size=(64, 64))
    _, _, bare = drawn(12, size=(64, 64))
    shown = environment.image[:, :5]
    pure = (shown[:, :, 0] > 0.1) & (shown[:, :, 1] == 0) & (shown[:, :, 2] == 0)
    assert pure.flatten(1).any(1).sum() >= 3
    others = bare.image[:, :5]
    assert not ((others[:, :, 0] > 0.1) & (others[:, :, 1] == 0) & (others[:, :, 2] == 0)).any()


def test_pixels_that_are_not_finite_are_black() -> None:
    nothing = torch.full((2, 3, 9, 9), float("nan"))
    _, _, environment = drawn(12, surroundings=nothing)
    assert environment.image.isfinite().all()


def test_how_much_panes_add() -> None:
    """From barely to be seen to as bright as the picture; lamps saturate."""
    scene, _, _ = drawn(24, frames=4, size=(32, 32), kind="aligned")
    images = texture(24, (32, 32))
    behind = render_planar_scene(images, scene).radiance
    bare = render_planar_scene(images, scene._replace(pane=None, environment=None)).radiance
    added = (behind - bare).flatten(1).quantile(0.9, dim=1)
    assert added.min() < 0.05
    assert 0.02 < added.median() < 0.2
    assert added.max() > 0.2
    assert (behind - bare).max() > 1


def test_no_sequence_and_no_pane() -> None:
    scene, _, environment = drawn(0)
    assert environment.image.shape[0] == 0
    assert render_planar_scene(torch.rand(0, 3, 8, 8), scene).radiance.shape == (0, 3, 3, 24, 32)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"glass": 1.5}, OptionError, "glass, a share"),
        ({"glass": "all"}, OptionError, "glass, a share"),
        ({"glass": float("nan")}, OptionError, "glass, a share"),
        ({"surroundings": torch.rand(1, 3, 0, 8)}, OptionError, "with pixels"),
        ({"surroundings": torch.rand(3, 8, 8)}, ShapeError, "surroundings"),
        ({"surroundings": torch.zeros(1, 3, 8, 8, dtype=torch.uint8)}, DtypeError, "surroundings"),
    ],
)
def test_arguments_are_checked(options: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        sample_planar_scene(1, **options)


def _leaves(scene: PlanarScene) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(scene) if isinstance(leaf, Tensor)]
