#!/usr/bin/env python3
"""Compare methods on rendered sequences: how close to the label, from how many frames.

Give folders of sets that examples/render_dataset.py rendered. The frames are laid over the label
by their exact homographies, so that reconstruction alone is measured; --jitter and --misalign
spoil the alignment on purpose. Methods are mean, median, rpca (robust PCA), intrinsic (Weiss) and
consensus, each also as NAME+exposure: of frames that are first brought to a common exposure; diar,
the network that comes with the package; and the files of other networks.

Stopped (Ctrl-C) or killed, the same command goes on where it was. More methods, sets, sequences or
numbers of frames join what is there. The scores do not depend on the number of workers.

Examples:
  python examples/evaluate.py sets/aligned-test sets/misaligned-test --out evaluation
  python examples/evaluate.py sets/aligned-test-50 --out long --workers 4 --pictures 2
  python examples/evaluate.py sets/aligned-val --out runs/scores --methods median+exposure
      runs/diar/FaithfulDIAR.safetensors small=runs/small/FaithfulDIAR.safetensors
  python examples/evaluate.py sets/aligned-test --out jittered --jitter 2
  python examples/evaluate.py sets/aligned-test --out timed --timing --frames 10

written to the output folder:
  scores.csv          every sequence, method and number of frames: PSNR, PSNR after one
                      least-squares factor per channel, RMSE, SSIM
  summary.md, .csv    means and their 95 % intervals (bootstrap over sequences); leads of networks
                      over the best classical method
  psnr.png, .svg      PSNR against the number of frames; ssim.png, .svg likewise
  pictures/           with --pictures: per method its worst, median and best sequences; label, the
                      frames closest to it, the pictures of all methods
  settings.json       what the scores depend on; other settings need another folder
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from _cli import argument_parser, exit_code
from diar_ops import OptionError
from diar_ops.data import write_text_atomic
from diar_ops.evaluation import (
    CLASSICAL,
    DEFAULT_METHODS,
    TABLE,
    Disturbance,
    Method,
    Plan,
    Row,
    continue_results,
    find_leads,
    find_methods,
    leads_markdown,
    load_aligned,
    plot_score,
    run_tasks,
    settings_record,
    summarise,
    summary_csv,
    summary_markdown,
    time_method,
    write_pictures,
    write_rows,
)

#: Sequences that a method is timed on.
TIMED = 5


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argument_parser(__doc__)
    add = parser.add_argument
    add("sets", nargs="+", metavar="SETS", help="folders of sets, or of single sequences")
    add("--out", required=True, metavar="DIR", help="output folder; what is there is continued")
    add("--methods", nargs="+", default=DEFAULT_METHODS, metavar="METHOD",
        help=f"what to compare: {', '.join(CLASSICAL)}, each also followed by +exposure; diar; "
             "PATH or NAME=PATH of weights (default: all with +exposure, and diar)")  # fmt: skip
    add("--frames", nargs="+", type=int, default=(2, 3, 5, 10, 20, 50), metavar="T",
        help="use the first T frames, for each T that a sequence has "
             "(default: 2 3 5 10 20 50)")  # fmt: skip
    add("--sequences", type=int, metavar="N", help="only the first N of each set")
    add("--jitter", type=float, default=0.0, metavar="PX",
        help="move every frame by a homography of this mean corner error, in pixels "
             "(default: %(default)s)")  # fmt: skip
    add("--misalign", type=int, default=0, metavar="N",
        help="move N frames of each sequence, but not its first, by 5 to 30 %% of its size "
             "(default: %(default)s)")  # fmt: skip
    add("--workers", type=int, default=1, metavar="W",
        help="processes side by side, one core each (default: %(default)s)")  # fmt: skip
    add("--timing", action="store_true",
        help=f"also time the methods, with all cores, on {TIMED} sequences per set")  # fmt: skip
    add("--pictures", type=int, default=0, metavar="N",
        help="also show N worst, median and best sequences of each method")  # fmt: skip
    add("--overwrite", action="store_true", help="forget the results that are there")
    return parser.parse_args(argv)


def run(options: argparse.Namespace) -> str:
    """Evaluate, and return the summary."""
    for name in ("workers", "pictures"):
        check_count(f"--{name}", getattr(options, name), least=int(name == "workers"))
    methods, skipped = find_methods(options.methods)
    for sentence in skipped:
        print(sentence, file=sys.stderr)
    disturbance = Disturbance(options.jitter, options.misalign)
    plan = Plan(
        options.sets, [m.name for m in methods], options.frames,
        sequences=options.sequences, disturbance=disturbance,
    )  # fmt: skip
    out = Path(options.out)
    record = settings_record(plan.first_folders, methods, disturbance)
    rows = {row.key: row for row in continue_results(out, record, overwrite=options.overwrite)}
    tasks = list(plan.tasks(rows))
    # disable=None: no bar where nobody watches, such as in a log file
    with tqdm(total=len(tasks), desc="evaluating", unit="sequence", disable=None) as bar:
        for results in run_tasks(tasks, options.methods, workers=options.workers):
            rows.update((row.key, row) for row in results)
            write_rows(out / TABLE, rows.values())
            bar.update()
    wanted = [rows[key] for key in plan.keys]
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
    return f"{text}\n\nwrote {out / TABLE}, summary.md, summary.csv, psnr.png, ssim.png"


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
