"""Plans: which results to compute of sets, sequences, numbers of frames and methods."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Generic, TypeVar

from benchmarks.quality.aligned import Disturbance
from benchmarks.quality.rows import Pictures, RowKey
from diar_ops._errors import OptionError
from diar_ops.data import RenderedSequence, SequenceDataset, read_sequence

SourceT = TypeVar("SourceT")
UNDISTURBED = Disturbance()


@dataclass(frozen=True)
class Task(Generic[SourceT]):
    """One unit of work.

    Attributes:
        source: What it is computed from, such as the folder of a sequence.
        keys: The results to compute, at least one.
    """

    source: SourceT
    keys: tuple[RowKey, ...]


@dataclass(frozen=True)
class Plan(Generic[SourceT]):
    """All results that are asked for.

    Attributes:
        tasks: How they are computed; no two hold the same key.
        pictures: Which picture each sequence shows, where that is known.
    """

    tasks: Sequence[Task[SourceT]]
    pictures: Pictures

    @property
    def keys(self) -> list[RowKey]:
        """All results, task by task."""
        return [key for task in self.tasks for key in task.keys]

    @property
    def sources(self) -> dict[tuple[str, str], SourceT]:
        """What each (set, sequence) is computed from."""
        return {(key.set, key.sequence): task.source for task in self.tasks for key in task.keys}

    def missing(self, done: Collection[RowKey]) -> Iterator[Task[SourceT]]:
        """Yield what is still to be computed."""
        for task in self.tasks:
            keys = tuple(key for key in task.keys if key not in done)
            if keys:
                yield Task(task.source, keys)


def plan_sets(
    sets: Mapping[str, Path],
    methods: Sequence[str],
    frames: Sequence[int] | None,
    *,
    sequences: int | None = None,
    disturbance: Disturbance = UNDISTURBED,
    least: int = 1,
) -> Plan[Path]:
    """Return all results of some sets, methods and numbers of frames, sequence by sequence.

    Args:
        sets: Folders of sets, or of single sequences, by name, see :func:`name_sets`.
        methods: Their names.
        frames: Numbers of frames; a sequence that has fewer is left out at this number. None: all
            frames of each sequence.
        sequences: Only the first sequences of each set; all by default.
        disturbance: Of the alignment.
        least: Fewer frames are of no use.

    Returns:
        The plan; sources are folders of sequences, pictures the files that their documents name
        as texture.

    Raises:
        OptionError: A number is not positive, no sequence has so many frames, or one cannot be
            disturbed so.
        ImageError: There is no sequence, or one is not as it should be.
    """
    for option, bound, numbers in (
        ("frames", least, [least] if frames is None else list(frames)),
        ("sequences", 1, [1 if sequences is None else sequences]),
    ):
        if min(numbers, default=0) < bound:
            got = min(numbers, default="none")
            raise OptionError(f"{option} must be {bound} or more, got {got}")
    tasks: list[Task[Path]] = []
    pictures: dict[tuple[str, str], str] = {}
    longest = 0
    for name, path in sets.items():
        for folder in SequenceDataset(path).folders[:sequences]:
            document = read_sequence(folder)
            length = len(document.frames)
            longest = max(longest, length)
            counts = [length] if frames is None else sorted(set(frames))
            keys = [
                RowKey(name, folder.name, count, method)
                for count in counts
                if least <= count <= length
                for method in methods
            ]
            if keys:
                # Before the long work, not in the middle of it.
                disturbance.check(folder.name, length)
                tasks.append(Task(folder, tuple(keys)))
                pictures[name, folder.name] = _picture(document)
    if not tasks:
        raise OptionError(f"no sequence has {min(frames or (least,))} frames, the longest has {longest}")
    return Plan(tasks, pictures)


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
    return {path.resolve().name if names[path.resolve().name] == 1 else str(path): path for path in paths}


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
