"""Sort a heap of photos into sequences: by the time they were taken, then by what they show."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path, PurePosixPath

from diar_ops._errors import DiarError
from diar_ops.batch.inventory import PhotoSequence
from diar_ops.batch.options import BatchOptions
from diar_ops.batch.storage import FileState, Storage
from diar_ops.batch.times import read_time, split_by_time
from diar_ops.data import is_photo_name
from diar_ops.data._listing import natural_key
from diar_ops.engines import Engine, Failure, LocalEngine
from diar_ops.results import Listener

_GROUPS = "groups.json"


def group_photos(
    paths: Sequence[str | PathLike[str]], *, gap: float = 300.0, engine: Engine | None = None
) -> list[list[Path]]:
    """Sort photos into sequences, each of one flat thing.

    Photos are split where the camera paused for longer than ``gap``, as their EXIF tells; those
    without a time make one run of their own. Photos of a run belong together where dense SIFT
    and a robust homography tie them, directly or through others.

    Args:
        paths: The photos; those without a time best in the order in which they were taken.
        gap: Seconds.
        engine: Where to work, a run at a time; None for this process.

    Returns:
        The sequences in the order of time; a photo that no other one belongs to is alone.

    Raises:
        DiarError: A worker died time and again.
    """
    photos = [Path(path) for path in paths]
    runs = split_by_time([read_time(path) for path in photos], gap)
    tasks = [[photos[index] for index in run] for run in runs]
    groups: list[list[Path]] = []
    for task, result in zip(tasks, (engine or LocalEngine(0)).map(_begin, tasks), strict=True):
        if isinstance(result, Failure):
            raise DiarError(f"cannot sort {task[0]} and {len(task) - 1} more: {result.reason}; use fewer workers")
        groups += [[task[index] for index in group] for group in result]
    return groups


def _begin() -> Callable[[Sequence[Path]], list[list[int]]]:
    from diar_ops.batch.overlap import split_by_overlap

    return split_by_overlap


def group_archive(
    archive: Storage,
    out: Storage,
    files: Mapping[str, FileState],
    options: BatchOptions,
    engine: Engine,
    listener: Listener,
) -> tuple[list[PhotoSequence], list[PhotoSequence]]:
    """Sort the photos of an archive; as an earlier run did, where they are still the same.

    Returns:
        The sequences, named after their first photos; and photos that no other one belongs to.
    """
    names = sorted(
        filter(is_photo_name, files), key=lambda name: [natural_key(Path(p)) for p in PurePosixPath(name).parts]
    )
    state = {"gap": options.gap, "files": {name: list(files[name]) for name in names}}
    groups = _read_groups(out, state)
    if groups is None:
        listener.info(f"sorting {len(names)} photos into sequences")
        if archive.local is None:
            engine = LocalEngine()  # only this machine sees the copies
        with archive.fetched(names) as folder:
            found = group_photos([folder / name for name in names], gap=options.gap, engine=engine)
            groups = [[path.relative_to(folder).as_posix() for path in group] for group in found]
        if not options.dry_run:
            out.write_text(_GROUPS, json.dumps({**state, "groups": groups}) + "\n")
    stems = [PurePosixPath(name).with_suffix("").as_posix() for name in files]
    sequences = []
    for group in groups:
        key = PurePosixPath(group[0]).with_suffix("").as_posix()
        key = group[0] if stems.count(key) > 1 else key
        sequences.append(PhotoSequence(key, {name: files[name] for name in group}, folder=False))
    return [s for s in sequences if len(s.files) > 1], [s for s in sequences if len(s.files) == 1]


def _read_groups(out: Storage, state: Mapping[str, object]) -> list[list[str]] | None:
    """Return the groups of an earlier run, if it was asked the same of the same photos."""
    try:
        document = json.loads(out.read_text(_GROUPS) or "null")
        if {key: document[key] for key in state} == state:
            return [[str(name) for name in group] for group in document["groups"]]
    except (ValueError, TypeError, KeyError):
        pass
    return None
