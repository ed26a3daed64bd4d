#!/usr/bin/env python3
"""Count how many look-alikes the alignment takes for what is sought, and what it loses of that.

  python -m benchmarks.quality.lookalikes OUT --paintings paintings/val

makes sequences of pages, forms, facades, tiles and carpets among others of the same layout, of
photos under captions and watermarks, of mirrored and foreign photos; aligns each to its first
photo, and writes OUT/lookalikes.csv, a row per photo. Stopped, the same command goes on.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.quality.lookalikes.sequences import FAMILIES, FOREIGN, OWN, make_sequence
from benchmarks.quality.program import program_parser, run_program
from diar_ops import Reason, align_sequence, corner_error
from diar_ops._folders import locked_folder

HEADS = ("family", "number", "seed", "photo", "truth", "success", "reason", "error", "seconds")
#: A photo is laid wrongly from this error on, in pixels.
WRONG = 3.0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the comparison and return the exit code."""
    return run_program(compare, _parser(), argv)


def compare(options: argparse.Namespace) -> None:
    """Align the sequences that are not done yet, and print the table.

    Raises:
        DiarError: A picture cannot be read, or another run works in the folder.
    """
    path = options.out / "lookalikes.csv"
    with locked_folder(options.out):
        done = {(row["family"], int(row["number"]), int(row["seed"])) for row in read_rows(path)}
        for number in range(options.sequences):
            family = options.families[number % len(options.families)]
            if (family, number, options.seed) not in done:
                append_rows(path, score_sequence(family, number, options.seed, options.paintings))
        print(table(read_rows(path)))


def score_sequence(family: str, number: int, seed: int, paintings: Path | None) -> list[dict[str, object]]:
    """Align one sequence; return a row for each photo but the reference."""
    made = make_sequence(family, number, seed, paintings)
    begin = time.process_time()
    alignment = align_sequence(made.frames, reference=0)
    seconds = time.process_time() - begin
    H = made.homography_frame_picture
    true = H[0] @ torch.linalg.inv(H)
    rows: list[dict[str, object]] = []
    for t in range(1, len(made.frames)):
        size = (int(made.frames[t].shape[-2]), int(made.frames[t].shape[-1]))
        error = corner_error(alignment.homography_reference_frame[t : t + 1], true[t : t + 1], size=size)
        values = (
            made.truth[t],
            int(alignment.success[t]),
            Reason(int(alignment.reason[t])).name,
            f"{float(error):.3f}",
            f"{seconds:.2f}",
        )
        rows.append(dict(zip(HEADS, (family, number, seed, t, *values), strict=True)))
    return rows


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table that was begun, none where there is none."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def append_rows(path: Path, rows: Sequence[dict[str, object]]) -> None:
    """Append rows to a table; a sequence is written in one piece."""
    new = not path.exists()
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, HEADS, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerows(rows)


def table(rows: Sequence[dict[str, str]]) -> str:
    """Return what became of the photos of each family, as a table in Markdown."""
    lines = [
        "| family | sequences | own | refused | laid wrongly | foreign | accepted |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for family in (*FAMILIES, "all"):
        group = [row for row in rows if family in (row["family"], "all")]
        if not group:
            continue
        accepted = [row for row in group if row["success"] == "1"]
        wrong = [row for row in accepted if row["truth"] != FOREIGN and float(row["error"]) > WRONG]
        own = [row for row in group if row["truth"] == OWN]
        cells = (
            family,
            len({(row["family"], row["number"], row["seed"]) for row in group}),
            len(own),
            sum(row["success"] == "0" for row in own),
            len(wrong),
            sum(row["truth"] == FOREIGN for row in group),
            sum(row["truth"] == FOREIGN for row in accepted),
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = program_parser("lookalikes", __doc__)
    add = parser.add_argument
    add("out", type=Path, metavar="OUT", help="folder of the table")
    add("--paintings", type=Path, metavar="DIR", help="images to photograph (default: procedural pictures)")
    add("--sequences", type=int, default=200, metavar="N", help="how many, the families in turn (default: 200)")
    add("--families", nargs="+", choices=FAMILIES, default=FAMILIES, metavar="NAME", help=f"of {', '.join(FAMILIES)}")
    add("--seed", type=int, default=0, metavar="K", help="another seed makes others (default: 0)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
