"""Which results there are to compute: sets, sequences, numbers of frames, methods."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path

from benchmarks.quality.aligned import Disturbance
from benchmarks.quality.rows import RowKey, group_by
from benchmarks.quality.run import Task
from diar_ops._errors import OptionError
from diar_ops.data import RenderedSequence, SequenceDataset, read_sequence

__all__ = ["Plan", "name_sets", "unaligned_sets"]


class Plan:
    """All results of some sets, methods and numbers of frames, set by set.

    Args:
        sets: Folders of sets, or of single sequences, by name, see :func:`name_sets`.
        methods: Their names.
        frames: Numbers of frames; a sequence that has fewer is left out at this number. None: all
            frames of each sequence.
        sequences: Only the first sequences of each set; all by default.
        disturbance: Of the alignment.
        least: Fewer frames are of no use.

    Attributes:
        folders: The folder of each sequence that has results, by (set, sequence).
        pictures: Which picture each of them shows, likewise: the file that the document names as
            its texture, and where it names none the sequence's own.
        keys: All results, ordered by set, number of frames and method.

    Raises:
        OptionError: A number is not positive, or no sequence has so many frames.
        ImageError: There is no sequence, or one is damaged.
    """

    def __init__(
        self,
        sets: Mapping[str, Path],
        methods: Sequence[str],
        frames: Sequence[int] | None,
        *,
        sequences: int | None = None,
        disturbance: Disturbance | None = None,
        least: int = 1,
    ) -> None:
        for option, bound, numbers in (
            ("frames", least, [least] if frames is None else list(frames)),
            ("sequences", 1, [1 if sequences is None else sequences]),
        ):
            if min(numbers, default=0) < bound:
                got = min(numbers, default="none")
                raise OptionError(f"{option} must be {bound} or more, got {got}")
        self.disturbance = disturbance or Disturbance()
        self.folders: dict[tuple[str, str], Path] = {}
        self.pictures: dict[tuple[str, str], str] = {}
        lengths: dict[tuple[str, str], int] = {}
        for name, path in sets.items():
            for folder in SequenceDataset(path).folders[:sequences]:
                document, place = read_sequence(folder), (name, folder.name)
                self.folders[place] = folder
                self.pictures[place] = _picture(document)
                lengths[place] = len(document.frames)
        self.keys = [
            RowKey(name, sequence, count, method)
            for name in dict.fromkeys(name for name, _ in self.folders)
            for count in sorted(set(lengths.values() if frames is None else frames))
            for method in methods
            for (owner, sequence), length in lengths.items()
            if owner == name and (length == count if frames is None else length >= count)
            if length >= least
        ]
        if not self.keys:
            raise OptionError(
                f"no sequence has {min(frames or (least,))} frames, the longest has "
                f"{max(lengths.values())}"
            )
        used = {(key.set, key.sequence) for key in self.keys}
        for place in used:
            # Before the long work, not in the middle of it.
            self.disturbance.check(place[1], lengths[place])
        self.folders = {place: path for place, path in self.folders.items() if place in used}
        self.pictures = {place: name for place, name in self.pictures.items() if place in used}

    @property
    def first_folders(self) -> dict[str, Path]:
        """The folder of the first sequence of each set."""
        first: dict[str, Path] = {}
        for (name, _), folder in self.folders.items():
            first.setdefault(name, folder)
        return first

    def tasks(self, done: Collection[RowKey]) -> Iterator[Task]:
        """Yield what is still to be computed, sequence by sequence."""
        missing = group_by(
            (key for key in self.keys if key not in done), lambda key: (key.set, key.sequence)
        )
        for place, folder in self.folders.items():
            if place in missing:
                yield Task(folder, tuple(missing[place]))


def _picture(sequence: RenderedSequence) -> str:
    texture = sequence.document.get("texture")
    file = texture.get("file") if isinstance(texture, dict) else None
    return file if isinstance(file, str) else f"sequence {sequence.folder.name}"


def name_sets(sets: Sequence[str | PathLike[str]]) -> dict[str, Path]:
    """Return folders of sets by name: that of the folder, or its path where two share a name.

    Raises:
        OptionError: A set is given twice.
    """
    paths = [Path(path) for path in sets]
    twice = [str(p) for p, n in Counter(path.resolve() for path in paths).items() if n > 1]
    if twice:
        raise OptionError(f"the set {twice[0]} is given twice")
    names = Counter(path.resolve().name for path in paths)
    return {
        path.resolve().name if names[path.resolve().name] == 1 else str(path): path
        for path in paths
    }


def unaligned_sets(sets: Mapping[str, Path]) -> dict[str, Path]:
    """Return those sets of which a frame does not lie over its label, and is to be aligned.

    Raises:
        ImageError: There is no sequence, or one is damaged.
    """
    return {
        name: path
        for name, path in sets.items()
        if not all(read_sequence(folder).aligned for folder in SequenceDataset(path).folders)
    }
