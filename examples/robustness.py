#!/usr/bin/env python3
"""Spoil photos more and more, one way at a time: where does which method break?

Pictures are rendered in torch as sequences of photos under mild light from slightly tilted
cameras. Then one thing grows, level by level, while scenes, cameras and light stay the same:

  occluded   things in front cover more of the picture
  saturated  glare on the glass before it clips more of the pixels
  shadow     shadows get darker
  noise      the sensor gets noisier
  tilt       the cameras look at it from the side
  foreign    more of the photos show another picture

How much of it the frames really have is measured, and stands in the tables. At each level all
methods make their pictures, and all methods of alignment lay the frames over the first one.
Methods are those of evaluate.py; NAME+aligned is given frames as align_sequence lays them, the
others as their exact homographies do. A method of reconstruction breaks where it has lost 3 dB of
what it reaches at the first level, one of alignment where less than 90 % of the frames are within
3 pixels.

Stopped (Ctrl-C) or killed, the same command goes on where it was. More factors, methods and
sequences join the rows that are there; tables, curves and pictures are of those that the last
command asked for. Seeds are fixed; results do not depend on the number of workers.

Examples:
  python examples/robustness.py --out robustness
  python examples/robustness.py --out robustness --textures paintings/ posters/ --workers 2
  python examples/robustness.py --out mine --factors occluded foreign
      --methods median+exposure diar runs/mine/FaithfulDIAR.safetensors --aligners ours

written to the output folder:
  robustness.csv      every factor, level, sequence, method and score
  robustness.md       breaking points; a table per factor: PSNR, shares of aligned frames
  robustness_summary.csv
                      means and their 95 % intervals (bootstrap over sequences)
  reconstruction.png, alignment.png, and .svg
                      curves over the levels, a panel per factor
  pictures/           what the levels look like: label, frames, the picture of each method
  settings.json       what the rows depend on; other settings need another folder
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from functools import partial
from pathlib import Path

from tqdm import tqdm

from _cli import argument_parser, exit_code, progress_bar
from benchmarks.quality import complete_results, settings_record
from benchmarks.quality.robustness import (
    ALIGNERS,
    FACTORS,
    RESTORERS,
    ROBUSTNESS,
    RobustnessPlan,
    begin_robustness,
    choose_pictures,
    find_compared,
    write_level_sheets,
    write_robustness,
)
from diar_ops import OptionError

#: Sides that all methods can work on: the pyramid of alignment halves them.
LEAST_SIDE = 64


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argument_parser(__doc__)
    add = parser.add_argument
    add("--out", required=True, metavar="DIR", help="output folder; what is there is continued")
    add(
        "--textures",
        nargs="+",
        default=[],
        metavar="DIR",
        help="folders of images that are the pictures (default: procedural ones)",
    )
    add(
        "--factors",
        nargs="+",
        default=list(FACTORS),
        metavar="FACTOR",
        help="what grows (default: all)",
    )
    add(
        "--methods",
        nargs="*",
        default=list(RESTORERS),
        metavar="METHOD",
        help=f"methods of reconstruction (default: {' '.join(RESTORERS)})",
    )
    add(
        "--aligners",
        nargs="*",
        default=list(ALIGNERS),
        metavar="METHOD",
        help=f"methods of alignment (default: {' '.join(ALIGNERS)})",
    )
    add(
        "--sequences",
        type=int,
        default=4,
        metavar="N",
        help="sequences at each level (default: %(default)s)",
    )
    add("--frames", type=int, default=8, metavar="T", help="frames of each (default: %(default)s)")
    add(
        "--size",
        type=int,
        default=256,
        metavar="PX",
        help="side of frames and pictures (default: %(default)s)",
    )
    add(
        "--workers",
        type=int,
        default=1,
        metavar="W",
        help="processes side by side, one core each (default: %(default)s)",
    )
    add(
        "--pictures",
        type=int,
        default=1,
        metavar="N",
        help="show the levels of the first N sequences (default: %(default)s)",
    )
    add("--overwrite", action="store_true", help="begin anew, whatever is there")
    return parser.parse_args(argv)


def run(options: argparse.Namespace) -> str:
    """Evaluate, and return the tables."""
    for name, least in (("workers", 1), ("pictures", 0), ("size", LEAST_SIDE)):
        if getattr(options, name) < least:
            raise OptionError(f"--{name} must be {least} or more, got {getattr(options, name)}")
    compared = find_compared(options.methods, options.aligners)
    for sentence in compared.skipped:
        print(sentence, file=sys.stderr)
    plan = RobustnessPlan(options.factors, compared.names, options.sequences, options.frames)
    size = (options.size, options.size)
    pictures = (choose_pictures(options.textures, i, size) for i in range(options.sequences))
    record = settings_record(
        ROBUSTNESS,
        frames=options.frames,
        size=options.size,
        factors={name: FACTORS[name].what for name in options.factors},
        methods={
            **{name: method.digest or name for name, method in compared.restorers.items()},
            **{name: aligner.settings for name, aligner in compared.aligners.items()},
        },
        pictures={
            str(i): hashlib.sha256(picture.numpy().tobytes()).hexdigest()
            for i, picture in enumerate(pictures)
        },
    )
    out = Path(options.out)
    begin = partial(
        begin_robustness, options.methods, options.aligners, options.textures, options.size
    )
    with progress_bar("evaluating", "level") as progress:
        rows = complete_results(
            out,
            ROBUSTNESS,
            plan,
            record,
            begin,
            workers=options.workers,
            overwrite=options.overwrite,
            progress=progress,
        )
    factors = list(record["factors"])
    with tqdm(desc="pictures", unit="sheet", disable=None) as bar:
        for sequence in range(min(options.pictures, options.sequences)):
            write_level_sheets(
                out / "pictures",
                factors,
                compared.restorers,
                options.textures,
                frames=options.frames,
                side=options.size,
                sequence=sequence,
                progress=bar.update,
            )
    return write_robustness(out, rows)


def main(argv: list[str] | None = None) -> int:
    """Run the script and return its exit code."""
    options = parse_arguments(argv)
    return exit_code(
        lambda: run(options),
        less_memory="use fewer --workers or a smaller --size",
        stopped="the same command goes on",
    )


if __name__ == "__main__":
    sys.exit(main())
