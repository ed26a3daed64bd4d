#!/usr/bin/env python3
"""Put the order that the paper gives of its own networks to the test (docs/paper_order.md).

  python -m benchmarks.quality.paper_order study --paintings paintings/ --sets sets/aligned-test sets/aligned-test-50

trains every network with every seed, renders the sets of the torch renderer, scores all networks on
them and on the sets that are given (docs/data.md), shows where they look, and writes the tables. Stopped or killed, the
same command goes on where it was.

written to the output folder:
  runs/NETWORK-SEED/   checkpoint, curve and weights of each run
  pool/                rendered sequences to train on
  sets/                rendered sequences to test on
  results/             paper_order.csv, every score; paper_order.md, the outcome; where networks
                       look: attention.csv and attention-SEQUENCE.png
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks.quality.paper_order.attention_figures import write_attention
from benchmarks.quality.paper_order.evaluation import ORDER, evaluate_networks, trained_steps
from benchmarks.quality.paper_order.plan import NETWORKS, SEEDS, STEPS, TORCH_SETS, training_options
from benchmarks.quality.paper_order.rendered_sets import render_set
from benchmarks.quality.paper_order.report import report_order
from benchmarks.quality.paper_order.turns import run_folder, train_by_turns, weights_file
from benchmarks.quality.program import program_parser, run_program
from benchmarks.quality.record import read_results
from benchmarks.quality.run import progress_bar
from benchmarks.quality.training_curves import read_curves
from diar_ops._errors import OptionError
from diar_ops._files import write_text_atomic
from diar_ops.data import SequenceDataset, list_images
from diar_ops.engines import select_engine

PARTS = ("train", "render", "evaluate", "attention", "report")
#: The set on which it is shown where networks look: much is covered there.
LOOKED_AT = "order-crowded"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the study, or parts of it, and return the exit code."""
    return run_program(run_study, _parser(), argv)


def run_study(options: argparse.Namespace) -> int:
    """Run the parts that are asked for; return 130 where training was stopped by a signal.

    Raises:
        DiarError: An option is wrong, or a file cannot be read or written.
    """
    out: Path = options.out
    if "train" in options.parts:
        choose = partial(training_options, textures=options.paintings / "train", pool=out / "pool", steps=options.steps)
        if not train_by_turns(out / "runs", choose, networks=list(NETWORKS), seeds=options.seeds):
            return 130
    if "render" in options.parts:
        # Every other picture: those between are the test sets' (docs/data.md).
        pictures = list_images(options.paintings / "val")[::2]
        for chosen in TORCH_SETS:
            with progress_bar(chosen.name, "sequence") as progress:
                render_set(out / "sets", chosen, pictures, progress=progress)
    results = out / "results"
    scoring = {"evaluate", "attention"} & set(options.parts)
    weights = _finished_weights(out / "runs", options.seeds, options.steps) if scoring else {}
    if "evaluate" in options.parts:
        sets = [*options.sets, *(out / "sets" / chosen.name for chosen in TORCH_SETS)]
        evaluate_networks(results, sets, weights, select_engine(workers=options.workers), overwrite=options.overwrite)
    if "attention" in options.parts:
        dataset = SequenceDataset(out / "sets" / LOOKED_AT, masks=("occluded",))
        shown = [f"{network}-{options.seeds[0]}" for network in NETWORKS]
        write_attention(results, dataset, weights, shown=shown)
    if "report" in options.parts:
        stored = read_results(results, ORDER)
        runs = [run_folder(out / "runs", network, seed) for seed in options.seeds for network in NETWORKS]
        text = report_order(stored.rows, stored.pictures, read_curves([run for run in runs if run.is_dir()]))
        write_text_atomic(results / "paper_order.md", text, overwrite=True)
        print(text)
    return 0


def _finished_weights(runs: Path, seeds: Sequence[int], steps: int) -> dict[str, Path]:
    """Return the weights of every network and seed, by the name of the method.

    Raises:
        OptionError: One is missing or has not been trained to the end.
    """
    weights = {f"{network}-{seed}": weights_file(runs, network, seed) for seed in seeds for network in NETWORKS}
    for name, path in weights.items():
        done = trained_steps(path) if path.is_file() else 0
        if done < steps:
            raise OptionError(f"{name} has {done} of {steps} steps; train it to the end first (--parts train)")
    return weights


def _parser() -> argparse.ArgumentParser:
    parser = program_parser("paper_order", __doc__)
    add = parser.add_argument
    add("out", type=Path, metavar="OUT", help="folder of the study")
    add("--paintings", type=Path, required=True, metavar="DIR", help="has train/ to train on, and val/")
    add("--sets", type=Path, nargs="+", default=[], metavar="DIR", help="further aligned sets with masks to score on")
    add("--parts", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=f"some of {', '.join(PARTS)}")
    add("--seeds", type=int, nargs="+", default=SEEDS, metavar="K", help="of the runs")
    add("--steps", type=int, default=STEPS, metavar="N", help=f"of each run (default: {STEPS})")
    add("--workers", type=int, default=1, metavar="W", help="processes that score, side by side")
    add("--overwrite", action="store_true", help="score anew")
    return parser


if __name__ == "__main__":
    sys.exit(main())
