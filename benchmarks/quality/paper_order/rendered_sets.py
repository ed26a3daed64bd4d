"""Sets of the torch renderer, written to the disk in the format of those of Cycles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops._files import write_image, write_text_atomic
from diar_ops._folders import atomic_folder, remove_stale_folders
from diar_ops._pixels import image_to_float
from diar_ops._seeds import generator_for
from diar_ops._version import __version__
from diar_ops.cycles.texture import TextureChoice, prepare_texture
from diar_ops.data import DOCUMENT, format_document, frame_names, sequence_document, write_flags, write_mask
from diar_ops.data.sequence_writer import LABEL
from diar_ops.scene import SceneRanges, render_planar_scene, sample_planar_scene
from diar_ops.scene.flags import SATURATED, FrameFlag
from diar_ops.training.camera import ideal_photos

KIND = "aligned"


class RenderedSet(NamedTuple):
    """An aligned set to render.

    Attributes:
        name: Of its folder, which also seeds it.
        rounds: How many sequences show each picture.
        frames: Of each sequence.
        side: Of the square frames and labels, in pixels.
        ranges: The distribution of the scenes.
    """

    name: str
    rounds: int
    frames: int
    side: int
    ranges: SceneRanges = SceneRanges()


def render_set(
    folder: Path, chosen: RenderedSet, pictures: Sequence[Path], *, progress: Callable[[int, int], object] | None = None
) -> Path:
    """Render the sequences of a set that are not there yet; return its folder.

    A sequence depends on the set, its number and the pictures alone.

    Args:
        folder: In which the set's folder is, or shall be.
        chosen: The set.
        pictures: What it shows.
        progress: Called with (sequences there, in all).

    Raises:
        ImageError: No picture can be read.
        OutputError: The folder cannot be written.
    """
    out, count = folder / chosen.name, chosen.rounds * len(pictures)
    size = (chosen.side, chosen.side)
    choice = TextureChoice(list(pictures), _seed(chosen), KIND, size)
    out.mkdir(parents=True, exist_ok=True)
    remove_stale_folders(out)
    for index in range(count):
        path = out / f"{index:06d}"
        if not (path / DOCUMENT).is_file():
            with atomic_folder(path) as temporary:
                _write_sequence(temporary, index, chosen, choice)
        if progress is not None:
            progress(index + 1, count)
    return out


def _seed(chosen: RenderedSet) -> int:
    return int(generator_for("paper order", chosen.name).initial_seed() % 2**31)


def _write_sequence(folder: Path, index: int, chosen: RenderedSet, choice: TextureChoice) -> None:
    source, photo, _ = choice.read(index)
    size = choice.size
    scene = sample_planar_scene(
        1,
        frames=chosen.frames,
        size=size,
        picture_size=photo.size,
        kind=KIND,
        generator=generator_for(choice.seed, KIND, index),
        ranges=chosen.ranges,
    )
    rendered = render_planar_scene(image_to_float(prepare_texture(photo, size))[None], scene)
    frames = ideal_photos(rendered.radiance[0])
    saturated = (frames.amax(1, keepdim=True) * 255).round() >= SATURATED
    flags = _sum_flags(rendered.shadow[0], rendered.highlight[0], saturated) * rendered.visible[0]
    (folder / "masks").mkdir()
    write_image(folder / LABEL, rendered.label[0])
    for t, name in enumerate(frame_names(chosen.frames)):
        write_image(folder / name.file, frames[t])
        write_mask(folder / name.occluded, rendered.occluded[0, t])
        write_flags(folder / name.flags, flags[t])
    document = sequence_document(
        scene,
        kind=KIND,
        index=index,
        seed=choice.seed,
        texture={"file": source.name, "size": list(photo.size)},
        software={"diar_ops": __version__, "torch": torch.__version__},
        render={"engine": "diar_ops.scene"},
    )
    write_text_atomic(folder / DOCUMENT, format_document(document))


def _sum_flags(shadow: Tensor, highlight: Tensor, saturated: Tensor) -> Tensor:
    """Return sums of :class:`FrameFlag`, uint8."""
    by_flag = {FrameFlag.SHADOW: shadow, FrameFlag.HIGHLIGHT: highlight, FrameFlag.SATURATED: saturated}
    return sum((mask.to(torch.uint8) * int(flag) for flag, mask in by_flag.items()), torch.zeros_like(shadow).byte())
