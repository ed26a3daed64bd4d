"""Rendered items that are kept on the disk."""

from __future__ import annotations

from abc import ABC, abstractmethod
from os import PathLike
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.data import Dataset

from diar_ops._checks import check_option, check_size
from diar_ops._files import atomic_path
from diar_ops._pixels import to_bytes
from diar_ops._seeds import generator_for
from diar_ops.scene import SceneRanges, render_planar_scene, sample_planar_scene
from diar_ops.textures import TextureSource

__all__ = ["KeptSequences", "RenderedSequences", "RenderedViews"]

#: Half precision ends at 65504; what is far beyond white only has to stay there.
BRIGHTEST = 1000.0
#: Aspect ratios of pictures are drawn up to this factor wider or higher than square.
LARGEST_ASPECT = 1.7


class KeptSequences(Dataset[dict[str, Tensor]], ABC):
    """Sequences from the torch renderer, rendered when first needed and kept in a folder.

    Sequence ``i`` depends on ``seed``, ``frames``, ``size`` and ``i`` alone (and on the files
    behind ``textures``), not on who asks for it or when. What is kept is light, before any camera:
    each reading of it can be photographed anew.

    Args:
        folder: Where sequences are kept, one file each. Files of other seeds, sizes or numbers of
            frames lie beside each other. ``None`` keeps nothing and renders every time.
        textures: The pictures.
        count: Number of sequences.
        frames: Frames T of each.
        size: (height, width) of frames and label, in pixels.
        ranges: The distribution of scenes; that of :class:`SceneRanges` by default.
        seed: Of everything that is random.

    Raises:
        OptionError: An option is not as stated.
        OutputError: From an item: the folder cannot be written.
        ImageError: From an item: no file behind ``textures`` can be read.
    """

    #: What the sequences of this class are for: a word that their random numbers depend on.
    purpose: str
    #: Begins the names of the folders.
    prefix: str = ""

    def __init__(
        self,
        folder: str | PathLike[str] | None,
        textures: TextureSource,
        *,
        count: int,
        frames: int = 10,
        size: tuple[int, int] = (128, 128),
        ranges: SceneRanges | None = None,
        seed: int | str = 0,
    ) -> None:
        op = type(self).__name__
        check_option(op, count >= 1, "count >= 1", count)
        check_option(op, frames >= 1, "frames >= 1", frames)
        check_size(op, size)
        self.folder = None if folder is None else Path(folder)
        self.textures, self.count, self.frames, self.size = textures, count, frames, size
        self.ranges, self.seed = ranges, seed

    @abstractmethod
    def render(
        self, picture: Tensor, picture_size: Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Render one sequence.

        Args:
            picture: (1, 3, H, W) sRGB.
            picture_size: (1, 2) height and width of the picture, of which the ratio counts.
            generator: Source of randomness.

        Returns:
            What is kept of it.
        """

    def path(self, index: int) -> Path | None:
        """Return where sequence ``index`` is kept."""
        if self.folder is None:
            return None
        name = f"{self.prefix}{self.size[0]}x{self.size[1]}x{self.frames}-{self.seed}"
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
        generator = generator_for(self.seed, self.purpose, self.frames, *self.size, index)
        picture = self.textures.sample(1, self.size, generator)
        wide = LARGEST_ASPECT ** (2 * torch.rand((), generator=generator).item() - 1)
        item = self.render(picture, torch.tensor([[1.0, wide]]), generator)
        if path is not None:
            with atomic_path(path, overwrite=True) as temporary:
                save_file(item, temporary)
        return item


def kept_light(radiance: Tensor) -> Tensor:
    """Return light as it is kept, in float16."""
    return radiance.clamp(0, BRIGHTEST).to(torch.float16)


class RenderedSequences(KeptSequences):
    """Aligned sequences from the torch renderer; see :class:`KeptSequences`.

    Items: ``radiance`` (T, 3, H, W) float16, linear light, white paper in the label's light is 1;
    ``label`` (3, H, W) uint8 sRGB, the clean picture.
    """

    purpose = "training"

    def render(
        self, picture: Tensor, picture_size: Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Render an aligned sequence."""
        scene = sample_planar_scene(
            1,
            frames=self.frames,
            size=self.size,
            picture_size=picture_size,
            kind="aligned",
            generator=generator,
            ranges=self.ranges,
        )
        rendered = render_planar_scene(picture, scene)
        return {"radiance": kept_light(rendered.radiance[0]), "label": to_bytes(rendered.label[0])}


class RenderedViews(KeptSequences):
    """Misaligned sequences from the torch renderer; see :class:`KeptSequences`.

    Items: ``radiance`` (T, 3, H, W) float16, linear light; ``seen`` (T, 1, H, W) bool, pixels that
    show the picture with nothing in front of it; ``homography_frame_label`` (T, 3, 3) float64.
    """

    purpose, prefix = "views", "views-"

    def render(
        self, picture: Tensor, picture_size: Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Render a misaligned sequence."""
        scene = sample_planar_scene(
            1,
            frames=self.frames,
            size=self.size,
            picture_size=picture_size,
            kind="misaligned",
            generator=generator,
            ranges=self.ranges,
        )
        rendered = render_planar_scene(picture, scene)
        return {
            "radiance": kept_light(rendered.radiance[0]),
            "seen": (rendered.visible & ~rendered.occluded)[0],
            "homography_frame_label": rendered.homography_frame_label[0],
        }
