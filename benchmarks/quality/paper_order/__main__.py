#!/usr/bin/env python3
"""Put the order that the paper gives of its own networks to the test (docs/paper_order.md).

  python -m benchmarks.quality.paper_order train --out study --textures paintings/train

trains every network with every seed, by turns; stopped or killed, the same command goes on.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks.quality.paper_order.plan import NETWORKS, SEEDS, STEPS, training_options
from benchmarks.quality.paper_order.turns import one_thread, train_by_turns
from diar_ops._errors import DiarError


def main(argv: Sequence[str] | None = None) -> int:
    """Run a part of the study and return its exit code."""
    options = _parser().parse_args(argv)
    one_thread()
    try:
        return int(options.part(options))
    except DiarError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _train(options: argparse.Namespace) -> int:
    choose = partial(
        training_options, textures=options.textures, pool=options.pool or options.out / "pool", steps=options.steps
    )
    done = train_by_turns(options.out / "runs", choose, networks=list(NETWORKS), seeds=options.seeds)
    return 0 if done else 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality.paper_order",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parts = parser.add_subparsers(required=True, metavar="PART")
    train = parts.add_parser("train", help="train all networks")
    train.set_defaults(part=_train)
    train.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the study")
    train.add_argument("--textures", type=Path, metavar="DIR", help="paintings to train on")
    train.add_argument("--pool", type=Path, metavar="DIR", help="where rendered sequences are kept (default: OUT/pool)")
    train.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS), metavar="K")
    train.add_argument("--steps", type=int, default=STEPS, metavar="N", help=f"of each run (default: {STEPS})")
    return parser


if __name__ == "__main__":
    sys.exit(main())
