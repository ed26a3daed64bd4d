"""The torch renderer, against closed forms and brute force."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._pytree import tree_map

from diar_ops import render_planar_scene, warp_homography
from diar_ops._errors import DtypeError, OptionError, ShapeError
from diar_ops.colour import srgb_to_linear
from diar_ops.scene import (
    PlanarScene,
    SceneRanges,
    render,
    sample_planar_scene,
    scene_from_document,
    scene_homography,
    scene_to_document,
)
from tests.harness import Call, OpTests, assert_close, generator
from tests.pretend_gpu import GPU, pretend_gpu
from tests.scene.render.scenes import SIZE, drawn, grey, make_object, make_scene, texture, white


class TestRenderPlanarScene(OpTests):
    op = "render_planar_scene"
    infinite = "a lamp of 1e30 outshines float32"
    exempt = {
        "compile": "which rays meet which thing decides about shapes: every scene would be a graph",
        "export": "which rays meet which thing decides about shapes",
        "vmap": "which rays meet which thing decides about shapes; it takes batches",
    }
    # One for the slots in use; one each for the lights and shadows, what rays hit, edges and their
    # rays, what is seen in mirrors and the shadows there.
    waits = 8
    # A mirrored highlight turns on the last digits of float32.
    half_bounds = {torch.float16: (5e-3, 2e-2)}

    def call(self, device: torch.device, dtype: torch.dtype) -> Call:
        return Call((texture(2, (40, 60)).to(device, dtype), drawn(2, 3)))

    def gradcheck_call(self, device: torch.device) -> tuple[Callable[..., Any], tuple[Tensor, ...]]:
        scene = drawn(1, 1, size=(3, 2), name="gradcheck")
        power, ambient = scene.lights.power, scene.ambient

        def function(image: Tensor, power: Tensor, ambient: Tensor) -> Tensor:
            lights = scene.lights._replace(power=power)
            lit = scene._replace(lights=lights, ambient=ambient)
            return render_planar_scene(image, lit).radiance

        image = texture(1, (2, 3)).to(device).requires_grad_()
        return function, (image, power.clone().requires_grad_(), ambient.clone().requires_grad_())

    def test_smoke(self, device: torch.device, dtype: torch.dtype) -> None:
        args, _ = self.call(device, dtype)
        out = render_planar_scene(*args)
        for tensor in out:
            assert tensor.device.type == device.type
            assert tensor.isfinite().all()
        assert out.radiance.dtype == out.label.dtype == dtype
        assert out.homography_frame_label.dtype == torch.float64

    def test_exception_shape(self) -> None:
        scene = drawn(2, 1)
        with pytest.raises(ShapeError, match=r"scene\.K must have shape"):
            render_planar_scene(torch.rand(3, 3, 8, 8), scene)
        with pytest.raises(ShapeError, match=r"\(B 3 H W\)"):
            render_planar_scene(torch.rand(2, 1, 8, 8), scene)

    def test_exception_dtype(self) -> None:
        with pytest.raises(DtypeError, match="floating point"):
            render_planar_scene(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), drawn(1, 1))
        scene = drawn(1, 1)
        for single in (
            scene._replace(K=scene.K.float()),
            scene._replace(lights=scene.lights._replace(power=scene.lights.power.float())),
        ):
            with pytest.raises(DtypeError, match=r"must be torch\.float64.* torch\.float32"):
                render_planar_scene(white(), single)

    def test_exception_option(self) -> None:
        with pytest.raises(OptionError, match="PlanarScene"):
            render_planar_scene(white(), None)  # type: ignore[arg-type]
        with pytest.raises(OptionError, match="pixels"):
            render_planar_scene(torch.rand(1, 3, 0, 8), drawn(1, 1))
        for detail in (0, 9, 1.5):
            with pytest.raises(OptionError, match="shadow_detail"):
                render_planar_scene(white(), drawn(1, 1), shadow_detail=detail)  # type: ignore[arg-type]

    @pytest.mark.parametrize(("batch", "frames", "size"), [(0, 2, (8, 8)), (1, 1, (1, 1)), (2, 3, (17, 33))])
    def test_cardinality(self, batch: int, frames: int, size: tuple[int, int]) -> None:
        out = render_planar_scene(texture(batch, (20, 20)), drawn(batch, frames, size))
        assert out.radiance.shape == (batch, frames, 3, *size)
        assert out.label.shape == (batch, 3, *size)
        assert out.homography_frame_label.shape == (batch, frames, 3, 3)
        assert out.homography_frame_label.dtype == torch.float64
        assert out.displacement_frame_label.shape == (batch, frames, 2, *size)
        for mask in out[3:-1]:
            assert mask.shape == (batch, frames, 1, *size)
            assert mask.dtype == torch.bool

    def test_cardinality_no_frames(self) -> None:
        scene = drawn(2, 1)
        none = [value[:, :0] for value in (scene.K, scene.R, scene.t, scene.ambient)]
        groups = [type(group)(*(value[:, :0] for value in group)) for group in (scene.lights, scene.objects)]
        scene = scene._replace(
            **dict(zip(("K", "R", "t", "ambient", "lights", "objects"), [*none, *groups], strict=True))
        )
        out = render_planar_scene(texture(2, (9, 9)), scene)
        assert out.radiance.shape == (2, 0, 3, 32, 48)
        assert out.label.shape == (2, 3, 32, 48)

    def test_cardinality_nothing_there(self) -> None:
        """Without lights, things and surroundings it is dark; with surroundings it is not."""
        assert (render_planar_scene(white(), make_scene()).radiance == 0).all()
        image = grey(render_planar_scene(white(), make_scene(ambient=0.75)))
        assert_close(image, torch.full(SIZE, 0.75))

    @pytest.mark.parametrize("size", [(48, 48), (40, 72)])
    def test_oracle_label(self, size: tuple[int, int]) -> None:
        """In even light an aligned frame is the label, and that the mean over each pixel."""
        image = texture(1, (2 * size[0], 2 * size[1]))
        scene = make_scene(ambient=0.5, size=size, picture_size=size)
        out = render_planar_scene(image, scene)
        assert_close(out.radiance[0, 0], 0.5 * srgb_to_linear(out.label[0]))
        mean = torch.nn.functional.avg_pool2d(srgb_to_linear(image), 2)
        assert_close(srgb_to_linear(out.label), mean)
        assert out.visible.all()
        assert not (out.occluded | out.shadow | out.highlight).any()

    @pytest.mark.parametrize("name", ["device a", "device b", "device c"])
    def test_property_kernels(self, name: str) -> None:
        """A GPU is given few kernels, and waited for a few times; the pixels are those of the CPU."""
        images, scene = texture(2, (128, 128)).float(), drawn(2, 4, (64, 64), name)
        expected = render_planar_scene(images, scene)
        with pretend_gpu() as work:
            for there in (tree_map(lambda x: x.to(GPU) if isinstance(x, Tensor) else x, scene), scene):
                work.clear()
                out = render_planar_scene(images.to(GPU), there)
                assert work.kernels.total() <= 4000
                assert work.waits.total() <= 10
                for a, b in zip(out, expected, strict=True):
                    assert a.device == GPU
                    assert_close(a.cpu(), b)

    # Geometry and texture.

    @pytest.mark.parametrize("picture_size", [(1, 1), (2, 3), (3, 2)])
    def test_oracle_homography(self, picture_size: tuple[int, int]) -> None:
        """Frames warped back by their ground truth lie on the label to 0.02 px."""
        size = (16 * picture_size[0] + 48, 16 * picture_size[1] + 48)
        scene = sample_planar_scene(1, frames=8, size=size, picture_size=picture_size, generator=generator("exactness"))
        scene = _unlit(scene)
        out = render_planar_scene(texture(1, (2 * size[0], 2 * size[1])), scene)
        assert torch.equal(out.homography_frame_label, scene_homography(scene))
        frames = out.radiance[0]
        back = warp_homography(frames, torch.linalg.inv(out.homography_frame_label[0]), size=size, mode="bicubic")
        label = srgb_to_linear(out.label)
        for frame in range(1, 8):
            shift = _shift(back.image[frame].mean(0), label[0].mean(0), back.valid[frame, 0])
            assert shift.abs().max() < 0.02, f"frame {frame}: {shift.tolist()}"

    def test_oracle_no_aliasing(self) -> None:
        """The finest checkerboard is grey, however many texels fall into a pixel."""
        board = (torch.arange(512)[:, None] + torch.arange(512)) % 2
        image = board.double().expand(1, 3, -1, -1)
        scene = _unlit(sample_planar_scene(1, frames=4, size=(32, 32), generator=generator("fine")))
        out = render_planar_scene(image, scene)
        inside = -torch.nn.functional.max_pool2d(-out.visible[0].double(), 3, 1, 1) > 0
        colours = out.radiance[0].mean(1, keepdim=True)[inside]
        assert (colours - 0.5).abs().max() < 0.02
        assert (out.label - 0.7354).abs().max() < 0.01

    @pytest.mark.parametrize("texels", [100, 139, 300])
    def test_oracle_label_of_any_texture(self, texels: int) -> None:
        """The label is the area mean also where no whole number of texels falls into a pixel."""
        image = texture(1, (texels, texels))
        label = render_planar_scene(image, make_scene(size=(48, 48))).label
        reach = torch.arange(texels + 1, dtype=torch.float64)
        # Overlap of each pixel with each texel, along one axis.
        edge = torch.linspace(0, texels, 49, dtype=torch.float64)
        low = torch.maximum(edge[:-1, None], reach[:-1])
        overlap = (torch.minimum(edge[1:, None], reach[1:]) - low).clamp_min(0) * 48 / texels
        mean = overlap @ srgb_to_linear(image) @ overlap.mT
        error = (srgb_to_linear(label) - mean).square().mean()
        assert -10 * error.log10() > 45

    def test_oracle_edges_are_smooth(self) -> None:
        """The covered share of edge pixels adds up to the area, closer than whole pixels do."""
        radius = 0.2
        item = make_object("disc", [0.013, 0.007, -1e-3], half_size=[radius, radius, 0.0])
        image = grey(render_planar_scene(white(), make_scene(objects=[item], ambient=1.0)))
        # A black disc that all but lies on the picture.
        dark = float((1 - image).clamp(0, 1).round(decimals=6)[image < 0.99].sum()) / 64**2
        covered = math.pi * radius**2 * (2 / 1.999) ** 2
        assert abs(dark / covered - 1) < 0.02

    # Properties.

    @settings(max_examples=8)
    @given(st.integers(0, 10**6))
    def test_property_frames_alone_as_in_batch(self, seed: int) -> None:
        scene = sample_planar_scene(2, frames=3, size=(20, 24), generator=torch.Generator().manual_seed(seed))
        images = texture(2, (20, 24))
        both = render_planar_scene(images, scene)
        one = render_planar_scene(images[1:], scene_from_document(scene_to_document(scene, 1)))
        # Documents keep ten digits.
        assert_close(one.radiance[0], both.radiance[1], rtol=1e-4, atol=1e-5)
        assert (one.occluded[0] == both.occluded[1]).double().mean() > 0.999

    def test_property_chunks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is worked on together does not matter."""
        scene, images = drawn(2, 5), texture(2, (32, 48))
        whole = render_planar_scene(images, scene)
        for rays in (1, 3 * 2048):
            monkeypatch.setitem(render.CHUNK, "cpu", rays)
            parts = render_planar_scene(images, scene)
            assert_close(parts.radiance, whole.radiance)
            for a, b in zip(parts[3:], whole[3:], strict=True):
                assert torch.equal(a, b)

    def test_property_nodes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is computed at nodes and interpolated is as if it were computed everywhere."""
        scene, image = drawn(1, 8, size=(128, 128), name="nodes"), texture(1, (128, 128))
        coarse = render_planar_scene(image, scene)
        monkeypatch.setattr(render, "NODE_SPACING", (1.0, 1.0))
        fine = render_planar_scene(image, scene)
        error = (coarse.radiance - fine.radiance).abs()
        assert 0 < error.mean() < 5e-4
        assert (error > 0.02).double().mean() < 1e-3

    def test_property_same_twice(self) -> None:
        scene, images = drawn(1, 3), texture(1, (32, 48))
        for a, b in zip(*(render_planar_scene(images, scene) for _ in range(2)), strict=True):
            assert torch.equal(a, b)

    def test_property_dtypes_agree(self) -> None:
        scene, images = drawn(2, 4), texture(2, (32, 48))
        double, single = (render_planar_scene(images.to(d), scene) for d in (torch.float64, torch.float32))
        close = (double.radiance - single.radiance).abs() < 1e-3 * (1 + double.radiance)
        # A ray that just meets a thing, or just does not.
        assert close.double().mean() > 0.999

    def test_property_masks(self) -> None:
        """Flags speak of the picture where it is seen, and ranges without things have no cover."""
        out = render_planar_scene(texture(4, (32, 48)), drawn(4, 6))
        for mask in (out.shadow, out.highlight):
            assert mask.any()
            assert not (mask & (out.occluded | ~out.visible)).any()
        ranges = SceneRanges(object_count=(1.0, 0.0, 0.0, 0.0), caster_count=(1.0, 0.0, 0.0))
        bare = sample_planar_scene(1, frames=4, size=(16, 16), generator=generator("bare"), ranges=ranges)
        out = render_planar_scene(white(), bare)
        assert not out.occluded.any()
        assert not out.shadow.any()

    def test_nan(self) -> None:
        """A NaN texel stays in its sequence, at the pixels that show it."""
        images = texture(2, (32, 48))
        scene = drawn(2, 3)
        clean = render_planar_scene(images, scene)
        images[0, 1, 10, 10] = torch.nan
        spoiled = render_planar_scene(images, scene)
        assert torch.equal(spoiled.radiance[1], clean.radiance[1])
        bad = spoiled.radiance[0].isnan()
        assert bad.any()
        assert bad.double().mean() < 0.02
        # What things see of the plane all around is its mean, without that texel.
        assert_close(spoiled.radiance[0][~bad], clean.radiance[0][~bad], rtol=1e-2, atol=1e-2)


def _unlit(scene: PlanarScene) -> PlanarScene:
    """Leave surroundings of radiance 1 and a matte picture."""
    return scene._replace(
        ambient=torch.ones_like(scene.ambient),
        lights=scene.lights._replace(valid=scene.lights.valid & False),
        objects=scene.objects._replace(valid=scene.objects.valid & False),
        material=scene.material._replace(specular=scene.material.specular * 0, coat=scene.material.coat * 0),
    )


def _shift(image: Tensor, reference: Tensor, valid: Tensor) -> Tensor:
    """Return by how much an image is shifted, (2,) pixels, by least squares."""
    gy, gx = torch.gradient(reference)
    keep = valid.clone()
    keep[:3] = keep[-3:] = False
    keep[:, :3] = keep[:, -3:] = False
    # Ragged borders of the valid part mix with what is beside it.
    keep = -torch.nn.functional.max_pool2d(-keep[None].double(), 5, 1, 2)[0] > 0
    A = torch.stack((gx[keep], gy[keep], torch.ones_like(gx[keep])), dim=-1)
    return torch.linalg.lstsq(A, (image - reference)[keep][:, None]).solution[:2, 0]
