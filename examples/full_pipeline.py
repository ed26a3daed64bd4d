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
  weights/            the share of each photo in each pixel of the clean picture
  homographies.json   where each photo lies: reference ~ H @ photo, in pixels; the lens
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from tqdm import tqdm

from _cli import argument_parser, exit_code
from diar_ops import DiarError, Reason, align_sequence, reconstruct_sequence
from diar_ops._checks import check_device
from diar_ops.data import find_photo, is_sequence, list_images, read_photos
from diar_ops.models import FaithfulDIAR, load_descriptor, load_pretrained
from diar_ops.pipeline import AGGREGATORS, aligned_frames
from diar_ops.results import (
    check_results_folder,
    read_ground_truth,
    render_report,
    score_against,
    write_results,
)

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
        "and weighs them; without one, softmax averages those that agree, median takes the "
        "middle one, mean takes all; or a FILE of weights that examples/train.py wrote "
        "(default: %(default)s)",
    )
    add(
        "--lens",
        action="store_true",
        help="estimate how the lens bends straight lines, too, and straighten the picture: for "
        "whole photos of one camera at one zoom that stand still in the middle of the "
        "report's animation, but not in its corners; takes up to twice the time to "
        "align",
    )
    add("--device", default="cpu", help="where to align: cpu, cuda, ... (default: %(default)s)")
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
    given = options.photos or [str(BUNDLED)]
    # Everything that can be refused is refused before the long work.
    check_device("--device", options.device)
    if not -(2**63) <= options.seed < 2**63:
        raise DiarError(f"--seed must fit into 64 bits, got {options.seed}")
    files = list_images(given)
    out = Path(options.out).resolve()
    if {f.resolve().parent for f in files} & {out, out / "aligned", out / "weights"}:
        raise DiarError("results never go where the photos are; choose another folder with --out")
    folder = check_results_folder(options.out, overwrite=options.overwrite)
    timings: dict[str, float] = {}

    with step(timings, "reading photos") as progress:
        photos, notes = read_photos(files, max_size=options.max_size, progress=progress)
    for note in notes:
        print(f"skipped: {note}", file=sys.stderr)
    if len(photos) < 2:
        raise DiarError("one photo alone cannot be cleaned; give two or more of the same thing")
    names, frames, valid = zip(*((p.name, p.pixels, p.valid) for p in photos), strict=True)
    asked = options.reference
    reference = asked if asked == "auto" else find_photo(names, asked)
    descriptor = load_descriptor(options.descriptor, device=options.device)
    aggregator = load_aggregator(options.aggregator)
    truth_path = options.ground_truth
    if truth_path is None and len(given) == 1 and is_sequence(given[0]):
        truth_path = given[0]
        print(f"{truth_path} is a rendered sequence: the result is compared with its original")
    truth = read_ground_truth(truth_path) if truth_path else None

    with step(timings, "aligning") as progress:
        alignment = align_sequence(
            frames,
            reference=reference,
            descriptor=descriptor,
            valid=valid,
            device=options.device,
            distortion="shared" if options.lens else "none",
            generator=torch.Generator().manual_seed(options.seed),
            progress=progress,
        )
    if options.lens:
        print(lens_note(alignment.distortion), file=sys.stderr)
    for name, reason in zip(names, alignment.reason.tolist(), strict=True):
        if reason != Reason.OK:
            print(f"left out: {name}: {Reason(reason).explanation}", file=sys.stderr)
    view, aligned = names[alignment.reference], int(alignment.success.sum())
    if aligned < 2:
        raise DiarError(
            f"no other photo could be aligned to {view}; do they show the same flat thing, "
            f"and large enough?"
        )

    with step(timings, "reconstructing") as progress:
        reconstruction = reconstruct_sequence(
            frames, alignment, aggregator=aggregator, valid=valid, progress=progress
        )
    scores = {}
    try:
        scores = score_against(truth, photos, alignment, reconstruction) if truth else {}
    except DiarError as error:  # no reason to lose the picture
        notes.append(f"not compared with the original: {error}")
        print(notes[-1], file=sys.stderr)
    report = render_report(
        frames,
        names,
        alignment,
        reconstruction,
        timings=timings,
        scores=scores,
        settings=vars(options),
        warnings=notes,
    )
    with step(timings, "writing results") as progress:
        write_results(
            folder,
            names,
            alignment,
            reconstruction,
            aligned_frames(frames, alignment, valid=valid, progress=progress),
            report=report,
            bit_depth=max(p.bit_depth for p in photos),
            icc_profile=photos[alignment.reference].icc_profile,
            overwrite=options.overwrite,
        )
    known = f", PSNR {scores['psnr']:.2f} dB, SSIM {scores['ssim']:.3f}" if scores else ""
    return (
        f"{aligned} of {len(names)} photos aligned to {view}{known}, "
        f"{sum(timings.values()):.0f} s; see {folder / 'clean.png'} and {folder / 'report.html'}"
    )


def lens_note(distortion: float) -> str:
    """Say what was found of the lens."""
    if distortion == 0:
        return "lens: no bend can be told from none; the photos are taken as they are"
    return (
        f"lens: bends the corners {'in' if distortion < 0 else 'out'} by "
        f"{100 * abs(distortion):.2f} % of their distance from the centre"
    )


def load_aggregator(asked: str) -> str | FaithfulDIAR:
    """Return a known name as it is, or the network of that name or in that file."""
    if asked in AGGREGATORS and asked != "diar":
        return asked
    if asked != "diar" and not Path(asked).is_file():
        raise DiarError(
            f"--aggregator must be one of {', '.join(AGGREGATORS)} or a file of weights, "
            f"got {asked!r}, which is neither"
        )
    network = load_pretrained(asked)
    if not isinstance(network, FaithfulDIAR):
        raise DiarError(
            f"--aggregator: {asked} holds a {type(network).__name__}, which does not tell how much "
            f"of each photo is in a pixel; give the weights of a FaithfulDIAR"
        )
    return network


@contextmanager
def step(timings: dict[str, float], name: str) -> Iterator[Callable[..., None]]:
    """Time a step and show its progress: called with ([what,] done, total)."""
    start = time.perf_counter()
    bars: dict[str | int, tqdm[None]] = {}

    def progress(*state: str | int) -> None:
        label, done, total = state if len(state) == 3 else (name, *state)
        if label not in bars:
            # disable=None: no bar where nobody watches, such as in a log file
            bars[label] = tqdm(desc=str(label), total=int(total), leave=False, disable=None)
        bars[label].update(int(done) - bars[label].n)

    try:
        yield progress
    finally:
        for bar in bars.values():
            bar.close()
        timings[name] = time.perf_counter() - start


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
