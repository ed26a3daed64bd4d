#!/usr/bin/env python3
"""Align photos of bent pictures, and of the same pictures flat, and measure points of the picture.

  python -m benchmarks.quality.bends out/bends --textures paintings/val --sequences 20

renders sequences with the torch renderer (light, shadows, things in the way, a foreign photo at the
end, a phone's camera), lays them over frame 0 by each method, and compares where points of the
picture come to lie with where the reference shows them, which homographies and displacements of
the renderer say exactly. Stopped or killed, the same command goes on where it was.

written to the output folder:
  bends.csv    every frame: quantiles of its points' errors, in pixels of the reference
  bends.md     tables over all frames, by set and by kind of bend
  sequences/   the rendered sequences
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch

from benchmarks.quality.bends.methods import METHODS
from benchmarks.quality.bends.scores import BENDS, bends_tables, score_sequence
from benchmarks.quality.bends.sequences import SETS, BentPhotos, render_bent_photos
from benchmarks.quality.plan import Plan, Task
from benchmarks.quality.program import program_parser, run_program
from benchmarks.quality.record import settings_record
from benchmarks.quality.result_tables import tables_markdown
from benchmarks.quality.rows import Row, RowKey
from benchmarks.quality.run import complete_results
from diar_ops._files import write_text_atomic
from diar_ops.engines import select_engine


def main(argv: Sequence[str] | None = None) -> int:
    """Run the measurement and return the exit code."""
    return run_program(measure_bends, _parser(), argv)


def measure_bends(options: argparse.Namespace) -> None:
    """Compute what is asked for, and print the tables.

    Raises:
        DiarError: An option is wrong, or a file cannot be read or written.
    """
    tasks = [
        Task((name, number), tuple(RowKey(name, f"{number:03d}", options.frames, method) for method in options.methods))
        for number in range(options.first, options.first + options.sequences)
        for name in options.sets
    ]
    record = settings_record(
        BENDS,
        textures=str(options.textures and options.textures.name),
        size=options.size,
        methods={name: name for name in options.methods},
    )
    begin = partial(_begin, options.out / "sequences", options.textures, options.frames, options.size)
    rows = complete_results(
        options.out,
        BENDS,
        Plan(tasks, {}),
        record,
        begin,
        engine=select_engine(workers=options.workers),
        title="aligning",
        overwrite=options.overwrite,
    )
    text = tables_markdown(bends_tables(rows))
    write_text_atomic(options.out / "bends.md", text + "\n", overwrite=True)
    print(text)


def _begin(folder: Path, textures: Path | None, frames: int, size: int) -> Callable[[Task[tuple[str, int]]], list[Row]]:
    """Return the work of a process: render a sequence, or read it where that is done, and score it."""

    def work(task: Task[tuple[str, int]]) -> list[Row]:
        name, number = task.source
        path = folder / f"{name}-{number:03d}-{frames}-{size}.pt"
        if path.exists():
            photos = BentPhotos(*torch.load(path))
        else:
            photos = render_bent_photos(name, number, textures, frames=frames, size=size)
            folder.mkdir(parents=True, exist_ok=True)
            torch.save(tuple(photos), path)
        return score_sequence(Task(photos, task.keys))

    return work


def _parser() -> argparse.ArgumentParser:
    parser = program_parser("bends", __doc__)
    parser.add_argument("out", type=Path, help="folder of the results")
    parser.add_argument("--textures", type=Path, help="folder of pictures (default: procedural ones)")
    parser.add_argument("--sequences", type=int, default=20, help="of each set (default: 20)")
    parser.add_argument("--first", type=int, default=0, help="number of the first of them (default: 0)")
    parser.add_argument("--frames", type=int, default=11, help="of each sequence, the last one foreign (default: 11)")
    parser.add_argument("--size", type=int, default=256, help="longer side of the frames (default: 256)")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS), help="default: both")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), help="default: all")
    parser.add_argument("--workers", type=int, default=1, help="processes side by side (default: 1)")
    parser.add_argument("--overwrite", action="store_true", help="begin anew, whatever is there")
    return parser


if __name__ == "__main__":
    sys.exit(main())
