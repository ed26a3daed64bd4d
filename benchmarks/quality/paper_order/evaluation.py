"""Scores of every network and seed on every sequence, under every condition."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.quality.paper_order.conditions import CONDITIONS, load_spoiled, pixel_slices
from benchmarks.quality.plan import Plan, Task
from benchmarks.quality.record import settings_record
from benchmarks.quality.rows import KEY_COLUMNS, Results, Row, RowKey
from benchmarks.quality.run import complete_results
from benchmarks.quality.scores import score_picture
from diar_ops._errors import OptionError
from diar_ops.data import RenderedSequence, SequenceDataset, read_sequence
from diar_ops.engines import Engine
from diar_ops.metrics import colour_gain, psnr
from diar_ops.models import load_pretrained

#: Numbers of frames that are tried where a sequence has more than ten.
LONG = (2, 3, 5, 10, 20, 50)
#: Frames of the other sequences.
SHORT = 10
SLICES = ("covered", "uncovered", "shadow", "lit")
#: Fewer pixels of a slice tell nothing.
FEWEST = 100
#: The name of a set is followed by "+" and a condition, where there is one; a method is a network,
#: "-" and a seed. The scores of slices are NaN where a sequence is spoiled further.
ORDER = Results(
    "diar_ops paper order",
    "paper_order.csv",
    {**KEY_COLUMNS, **dict.fromkeys(("psnr", "psnr_gain", "ssim", *(f"psnr_{name}" for name in SLICES)), float)},
    ("paper_order.md",),
)


class Cell(NamedTuple):
    """A sequence under a condition.

    Attributes:
        folder: Of the sequence.
        other: Of a sequence of the same set that shows another picture.
        condition: Of :data:`CONDITIONS`.
    """

    folder: Path
    other: Path
    condition: str


def evaluate_networks(
    out: Path, sets: Sequence[Path], weights: Mapping[str, Path], engine: Engine, *, overwrite: bool = False
) -> list[Row]:
    """Compute the scores that a folder lacks, and return all of them.

    Args:
        out: The folder.
        sets: Folders of aligned sets with masks.
        weights: Files of networks, by the name of the method.
        engine: Where to compute.
        overwrite: Begin anew.

    Raises:
        DiarError: A set or file is not as it should be, or the folder holds other results.
    """
    plan = plan_sequences(sets, list(weights))
    digests = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in weights.items()}
    folders = {key: cell.folder for key, cell in plan.sources.items()}
    return complete_results(
        out,
        ORDER,
        plan,
        settings_record(ORDER, folders, weights=digests),
        partial(begin_evaluation, dict(weights)),
        engine=engine,
        title="evaluating",
        overwrite=overwrite,
    )


def plan_sequences(sets: Sequence[Path], methods: Sequence[str]) -> Plan[Cell]:
    """Return all results of some sets and methods.

    Raises:
        ImageError: There is no sequence, or one is not as it should be.
        OptionError: A set shows one picture alone, so that there are no foreign frames, or is not
            aligned.
    """
    tasks: list[Task[Cell]] = []
    pictures: dict[tuple[str, str], str] = {}
    for path in sets:
        documents = [read_sequence(folder) for folder in SequenceDataset(path).folders]
        for index, sequence in enumerate(documents):
            if not sequence.aligned:
                raise OptionError(f"{sequence.folder} is a misaligned sequence; the study is of aligned ones")
            other = _of_another_picture(documents, index)
            long = len(sequence.frames) > SHORT
            for condition in ("",) if long else CONDITIONS:
                name = f"{path.name}+{condition}" if condition else path.name
                counts = [n for n in (LONG if long else (SHORT,)) if n <= len(sequence.frames)]
                keys = tuple(RowKey(name, sequence.folder.name, n, method) for n in counts for method in methods)
                tasks.append(Task(Cell(sequence.folder, other, condition), keys))
                pictures[name, sequence.folder.name] = picture_name(sequence)
    return Plan([task for task in tasks if task.keys], pictures)


def picture_name(sequence: RenderedSequence) -> str:
    """Return the file that a rendered sequence shows."""
    return str(sequence.document["texture"]["file"])


def _of_another_picture(documents: Sequence[RenderedSequence], index: int) -> Path:
    """Return the folder of the next sequence that shows another picture."""
    shown = picture_name(documents[index])
    for sequence in (*documents[index + 1 :], *documents[:index]):
        if picture_name(sequence) != shown:
            return sequence.folder
    raise OptionError(f"all sequences beside {documents[index].folder} show the same picture")


def begin_evaluation(weights: Mapping[str, Path]) -> Callable[[Task[Cell]], list[Row]]:
    """Build the function that scores one task, in the process that calls it."""
    networks = {name: load_pretrained(path).eval() for name, path in weights.items()}
    return partial(score_cell, networks=networks)


@torch.no_grad()
def score_cell(task: Task[Cell], networks: Mapping[str, nn.Module]) -> list[Row]:
    """Compute the results of a sequence under a condition, in the order of its keys."""
    folder, other, condition = task.source
    longest = load_spoiled(folder, other, max(key.frames for key in task.keys), CONDITIONS[condition])
    slices = {} if condition else {n: pixel_slices(folder, n) for n in {key.frames for key in task.keys}}
    rows = []
    for key in task.keys:
        aligned = longest.prefix(key.frames)
        picture = networks[key.method](aligned.frames, aligned.valid).image.clamp(0, 1)
        scores = score_picture(picture, aligned.label, aligned.covered, scores=("psnr", "psnr_gain", "ssim"))
        scores |= score_slices(picture, aligned.label, slices.get(key.frames, {}))
        rows.append(Row(*key, scores))
    return rows


def score_slices(picture: Tensor, label: Tensor, slices: Mapping[str, Tensor]) -> dict[str, float]:
    """Return the PSNR of each of :data:`SLICES`, after the colour gain of the whole picture.

    Args:
        picture: (1, 3, H, W) in [0, 1].
        label: (1, 3, H, W) in [0, 1].
        slices: (1, 1, H, W) bool each; NaN is the score of those that are missing or too small.
    """
    everywhere = torch.ones_like(label[:, :1], dtype=torch.bool)
    fitted = (picture * colour_gain(picture, label, everywhere)).clamp(0, 1)
    scores = {f"psnr_{name}": float("nan") for name in SLICES}
    for name, pixels in slices.items():
        if int(pixels.sum()) >= FEWEST:
            scores[f"psnr_{name}"] = round(float(psnr(fitted, label, pixels)), 6)
    return scores


def trained_steps(path: Path) -> int:
    """Return how many steps a file of weights has been trained, as its header says; 0 unless it does."""
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return int(header.get("__metadata__", {}).get("steps", 0))
