"""A stream of training items: each depends on seed, step and position in the batch alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from os import PathLike
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from diar_ops._checks import check_option
from diar_ops._errors import ImageError
from diar_ops._seeds import generator_for
from diar_ops.data import SequenceDataset
from diar_ops.models import GRID
from diar_ops.models.faithful.light import whole_view
from diar_ops.training.rendered import RenderedSequences
from diar_ops.training.restoration.augment import (
    FEWEST_FAR,
    AugmentRanges,
    cover_partly,
    misalign,
    soften,
    take_photos,
    turn,
)
from diar_ops.training.restoration.bare_light import bare_light

#: Sequences of bare light that are kept, and rendered at a time.
BARE_KEPT, BARE_BATCH = 256, 64
#: Most frames of another picture, as a share of the frames.
MOST_STRAYS = 0.25


class SelectedFrames(NamedTuple):
    """Frames of a sequence, and the clean picture."""

    pictures: Tensor  #: (T, 3, H, W) linear light in any precision, or float32 photos in [0, 1]
    label: Tensor  #: (3, H, W) float32 sRGB in [0, 1]
    is_light: bool  #: whether the pictures are light, not photos


class Source(Protocol):
    """A set of sequences."""

    frames: int  #: of every sequence, at least
    side: int  #: shorter side of every sequence, in pixels, at least

    def __len__(self) -> int: ...

    def read(self, index: int, frames: Sequence[int]) -> SelectedFrames:
        """Read frames of sequence ``index``."""
        ...


class RenderedSource:
    """Sequences of the torch renderer from ``first`` on: those before it are held out."""

    def __init__(self, sequences: RenderedSequences, first: int = 0) -> None:
        check_option("RenderedSource", 0 <= first < len(sequences), "one sequence or more", first)
        self.sequences, self.first = sequences, first
        self.frames, self.side = sequences.frames, min(sequences.size)

    def __len__(self) -> int:
        return len(self.sequences) - self.first

    def read(self, index: int, frames: Sequence[int]) -> SelectedFrames:
        """Return the light of a sequence."""
        item = self.sequences[self.first + index]
        return SelectedFrames(item["radiance"][list(frames)], item["label"].float() / 255, True)


class CyclesSource:
    """Aligned sequences that ``examples/render_dataset.py`` rendered.

    Raises:
        ImageError: There are none, or one is misaligned or of too few frames.
    """

    def __init__(self, folders: str | PathLike[str] | Iterable[str | PathLike[str]], *, frames: int) -> None:
        self.sequences = SequenceDataset(folders)
        self.frames, sides = frames, []
        eye = torch.eye(3, dtype=torch.float64)
        for index, folder in enumerate(self.sequences.folders):
            document = self.sequences.sequence(index)
            if not all(torch.equal(f.homography_frame_label, eye) for f in document.frames):
                raise ImageError(
                    f"{folder} is a misaligned sequence; networks learn from aligned ones "
                    f"(render_dataset.py --kind aligned)"
                )
            if len(document.frames) < frames:
                raise ImageError(f"{folder} has {len(document.frames)} frames, {frames} are needed")
            if any(f.size != document.label_size for f in document.frames):
                raise ImageError(f"{folder} has frames of another size than its label")
            sides.append(min(document.label_size))
        self.side = min(sides)

    def __len__(self) -> int:
        return len(self.sequences)

    def read(self, index: int, frames: Sequence[int]) -> SelectedFrames:
        """Return the photos of a sequence."""
        item = self.sequences[index]
        return SelectedFrames(item["frames"][list(frames)], item["label"], False)


class TrainingSequences(Dataset[dict[str, Tensor]]):
    """An endless stream of training items, indexed by (step, position in the batch).

    The number of frames T and the side c of the crops are drawn for each step, so that the items
    of a batch go together; everything else for each item.

    Args:
        sources: Where sequences come from, and how often an item is of each (relative weights).
        frames: (fewest, most) frames.
        favour: T frames have a weight of T to this power.
        crops: Sides of crops in pixels, equally likely; larger ones than a picture of the sources
            are as large as that.
        whole: Side of the small copies of whole frames, in pixels.
        ranges: How sequences are changed.
        bare: Sequences of bare light that go with every item.
        seed: Of everything that is random.

    Items: ``frames`` (T, 3, c, c) float32 sRGB in [0, 1] and ``valid`` (T, 1, c, c) bool, frames
    being 0 where they are not valid; ``label`` (3, c, c), the clean picture; ``whole_frames`` (T,
    3, s, s), ``whole_valid`` (T, 1, s, s) and ``whole_label`` (3, s, s), the whole pictures
    reduced; ``window`` (4,), top, left, bottom and right edge of the crop in shares of the whole;
    ``bare_light`` (N, T, 3, 8, 8), see :func:`bare_light`.

    Raises:
        OptionError: An option is not as stated.
    """

    def __init__(
        self,
        sources: Sequence[tuple[Source, float]],
        *,
        frames: tuple[int, int] = (2, 10),
        favour: float = 1.0,
        crops: Sequence[int] = (64,),
        whole: int = 64,
        ranges: AugmentRanges | None = None,
        bare: int = 0,
        seed: int = 0,
    ) -> None:
        op = "TrainingSequences"
        weighted = [(source, share) for source, share in sources if share > 0]
        check_option(op, bool(weighted), "sources with a share above 0", sources)
        self.sources = [source for source, _ in weighted]
        self.shares = torch.tensor([share for _, share in weighted], dtype=torch.float64)
        most = min(source.frames for source in self.sources)
        fits = 1 <= frames[0] <= frames[1] <= most
        check_option(op, fits, f"frames 1 <= fewest <= most <= {most}, as there are", frames)
        check_option(op, bool(crops) and min(crops) >= 1, "sides of crops", crops)
        check_option(op, whole >= 1, "whole >= 1", whole)
        side = min(source.side for source in self.sources)
        self.frames, self.favour, self.whole, self.seed = frames, favour, whole, seed
        self.crops = tuple(min(crop, side) for crop in crops)
        self.ranges = AugmentRanges() if ranges is None else ranges
        self.bare = bare

    @property
    def sequences(self) -> int:
        """Number of different sequences."""
        return sum(map(len, self.sources))

    def step_shape(self, step: int) -> tuple[int, int]:
        """Return number of frames and side of the crops of a step."""
        generator = generator_for(self.seed, "step", step)
        numbers = torch.arange(self.frames[0], self.frames[1] + 1, dtype=torch.float64)
        T = torch.multinomial(numbers**self.favour, 1, generator=generator)
        crop = torch.randint(len(self.crops), (), generator=generator)
        return int(numbers[T]), self.crops[int(crop)]

    @cached_property
    def _bare_lights(self) -> Tensor:
        """Sequences of bare light (N, most frames, 3, 8, 8), rendered once: one by one they take as long as items."""
        generator = generator_for(self.seed, "bare light")
        return torch.cat([bare_light(BARE_BATCH, self.frames[1], generator) for _ in range(BARE_KEPT // BARE_BATCH)])

    def _bare(self, T: int, generator: torch.Generator) -> Tensor:
        """Draw bare light (N, T, 3, 8, 8) from what is kept."""
        if not self.bare:
            return torch.zeros(0, T, 3, GRID, GRID)
        chosen = torch.randint(BARE_KEPT, (self.bare,), generator=generator)
        order = torch.randperm(self.frames[1], generator=generator)[:T]
        return self._bare_lights[chosen][:, order]

    def _let_stray(self, selected: SelectedFrames, source: Source, generator: torch.Generator) -> SelectedFrames:
        """Let frames of another sequence of the source stray into one, at random."""
        T = len(selected.pictures)
        apply, share = torch.rand(2, generator=generator).tolist()
        lender = int(torch.randint(len(source), (), generator=generator))
        if apply >= self.ranges.foreign or T < FEWEST_FAR:
            return selected
        strays = source.read(lender, range(1 + int(share * MOST_STRAYS * T))).pictures
        return selected._replace(pictures=torch.cat((strays, selected.pictures[len(strays) :])))

    def __getitem__(self, index: tuple[int, int]) -> dict[str, Tensor]:
        step, position = index
        T, crop = self.step_shape(step)
        generator = generator_for(self.seed, "item", step, position)
        source = self.sources[int(torch.multinomial(self.shares, 1, generator=generator))]
        sequence = int(torch.randint(len(source), (), generator=generator))
        order = torch.randperm(source.frames, generator=generator)[:T].tolist()
        pictures, label, is_light = self._let_stray(source.read(sequence, order), source, generator)
        frames, label = turn(pictures, label, self.ranges, generator)
        if is_light:
            frames, label = take_photos(frames, label, self.ranges, generator)
        frames = soften(frames, self.ranges, generator)
        frames, valid = misalign(frames, self.ranges, generator)
        valid = cover_partly(valid, self.ranges, generator)
        frames = frames * valid
        whole = whole_view(frames[None], valid[None], self.whole)
        height, width = label.shape[-2:]
        top, left = (int(torch.randint(side - crop + 1, (), generator=generator)) for side in (height, width))
        crop_index = (..., slice(top, top + crop), slice(left, left + crop))
        edges = (top / height, left / width, (top + crop) / height, (left + crop) / width)
        return {
            "frames": frames[crop_index].contiguous(),
            "valid": valid[crop_index].contiguous(),
            "label": label[crop_index].contiguous(),
            "whole_frames": whole.frames[0],
            "whole_valid": whole.valid[0],
            "whole_label": F.adaptive_avg_pool2d(label, self.whole),
            "window": torch.tensor(edges),
            "bare_light": self._bare(T, generator),
        }
