#!/usr/bin/env python3
"""Lay photos over each other that were taken from far apart (docs/alignment.md).

  python -m benchmarks.quality.hard_views hard/ --paintings paintings/val

renders pairs of photos of every other picture, tilted by 50 to 75 degrees against each other, up to four times
nearer, turned by any angle, with lamps, shadows, glare and things in front, aligns them by each method, and writes
the table. Stopped or killed, the same command goes on where it was.

written to the output folder:
  hard_views.csv   a row per pair and method: how the views differ, the verdict, the error
  hard_views.md    the table against tilt and scale
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.quality.hard_views.methods import METHODS
from benchmarks.quality.hard_views.pairs import render_pair
from benchmarks.quality.hard_views.table import PairResult, format_table, read_rows, write_rows
from benchmarks.quality.program import program_parser, run_program
from benchmarks.quality.run import progress_bar
from diar_ops._files import write_text_atomic
from diar_ops._pixels import to_unit
from diar_ops.data import list_images, read_image


def main(argv: Sequence[str] | None = None) -> int:
    """Run the comparison and return the exit code."""
    return run_program(compare, _parser(), argv)


def compare(options: argparse.Namespace) -> None:
    """Align all pairs by all methods that are asked for, but for what is stored already.

    Raises:
        DiarError: A file cannot be read or written.
    """
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    part, parts = (int(number) for number in options.part.split("/"))
    pictures = list_images(options.paintings)[part - 1 :: parts]
    stored = read_rows(out / "hard_views.csv")
    done = {(row.pair, row.method) for row in stored}
    methods = {name: METHODS[name]() for name in options.methods}
    with progress_bar("hard views", "pair") as progress:
        for index in range(options.pairs):
            missing = [name for name in methods if (index, name) not in done]
            if missing:
                texture = to_unit(read_image(pictures[index % len(pictures)]).pixels)[None]
                pair = render_pair(texture, f"{options.seed}/{index}", options.size)
                for name in missing:
                    start = time.process_time()
                    H = methods[name](pair.frames)
                    seconds = time.process_time() - start
                    error = float("inf") if H is None else pair.error(torch.linalg.inv(H))
                    stored.append(PairResult(index, name, pair.angle, pair.scale, H is not None, error, seconds))
                write_rows(out / "hard_views.csv", stored)
            progress(index + 1, options.pairs)
    text = format_table([row for row in stored if row.pair < options.pairs and row.method in methods])
    write_text_atomic(out / "hard_views.md", text, overwrite=True)
    print(text)


def _parser() -> argparse.ArgumentParser:
    parser = program_parser("hard_views", __doc__)
    add = parser.add_argument
    add("out", type=Path, metavar="OUT", help="folder of the results")
    add("--paintings", type=Path, required=True, metavar="DIR", help="pictures to render")
    add("--part", default="2/2", metavar="K/N", help="of the pictures (default: 2/2)")
    add("--pairs", type=int, default=100, metavar="N", help="how many (default: 100)")
    add("--size", type=int, default=512, metavar="PX", help="side of the photos (default: 512)")
    add("--seed", default="test", metavar="WORD", help="of all that is drawn (default: test)")
    add("--methods", nargs="+", choices=tuple(METHODS), default=tuple(METHODS), metavar="NAME",
        help=f"some of {', '.join(METHODS)}")  # fmt: skip
    return parser


if __name__ == "__main__":
    sys.exit(main())
