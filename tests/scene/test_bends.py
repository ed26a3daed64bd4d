"""Bent pictures: where they are seen, against closed forms and against rendered pixels."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import grid_sample, max_pool2d, pad
from torch.utils._pytree import tree_map

from diar_ops import render_planar_scene, transform_points
from diar_ops._errors import DtypeError, OptionError, ShapeError
from diar_ops.colour import srgb_to_linear
from diar_ops.scene import (
    BendKind,
    BendRanges,
    Bends,
    PlanarScene,
    bend_size,
    sample_planar_scene,
    scene_displacement,
    scene_from_document,
    scene_homography,
    scene_surface,
    scene_to_document,
)
from diar_ops.scene._render.frames import prepare_frames
from diar_ops.scene._render.plane_view import project_to_plane
from diar_ops.scene.bends import bent_surface, facing
from tests.harness import assert_close, generator
from tests.pretend_gpu import GPU, pretend_gpu
from tests.scene.render.scenes import make_light, make_scene, texture, white
from tests.scene.sample.checks import assert_shares, tensors

KINDS = list(BendKind)
#: Height, angle, length and offset of one bend of each kind, as strong as they are sampled.
EXAMPLES = {
    BendKind.CURL: (0.4, 0.7, 1.0, -0.1),
    BendKind.BULGE: (0.1, 0.0, 1.0, 0.0),
    BendKind.WAVE: (-0.04, 2.0, 0.9, 0.2),
    BendKind.FRAME: (0.03, 0.0, 0.08, 0.12),
}


def bends(*kinds: BendKind, frames: int = 1) -> Bends:
    values = torch.tensor([EXAMPLES[kind] for kind in kinds], dtype=torch.float64)
    height, angle, length, offset = values.mT[:, None, None].expand(-1, 1, frames, -1)
    return Bends(torch.tensor(kinds).expand_as(height), height, angle, length, offset, torch.ones_like(height).bool())


def bent(*kinds: BendKind, frames: int = 4, size: tuple[int, int] = (96, 128)) -> PlanarScene:
    """A scene in even light of radiance 1, with nothing in the way."""
    scene = sample_planar_scene(1, frames=frames, size=size, picture_size=size, generator=generator("bent"))
    return scene._replace(
        ambient=torch.ones_like(scene.ambient),
        lights=scene.lights._replace(valid=scene.lights.valid & False),
        objects=scene.objects._replace(valid=scene.objects.valid & False),
        material=scene.material._replace(specular=scene.material.specular * 0, coat=scene.material.coat * 0),
        bends=bends(*kinds, frames=frames),
    )


def height_by_hand(kind: BendKind, x: float, y: float, width: float, height: float) -> float:
    """The height of the example of a kind over a point of the picture."""
    up, angle, length, offset = EXAMPLES[kind]
    t = (math.cos(angle) * x + math.sin(angle) * y - offset) / length
    if kind == BendKind.CURL:
        return up * max(t, 0.0) ** 2
    if kind == BendKind.BULGE:
        return up * (1 - (2 * x / width) ** 2) * (1 - (2 * y / height) ** 2)
    if kind == BendKind.WAVE:
        return up * math.sin(2 * math.pi * t)
    depths = (np.clip((abs(v) - side / 2 + offset) / length, 0, 1) for v, side in ((x, width), (y, height)))
    a, b = (float(u * u * (3 - 2 * u)) for u in depths)
    return up * (1 - (1 - a) * (1 - b))


@pytest.mark.parametrize("kinds", [*((kind,) for kind in KINDS), (BendKind.CURL, BendKind.WAVE)])
def test_displacement_is_that_of_points_in_space(kinds: tuple[BendKind, ...]) -> None:
    scene = bent(*kinds)
    found, H = scene_displacement(scene)[0], scene_homography(scene)[0].numpy()
    high, wide = scene.picture_size[0].tolist()
    for column, row in [(0, 0), (127, 0), (64, 48), (17, 80), (100, 5), (127, 95)]:
        x, y = ((column + 0.5) / 128 - 0.5) * wide, ((row + 0.5) / 96 - 0.5) * high
        point = np.array([x, y, -sum(height_by_hand(kind, x, y, wide, high) for kind in kinds)])
        for t in range(4):
            seen = scene.K[0, t].numpy() @ (scene.R[0, t].numpy() @ point + scene.t[0, t].numpy())
            flat = H[t] @ [column, row, 1]
            expected = seen[:2] / seen[2] - flat[:2] / flat[2]
            assert np.abs(found[t, :, row, column].numpy() - expected).max() < 1e-9


@pytest.mark.parametrize("kind", KINDS)
def test_slopes_are_the_derivatives(kind: BendKind) -> None:
    x, y = (1.4 * torch.rand(2, 1, 200, generator=generator("slopes"), dtype=torch.float64) - 0.7).requires_grad_()
    example, half = Bends(*(field[0] for field in bends(kind))), torch.tensor([[0.5, 0.4]], dtype=torch.float64)
    surface = bent_surface(example, half, x, y)
    slopes = torch.autograd.grad(surface.z.sum(), (x, y))
    assert_close(torch.stack(slopes), torch.stack(surface[1:]), atol=1e-12)
    beyond = (x.abs() > 0.5).squeeze()
    assert (surface.dz_dx.squeeze()[beyond] == 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_rays_meet_the_surface_where_it_projects(kind: BendKind) -> None:
    """Newton's iteration ends within 1e-6 pixels."""
    scene = bent(kind)
    frames = prepare_frames(scene, scene_homography(scene), torch.float64, torch.device("cpu"))
    v, u = torch.meshgrid(torch.arange(96.0).double(), torch.arange(128.0).double(), indexing="ij")
    x, y = project_to_plane(frames, (u - 63.5)[None], (v - 47.5)[None])
    points = scene_surface(scene, torch.stack((x, y), dim=-1).reshape(1, 4, -1, 2))
    inside = ((points[..., :2].abs() <= scene.picture_size.flip(-1) / 2).all(-1))[..., None]
    seen = (points @ scene.R.mT + scene.t[..., None, :]) @ scene.K.mT
    error = seen[..., :2] / seen[..., 2:] - torch.stack((u, v), dim=-1).reshape(-1, 2)
    assert inside.double().mean() > 0.5
    assert (error * inside).abs().max() < 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_frames_lie_on_the_label_by_their_truth(kind: BendKind) -> None:
    """Rendered frames, looked up where homography and displacement say, to 0.05 px in every part.

    Half of that is what is measured of flat pictures: two resamplings of a small part."""
    size = (128, 128)
    scene = bent(kind, size=size)
    out = render_planar_scene(texture(1, (256, 256)), scene)
    rows, columns = torch.meshgrid(*(torch.arange(128.0).double(),) * 2, indexing="ij")
    pixels = torch.stack((columns, rows), dim=-1).reshape(1, -1, 2).expand(4, -1, -1)
    flat = transform_points(pixels, out.homography_frame_label[0]).points.reshape(4, *size, 2)
    moved = out.displacement_frame_label[0].movedim(1, -1)
    label, shifts = srgb_to_linear(out.label)[0].mean(0), []
    for t in range(4):
        grid = (2 * (flat[t] + moved[t]) + 1) / 128 - 1
        frame, shown = out.radiance[0, t].mean(0), out.visible[0, t].double()
        looked_up = grid_sample(frame[None, None], grid[None], mode="bicubic", align_corners=False)[0, 0]
        inside = grid_sample(shown[None], grid[None], align_corners=False)[0, 0] > 0.999
        inside = pad(-max_pool2d(-inside[None].double(), 9, 1)[0], (4, 4, 4, 4)) > 0
        for part in [(slice(a, a + 32), slice(b, b + 32)) for a in range(0, 128, 32) for b in range(0, 128, 32)]:
            if inside[part].double().mean() > 0.6:
                shifts.append(_shift(looked_up, label, inside, part))
    assert max(shifts) < 0.05
    assert sum(shifts) / len(shifts) < 0.015
    assert moved[1:].norm(dim=-1).max() > 1


def _shift(image: Tensor, reference: Tensor, valid: Tensor, part: tuple[slice, slice]) -> float:
    """Return by how much a part of an image is shifted, in pixels, by least squares."""
    gy, gx = (side[part][valid[part]] for side in torch.gradient(reference))
    A = torch.stack((gx, gy, torch.ones_like(gx)), dim=-1)
    difference = (image - reference)[part][valid[part]]
    return float(torch.linalg.lstsq(A, difference[:, None]).solution[:2].norm())


def test_flat_pictures_are_not_displaced() -> None:
    scene = bent(BendKind.CURL)
    unbent = scene._replace(bends=scene.bends._replace(valid=scene.bends.valid & False))  # type: ignore[union-attr]
    flat, image = scene._replace(bends=None), texture(1, (96, 128))
    assert (scene_displacement(unbent).abs() < 1e-12).all()
    expected, found = (render_planar_scene(image, s) for s in (flat, unbent))
    assert (expected.displacement_frame_label == 0).all()
    assert (facing(flat) == 1).all()
    assert_close(found.radiance, expected.radiance)


def test_frames_alone_as_together() -> None:
    scene = sample_planar_scene(
        3, frames=2, size=(32, 48), generator=generator("bent batch"), bends=BendRanges(share=0.7)
    )
    images = texture(3, (32, 48))
    together = render_planar_scene(images, scene)
    for i in range(3):
        alone = render_planar_scene(images[i : i + 1], scene_from_document(scene_to_document(scene, i)))
        close = (alone.radiance[0] - together.radiance[i]).abs() < 1e-4 * (1 + together.radiance[i])
        assert close.double().mean() > 0.999
        assert_close(alone.displacement_frame_label[0], together.displacement_frame_label[i], atol=1e-5)


def test_a_gpu_renders_the_same() -> None:
    scene = sample_planar_scene(1, frames=2, size=(64, 64), generator=generator("bent gpu"), bends=BendRanges())
    image = texture(1, (64, 64)).float()
    expected = render_planar_scene(image, scene)
    with pretend_gpu() as work:
        there = tree_map(lambda x: x.to(GPU) if isinstance(x, Tensor) else x, scene)
        work.clear()
        out = render_planar_scene(image.to(GPU), there)
        # One wait more than of a flat picture: whether it faces its cameras.
        assert work.waits.total() <= 11
        for a, b in zip(out, expected, strict=True):
            assert a.device == GPU
            assert_close(a.cpu(), b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["point", "area"])
def test_light_falls_by_the_normal_of_the_surface(kind: str) -> None:
    """A far light on a curl: the cosine to its normal, over pi."""
    light = make_light(kind, [-6.0, 0.0, -8.0], size=0.01)
    curl = bends(BendKind.CURL)._replace(
        height=torch.full((1, 1, 1), 0.4).double(), angle=torch.zeros(1, 1, 1).double()
    )
    flat = make_scene([light])
    with_bend, without = (render_planar_scene(white(), s).radiance[0, 0, 0] for s in (flat._replace(bends=curl), flat))
    scene = flat._replace(bends=curl)
    frames = prepare_frames(scene, scene_homography(scene), torch.float64, torch.device("cpu"))
    v, u = torch.meshgrid(torch.arange(64.0).double(), torch.arange(64.0).double(), indexing="ij")
    x, y = (p[0] for p in project_to_plane(frames, (u - 31.5)[None], (v - 31.5)[None]))
    slope = -0.8 * (x + 0.1).clamp_min(0)
    z = -0.4 * (x + 0.1).clamp_min(0) ** 2
    to_light = torch.stack((-6 - x, -y, -8 - z), dim=-1)
    normal = torch.stack((slope, torch.zeros_like(slope), -torch.ones_like(slope)), dim=-1)
    square = to_light.square().sum(-1)
    cosine = (normal * to_light).sum(-1) / (normal.norm(dim=-1) * square.sqrt())
    emitted = (
        10 / (4 * math.pi)
        if kind == "point"
        else 10 / math.pi * (to_light @ -torch.tensor([0.6, 0, 0.8]).double()) / square.sqrt()
    )
    expected = cosine * emitted / (math.pi * square)
    inside = (x.abs() < 0.5) & (y.abs() < 0.5)
    # Light of squares is interpolated over four pixels, also across the line where the curl begins.
    rtol = 1e-3 if kind == "point" else 6e-3
    assert_close(with_bend[0][inside[0]], expected[0][inside[0]], rtol=rtol, atol=1e-6)
    assert not torch.allclose(with_bend, without, rtol=0.05)


def test_highlights_move_to_where_the_surface_mirrors() -> None:
    """On a wave from left to right a lamp above the middle is mirrored where the slope fits."""
    light = make_light("point", [0.0, 0.0, -1.0], size=0.05, power=[1.0] * 3)
    wave = bends(BendKind.WAVE)._replace(angle=torch.zeros(1, 1, 1).double(), offset=torch.zeros(1, 1, 1).double())
    material = {"roughness": 0.1, "specular": 0.5, "coat": 0.0, "coat_roughness": 0.1}
    scene = make_scene([light], material=material)._replace(bends=wave)
    out = render_planar_scene(torch.zeros(1, 3, 8, 8, dtype=torch.float64), scene)
    row = out.radiance[0, 0, 0, 32]
    # Camera at -2, lamp at -1: the half vector at x has the slope (3 / 4) x, about.
    x = torch.linspace(-0.5, 0.5, 64).double()
    slope = 0.04 * 2 * math.pi / 0.9 * (2 * math.pi * x / 0.9).cos()
    wanted = int((slope - (-0.75 * x)).abs().argmin())
    assert abs(int(row.argmax()) - wanted) <= 2


def test_bends_survive_json_and_flat_scenes_do_not_speak_of_them() -> None:
    scene = sample_planar_scene(8, frames=3, generator=generator("json"), bends=BendRanges(share=0.5, change=0.2))
    assert scene.bends is not None
    is_bent = scene.bends.valid.flatten(1).any(1)
    assert is_bent.any()
    assert not is_bent.all()
    for index in range(8):
        document = scene_to_document(scene, index)
        again = scene_from_document(json.loads(json.dumps(document)))
        assert ("bends" in document["frames"][0]) == (again.bends is not None) == bool(is_bent[index])
        assert_close(scene_displacement(again)[0], scene_displacement(scene)[index], atol=1e-5)
        assert scene_to_document(again) == document


def test_sampled_bends() -> None:
    def draw(bends: BendRanges | None) -> PlanarScene:
        return sample_planar_scene(
            300, frames=4, size=(48, 64), picture_size=(3, 4), generator=generator("draw"), bends=bends
        )

    scene, flat = draw(BendRanges()), draw(None)
    for a, b in zip(tensors(scene), tensors(flat), strict=True):
        assert torch.equal(a, b)
    assert flat.bends is None
    assert scene.bends is not None
    kind, size = scene.bends.kind[:, 0, 0], bend_size(scene)
    assert_shares(kind, BendRanges().kind)
    free = size[kind != BendKind.FRAME]
    assert ((free > 0.9) & (free < 8.5)).all()
    assert free.quantile(0.1) < 2
    assert free.quantile(0.9) > 6
    assert (scene.bends.height[kind == BendKind.FRAME][..., 0].abs() <= 0.03 + 1e-9).all()
    assert facing(scene).min() > 0.2
    assert torch.equal(scene.bends.height[:, 0], scene.bends.height[:, 1])


def test_pages_change_from_frame_to_frame() -> None:
    ranges = BendRanges(kind=(0.5, 0.5, 0.0, 0.0), change=0.3)
    scene = sample_planar_scene(20, frames=3, generator=generator("change"), bends=ranges)
    assert scene.bends is not None
    ratio = scene.bends.height[:, 1, 0] / scene.bends.height[:, 0, 0]
    is_page = scene.bends.kind[:, 0, 0] == BendKind.CURL
    assert (ratio[~is_page] == 1).all()
    assert ((ratio[is_page] - 1).abs() > 1e-3).all()


def test_mean_displacement_is_that_of_the_field() -> None:
    scene = bent(BendKind.BULGE)
    field = scene_displacement(scene)[0]
    rows, columns = torch.meshgrid(torch.arange(96.0).double(), torch.arange(128.0).double(), indexing="ij")
    pixels = torch.stack((columns, rows), dim=-1).reshape(1, -1, 2)
    seen = transform_points(pixels.expand(4, -1, -1), scene_homography(scene)[0]).points + field.flatten(2).mT
    shown = ((seen >= -0.5) & (seen <= seen.new_tensor([127.5, 95.5]))).all(-1)
    expected = field.flatten(2).norm(dim=1)[shown].mean() * 2
    assert_close(bend_size(scene)[0], expected, rtol=0.02, atol=0)


def test_what_hides_itself_is_refused() -> None:
    scene = bent(BendKind.FRAME)
    assert scene.bends is not None
    steep = scene._replace(bends=scene.bends._replace(height=10 * scene.bends.height))
    with pytest.raises(OptionError, match="faces every camera"):
        render_planar_scene(white(), steep)
    with pytest.raises(OptionError, match="finite"):
        render_planar_scene(white(), scene._replace(bends=scene.bends._replace(angle=scene.bends.angle * torch.nan)))
    with pytest.raises(ShapeError, match=r"scene\.bends\.length"):
        render_planar_scene(white(), scene._replace(bends=scene.bends._replace(length=scene.bends.length[:, :1])))
    with pytest.raises(DtypeError, match=r"scene\.bends\.height"):
        render_planar_scene(white(), scene._replace(bends=scene.bends._replace(height=scene.bends.height.float())))


@pytest.mark.parametrize(
    "options", [{"share": 1.5}, {"change": -0.1}, {"displacement": (3, 1)}, {"kind": (1.0, 1.0, 0.0, 0.0)}, {"kind": 3}]
)
def test_ranges_that_make_no_sense(options: dict[str, object]) -> None:
    with pytest.raises(OptionError, match="BendRanges"):
        BendRanges(**options)  # type: ignore[arg-type]


def test_displacement_has_a_gradient() -> None:
    scene = bent(BendKind.WAVE)
    assert scene.bends is not None
    height = scene.bends.height.clone().requires_grad_()

    def field(height: Tensor) -> Tensor:
        assert scene.bends is not None
        return scene_displacement(scene._replace(bends=scene.bends._replace(height=height)))[..., ::31, ::31]

    assert torch.autograd.gradcheck(field, (height,))
