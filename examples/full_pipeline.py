#!/usr/bin/env python3
"""Turn several spoiled photos of one flat thing into one clean picture.

Give a folder (or files) of photos of the same painting, poster, page or facade, or a video of it.
They are aligned to one of them, and the clean picture is put together from what the photos agree
on. Photos that show something else, or cannot be aligned, are left out and named with the reason.

Without photos it runs on the bundled sequence and compares with the known original. Installed,
the same job is the command `diar-ops clean`.

Examples:
  python examples/full_pipeline.py
  python examples/full_pipeline.py my_photos/ --out result/
  python examples/full_pipeline.py my_photos/ --aggregator runs/diar/FaithfulDIAR.safetensors
  python examples/full_pipeline.py a.jpg b.jpg c.jpg --out result/ --reference b.jpg

written to the output folder:
  clean.png           the clean picture (16 bit if the photos are), or what --format says
  report.html         open this: before and after, which photo gave what, how far to trust it
  aligned/            each photo as seen from the reference; alpha marks what it shows
  weights/            the share of each photo in each pixel of the clean picture, where known
  homographies.json   where each photo lies: reference ~ H @ photo, in pixels; the lens, the bends, the canvas
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from _cli import add_option, argument_parser
from diar_ops._options import described_options
from diar_ops.cli.job import clean
from diar_ops.results import CleanOptions

BUNDLED = Path(__file__).resolve().parent / "demo_sequence"


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argument_parser(__doc__)
    parser.add_argument("photos", nargs="*", metavar="DIR|FILE", help="photos or folders of photos; at least two")
    parser.add_argument("--out", metavar="DIR", default="diar_out", help="output folder (default: %(default)s)")
    for known in described_options(CleanOptions):
        add_option(parser, known)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the script and return its exit code."""
    options = vars(parse_arguments(argv))
    return clean(options.pop("photos") or [str(BUNDLED)], options.pop("out"), options)


if __name__ == "__main__":
    sys.exit(main())
