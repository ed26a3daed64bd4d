"""The torch renderer, against closed forms and brute force."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from diar_ops import RenderedScene, render_planar_scene, warp_homography
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

SIZE = (64, 64)
MATTE = {"roughness": 1.0, "specular": 0.0, "coat": 0.0, "coat_roughness": 0.1}
MIRRORING = {"roughness": 0.05, "specular": 0.5, "coat": 0.0, "coat_roughness": 0.1}
IDENTITY = torch.eye(3).tolist()


def lamp(kind: str, position: list[float], **other: Any) -> dict[str, Any]:
    aim = -torch.tensor(position, dtype=torch.float64)
    return {
        "kind": kind,
        "position": position,
        "direction": (aim / aim.norm()).tolist(),
        "power": [10.0] * 3,
        "size": 0.01,
        "cone": 1.0,
        **other,
    }


def thing(kind: str, position: list[float], **other: Any) -> dict[str, Any]:
    return {
        "kind": kind,
        "position": position,
        "rotation": IDENTITY,
        "half_size": [0.1] * 3,
        "outline": [[0.0] * 6] * 2,
        "hole": 0.0,
        "finish": "diffuse",
        "colour": [0.0] * 3,
        "roughness": 0.1,
        "opacity": 1.0,
        **other,
    }


def stage(
    lights: list[dict[str, Any]] | None = None,
    objects: list[dict[str, Any]] | None = None,
    *,
    ambient: float = 0.0,
    size: tuple[int, int] = SIZE,
    material: dict[str, float] = MATTE,
    picture_size: tuple[float, float] = (1.0, 1.0),
) -> PlanarScene:
    """One aligned frame of a scene that is written down."""
    drawn = sample_planar_scene(frames=1, size=size, picture_size=torch.tensor(picture_size))
    document = scene_to_document(drawn)
    document["picture"]["material"] = material
    document["frames"][0] |= {
        "ambient": [ambient] * 3,
        "lights": lights or [],
        "objects": objects or [],
    }
    return scene_from_document(document)


def white(batch: int = 1, level: float = 1.0) -> Tensor:
    return torch.full((batch, 3, 8, 8), level, dtype=torch.float64)


def grey(out: RenderedScene) -> Tensor:
    """Radiance (h, w) of the only frame, whose channels are alike."""
    assert_close(out.radiance[0, 0, 0], out.radiance[0, 0, 1])
    return out.radiance[0, 0, 0]


def positions(scene: PlanarScene) -> tuple[Tensor, Tensor]:
    """World x and y (h, w) of the pixels of an aligned frame."""
    (height, width), (high, wide) = scene.size, scene.picture_size[0].tolist()
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return ((x + 0.5) / width - 0.5).double() * wide, ((y + 0.5) / height - 0.5).double() * high


def texture(batch: int, size: tuple[int, int], name: str = "render texture") -> Tensor:
    """Smooth noise, (batch, 3, *size) in [0.1, 0.9]."""
    noise = torch.rand(batch, 3, *(side + 8 for side in size), generator=generator(name)).double()
    noise = torch.nn.functional.avg_pool2d(noise, 9, stride=1)
    return (0.5 + 3 * (noise - 0.5)).clamp(0.1, 0.9)


def drawn(batch: int, frames: int, size: tuple[int, int] = (32, 48), name: str = "scene") -> Any:
    return sample_planar_scene(
        batch, frames=frames, size=size, picture_size=size, generator=generator(name)
    )


class TestRenderPlanarScene(OpTests):
    op = "render_planar_scene"
    exempt = {
        "compile": "which rays meet which thing decides about shapes: every scene would be a graph"
    }

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
        with pytest.raises(ShapeError, match="B = 3"):
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
            with pytest.raises(DtypeError, match=r"must be float64 .* torch\.float32"):
                render_planar_scene(white(), single)

    def test_exception_option(self) -> None:
        with pytest.raises(OptionError, match="PlanarScene"):
            render_planar_scene(white(), None)  # type: ignore[arg-type]
        with pytest.raises(OptionError, match="pixels"):
            render_planar_scene(torch.rand(1, 3, 0, 8), drawn(1, 1))
        for detail in (0, 9, 1.5):
            with pytest.raises(OptionError, match="shadow_detail"):
                render_planar_scene(white(), drawn(1, 1), shadow_detail=detail)  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("batch", "frames", "size"), [(0, 2, (8, 8)), (1, 1, (1, 1)), (2, 3, (17, 33))]
    )
    def test_cardinality(self, batch: int, frames: int, size: tuple[int, int]) -> None:
        out = render_planar_scene(texture(batch, (20, 20)), drawn(batch, frames, size))
        assert out.radiance.shape == (batch, frames, 3, *size)
        assert out.label.shape == (batch, 3, *size)
        assert out.homography_frame_label.shape == (batch, frames, 3, 3)
        assert out.homography_frame_label.dtype == torch.float64
        for mask in out[3:]:
            assert mask.shape == (batch, frames, 1, *size)
            assert mask.dtype == torch.bool

    def test_cardinality_no_frames(self) -> None:
        scene = drawn(2, 1)
        none = [value[:, :0] for value in (scene.K, scene.R, scene.t, scene.ambient)]
        groups = [
            type(group)(*(value[:, :0] for value in group))
            for group in (scene.lights, scene.objects)
        ]
        scene = scene._replace(
            **dict(
                zip(("K", "R", "t", "ambient", "lights", "objects"), [*none, *groups], strict=True)
            )
        )
        out = render_planar_scene(texture(2, (9, 9)), scene)
        assert out.radiance.shape == (2, 0, 3, 32, 48)
        assert out.label.shape == (2, 3, 32, 48)

    def test_cardinality_nothing_there(self) -> None:
        """Without lights, things and surroundings it is dark; with surroundings it is not."""
        assert (render_planar_scene(white(), stage()).radiance == 0).all()
        image = grey(render_planar_scene(white(), stage(ambient=0.75)))
        assert_close(image, torch.full(SIZE, 0.75))

    # What the light does, against closed forms.

    @pytest.mark.parametrize("size", [(48, 48), (40, 72)])
    def test_oracle_label(self, size: tuple[int, int]) -> None:
        """In even light an aligned frame is the label, and that the mean over each pixel."""
        image = texture(1, (2 * size[0], 2 * size[1]))
        scene = stage(ambient=0.5, size=size, picture_size=size)
        out = render_planar_scene(image, scene)
        assert_close(out.radiance[0, 0], 0.5 * srgb_to_linear(out.label[0]))
        mean = torch.nn.functional.avg_pool2d(srgb_to_linear(image), 2)
        assert_close(srgb_to_linear(out.label), mean)
        assert out.visible.all()
        assert not (out.occluded | out.shadow | out.highlight).any()

    def test_oracle_point_light(self) -> None:
        """Inverse square and cosine; a sphere's irradiance is that of its centre."""
        scene = stage([lamp("point", [0.2, -0.1, -0.8], size=0.1)])
        x, y = positions(scene)
        square = (x - 0.2) ** 2 + (y + 0.1) ** 2 + 0.64
        expected = 10 / (4 * math.pi) * 0.8 / square**1.5 / math.pi
        assert_close(grey(render_planar_scene(white(), scene)), expected)

    def test_oracle_spot(self) -> None:
        """A spot is a point light within its cone, fading over 15 % of 1 - cos(cone / 2)."""
        at = [0.0, 0.0, -1.0]
        point = grey(render_planar_scene(white(), stage([lamp("point", at, size=1e-4)])))
        scene = stage([lamp("spot", at, size=1e-4, cone=0.8)])
        x, y = positions(scene)
        cosine = 1 / (1 + x * x + y * y).sqrt()
        edge = math.cos(0.4)
        step = ((cosine - edge) / (0.15 * (1 - edge))).clamp(0, 1)
        expected = point * step**2 * (3 - 2 * step)
        assert_close(grey(render_planar_scene(white(), scene)), expected, atol=1e-4)
        assert 0.2 < (expected > 0).double().mean() < 0.8

    def test_oracle_square_light(self) -> None:
        """Against a sum over 200 x 200 points of a square that lies askew."""
        light = lamp("area", [0.5, 0.2, -0.7], size=0.8)
        scene = stage([light], size=(8, 8))
        x, y = positions(scene)
        z = torch.tensor(light["direction"])
        k = 1 / (1 + z[2])
        right = torch.tensor([1 - k * z[0] ** 2, -k * z[0] * z[1], -z[0]]).double()
        down = torch.tensor([-k * z[0] * z[1], 1 - k * z[1] ** 2, -z[1]]).double()
        step = ((torch.arange(200) + 0.5) / 200 - 0.5).double() * 0.8
        sources = torch.tensor(light["position"]).double() + (
            step[:, None, None] * right + step[:, None] * down
        )
        toward = sources.reshape(-1, 3) - torch.stack((x, y, 0 * x), dim=-1).reshape(-1, 1, 3)
        distance = toward.norm(dim=-1)
        emitted = -(toward @ z.double()) / distance
        irradiance = (10 / math.pi * emitted * -toward[..., 2] / distance**3).mean(-1)
        expected = (irradiance / math.pi).reshape(8, 8)
        assert_close(grey(render_planar_scene(white(), scene)), expected, rtol=6e-3)

    def test_oracle_far_square_is_a_point(self) -> None:
        far, power = [0.0, 0.0, -30.0], [4000.0] * 3
        square = stage([lamp("area", far, size=0.5, power=power)])
        # A square sends power / pi ahead, a point power / (4 pi) all around.
        point = stage([lamp("point", far, power=[4 * p for p in power])])
        images = [grey(render_planar_scene(white(), scene)) for scene in (square, point)]
        assert_close(images[0], images[1], rtol=1e-3)

    def test_oracle_highlight(self) -> None:
        """A sphere is mirrored where angles are equal, as large as its image, F times as bright."""
        radius, at = 0.08, (0.3, 0.1, -1.0)
        material = {**MIRRORING, "roughness": 0.02}
        scene = stage([lamp("point", list(at), size=radius)], material=material, size=(256, 256))
        image = grey(render_planar_scene(white(level=0.0), scene))
        x, y = positions(scene)
        bright = image > 0.5 * image.max()
        assert abs(float(x[bright].mean()) - at[0] * 2 / 3) < 0.003
        assert abs(float(y[bright].mean()) - at[1] * 2 / 3) < 0.003
        # The image is one behind the plane, at distance 3 from the camera, seen through z = 0.
        area = float(bright.sum()) / 256**2
        assert abs(area / (math.pi * (radius * 2 / 3) ** 2) - 1) < 0.06
        radiance = 10 / (4 * math.pi**2 * radius**2)
        assert abs(float(image.max()) / (0.04 * radiance) - 1) < 0.03

    def test_oracle_rough_highlight_keeps_energy(self) -> None:
        """The lobe spreads as it gets rougher: lower and wider, never brighter."""
        peaks = []
        for roughness in (0.1, 0.3, 0.5):
            material = {**MIRRORING, "roughness": roughness}
            scene = stage([lamp("point", [0.0, 0.0, -1.0], size=0.02)], material=material)
            peaks.append(float(grey(render_planar_scene(white(level=0.0), scene)).max()))
        # GGX's peak is 1 / (pi alpha^2) where the light is much smaller than the lobe.
        assert peaks[0] > peaks[1] > peaks[2]
        assert abs(peaks[1] / peaks[2] / (0.5 / 0.3) ** 4 - 1) < 0.05

    # What things do.

    def test_oracle_umbra(self) -> None:
        """The shadow of a sphere under a tiny light: a disc of a known radius, sharp."""
        height, centre, radius = 1.0, 0.4, 0.12
        scene = stage(
            [lamp("point", [0.1, 0.0, -height], size=1e-4)],
            # On the camera's ray through nothing that is lit: the thing itself hides little.
            [thing("sphere", [0.1, 0.0, -centre], half_size=[radius] * 3)],
            size=(128, 128),
        )
        bare = scene._replace(objects=scene.objects._replace(valid=scene.objects.valid & False))
        image, free = (render_planar_scene(white(), s) for s in (scene, bare))
        share = (grey(image) / grey(free))[~image.occluded[0, 0, 0]]
        x, y = positions(scene)
        distance = ((x - 0.1) ** 2 + y**2).sqrt()[~image.occluded[0, 0, 0]]
        sine = radius / (height - centre)
        edge = height * sine / math.sqrt(1 - sine**2)
        pixel = 1 / 128
        assert (share[distance < edge - pixel] < 1e-3).all()
        assert (share[distance > edge + pixel] > 1 - 1e-3).all()
        assert (distance < edge - pixel).sum() > 200
        shadow = image.shadow[0, 0, 0][~image.occluded[0, 0, 0]]
        assert (shadow == (share < 0.75)).all()

    def test_oracle_occluded(self) -> None:
        """A sphere hides the inside of the conic that is its outline."""
        scene = drawn(1, 8, size=(64, 80), name="conic")
        document = scene_to_document(scene)
        centre, radius = [0.1, -0.05, -0.5], 0.15
        for frame in document["frames"]:
            frame["objects"] = [thing("sphere", centre, half_size=[radius] * 3)]
        scene = scene_from_document(document)
        occluded = render_planar_scene(white(), scene).occluded[0, :, 0]
        quadric = np.diag([radius**2, radius**2, radius**2, -1.0])
        move = np.eye(4)
        move[:3, 3] = centre
        for frame in range(8):
            K, R, t = (field[0, frame].numpy() for field in (scene.K, scene.R, scene.t))
            P = K @ np.concatenate([R, t[:, None]], axis=1) @ move
            conic = np.linalg.inv(P @ quadric @ P.T)
            conic = conic if conic[0, 0] > 0 else -conic
            y, x = np.mgrid[:64, :80]

            def inside(dx: float, dy: float, conic: Any = conic, x: Any = x, y: Any = y) -> Any:
                p = np.stack([x + dx, y + dy, np.ones_like(x)], axis=-1)
                return np.einsum("...i,ij,...j->...", p, conic, p) < 0

            mask = occluded[frame].numpy()
            assert mask[inside(0, 0)].all()
            reach = [inside(dx, dy) for dx in (-0.5, 0, 0.5) for dy in (-0.5, 0, 0.5)]
            assert not mask[~np.any(reach, axis=0)].any()

    @pytest.mark.parametrize("light", ["point", "area"])
    @pytest.mark.parametrize("kind", ["sphere", "box", "cylinder", "disc", "card"])
    def test_oracle_soft_shadow(self, kind: str, light: str) -> None:
        """Against brute force: rays to 400 points of a large light, for things that lie askew."""
        turn = _some_rotation()
        half = [0.14, 0.09, 0.0 if kind in ("disc", "card") else 0.06]
        outline = [[0.1, -0.08, 0.05, 0.0, 0.05, 0.0], [0.0, 0.1, 0.0, -0.06, 0.0, 0.04]]
        item = thing(
            kind,
            [0.05, -0.1, -0.3],
            rotation=turn.tolist(),
            half_size=half,
            outline=outline if kind == "card" else [[0.0] * 6] * 2,
            hole=0.5 if kind == "disc" else 0.0,
        )
        size = 0.5 if light == "area" else 0.15
        source = lamp(light, [0.0, 0.0, -1.0], size=size)
        scene = stage([source], [item], size=(16, 16))
        free = stage([source], size=(16, 16))
        out = render_planar_scene(white(), scene)
        share = (grey(out) / grey(render_planar_scene(white(), free))).numpy()
        expected = _brute_force_shadow(scene, item, light, size)
        seen = ~out.occluded[0, 0, 0].numpy()
        error = np.abs(share - expected)[seen]
        assert error.mean() < 0.012
        assert error.max() < 0.15
        assert expected[seen].min() < 0.85, "there is a shadow to look at"

    @pytest.mark.parametrize("kind", ["sphere", "box", "cylinder"])
    def test_oracle_light_within_a_thing(self, kind: str) -> None:
        """Nothing comes out, wherever in it the light is."""
        for aside, deep in ((0.0, 0.0), (0.05, 0.0), (0.02, 0.08), (-0.03, -0.08)):
            item = thing(kind, [0.1, -0.05, -0.5], rotation=_some_rotation().tolist())
            source = lamp("point", [0.1 + aside, -0.05, -0.5 + deep], size=1e-3)
            out = render_planar_scene(white(), stage([source], [item]))
            assert float(grey(out)[~out.occluded[0, 0, 0]].max()) < 1e-6

    def test_oracle_tinted_shadow(self) -> None:
        """What a tinted sheet lets through is its colour, times what it does not scatter."""
        item = thing("card", [0, 0, -0.3], half_size=[0.1, 0.1, 0.0], finish="tinted",
                     colour=[0.8, 0.4, 0.2], opacity=0.25)  # fmt: skip
        source = lamp("point", [0.4, 0.0, -1.0], size=1e-3)
        lit, free = (render_planar_scene(white(), stage([source], items)) for items in ([item], []))
        # The middle of the shadow, on the ray from the light through the card's centre.
        row, column = 32, round((-0.4 * 0.3 / 0.7 + 0.5) * 64 - 0.5)
        ratio = lit.radiance[0, 0, :, row, column] / free.radiance[0, 0, :, row, column]
        assert_close(ratio, 0.75 * torch.tensor([0.8, 0.4, 0.2]), rtol=1e-6)

    def test_oracle_openness(self) -> None:
        """Below a black sphere, 1 - (r / d)^2 of the surroundings' light is left."""
        scene = stage(objects=[thing("sphere", [0.0, 0.0, -0.5])], ambient=1.0, size=(65, 65))
        image = render_planar_scene(white(), scene)
        x, y = positions(scene)
        square = x**2 + y**2 + 0.25
        expected = 1 - 0.01 / square * 0.5 / square.sqrt()
        seen = ~image.occluded[0, 0, 0]
        assert_close(grey(image)[seen], expected[seen], atol=1e-3)

    def test_oracle_colour_of_things(self) -> None:
        """A sheet that faces the camera and a light beside it: Lambert; mirror: surroundings."""
        source = lamp("point", [0.0, 0.0, -3.0], size=1e-3, direction=[0.0, 0.0, 1.0])
        flat = {"half_size": [0.2, 0.2, 0.0], "colour": [0.5] * 3}
        out = render_planar_scene(white(), stage([source], [thing("card", [0, 0, -0.5], **flat)]))
        expected = 0.5 * 10 / (4 * math.pi) / 2.5**2 / math.pi
        assert_close(out.radiance[0, 0, 0, 32, 32], expected, rtol=1e-3)
        mirror = thing("card", [0, 0, -0.5], finish="mirror", **flat)
        out = render_planar_scene(white(), stage(objects=[mirror], ambient=0.6))
        assert_close(out.radiance[0, 0, 0, 32, 32], 0.5 * 0.6, rtol=1e-5)

    # Geometry and texture.

    @pytest.mark.parametrize("picture_size", [(1, 1), (2, 3), (3, 2)])
    def test_oracle_homography(self, picture_size: tuple[int, int]) -> None:
        """Frames warped back by their ground truth lie on the label to 0.02 px."""
        size = (16 * picture_size[0] + 48, 16 * picture_size[1] + 48)
        scene = sample_planar_scene(
            1, frames=8, size=size, picture_size=picture_size, generator=generator("exactness")
        )
        scene = _unlit(scene)
        out = render_planar_scene(texture(1, (2 * size[0], 2 * size[1])), scene)
        assert torch.equal(out.homography_frame_label, scene_homography(scene))
        frames = out.radiance[0]
        back = warp_homography(
            frames, torch.linalg.inv(out.homography_frame_label[0]), size=size, mode="bicubic"
        )
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
        label = render_planar_scene(image, stage(size=(48, 48))).label
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
        item = thing("disc", [0.013, 0.007, -1e-3], half_size=[radius, radius, 0.0])
        image = grey(render_planar_scene(white(), stage(objects=[item], ambient=1.0)))
        # A black disc that all but lies on the picture.
        dark = float((1 - image).clamp(0, 1).round(decimals=6)[image < 0.99].sum()) / 64**2
        covered = math.pi * radius**2 * (2 / 1.999) ** 2
        assert abs(dark / covered - 1) < 0.02

    @pytest.mark.parametrize("kind", ["sphere", "box", "cylinder", "disc", "card"])
    def test_a_thing_without_size_is_not_there(self, kind: str) -> None:
        source = lamp("point", [0.3, 0.0, -1.0], size=0.05)
        item = thing(kind, [0.1, 0.0, -0.5], half_size=[0.0] * 3)
        out, free = (
            render_planar_scene(white(), stage([source], items, ambient=0.2))
            for items in ([item], [])
        )
        assert_close(out.radiance, free.radiance, rtol=1e-3, atol=1e-3)

    # Properties.

    @settings(max_examples=8)
    @given(st.integers(0, 10**6))
    def test_property_frames_alone_as_in_batch(self, seed: int) -> None:
        scene = sample_planar_scene(
            2, frames=3, size=(20, 24), generator=torch.Generator().manual_seed(seed)
        )
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
        double, single = (
            render_planar_scene(images.to(d), scene) for d in (torch.float64, torch.float32)
        )
        close = (double.radiance - single.radiance).abs() < 1e-3 * (1 + double.radiance)
        # A ray that just meets a thing, or just does not.
        assert close.double().mean() > 0.999

    def test_property_light_adds_up(self) -> None:
        """On the plane, two lights together give the sum of each alone."""
        lights = [
            lamp("point", [0.3, 0.0, -1.0], size=0.05),
            lamp("area", [-0.3, 0.2, -0.8], size=0.3),
        ]
        items = [thing("box", [0.0, 0.0, -0.3])]
        both, *each = (
            render_planar_scene(white(), stage(some, items, material=MIRRORING))
            for some in (lights, lights[:1], lights[1:])
        )
        seen = ~both.occluded[0, 0, 0]
        total = sum(out.radiance[0, 0][:, seen] for out in each)
        assert_close(both.radiance[0, 0][:, seen], total)

    def test_property_masks(self) -> None:
        """Flags speak of the picture where it is seen, and ranges without things have no cover."""
        out = render_planar_scene(texture(4, (32, 48)), drawn(4, 6))
        for mask in (out.shadow, out.highlight):
            assert mask.any()
            assert not (mask & (out.occluded | ~out.visible)).any()
        bare = sample_planar_scene(
            1, frames=4, size=(16, 16), generator=generator("bare"),
            ranges=SceneRanges(object_count=(1.0, 0.0, 0.0, 0.0), caster_count=(1.0, 0.0, 0.0)),
        )  # fmt: skip
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


def _some_rotation() -> Tensor:
    values = torch.randn(3, 3, generator=generator("askew")).double()
    rotation = torch.linalg.qr(values).Q
    return rotation * torch.linalg.det(rotation)


def _unlit(scene: PlanarScene) -> PlanarScene:
    """Leave surroundings of radiance 1 and a matte picture."""
    return scene._replace(
        ambient=torch.ones_like(scene.ambient),
        lights=scene.lights._replace(valid=scene.lights.valid & False),
        objects=scene.objects._replace(valid=scene.objects.valid & False),
        material=scene.material._replace(
            specular=scene.material.specular * 0, coat=scene.material.coat * 0
        ),
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


def _brute_force_shadow(
    scene: PlanarScene, item: dict[str, Any], light: str, size: float
) -> np.ndarray:
    """Return the unhidden share of a light above the origin, by 400 rays from each pixel."""
    x, y = (value.numpy().reshape(-1, 1) for value in positions(scene))
    u, v = ((np.mgrid[:20, :20] + 0.5) / 20 - 0.5).reshape(2, -1) * size
    if light == "point":
        u, v = 2 * u, 2 * v
        u, v = (value[u**2 + v**2 <= size**2] for value in (u, v))
    start = np.stack(np.broadcast_arrays(x, y, 0 * x), -1)
    rays = np.stack(np.broadcast_arrays(u, v, -1.0), -1) - start
    turn, half = np.array(item["rotation"]), np.array(item["half_size"])
    half = np.where(half == 0, 1.0, half)
    o, d = ((value @ turn) / half for value in (start - item["position"], rays))
    steps = [-(o[..., 2] / d[..., 2])] if item["half_size"][2] == 0 else np.linspace(0.15, 0.5, 80)
    hidden = np.zeros(np.broadcast_shapes(o.shape[:-1], d.shape[:-1]), bool)
    for step in steps:
        p = o + np.asarray(step)[..., None] * d
        r = np.hypot(p[..., 0], p[..., 1])
        if item["kind"] == "sphere":
            inside = (p**2).sum(-1) < 1
        elif item["kind"] == "box":
            inside = np.abs(p).max(-1) < 1
        elif item["kind"] == "cylinder":
            inside = (r < 1) & (np.abs(p[..., 2]) < 1)
        elif item["kind"] == "disc":
            inside = (r < 1) & (r > item["hole"])
        else:
            phi, (a, b) = np.arctan2(p[..., 1], p[..., 0]), item["outline"]
            reach = 1 + sum(
                a[k] * np.cos((k + 1) * phi) + b[k] * np.sin((k + 1) * phi) for k in range(6)
            )
            inside = np.abs(p[..., :2]).max(-1) < reach
        hidden |= inside
    # Each part counts by what it would give.
    square = (rays**2).sum(-1)
    weight = 1 / square**2 if light == "area" else np.ones_like(square)
    return 1 - ((hidden * weight).sum(-1) / weight.sum(-1)).reshape(scene.size)
