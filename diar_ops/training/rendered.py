"""Sequences from the torch renderer, kept on the disk."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.data import Dataset

from diar_ops._checks import check_option, check_size
from diar_ops._files import atomic_path
from diar_ops._pixels import to_bytes
from diar_ops._seeds import generator_for
from diar_ops.scene import render_planar_scene, sample_planar_scene
from diar_ops.textures import TextureSource

#: Half precision ends at 65504; what is far beyond white only has to stay there.
BRIGHTEST = 1000.0
#: Aspect ratios of pictures are drawn up to this factor wider or higher than square.
LARGEST_ASPECT = 1.7
#: How many pictures panes may mirror, and their side in pixels.
SURROUNDINGS, SURROUNDINGS_SIDE = 3, 128
#: Of each kind, the word that seeds its random numbers, and the beginning of its folders' names.
SEED_WORDS = {"aligned": "training", "misaligned": "views"}
FOLDER_PREFIXES = {"aligned": "", "misaligned": "views-"}


class RenderedSequences(Dataset[dict[str, Tensor]]):
    """Sequences from the torch renderer, rendered when first needed and kept in a folder.

    Sequence ``i`` depends on ``kind``, ``seed``, ``frames``, ``size``, ``glass`` and ``i`` alone (and on
    the files behind ``textures``), not on who asks for it or when. What is kept is light, before any
    camera: each reading of it can be photographed anew.

    Args:
        folder: Where sequences are kept, one file each. Files of other kinds, seeds, sizes or
            numbers of frames lie beside each other. ``None`` keeps nothing and renders every time.
        textures: The pictures.
        count: Number of sequences.
        frames: Frames T of each.
        size: (height, width) of frames and label, in pixels.
        kind: Whether the frames are aligned with the label or taken from anywhere.
        seed: Of everything that is random.
        glass: Share of sequences whose picture is behind a pane or under a gloss coat that mirrors a
            room or a street, with pictures of ``textures`` in it.

    Items: ``radiance`` (T, 3, H, W) float16, linear light, white paper in the label's light is 1.
    Aligned ones also hold ``label`` (3, H, W) uint8 sRGB, the clean picture; misaligned ones
    ``seen`` (T, 1, H, W) bool, pixels that show the picture with nothing in front of it, and
    ``homography_frame_label`` (T, 3, 3) float64.

    Raises:
        OptionError: An option is not as stated.
        OutputError: From an item: the folder cannot be written.
        ImageError: From an item: no file behind ``textures`` can be read.
    """

    def __init__(
        self,
        folder: str | PathLike[str] | None,
        textures: TextureSource,
        *,
        count: int,
        frames: int = 10,
        size: tuple[int, int] = (128, 128),
        kind: Literal["aligned", "misaligned"] = "aligned",
        seed: int | str = 0,
        glass: float = 0.0,
    ) -> None:
        op = "RenderedSequences"
        check_option(op, count >= 1, "count >= 1", count)
        check_option(op, frames >= 1, "frames >= 1", frames)
        size = check_size(op, size)
        self.folder = None if folder is None else Path(folder)
        self.textures, self.count, self.frames, self.size = textures, count, frames, size
        check_option(op, 0 <= glass <= 1, "glass, a share from 0 to 1", glass)
        self.kind, self.seed, self.glass = kind, seed, glass

    def path(self, index: int) -> Path | None:
        """Return where sequence ``index`` is kept."""
        if self.folder is None:
            return None
        height, width = self.size
        name = f"{FOLDER_PREFIXES[self.kind]}{height}x{width}x{self.frames}-{self.seed}"
        name += f"-glass{self.glass:g}" if self.glass else ""
        return self.folder / name / f"{index:06d}.safetensors"

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if not 0 <= index < self.count:
            raise IndexError(index)
        path = self.path(index)
        if path is not None and path.is_file():
            try:
                return load_file(path)
            except (SafetensorError, OSError):
                pass  # cut off by a crash of the machine: rendered again
        item = self._render(index)
        if path is not None:
            with atomic_path(path, overwrite=True) as temporary:
                save_file(item, temporary)
        return item

    def _render(self, index: int) -> dict[str, Tensor]:
        """Render sequence ``index``."""
        generator = generator_for(self.seed, SEED_WORDS[self.kind], self.frames, *self.size, index)
        picture = self.textures.sample(1, self.size, generator)
        aspect = LARGEST_ASPECT ** (2 * torch.rand((), generator=generator).item() - 1)
        surroundings = None
        if self.glass:
            words = (self.seed, SEED_WORDS[self.kind], "surroundings", index)
            side = SURROUNDINGS_SIDE
            surroundings = self.textures.sample(SURROUNDINGS, (side, side), generator_for(*words))
        scene = sample_planar_scene(
            1,
            frames=self.frames,
            size=self.size,
            picture_size=torch.tensor([[1.0, aspect]]),
            kind=self.kind,
            generator=generator,
            glass=self.glass,
            surroundings=surroundings,
        )
        rendered = render_planar_scene(picture, scene)
        item = {"radiance": rendered.radiance[0].clamp(0, BRIGHTEST).to(torch.float16)}
        if self.kind == "aligned":
            return {**item, "label": to_bytes(rendered.label[0])}
        return {
            **item,
            "seen": (rendered.visible & ~rendered.occluded)[0],
            "homography_frame_label": rendered.homography_frame_label[0],
        }
