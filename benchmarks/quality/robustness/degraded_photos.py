"""Photos of a picture that are degraded by one factor, at one level."""

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
from diar_ops._pixels import image_size
from diar_ops._seeds import generator_for
from diar_ops.data import list_images
from diar_ops.scene import CameraRanges, PlanarScene, RenderedScene, SceneRanges, photograph, render_planar_scene
from diar_ops.scene.flags import SATURATED
from diar_ops.textures import TextureSource

#: Side of the frames in which scales are searched, in pixels.
SMALL = (64, 64)
#: Standard deviation of the noise in the dark, over that of a just saturated pixel.
READ_NOISE = 0.1
#: The middle of a shadow gets less than this share of the light when what casts it is opaque.
CORE = 0.6


class Photos(NamedTuple):
    """Photos of one picture, and the ground truth about them.

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
    generator = generator_for("robustness picture", sequence)
    if not textures:
        return TextureSource().sample(2, size, generator)
    files = list_images(textures)
    if len(files) < 2:
        raise OptionError(f"two pictures are needed, {textures[0]} holds one")
    order = torch.randperm(len(files), generator=generator_for("robustness order"))
    chosen = [files[order[(2 * sequence + k) % len(files)]] for k in range(2)]
    sources = [TextureSource(file, procedural=0, area=(0.6, 1.0), aspect=1.2) for file in chosen]
    return torch.cat([source.sample(1, size, generator) for source in sources])


def render_degraded_photos(factor: str, level: float, sequence: int, pictures: Tensor, frames: int) -> Photos:
    """Render the photos of a sequence; all but the factor is the same at each level.

    Args:
        factor: Of :data:`FACTORS`.
        level: In its unit, see there.
        sequence: Its number.
        pictures: (2, 3, S, S) what it shows, and what its foreign frames show.
        frames: T.

    Raises:
        OptionError: The factor is unknown.
    """
    check_option("render_degraded_photos", factor in _FACTORS, f"one of {', '.join(_FACTORS)}", factor)
    return _FACTORS[factor](_Sequence(str(sequence), pictures, frames), level)


class _Sequence(NamedTuple):
    """A sequence of a picture: (2, 3, S, S) the picture and that of foreign frames."""

    name: str
    pictures: Tensor
    frames: int

    def scene(self, ranges: SceneRanges = RANGES) -> tuple[PlanarScene, PlanarScene]:
        return mild_scene(self.name, self.frames, image_size(self.pictures), ranges)

    def render(self, scene: PlanarScene) -> RenderedScene:
        return render_planar_scene(self.pictures[:1], scene)

    def preview(self, scene: PlanarScene) -> RenderedScene:
        return self.render(thumbnail(scene, SMALL))

    def photograph(self, rendered: RenderedScene, camera: CameraRanges = CAMERA) -> Tensor:
        generator = generator_for("robustness camera", self.name)
        return photograph(rendered.radiance, ranges=camera, generator=generator)

    def photos(self, rendered: RenderedScene, frames: Tensor, measured: float) -> Photos:
        foreign = torch.zeros(self.frames, dtype=torch.bool)
        H = rendered.homography_frame_label[0]
        return Photos(frames[0], rendered.label[0], H, foreign, measured)


def _occluded(sequence: _Sequence, level: float) -> Photos:
    scene, drawn = sequence.scene()
    rendered = sequence.render(scene)
    if level > 0:

        def occluded(scale: Tensor) -> Tensor:
            preview = sequence.preview(with_things(drawn, scale))
            return _shares(preview, preview.occluded)

        scale = search_scales(occluded, level, 0.02, 20, sequence.frames)
        covered = sequence.render(with_things(drawn, scale))
        rendered = covered._replace(
            # What covers throws no shadows: those are a factor of their own.
            radiance=torch.where(covered.occluded, covered.radiance, rendered.radiance)
        )
    measured = _shares(rendered, rendered.occluded).mean()
    return sequence.photos(rendered, sequence.photograph(rendered), float(measured))


def _saturated(sequence: _Sequence, level: float) -> Photos:
    rendered = sequence.render(sequence.scene()[0])
    if level > 0:
        _, drawn = sequence.scene(MIRRORED)
        black = sequence._replace(pictures=torch.zeros_like(sequence.pictures))
        # The same gains, without what blurs the border of what is clipped.
        off = (0.0, 0.0)
        sharp = replace(CAMERA, blur=off, motion=off, shot_noise=off, read_noise=off, quality=None)
        small = sequence.preview(sequence.scene()[0])

        def clipped(scale: Tensor) -> Tensor:
            both = _with_light(small, black.preview(glare_scene(drawn, scale)))
            return _shares(both, _clipped(sequence.photograph(both, sharp)))

        scale = search_scales(clipped, level, 0.005, 10, sequence.frames)
        rendered = _with_light(rendered, black.render(glare_scene(drawn, scale)))
    frames = sequence.photograph(rendered)
    return sequence.photos(rendered, frames, float(_shares(rendered, _clipped(frames)).mean()))


def _with_light(rendered: RenderedScene, other: RenderedScene) -> RenderedScene:
    return rendered._replace(radiance=rendered.radiance + other.radiance)


def _shadow(sequence: _Sequence, level: float) -> Photos:
    scene, drawn = sequence.scene()
    rendered = sequence.render(with_casters(drawn, level))
    without, opaque, shaded = (
        sequence.preview(s).radiance.mean(dim=2) for s in (scene, with_casters(drawn, 1.0), with_casters(drawn, level))
    )
    core = opaque < CORE * without
    measured = float((1 - shaded / without)[core].mean()) if core.any() else 0.0
    return sequence.photos(rendered, sequence.photograph(rendered), measured)


def _noise(sequence: _Sequence, level: float) -> Photos:
    def camera(sigma: float) -> CameraRanges:
        read = READ_NOISE * sigma
        return replace(CAMERA, shot_noise=(sigma, sigma), read_noise=(read, read))

    rendered = sequence.render(sequence.scene()[0])
    noisy, clear = (sequence.photograph(rendered, camera(sigma)) for sigma in (level, 0.0))
    measured = float((noisy - clear).square().mean().sqrt())
    return sequence.photos(rendered, noisy, measured)


def _tilt(sequence: _Sequence, level: float) -> Photos:
    scene, _ = sequence.scene(replace(RANGES, tilt=(level, level)))
    rendered = sequence.render(scene)
    cosine = scene.R[0, 1:, 2, 2].clamp(-1, 1)
    measured = float(cosine.arccos().rad2deg().mean()) if sequence.frames > 1 else 0.0
    return sequence.photos(rendered, sequence.photograph(rendered), measured)


def _foreign(sequence: _Sequence, level: float) -> Photos:
    rendered = sequence.render(sequence.scene()[0])
    photos = sequence.photos(rendered, sequence.photograph(rendered), 0.0)
    count = min(round(level * sequence.frames), sequence.frames - 1)
    generator = generator_for("robustness foreign", sequence.name)
    order = torch.randperm(sequence.frames - 1, generator=generator)
    chosen = order[:count] + 1
    other = sequence._replace(name=f"{sequence.name} foreign", pictures=sequence.pictures[1:])
    foreign = other.render(other.scene()[0])
    photos.frames[chosen] = other.photograph(foreign)[0, chosen]
    photos.homography_frame_label[chosen] = foreign.homography_frame_label[0, chosen]
    photos.foreign[chosen] = True
    return photos._replace(measured=count / sequence.frames)


_FACTORS = {
    "occluded": _occluded,
    "saturated": _saturated,
    "shadow": _shadow,
    "noise": _noise,
    "tilt": _tilt,
    "foreign": _foreign,
}


def _shares(rendered: RenderedScene, mask: Tensor) -> Tensor:
    """Return the share (B, T) of the picture's pixels in each frame that a mask holds."""
    visible = rendered.visible.flatten(2)
    return (mask.flatten(2) & visible).sum(-1) / visible.sum(-1).clamp_min(1)


def _clipped(photos: Tensor) -> Tensor:
    return (photos.amax(dim=2, keepdim=True) * 255).round() >= SATURATED
