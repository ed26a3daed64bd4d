"""Photos of bent pictures, and of the same pictures flat, with the truth about each of their points."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops._pixels import fit_size
from diar_ops._seeds import generator_for
from diar_ops.data import list_images, read_image
from diar_ops.geometry import transform_points
from diar_ops.scene import BendKind, BendRanges, bend_size, photograph, render_planar_scene, sample_planar_scene
from diar_ops.textures import TextureSource

#: The sets: pictures in bent scenes, and the same scenes flat.
SETS = ("bent", "flat")
#: Points of the picture that are looked at are this many pixels apart.
STEP = 4


class BentPhotos(NamedTuple):
    """T photos of one picture, the last of another one, and where they show its points.

    Attributes:
        frames: (T, 3, H, W) float32 in [0, 1]; frame 0 is the reference, the last one foreign.
        points: (T - 1, P, 2) float64, where each frame shows P points of the picture.
        shown: (T - 1, P) bool, the point is in the frame.
        free: (T - 1, P) bool, and nothing is in front of it.
        kind: How the picture is bent, or ``"flat"``.
        bend: Mean displacement, in pixels at 256.
    """

    frames: Tensor
    points: Tensor
    shown: Tensor
    free: Tensor
    kind: str
    bend: float


def render_bent_photos(name: str, number: int, textures: Path | None, *, frames: int, size: int) -> BentPhotos:
    """Render a sequence; but for the bends, that of both sets is the same.

    Args:
        name: Of :data:`SETS`.
        number: Of the sequence.
        textures: A folder of pictures; procedural ones if None.
        frames: T, the reference and the foreign photo among them.
        size: Longer side of the frames, in pixels.

    Raises:
        ImageError: The folder does not exist, holds no images, or one cannot be read.
    """
    # One kind of bend after the other.
    bends = BendRanges(kind=tuple(float(kind == number % len(BendKind)) for kind in BendKind))
    picture, other = (_picture(textures, 2 * number + k) for k in range(2))
    generator = generator_for("bends scene", number)
    photos: list[Tensor] = []
    scenes = []
    for shown, count in ((picture, frames - 1), (other, 2)):
        side = fit_size((shown.shape[-2], shown.shape[-1]), size)
        # A foreign photo is as large as the others.
        frame = side if not photos else (photos[0].shape[-2], photos[0].shape[-1])
        scene = sample_planar_scene(frames=count, size=frame, picture_size=side, generator=generator, bends=bends)
        scene = scene if name == "bent" else scene._replace(bends=None)
        rendered = render_planar_scene(shown, scene)
        photos.append(photograph(rendered.radiance, generator=generator_for("bends camera", number))[0])
        scenes.append((scene, rendered))
    scene, rendered = scenes[0]
    height, width = scene.size
    rows, columns = torch.meshgrid(*(torch.arange(STEP // 2, n, STEP) for n in scene.size), indexing="ij")
    pixels = torch.stack((columns, rows), dim=-1).reshape(-1, 2).double()
    moved = rendered.displacement_frame_label[0][:, :, rows.flatten(), columns.flatten()].mT
    points = transform_points(pixels.expand(len(moved), -1, -1), rendered.homography_frame_label[0]).points + moved
    limit = points.new_tensor([width, height]) - 0.5
    shown = ((points >= -0.5) & (points <= limit)).all(-1)
    x, y = (points.round().clamp_min(0).minimum((limit - 0.5).round())).long().unbind(-1)
    hidden = rendered.occluded[0, :, 0][torch.arange(len(points))[:, None], y, x]
    kind, bend = "flat", 0.0
    if scene.bends is not None:
        kind, bend = BendKind(int(scene.bends.kind[0, 0, 0])).name.lower(), float(bend_size(scene))
    return BentPhotos(torch.cat((photos[0], photos[1][1:])), points, shown, shown & ~hidden, kind, bend)


def _picture(textures: Path | None, number: int) -> Tensor:
    """Return a picture (1, 3, H, W) float32: a file, in a fixed random order, or a procedural one."""
    if textures is None:
        return TextureSource().sample(1, (512, 512), generator_for("bends picture", number))
    files = list_images([textures])
    order = torch.randperm(len(files), generator=generator_for("bends order"))
    return read_image(files[order[number % len(files)]]).pixels[None] / 255.0
