"""The worst, median and best sequences of a method, to look at."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.quality.aligned import AlignedFrames, Disturbance, load_prefixes
from benchmarks.quality.methods import Method, resolve_methods
from benchmarks.quality.plan import Task
from benchmarks.quality.rows import Row, group_by, select_most_frames
from benchmarks.quality.run import run_tasks
from diar_ops._files import write_image
from diar_ops._pixels import shrink
from diar_ops.engines import Engine

#: Frames that a picture shows.
FRAMES_SHOWN = 3
#: Longest side of each part, in pixels, and what is between them.
TILE, GAP, WHITE = 200, 4, 255
#: Mean error of the channels, as share of white, that is drawn white.
FULL_ERROR = 0.25


class Case(NamedTuple):
    """A result to look at.

    Attributes:
        kind: ``"worst"``, ``"median"`` or ``"best"``.
        row: The result.
    """

    kind: str
    row: Row


def rank_cases(count: int, most: int) -> list[tuple[str, int]]:
    """Return (kind, place) of the worst, median and best of ``count`` results, worst first.

    Of each kind ``most``, as far as there are so many; none twice.
    """
    middle = max(0, (count - most) // 2)
    parts = {
        "worst": range(min(most, count)),
        "median": range(middle, min(middle + most, count)),
        "best": range(max(0, count - most), count),
    }
    kinds: dict[int, str] = {}
    for kind, places in parts.items():
        for place in places:
            kinds.setdefault(place, kind)
    return [(kinds[place], place) for place in sorted(kinds)]


def choose_by_rank(rows: Iterable[Row], most: int, rank: Callable[[Row], tuple[Any, ...]]) -> list[Case]:
    """Return the worst, median and best rows per set and method; the worst have the least rank."""
    cases = []
    for group in group_by(rows, lambda row: (row.set, row.method)).values():
        ranked = sorted(group, key=rank)
        cases += [Case(kind, ranked[place]) for kind, place in rank_cases(len(ranked), most)]
    return cases


def choose_cases(rows: Sequence[Row], most: int = 1) -> list[Case]:
    """Return the worst, median and best sequences by PSNR, per set and method.

    Each of the most frames that the method was scored with on the set.
    """
    longest = select_most_frames(rows, lambda row: (row.set, row.method))
    return choose_by_rank(longest, most, lambda row: (row.values["psnr"], row.sequence))


def picture_file(folder: Path, *name: object) -> Path:
    """Return where a picture is, whether it is there or not.

    Args:
        folder: Of the pictures.
        name: Parts of its name, such as a :class:`RowKey`; what may not be part of a file's name
            is replaced.
    """
    return folder / (re.sub(r"[^\w.+-]", "_", "_".join(map(str, name))) + ".png")


def write_cases(
    folder: Path,
    cases: Iterable[Case],
    folders: Mapping[tuple[str, str], Path],
    words: Sequence[str],
    disturbance: Disturbance,
    engine: Engine,
    *,
    progress: Callable[[int, int], object] | None = None,
) -> None:
    """Write :func:`case_picture` of each case that has none yet, to :func:`picture_file`.

    Args:
        folder: Where to.
        cases: What to show.
        folders: Of the sequences, by (set, sequence).
        words: The methods, as :func:`resolve_methods` takes them.
        disturbance: Of the alignment.
        engine: Where to draw.
        progress: Called with (sequences done, in all).
    """
    keys = [case.row.key for case in cases]
    missing = [key for key in keys if not picture_file(folder, *key).exists()]
    tasks = [
        Task(folders[place], tuple(group))
        for place, group in group_by(missing, lambda key: (key.set, key.sequence)).items()
    ]
    begin = partial(_begin, words, disturbance, folder)
    for done, _ in enumerate(run_tasks(tasks, begin, engine), 1):
        if progress is not None:
            progress(done, len(tasks))


def _begin(words: Sequence[str], disturbance: Disturbance, folder: Path) -> Callable[[Task[Path]], list[Row]]:
    methods = {method.name: method for method in resolve_methods(words)}
    return partial(_draw, methods=methods, disturbance=disturbance, folder=folder)


def _draw(task: Task[Path], methods: Mapping[str, Method], disturbance: Disturbance, folder: Path) -> list[Row]:
    """Write the pictures of a sequence; there are no rows to return."""
    prefixes = load_prefixes(task.source, (key.frames for key in task.keys), disturbance)
    for key in task.keys:
        aligned = prefixes[key.frames]
        restored = methods[key.method].restore(aligned.frames, aligned.valid)
        write_image(picture_file(folder, *key), case_picture(aligned, restored), overwrite=True)
    return []


def case_picture(aligned: AlignedFrames, restored: Tensor) -> Tensor:
    """Return what a method was given and made, (3, h, w) uint8.

    Three frames, the first, the middle and the last; below them the result, the label, and the
    error: the mean of the channels, black for none, white for :data:`FULL_ERROR` and more, and
    where no frame shows anything grey.

    Args:
        aligned: The frames, and what they should show.
        restored: (1, 3, H, W), the result.
    """
    frames, label = aligned.frames[0], aligned.label[0]
    restored = restored[0].to(label.dtype).clamp(0, 1)
    error = ((restored - label).abs().mean(0, keepdim=True) / FULL_ERROR).clamp(0, 1).expand(3, -1, -1)
    if aligned.covered is not None:
        error = torch.where(aligned.covered[0], error, 0.5)
    last = len(frames) - 1
    chosen = [frames[t] for t in sorted({0, last // 2, last})]
    chosen += [torch.full_like(label, 1.0)] * (FRAMES_SHOWN - len(chosen))
    rows = [torch.cat([_tile(part) for part in row], dim=2) for row in (chosen, (restored, label, error))]
    sheet = F.pad(torch.cat(rows, dim=1), (GAP, 0, GAP, 0), value=1.0)
    return (sheet * WHITE).round().to(torch.uint8)


def _tile(picture: Tensor) -> Tensor:
    return F.pad(shrink(picture, TILE)[0].clamp(0, 1), (0, GAP, 0, GAP), value=1.0)
