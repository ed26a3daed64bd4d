"""Rendered sequences as a torch Dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TypedDict

import torch
from torch import Tensor
from torch.utils.data import Dataset

from diar_ops._checks import check_option, check_size
from diar_ops._errors import ImageError
from diar_ops._pixels import image_size, image_to_float
from diar_ops._seeds import generator_for
from diar_ops.data._listing import read_error
from diar_ops.data.crop import crop_homography, crop_image, frame_corners
from diar_ops.data.images import read_image
from diar_ops.data.masks import read_flags, read_mask
from diar_ops.data.sequence_reader import (
    RenderedFrame,
    RenderedSequence,
    check_stated_size,
    read_sequence,
    sequence_folders,
)
from diar_ops.data.sequence_writer import DOCUMENT

TAKE = ("first", "random")
CROP_AT = ("centre", "random")
MASKS = ("occluded", "flags")


class SequenceItem(TypedDict, total=False):
    """One sequence, or a crop of it. Default collation makes batches of it.

    Attributes:
        frames: (T, 3, H, W) float32 in [0, 1].
        label: (3, H, W) float32 in [0, 1], the clean picture.
        homography_frame_label: (T, 3, 3) float64, frame ~ H @ label, in pixels of the item's own
            frames and label; exactly the identity for an aligned sequence.
        occluded: (T, 1, H, W) bool, True where something is in front; only if it was asked for.
        flags: (T, 1, H, W) uint8, sums of :class:`FrameFlag`; only if they were asked for.
        frame: (T,) int64, which frames of the sequence these are.
        index: Number of the sequence in the dataset.
        name: Name of its folder.
    """

    frames: Tensor
    label: Tensor
    homography_frame_label: Tensor
    occluded: Tensor
    flags: Tensor
    frame: Tensor
    index: int
    name: str


class SequenceDataset(Dataset[SequenceItem]):
    """Sequences that ``examples/render_dataset.py`` rendered, or others of the same format.

    Only the files that an item needs are read, when it is asked for. What is random depends on
    ``seed``, epoch and index alone: not on workers, nor on which items were asked for before. An
    item is a dict, a :class:`SequenceItem`.

    Args:
        folders: The folder of a data set, that of one sequence, or several of these.
        frames: How many frames T an item has; all by default.
        take: Which: the ``"first"``, for evaluation at every prefix length, or ``"random"`` ones
            in random order, for training. Where frames have views of their own, frame 0, the
            common reference, stays the first of them.
        crop: (height, width) of crops from label and frames; whole pictures by default. Frames
            are cropped around the place that the middle of the label's crop has in them, moved
            into the frame where they would leave it: in an aligned sequence the same crop as the
            label's. The homographies are those of the crops.
        crop_at: The label's ``"centre"``, or ``"random"`` places.
        masks: Which masks an item has, too: of ``"occluded"`` and ``"flags"``.
        seed: Of what is random.

    Raises:
        ImageError: There is no sequence, or the document of the first one is not as it should be.
            Later, from an item: a file is missing, damaged or not of the size that the document
            states; there are too few frames, frames of unequal sizes without ``crop``, pictures
            smaller than ``crop``, or no such masks.
        OptionError: An option is not as stated.
    """

    def __init__(
        self,
        folders: str | PathLike[str] | Iterable[str | PathLike[str]],
        *,
        frames: int | None = None,
        take: str = "first",
        crop: tuple[int, int] | None = None,
        crop_at: str = "centre",
        masks: Sequence[str] = (),
        seed: int = 0,
    ) -> None:
        op = "SequenceDataset"
        check_option(op, frames is None or frames >= 1, "frames >= 1", frames)
        check_option(op, take in TAKE, f"take to be one of {', '.join(TAKE)}", take)
        check_option(op, crop_at in CROP_AT, f"crop_at to be one of {', '.join(CROP_AT)}", crop_at)
        known = not isinstance(masks, str) and set(masks) <= set(MASKS)
        check_option(op, known, f"masks to be some of {', '.join(MASKS)}", masks)
        if crop is not None:
            crop = check_size(op, crop)
        several = [folders] if isinstance(folders, (str, PathLike)) else list(folders)
        check_option(op, bool(several), "at least one folder", several)
        self.folders = tuple(folder for path in several for folder in _sequence_folders(Path(path)))
        self.frames, self.take, self.crop, self.crop_at = frames, take, crop, crop_at
        self.masks, self.seed = tuple(masks), seed
        # In shared memory, so that workers that outlive an epoch see the next one, too.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]
        read_sequence(self.folders[0])

    def set_epoch(self, epoch: int) -> None:
        """Draw other random frames and crops than in other epochs, from the next item on."""
        self._epoch.fill_(epoch)

    def sequence(self, index: int) -> RenderedSequence:
        """Return what the document of a sequence says; pictures are not read.

        Raises:
            ImageError: The document is not as it should be, or a file is missing.
        """
        return read_sequence(self.folders[index])

    def __len__(self) -> int:
        return len(self.folders)

    def __iter__(self) -> Iterator[SequenceItem]:
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        names = ("frames", "take", "crop", "crop_at", "masks", "seed")
        options = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
        return f"SequenceDataset({len(self)} sequences, {options})"

    def __getitem__(self, index: int) -> SequenceItem:
        """Read one sequence."""
        sequence = self.sequence(index)
        index = range(len(self))[index]
        generator = generator_for(self.seed, int(self._epoch), index)
        selected = self._select_frames(sequence, generator)
        frames = [sequence.frames[t] for t in selected]
        H = torch.stack([frame.homography_frame_label for frame in frames])
        size, label_corner, corners = self.crop, (0, 0), [(0, 0)] * len(frames)
        if size is None:
            _check_equal_sizes(sequence, frames)
        else:
            _check_room(sequence, frames, size)
            label_corner = self._label_corner(sequence.label_size, size, generator)
            corners = frame_corners(
                H, label_corner, size, label_size=sequence.label_size, frame_sizes=[frame.size for frame in frames]
            )
            H = crop_homography(H, label_corner, corners)

        def crops(read: Callable[[RenderedFrame], Tensor]) -> Iterator[Tensor]:
            for frame, corner in zip(frames, corners, strict=True):
                yield crop_image(read(frame), corner, size)

        pictures = [image_to_float(crop) for crop in crops(_read_frame)]
        label = _read_picture(sequence.label, sequence.label_size)
        item: SequenceItem = {
            "frames": torch.stack(pictures),
            "label": image_to_float(crop_image(label, label_corner, size)),
            "homography_frame_label": H,
            "frame": torch.tensor(selected),
            "index": index,
            "name": sequence.folder.name,
        }
        if "occluded" in self.masks:
            item["occluded"] = torch.stack(list(crops(partial(_read_mask, sequence, "occluded"))))
        if "flags" in self.masks:
            item["flags"] = torch.stack(list(crops(partial(_read_mask, sequence, "flags"))))
        return item

    def _select_frames(self, sequence: RenderedSequence, generator: torch.Generator) -> list[int]:
        """Choose which frames of the sequence the item has."""
        available = len(sequence.frames)
        count = available if self.frames is None else self.frames
        if count > available:
            raise ImageError(f"{sequence.folder} has {available} frames, {count} were asked for")
        if self.take == "first":
            return list(range(count))
        order = torch.randperm(available, generator=generator).tolist()
        if not sequence.aligned:
            order.remove(0)
            order.insert(0, 0)
        return order[:count]

    def _label_corner(
        self, whole: tuple[int, int], size: tuple[int, int], generator: torch.Generator
    ) -> tuple[int, int]:
        """Choose (y, x) of the first pixel of the label's crop."""
        room = (whole[0] - size[0], whole[1] - size[1])
        if self.crop_at == "centre":
            return room[0] // 2, room[1] // 2
        y, x = (int(torch.randint(side + 1, (), generator=generator)) for side in room)
        return y, x


def _sequence_folders(path: Path) -> list[Path]:
    """Return the folders of sequences that a path stands for, in the order of their numbers."""
    try:
        if (path / DOCUMENT).is_file():
            return [path]
        folders = sequence_folders(path)
    except OSError as error:
        raise read_error(path, error) from error
    if not folders:
        raise ImageError(f"no sequences in the folder {path} (looked for {DOCUMENT} in sub-folders)")
    return folders


def _check_equal_sizes(sequence: RenderedSequence, frames: list[RenderedFrame]) -> None:
    sizes = sorted({frame.size for frame in frames})
    if len(sizes) > 1:
        raise ImageError(
            f"{sequence.folder} has frames of unequal sizes ({_format_size(sizes[0])} and "
            f"{_format_size(sizes[1])} pixels); ask for crops"
        )


def _check_room(sequence: RenderedSequence, frames: list[RenderedFrame], size: tuple[int, int]) -> None:
    pictures = [(sequence.label, sequence.label_size), *((f.path, f.size) for f in frames)]
    for path, whole in pictures:
        if whole[0] < size[0] or whole[1] < size[1]:
            raise ImageError(f"{path} has {_format_size(whole)} pixels, too few for crops of {_format_size(size)}")


def _read_picture(path: Path, stated: tuple[int, int]) -> Tensor:
    """Read (3, H, W) pixels, which have the size that the document states."""
    photo = read_image(path)
    check_stated_size(path, photo.size, stated)
    return photo.pixels


def _read_frame(frame: RenderedFrame) -> Tensor:
    return _read_picture(frame.path, frame.size)


def _read_mask(sequence: RenderedSequence, name: str, frame: RenderedFrame) -> Tensor:
    """Read a mask (1, H, W) of a frame, which has the size that the document states."""
    path: Path | None = getattr(frame, name)
    if path is None:
        raise ImageError(f'{sequence.folder} has no masks "{name}"; do not ask for them')
    mask = read_mask(path) if name == "occluded" else read_flags(path)
    check_stated_size(path, image_size(mask), frame.size)
    return mask


def _format_size(size: tuple[int, int]) -> str:
    return f"{size[1]} x {size[0]}"
