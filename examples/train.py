#!/usr/bin/env python3
"""Train a network that makes one clean picture of several aligned frames.

Give an output folder. Sequences are rendered from folders of pictures (and drawn pages, posters,
maps) when they are first needed, and kept in --pool for all later runs; sets of render_dataset.py
can be mixed in. The network learns from crops of them, and is measured on whole sequences that it
was not trained on.

Stopped (Ctrl-C) or killed, the same command goes on where it was: on the same processor bit for bit
as if it had never stopped, unless the length is in --minutes. A finished run is extended with a
larger --epochs, --steps or --minutes.

Examples:
  python examples/train.py runs/diar --textures paintings/ --pool pool/ --minutes 240
  python examples/train.py runs/sets --network DeepResidualSets --textures paintings/ --pool pool/
  python examples/train.py runs/mean --options aggregation=mean --textures paintings/ --pool pool/
  python examples/train.py runs/fine --initial runs/diar/DIAR.safetensors --sequences 0
      --cycles sets/aligned --validation sets/aligned-val --lr 1e-4 --epochs 20
  torchrun --nproc-per-node 4 examples/train.py runs/gpu --device cuda --precision bfloat16
      --textures paintings/ --pool pool/ --batch 32 --workers 4

written to the output folder:
  NETWORK.safetensors the network, for load_pretrained; in its header how it was trained
  curve.csv           what was measured: step, seconds of training, loss, PSNR, SSIM
  curve.png           the same to look at
  checkpoint.pt       all that is needed to go on
  tb/                 logs for TensorBoard: tensorboard --logdir OUT/tb
"""

from __future__ import annotations

import shlex
import sys
from functools import partial
from pathlib import Path

from _cli import argument_parser
from _training import add_options, closing_line, run_training, training_device, training_exit_code
from diar_ops.training import (
    TrainConfig,
    Trainer,
    initial_network,
    training_sequences,
    validation_sets,
)


def parse_arguments(argv: list[str] | None) -> tuple[Path, TrainConfig]:
    """Parse the command line."""
    parser = argument_parser(__doc__)
    parser.add_argument("out", metavar="OUT", help="output folder; an unfinished run is continued")
    add_options(parser, TrainConfig)
    options = vars(parser.parse_args(argv))
    return Path(options.pop("out")), TrainConfig(**options)


def run(out: Path, config: TrainConfig, command: str) -> str:
    """Train, and return the closing line."""
    device = training_device(config)
    network = initial_network(config)
    weights = out / f"{config.network}.safetensors"
    trainer = run_training(
        partial(Trainer, network, config, training_sequences(config), validation_sets(config), out),
        device,
        weights,
        command,
        lambda scores: {name: f"{v:.2f}" for name, v in scores.items() if "psnr" in name},
    )
    scores = {name.replace("_", " "): value for name, value in trainer.scores.items()}
    return closing_line(trainer, scores, weights)


def main(argv: list[str] | None = None) -> int:
    """Run the script and return its exit code."""
    words = sys.argv[1:] if argv is None else argv

    def train() -> str:
        out, config = parse_arguments(argv)
        return run(out, config, shlex.join(["python", "examples/train.py", *words]))

    return training_exit_code(
        train, less_memory="use a smaller --batch, smaller --crops or fewer --frames"
    )


if __name__ == "__main__":
    sys.exit(main())
