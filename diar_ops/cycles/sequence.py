"""Render one sequence and write its folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from diar_ops._errors import ImageError
from diar_ops._files import write_image, write_text_atomic
from diar_ops._folders import atomic_folder
from diar_ops._pixels import image_to_float
from diar_ops._seeds import generator_for
from diar_ops._version import __version__
from diar_ops.cycles.exr import read_exr
from diar_ops.cycles.passes import frame_masks, frame_picture
from diar_ops.cycles.settings import RenderSettings
from diar_ops.cycles.texture import TextureChoice, prepare_texture
from diar_ops.cycles.worker import BlenderProcess
from diar_ops.data.images import read_image
from diar_ops.data.masks import write_flags, write_mask
from diar_ops.data.sequence_writer import DOCUMENT, LABEL, format_document, frame_names, sequence_document
from diar_ops.engines import WorkerCrash
from diar_ops.scene import PlanarScene, sample_planar_scene, scene_homography, scene_to_document
from diar_ops.scene.flags import FrameShares, frame_shares
from diar_ops.scene.reflection import blur_environment
from diar_ops.scene.seen_cards import seen_cards

NOTE = (
    "Views of one picture, each spoiled by its own light, shadows, highlights and things in the "
    "way, with the clean picture (label.png) and exact homographies."
)
PROVENANCE = "Rendered with Blender Cycles by diar_ops from the picture named under texture."


#: How many other pictures of a set its panes may mirror, and how large these are at most.
SURROUNDINGS, SURROUNDINGS_SIZE = 3, (64, 64)


def draw_scene(
    index: int, settings: RenderSettings, picture_size: tuple[int, int], surroundings: Tensor | None = None
) -> PlanarScene:
    """Return the scene of one sequence: the same on every machine, whatever else is rendered.

    Args:
        index: Number of the sequence in its set.
        settings: Of the set.
        picture_size: (height, width) of the picture in pixels.
        surroundings: (N, 3, h, w) sRGB pictures that panes may mirror.
    """
    return sample_planar_scene(
        1,
        frames=settings.frames,
        size=settings.size,
        picture_size=picture_size,
        kind=settings.kind,
        generator=generator_for(settings.seed, settings.kind, index),
        ranges=settings.ranges,
        glass=settings.glass,
        surroundings=surroundings,
    )


def read_surroundings(index: int, settings: RenderSettings, choice: TextureChoice) -> Tensor | None:
    """Return pictures (N, 3, h, w) that the pane of a sequence may mirror; None without panes."""
    if not settings.glass:
        return None
    side = SURROUNDINGS_SIZE
    pictures = []
    for path in choice.candidates(index)[1:]:
        with suppress(ImageError):  # there are others
            texture = prepare_texture(read_image(path), side)
            pictures.append(F.interpolate(image_to_float(texture)[None], (2 * side[0], 2 * side[1]), mode="bilinear"))
        if len(pictures) == SURROUNDINGS:
            break
    return torch.cat(pictures) if pictures else None


def render_sequence(
    path: Path,
    index: int,
    settings: RenderSettings,
    choice: TextureChoice,
    process: BlenderProcess,
    *,
    timeout: float,
    on_frame: Callable[[], None],
) -> list[str]:
    """Render one sequence into the folder ``path``, which appears only when it is complete.

    Args:
        path: The folder; must not exist.
        index: Number of the sequence in its set.
        settings: Of the set.
        choice: Which picture it shows.
        process: Where to render.
        timeout: Seconds that a frame may take.
        on_frame: Called after each frame.

    Returns:
        A sentence for each picture that could not be read.

    Raises:
        WorkerCrash: The process did not survive.
        ImageError: There is no readable picture.
        OutputError: The folder cannot be written.
    """
    source, photo, skipped = choice.read(index)
    scene = draw_scene(index, settings, photo.size, read_surroundings(index, settings, choice))
    texture = prepare_texture(photo, settings.size)
    with atomic_folder(path) as folder:
        work = folder / "work"
        (folder / "masks").mkdir()
        work.mkdir()
        write_image(work / "texture.png", texture)
        writer = _FrameWriter(folder, work, scene, on_frame)
        job = _job(scene, index, settings, work)
        process.render(job, timeout=timeout, on_frame=writer.write)
        shutil.rmtree(work)
        document = sequence_document(
            scene,
            kind=settings.kind,
            index=index,
            seed=settings.seed,
            texture={"file": source.name, "size": list(photo.size)},
            software={"diar_ops": __version__, "blender": process.blender},
            render={
                "engine": "Cycles",
                "samples": settings.samples,
                "label_samples": settings.label_samples,
                "denoiser": "OpenImageDenoise" if settings.denoise else None,
                "device": settings.device,
            },
            shares=[writer.shares[t]._asdict() for t in range(settings.frames)],
            words={"note": NOTE, "provenance": PROVENANCE},
        )
        write_text_atomic(folder / DOCUMENT, format_document(document))
    return skipped


def _job(scene: PlanarScene, index: int, settings: RenderSettings, work: Path) -> dict[str, Any]:
    """Return the job for ``blender_scene.py``; ``work`` holds the texture and gets the frames."""
    noise = generator_for(settings.seed, settings.kind, index, "noise")
    if scene.pane is not None and scene.environment is not None:
        image = blur_environment(scene.pane, scene.environment)
        # Each card costs time at every path.
        valid = scene.environment.valid & seen_cards(scene)
        scene = scene._replace(environment=scene.environment._replace(image=image, valid=valid))
    return {
        "document": scene_to_document(scene),
        "texture": str((work / "texture.png").resolve()),
        "folder": str(work.resolve()),
        "samples": settings.samples,
        "label_samples": settings.label_samples,
        "denoise": settings.denoise,
        "frames": list(range(settings.frames)),
        "label": True,
        "emission": False,
        "seed": int(torch.randint(2**31, (), generator=noise)),
    }


class _FrameWriter:
    """Writes pictures and masks of a sequence from the passes that Blender leaves in ``work``."""

    def __init__(self, folder: Path, work: Path, scene: PlanarScene, on_frame: Callable[[], None]) -> None:
        self.folder, self.work, self.scene, self.on_frame = folder, work, scene, on_frame
        self.names = frame_names(scene.K.shape[1])
        self.homographies = scene_homography(scene)[0]
        self.shares: dict[int, FrameShares] = {}

    def write(self, name: str) -> None:
        """Write the label (``"label"``) or a frame (its number)."""
        file = self.work / f"{name}.exr"
        try:
            passes = read_exr(file)
        except ImageError as error:  # Blender does not notice when a disk is full
            raise WorkerCrash(str(error)) from error
        file.unlink()
        picture = frame_picture(passes)
        if name == "label":
            write_image(self.folder / LABEL, picture)
            return
        t = int(name)
        occluded, flags = frame_masks(passes, picture, self.scene, t)
        write_image(self.folder / self.names[t].file, picture)
        write_mask(self.folder / self.names[t].occluded, occluded)
        write_flags(self.folder / self.names[t].flags, flags)
        self.shares[t] = frame_shares(self.homographies[t], occluded, flags, label_size=self.scene.size)
        self.on_frame()
