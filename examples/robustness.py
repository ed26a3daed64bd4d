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

import sys

from _cli import ENGINE, OUT, Argument, argument_parser, check_minimum, engine_of, exit_code
from benchmarks.quality.robustness.cells import COMPARED_ALIGNERS, COMPARED_METHODS
from benchmarks.quality.robustness.evaluation import evaluate_robustness
from benchmarks.quality.robustness.factors import FACTORS

#: Sides that all methods can work on: the pyramid of alignment halves them.
LEAST_SIDE = 64
ARGUMENTS = (
    OUT,
    Argument(
        "--textures", "DIR", "folders of images that are the pictures (default: procedural ones)", nargs="+", default=[]
    ),
    Argument("--factors", "FACTOR", "what grows (default: all)", nargs="+", default=list(FACTORS)),
    Argument(
        "--methods",
        "METHOD",
        f"methods of reconstruction (default: {' '.join(COMPARED_METHODS)})",
        nargs="*",
        default=list(COMPARED_METHODS),
    ),
    Argument(
        "--aligners",
        "METHOD",
        f"methods of alignment (default: {' '.join(COMPARED_ALIGNERS)})",
        nargs="*",
        default=list(COMPARED_ALIGNERS),
    ),
    *(
        Argument(name, metavar, f"{words} (default: %(default)s)", type=int, default=default)
        for name, metavar, words, default in (
            ("--sequences", "N", "sequences at each level", 4),
            ("--frames", "T", "frames of each", 8),
            ("--size", "PX", "side of frames and pictures", 256),
        )
    ),
    *ENGINE,
    Argument("--pictures", "N", "show the levels of the first N sequences (default: %(default)s)", type=int, default=1),
    Argument("--overwrite", None, "begin anew, whatever is there"),
)


def main(argv: list[str] | None = None) -> int:
    """Run the script and return its exit code."""
    options = argument_parser(__doc__, *ARGUMENTS).parse_args(argv)

    def run() -> str:
        check_minimum(options, pictures=0, size=LEAST_SIDE)
        options.engine = engine_of(options)
        return evaluate_robustness(options)

    return exit_code(run, less_memory="use fewer --workers or a smaller --size", stopped="the same command goes on")


if __name__ == "__main__":
    sys.exit(main())
