"""The gallery: ``python docs/figures gallery PAINTINGS`` renders photos of paintings and cleans them.

The paintings (CC0, Art Institute of Chicago) are not in the repository; their first ones in order of names are taken,
with seeds from 0 on: nothing is chosen by how it came out.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import draw
import torch
from torch import Tensor

from diar_ops import align_sequence, photograph, psnr, reconstruct_sequence, render_planar_scene, sample_planar_scene
from diar_ops.data import list_images, read_image
from diar_ops.scene import CameraRanges, SceneRanges

SIZE = (256, 256)


class Shot(NamedTuple):
    """Photos of a painting, and the original."""

    photos: Tensor
    label: Tensor


def shoot(
    path: Path,
    seed: int,
    *,
    frames: int = 8,
    ranges: SceneRanges | None = None,
    camera: CameraRanges | None = None,
    glass: float = 0.0,
) -> Shot:
    """Render photos of a painting from random cameras."""
    generator = torch.Generator().manual_seed(seed)
    picture = read_image(path).pixels[None].float() / 255
    scene = sample_planar_scene(
        frames=frames, size=SIZE, picture_size=SIZE, generator=generator, ranges=ranges, glass=glass
    )
    square = torch.nn.functional.interpolate(picture, (512, 512), mode="bilinear", antialias=True)
    rendered = render_planar_scene(square, scene)
    photos = photograph(rendered.radiance, ranges=camera, generator=generator)[0]
    return Shot(photos, rendered.label[0])


def clean(shot: Shot, *, aggregator: str = "diar") -> tuple[Tensor, str]:
    """Return the clean picture and a line about it."""
    alignment = align_sequence(shot.photos, reference=0)
    image = reconstruct_sequence(shot.photos, alignment, aggregator=aggregator).image
    refused = int((~alignment.success).sum())
    score = psnr(image[None], shot.label[None]).item()
    return image, f"{aggregator}, {score:.1f} dB" + (f", {refused} refused" if refused else "")


def row(shot: Shot, results: Sequence[tuple[Tensor, str]], *, shown: int = 3) -> list[tuple[Tensor, str]]:
    """Return some photos, the results and the original, with their titles."""
    photos = [(p, "reference" if t == 0 else f"photo {t + 1}") for t, p in enumerate(shot.photos[:shown])]
    return [*photos, *results, (shot.label, "original")]


def paintings(paths: Sequence[Path]) -> list[tuple[Tensor, str]]:
    """Clean four paintings."""
    shots = [shoot(path, seed) for seed, path in enumerate(paths[:4])]
    return [cell for shot in shots for cell in row(shot, [clean(shot)])]


def glass(paths: Sequence[Path]) -> list[tuple[Tensor, str]]:
    """Clean a painting behind glass, by both networks."""
    shot = shoot(paths[4], 4, glass=1.0)
    return row(shot, [clean(shot), clean(shot, aggregator="diar-glass")])


def two_photos(paths: Sequence[Path]) -> list[tuple[Tensor, str]]:
    """Clean the first painting from two of its photos."""
    whole = shoot(paths[0], 0)
    shot = Shot(whole.photos[:2], whole.label)
    return row(shot, [clean(shot)], shown=2)


def crowded(paths: Sequence[Path]) -> list[tuple[Tensor, str]]:
    """Clean a painting behind large things."""
    crowd = SceneRanges(object_count=(0.0, 0.0, 0.0, 1.0), object_size=(0.5, 0.7), caster_count=(0.0, 0.0, 1.0))
    shot = shoot(paths[6], 6, frames=5, ranges=crowd)
    return row(shot, [clean(shot)])


def noise(paths: Sequence[Path]) -> list[tuple[Tensor, str]]:
    """Clean the first painting from noisy photos."""
    shot = shoot(paths[0], 0, camera=CameraRanges(read_noise=(0.1, 0.1), shot_noise=(0.1, 0.1)))
    return row(shot, [clean(shot)])


FIGURES = (paintings, glass, two_photos, crowded, noise)


def make(folder: Path, out: Path, names: Sequence[str] = ()) -> None:
    """Make the figures of the gallery, or those of these names."""
    paths = list_images(folder)
    for figure in FIGURES:
        if not names or figure.__name__ in names:
            cells = figure(paths)
            columns = [title for _, title in cells].index("original") + 1
            tiles = draw.tiles([c[0] for c in cells], [c[1] for c in cells], columns=columns)
            draw.save(tiles, out / f"{figure.__name__}.webp")
