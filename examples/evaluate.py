#!/usr/bin/env python3
"""Compare methods on rendered sequences: reconstruction, or with --alignment that of alignment.

Give folders of sets that examples/render_dataset.py rendered.

Reconstruction: how close to the label, from how many frames? The frames are laid over the label
by their exact homographies, so that reconstruction alone is measured; --jitter and --misalign
spoil the alignment on purpose, --self-aligned lets align_sequence find it. Methods are mean,
median, rpca (robust PCA), intrinsic (Weiss) and consensus, each also as NAME+exposure: of frames
that are first brought to a common exposure; diar, the network that comes with the package; and the
files of other networks; networks also as NAME+settled: of frames that are first laid over their
common picture.

Alignment (--alignment): how far off is each frame, laid over frame 0 of its sequence? Methods are
ours (align_sequence with its defaults) and its ablations ours-dual, ours-one-scale, ours-not-joint,
ours-unrefined and ours-resnet18; the paper's recipe, paper and paper-one-scale; sift, orb and
akaze; loftr and disk-lightglue by kornia. Of these peers NAME matches each frame with frame 0,
NAME+pairs all pairs of frames, of which the most reliable lead to frame 0. A method is left out,
with a sentence, where its weights or a detector are missing: name ResNet-18's with --resnet18 (or
let torchvision have downloaded them), the learned matchers' with --kornia-...; nothing is
downloaded here.

Stopped (Ctrl-C) or killed, the same command goes on where it was. More methods, sets, sequences or
numbers of frames join what is there. The scores do not depend on the number of workers.

Examples:
  python examples/evaluate.py sets/aligned-test sets/misaligned-test --out evaluation
  python examples/evaluate.py sets/aligned-test-50 --out long --workers 4 --pictures 2
  python examples/evaluate.py sets/aligned-val --out runs/scores --methods median+exposure
      runs/diar/FaithfulDIAR.safetensors small=runs/small/FaithfulDIAR.safetensors
  python examples/evaluate.py sets/aligned-test --out jittered --jitter 2
  python examples/evaluate.py sets/aligned-test --out timed --timing --frames 10
  python examples/evaluate.py sets/misaligned-val --alignment --out aligned --resnet18 trunk.pth
  python examples/evaluate.py sets/misaligned-val --alignment --out aligned --methods ours
      sift sift+pairs loftr --kornia-loftr loftr_outdoor.ckpt --pictures 20

written to the output folder:
  scores.csv          every sequence, method and number of frames: PSNR, PSNR after one
                      least-squares factor per channel, RMSE, SSIM
  summary.md, .csv    means and their 95 % intervals (bootstrap over sequences); leads of networks
                      over the best classical method
  psnr.png, .svg      PSNR against the number of frames; ssim.png, .svg likewise
  pictures/           with --pictures: per method its worst, median and best sequences; label, the
                      frames closest to it, the pictures of all methods
  settings.json       what the scores depend on; other settings need another folder

written with --alignment:
  alignment.csv       every frame: mean error of its corners in pixels of the reference, distance
                      of the homographies at determinant 1, whether the method calls it aligned,
                      processor seconds for the whole sequence with one thread, the homography
  alignment.md, alignment_summary.csv
                      shares below 1, 3 and 5 px, median, 95 %, refused, false accepts, time
  corner_error.png, distance.png, cumulative.png, and .svg
                      box plots of both errors; share of the frames below each corner error
  pictures/METHOD/    with --pictures: the worst N frames of each method; frame, reference, both
                      laid over each other (what fits is grey), difference; outlines
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

from tqdm import tqdm

from _alignment import run_alignment
from _cli import argument_parser, exit_code, progress_bar
from diar_ops import OptionError
from diar_ops.data import write_text_atomic
from diar_ops.evaluation import (
    CLASSICAL,
    DEFAULT_METHODS,
    RECONSTRUCTION,
    Disturbance,
    Method,
    Plan,
    Row,
    begin_reconstruction,
    complete_results,
    find_leads,
    find_methods,
    leads_markdown,
    load_aligned,
    plot_score,
    settings_record,
    summarise,
    summary_csv,
    summary_markdown,
    time_method,
    write_pictures,
)

#: Sequences that a method is timed on.
TIMED = 5
#: Files that methods of alignment need.
WEIGHTS = {
    "--resnet18": "ResNet-18, torchvision's (default: its download, if there is one)",
    "--kornia-loftr": "LoFTR, such as loftr_outdoor.ckpt",
    "--kornia-disk": "DISK, such as depth-save.pth",
    "--kornia-lightglue": "LightGlue for DISK, such as disk_lightglue.pth",
}


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argument_parser(__doc__)
    add = parser.add_argument
    add("sets", nargs="+", metavar="SETS", help="folders of sets, or of single sequences")
    add("--out", required=True, metavar="DIR", help="output folder; what is there is continued")
    add("--alignment", action="store_true", help="compare alignment instead of reconstruction")
    add("--methods", nargs="+", metavar="METHOD",
        help=f"what to compare: {', '.join(CLASSICAL)}, each also followed by +exposure; diar and "
             "PATH or NAME=PATH of weights, each also followed by +settled (default: all with "
             "+exposure, and diar); for alignment see above (default: all that are here, of the "
             "+pairs only sift's)")  # fmt: skip
    add("--frames", nargs="+", type=int, metavar="T",
        help="use the first T frames, for each T that a sequence has "
             "(default: 2 3 5 10 20 50; for alignment all)")  # fmt: skip
    add("--sequences", type=int, metavar="N", help="only the first N of each set")
    add("--jitter", type=float, default=0.0, metavar="PX",
        help="reconstruction: move every frame by a homography of this mean corner error, in "
             "pixels (default: %(default)s)")  # fmt: skip
    add("--misalign", type=int, default=0, metavar="N",
        help="reconstruction: move N frames of each sequence, but not its first, by 5 to 30 %% "
             "of its size (default: %(default)s)")  # fmt: skip
    add("--self-aligned", action="store_true",
        help="reconstruction: lay frames over frame 0 by align_sequence, not by their exact "
             "homographies")  # fmt: skip
    add("--workers", type=int, default=1, metavar="W",
        help="processes side by side, one core each (default: %(default)s)")  # fmt: skip
    add("--timing", action="store_true",
        help="reconstruction: also time the methods, with all cores, on "
             f"{TIMED} sequences per set")  # fmt: skip
    add("--pictures", type=int, default=0, metavar="N",
        help="also show N worst, median and best sequences of each method; for alignment its N "
             "worst frames")  # fmt: skip
    for option, what in WEIGHTS.items():
        add(option, type=Path, metavar="FILE", help=f"alignment: weights of {what}")
    add("--overwrite", action="store_true", help="forget the results that are there")
    return parser.parse_args(argv)


def run(options: argparse.Namespace) -> str:
    """Evaluate, and return the summary."""
    for name in ("workers", "pictures"):
        check_count(f"--{name}", getattr(options, name), least=int(name == "workers"))
    check_mode(options)
    return run_alignment(options) if options.alignment else run_reconstruction(options)


def check_mode(options: argparse.Namespace) -> None:
    """Raise for an option of what is not evaluated."""
    of_one = (
        ("--jitter", "--misalign", "--self-aligned", "--timing")
        if options.alignment
        else tuple(WEIGHTS)
    )
    for option in of_one:
        if getattr(options, option[2:].replace("-", "_")):
            other = "not for --alignment" if options.alignment else "for --alignment only"
            raise OptionError(f"{option} is {other}")


def run_reconstruction(options: argparse.Namespace) -> str:
    """Evaluate reconstruction, and return the summary."""
    words = options.methods or DEFAULT_METHODS
    methods, skipped = find_methods(words)
    for sentence in skipped:
        print(sentence, file=sys.stderr)
    disturbance = Disturbance(options.jitter, options.misalign, options.self_aligned)
    plan = Plan(
        options.sets, [m.name for m in methods], options.frames or (2, 3, 5, 10, 20, 50),
        sequences=options.sequences, disturbance=disturbance,
    )  # fmt: skip
    out = Path(options.out)
    record = settings_record(
        RECONSTRUCTION, plan.first_folders,
        jitter=float(disturbance.jitter), misaligned=disturbance.misaligned,
        self_aligned=disturbance.self_aligned,
        weights={method.name: method.digest for method in methods if method.digest},
    )  # fmt: skip
    with progress_bar("evaluating", "sequence") as progress:
        wanted = complete_results(
            out, RECONSTRUCTION, plan, record, partial(begin_reconstruction, words, disturbance),
            workers=options.workers, overwrite=options.overwrite, progress=progress,
        )  # fmt: skip
    seconds = measure_times(plan, methods) if options.timing else {}
    if options.pictures:
        with tqdm(desc="pictures", unit="sheet", disable=None) as bar:
            write_pictures(
                out / "pictures", wanted, methods,
                lambda row: load_aligned(
                    plan.folders[row.set, row.sequence], row.frames, disturbance
                ),
                options.pictures, progress=bar.update,
            )  # fmt: skip
    return write_summary(out, wanted, methods, seconds)


def check_count(option: str, value: int, *, least: int) -> None:
    """Raise unless an option is at least so much."""
    if value < least:
        raise OptionError(f"{option} must be {least} or more, got {value}")


def measure_times(plan: Plan, methods: list[Method]) -> dict[tuple[str, int, str], float]:
    """Return median seconds by set, number of frames and method."""
    chosen: dict[tuple[str, int], list[Path]] = {}
    for key in plan.keys:
        folders = chosen.setdefault((key.set, key.frames), [])
        folder = plan.folders[key.set, key.sequence]
        if folder not in folders and len(folders) < TIMED:
            folders.append(folder)
    seconds = {}
    with tqdm(total=len(chosen) * len(methods), desc="timing", unit="method", disable=None) as bar:
        for (name, frames), folders in chosen.items():
            sequences = [load_aligned(folder, frames, plan.disturbance) for folder in folders]
            for method in methods:
                seconds[name, frames, method.name] = time_method(method, sequences)
                bar.update()
    return seconds


def write_summary(
    out: Path, rows: list[Row], methods: list[Method], seconds: dict[tuple[str, int, str], float]
) -> str:
    """Write summary and plots, and return what there is to read."""
    summaries = summarise(rows)
    classical = [m.name for m in methods if m.digest is None]
    networks = [m.name for m in methods if m.digest is not None]
    parts = [
        "Means over sequences, in brackets their 95 % intervals (bootstrap).",
        summary_markdown(summaries, seconds),
        leads_markdown(find_leads(rows, networks, classical)),
    ]
    text = "\n\n".join(part for part in parts if part)
    write_text_atomic(out / "summary.md", text + "\n", overwrite=True)
    write_text_atomic(out / "summary.csv", summary_csv(summaries, seconds), overwrite=True)
    for score in ("psnr", "ssim"):
        plot_score(out / score, summaries, score)
    return (
        f"{text}\n\nwrote {out / RECONSTRUCTION.table}, summary.md, summary.csv, psnr.png, ssim.png"
    )


def main(argv: list[str] | None = None) -> int:
    """Run the script and return its exit code."""
    options = parse_arguments(argv)
    return exit_code(
        lambda: run(options),
        less_memory="use fewer --workers or fewer --frames",
        stopped="the same command goes on",
    )


if __name__ == "__main__":
    sys.exit(main())
