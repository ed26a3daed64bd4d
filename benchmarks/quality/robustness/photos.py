"""Photos of a picture that are spoiled in one way, by so much."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.quality.robustness.scenes import (
    CAMERA,
    MIRRORED,
    RANGES,
    glare_scene,
    mild_scene,
    search_scales,
    thumbnail,
    with_casters,
    with_things,
)
from diar_ops._checks import check_option
from diar_ops._errors import OptionError
from diar_ops._seeds import generator_for
from diar_ops.data import list_images
from diar_ops.scene import CameraRanges, PlanarScene, RenderedScene, photograph, render_planar_scene
from diar_ops.scene.flags import SATURATED
from diar_ops.textures import TextureSource

#: Side of the frames in which scales are searched, in pixels.
SMALL = (64, 64)
#: Standard deviation of the noise in the dark, over that of a just saturated pixel.
READ_NOISE = 0.1
#: The middle of a shadow gets less than this share of the light when what casts it is opaque.
CORE = 0.6


class Photos(NamedTuple):
    """What a camera took of one picture, and what there is to know about it.

    Attributes:
        frames: (T, 3, H, W) float32 in [0, 1].
        label: (3, H, W) float32 in [0, 1], the picture.
        homography_frame_label: (T, 3, 3) float64, frame ~ H @ label; of a frame of another
            picture that of its own label.
        foreign: (T,) bool, frames of another picture; never frame 0.
        measured: How much of the factor the frames really have.
    """

    frames: Tensor
    label: Tensor
    homography_frame_label: Tensor
    foreign: Tensor
    measured: float


def choose_pictures(textures: Sequence[str | Path], sequence: int, size: tuple[int, int]) -> Tensor:
    """Return the picture of a sequence and the one its foreign frames show, (2, 3, H, W).

    Args:
        textures: Folders of images; procedural pictures without any.
        sequence: Its number. Files are taken in a fixed random order, two for each sequence.
        size: (height, width).

    Raises:
        ImageError: A folder does not exist or holds no images; a file cannot be read.
        OptionError: There is but one image.
    """
    dice = generator_for("robustness picture", sequence)
    if not textures:
        return TextureSource().sample(2, size, dice)
    files = list_images(textures)
    if len(files) < 2:
        raise OptionError(f"two pictures are needed, {textures[0]} holds one")
    order = torch.randperm(len(files), generator=generator_for("robustness order"))
    chosen = [files[order[(2 * sequence + k) % len(files)]] for k in range(2)]
    return torch.cat(
        [
            TextureSource(file, procedural=0, area=(0.6, 1.0), aspect=1.2).sample(1, size, dice)
            for file in chosen
        ]
    )


def take_photos(factor: str, level: float, sequence: int, pictures: Tensor, frames: int) -> Photos:
    """Take the photos of a sequence. All but the factor is the same at each level.

    Args:
        factor: Of :data:`FACTORS`.
        level: In its unit, see there.
        sequence: Its number.
        pictures: (2, 3, S, S) what it shows, and what its foreign frames show.
        frames: T.

    Raises:
        OptionError: The factor is unknown.
    """
    check_option("take_photos", factor in _TAKE, f"one of {', '.join(_TAKE)}", factor)
    return _TAKE[factor](_Set(str(sequence), pictures, frames), level)


class _Set(NamedTuple):
    name: str
    pictures: Tensor
    frames: int

    @property
    def size(self) -> tuple[int, int]:
        return int(self.pictures.shape[-2]), int(self.pictures.shape[-1])

    @property
    def scene(self) -> tuple[PlanarScene, PlanarScene]:
        return mild_scene(self.name, self.frames, self.size)

    def render(self, scene: PlanarScene) -> RenderedScene:
        return render_planar_scene(self.pictures[:1], scene)

    def preview(self, scene: PlanarScene) -> RenderedScene:
        return self.render(thumbnail(scene, SMALL))

    def photograph(self, rendered: RenderedScene, camera: CameraRanges = CAMERA) -> Tensor:
        dice = generator_for("robustness camera", self.name)
        return photograph(rendered.radiance, ranges=camera, generator=dice)

    def photos(self, rendered: RenderedScene, frames: Tensor, measured: float) -> Photos:
        foreign = torch.zeros(self.frames, dtype=torch.bool)
        H = rendered.homography_frame_label[0]
        return Photos(frames[0], rendered.label[0], H, foreign, measured)


def _occluded(of: _Set, level: float) -> Photos:
    scene, drawn = of.scene
    rendered = of.render(scene)
    if level > 0:
        scale = search_scales(
            lambda s: _shares(seen := of.preview(with_things(drawn, s)), seen.occluded),
            level,
            0.02,
            20,
            of.frames,
        )
        covered = of.render(with_things(drawn, scale))
        rendered = covered._replace(
            # What covers throws no shadows: those are a factor of their own.
            radiance=torch.where(covered.occluded, covered.radiance, rendered.radiance)
        )
    measured = _shares(rendered, rendered.occluded).mean()
    return of.photos(rendered, of.photograph(rendered), float(measured))


def _saturated(of: _Set, level: float) -> Photos:
    rendered = of.render(of.scene[0])
    if level > 0:
        _, drawn = mild_scene(of.name, of.frames, of.size, MIRRORED)
        black = of._replace(pictures=torch.zeros_like(of.pictures))
        # The same gains, without what blurs the border of what is clipped.
        off = (0.0, 0.0)
        sharp = replace(CAMERA, blur=off, motion=off, shot_noise=off, read_noise=off, quality=None)
        small = of.preview(of.scene[0])

        def clipped(scale: Tensor) -> Tensor:
            both = _with_light(small, black.preview(glare_scene(drawn, scale)))
            return _shares(both, _clipped(of.photograph(both, sharp)))

        scale = search_scales(clipped, level, 0.005, 10, of.frames)
        rendered = _with_light(rendered, black.render(glare_scene(drawn, scale)))
    frames = of.photograph(rendered)
    return of.photos(rendered, frames, float(_shares(rendered, _clipped(frames)).mean()))


def _with_light(rendered: RenderedScene, other: RenderedScene) -> RenderedScene:
    return rendered._replace(radiance=rendered.radiance + other.radiance)


def _shadow(of: _Set, level: float) -> Photos:
    scene, drawn = of.scene
    rendered = of.render(with_casters(drawn, level))
    without, opaque, shaded = (
        of.preview(s).radiance.mean(dim=2)
        for s in (scene, with_casters(drawn, 1.0), with_casters(drawn, level))
    )
    core = opaque < CORE * without
    measured = float((1 - shaded / without)[core].mean()) if core.any() else 0.0
    return of.photos(rendered, of.photograph(rendered), measured)


def _noise(of: _Set, level: float) -> Photos:
    def camera(sigma: float) -> CameraRanges:
        read = READ_NOISE * sigma
        return replace(CAMERA, shot_noise=(sigma, sigma), read_noise=(read, read))

    rendered = of.render(of.scene[0])
    noisy, clear = (of.photograph(rendered, camera(sigma)) for sigma in (level, 0.0))
    measured = float((noisy - clear).square().mean().sqrt())
    return of.photos(rendered, noisy, measured)


def _tilt(of: _Set, level: float) -> Photos:
    scene, _ = mild_scene(of.name, of.frames, of.size, replace(RANGES, tilt=(level, level)))
    rendered = of.render(scene)
    cosine = scene.R[0, 1:, 2, 2].clamp(-1, 1)
    measured = float(cosine.arccos().rad2deg().mean()) if of.frames > 1 else 0.0
    return of.photos(rendered, of.photograph(rendered), measured)


def _foreign(of: _Set, level: float) -> Photos:
    rendered = of.render(of.scene[0])
    photos = of.photos(rendered, of.photograph(rendered), 0.0)
    count = min(round(level * of.frames), of.frames - 1)
    order = torch.randperm(of.frames - 1, generator=generator_for("robustness foreign", of.name))
    chosen = order[:count] + 1
    other = of._replace(name=f"{of.name} foreign", pictures=of.pictures[1:])
    seen = other.render(other.scene[0])
    photos.frames[chosen] = other.photograph(seen)[0, chosen]
    photos.homography_frame_label[chosen] = seen.homography_frame_label[0, chosen]
    photos.foreign[chosen] = True
    return photos._replace(measured=count / of.frames)


_TAKE = {
    "occluded": _occluded,
    "saturated": _saturated,
    "shadow": _shadow,
    "noise": _noise,
    "tilt": _tilt,
    "foreign": _foreign,
}


def _shares(rendered: RenderedScene, mask: Tensor) -> Tensor:
    """Return the share (B, T) of the picture's pixels in each frame that a mask holds."""
    seen = rendered.visible.flatten(2)
    return (mask.flatten(2) & seen).sum(-1) / seen.sum(-1).clamp_min(1)


def _clipped(photos: Tensor) -> Tensor:
    return (photos.amax(dim=2, keepdim=True) * 255).round() >= SATURATED
