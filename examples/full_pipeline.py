#!/usr/bin/env python3
"""Turn several spoiled photos of one flat thing into one clean picture.

Give a folder (or files) of photos of the same painting, poster, page or facade. They are aligned
to one of them, and the clean picture is put together from what the photos agree on. Photos that
show something else, or cannot be aligned, are left out and named with the reason.

Without photos it runs on the bundled sequence and compares with the known original.

Examples:
  python examples/full_pipeline.py
  python examples/full_pipeline.py my_photos/ --out result/
  python examples/full_pipeline.py my_photos/ --aggregator runs/diar/FaithfulDIAR.safetensors
  python examples/full_pipeline.py a.jpg b.jpg c.jpg --out result/ --reference b.jpg

written to the output folder:
  clean.png           the clean picture (16 bit if the photos are)
  report.html         open this: before and after, which photo gave what, how far to trust it
  aligned/            each photo as seen from the reference; alpha marks what it shows
  weights/            the share of each photo in each pixel of the clean picture, where known
  homographies.json   where each photo lies: reference ~ H @ photo, in pixels; the lens, the bends
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields
from pathlib import Path

from _cli import TerminalListener, argument_parser, exit_code
from diar_ops.pipeline import AGGREGATORS, BENDS
from diar_ops.results import CleanOptions, clean_photos

BUNDLED = Path(__file__).resolve().parent / "demo_sequence"


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argument_parser(__doc__)
    add = parser.add_argument
    add("photos", nargs="*", metavar="DIR|FILE", help="photos or folders of photos; at least two")
    add("--out", metavar="DIR", default="diar_out", help="output folder (default: %(default)s)")
    add("--overwrite", action="store_true", help="replace earlier results in the output folder")
    add(
        "--reference",
        metavar="NAME|INDEX",
        default="auto",
        help="photo whose view the picture takes: a file name, a number from 0, or auto: the "
        "best-connected, most frontal and sharpest one (default: %(default)s)",
    )
    add(
        "--descriptor",
        metavar="sift|dual|NAME|FILE",
        default="sift",
        help="what photos are matched by: sift needs no weights; dual is trained and comes with "
        "the package; resnet18, resnet34 and resnet50 download theirs once; or a file of such "
        "weights (default: %(default)s)",
    )
    add(
        "--aggregator",
        metavar="NAME|FILE",
        default="diar",
        help="how a pixel is made from the photos: diar, a trained network, evens out their light "
        "and weighs them; diar-glass is one that was trained on pictures behind glass; without one: "
        f"{', '.join(AGGREGATORS)} (consensus averages the photos that agree, "
        "soft_minimum the darkest that do, against reflections; rpca, "
        "intrinsic and networks other than these work on all photos in full at once and do not tell which "
        "gave what); or a FILE of weights that examples/train.py wrote (default: %(default)s)",
    )
    add(
        "--lens",
        action="store_true",
        help="estimate how the lens bends straight lines, too, and straighten the picture: for "
        "whole photos of one camera at one zoom that stand still in the middle of the "
        "report's animation, but not in its corners; takes up to twice the time to "
        "align",
    )
    add(
        "--bends",
        choices=BENDS,
        default="none",
        help="auto looks for what is not quite flat (pages that curl, covers that bulge) and lays each photo over "
        "the reference by smooth displacements, too, where that fits clearly better (default: %(default)s)",
    )
    add("--device", default="cpu", help="where to compute: cpu, cuda, ... (default: %(default)s)")
    add(
        "--max-size",
        type=int,
        metavar="PIXELS",
        help="shrink photos to this longest side first (default: full resolution)",
    )
    add("--seed", type=int, default=0, help="seed of the random sampling (default: %(default)s)")
    add(
        "--ground-truth",
        metavar="DIR|FILE",
        help="the known original to compare with: an image, or the folder of a rendered sequence; "
        "a single DIR that is one brings its own",
    )
    return parser.parse_args(argv)


def run(options: argparse.Namespace) -> str:
    """Run the whole job and return its one-line summary."""
    settings = vars(options)
    cleaned = clean_photos(
        options.photos or [str(BUNDLED)],
        options.out,
        CleanOptions(**{field.name: settings[field.name] for field in fields(CleanOptions)}),
        listener=TerminalListener(),
        settings=settings,
    )
    return cleaned.summary()


def main(argv: list[str] | None = None) -> int:
    """Run the script and return its exit code."""
    options = parse_arguments(argv)
    return exit_code(
        lambda: run(options),
        less_memory="shrink the photos with --max-size",
        stopped="files that were written are complete",
    )


if __name__ == "__main__":
    sys.exit(main())
