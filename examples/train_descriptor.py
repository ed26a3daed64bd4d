#!/usr/bin/env python3
"""Train a descriptor that finds the places of one picture in another.

Give an output folder. Frames are rendered from folders of pictures (and drawn pages, posters, maps)
under all kinds of light, glare, shadows and things in front when they are first needed, and kept in
--pool for all later runs. Pairs of them are photographed, turned, scaled and tilted anew each time;
the homography between the photos is known, and says which cell is which. The descriptor is measured
on pairs of pictures that it was not trained on.

Stopped (Ctrl-C) or killed, the same command goes on where it was: on the same processor bit for bit
as if it had never stopped, unless the length is in --minutes. A finished run is extended with a
larger --epochs, --steps or --minutes.

Examples:
  python examples/train_descriptor.py runs/dual --textures paintings/train --pool pool/ --minutes 60
      --validation paintings/val
  python examples/train_descriptor.py runs/fine --initial runs/dual/DualDescriptor.safetensors
      --textures mine/ --pool pool/ --lr 5e-4 --minutes 20

written to the output folder:
  DualDescriptor.safetensors the network, for load_descriptor; in its header how it was trained
  curve.csv                  what was measured: step, seconds of training, loss, and of the matches
                             the share that is right, of the places in both photos the share found
  curve.png                  the same to look at, beside dense SIFT and --resnet18
  checkpoint.pt              all that is needed to go on
  tb/                        logs for TensorBoard: tensorboard --logdir OUT/tb
"""

from __future__ import annotations

import shlex
import sys
from functools import partial
from pathlib import Path
from typing import cast

from _cli import argument_parser
from _training import add_options, closing_line, run_training, training_device, training_exit_code
from diar_ops.models import DualDescriptor, load_descriptor
from diar_ops.training.descriptors import (
    DescriptorConfig,
    DescriptorTrainer,
    training_pairs,
    validation_pairs,
)
from diar_ops.training.restoration.assemble import built_network


def parse_arguments(argv: list[str] | None) -> tuple[Path, DescriptorConfig]:
    """Parse the command line."""
    parser = argument_parser(__doc__)
    parser.add_argument("out", metavar="OUT", help="output folder; an unfinished run is continued")
    add_options(parser, DescriptorConfig)
    options = vars(parser.parse_args(argv))
    return Path(options.pop("out")), DescriptorConfig(**options)


def run(out: Path, config: DescriptorConfig, command: str) -> str:
    """Train, and return the closing line."""
    device = training_device(config)
    network = built_network("DualDescriptor", config.options, config.initial, seed=config.seed)
    names = {"dense SIFT": "sift"} | ({"ResNet-18": config.resnet18} if config.resnet18 else {})
    rivals = {name: load_descriptor(path) for name, path in names.items()}
    weights = out / "DualDescriptor.safetensors"
    trainer = run_training(
        partial(
            DescriptorTrainer,
            cast(DualDescriptor, network),
            config,
            training_pairs(config),
            validation_pairs(config),
            out,
            rivals=rivals,
        ),
        device,
        weights,
        command,
        lambda scores: {name: f"{value:.3f}" for name, value in scores.items()},
    )
    scores = dict(trainer.scores)
    for rival, values in trainer.rivals.items():
        scores.update({f"{name} of {rival}": value for name, value in values.items()})
    return closing_line(trainer, scores, weights)


def main(argv: list[str] | None = None) -> int:
    """Run the script and return its exit code."""
    words = sys.argv[1:] if argv is None else argv

    def train() -> str:
        out, config = parse_arguments(argv)
        return run(out, config, shlex.join(["python", "examples/train_descriptor.py", *words]))

    return training_exit_code(train, less_memory="use a smaller --batch or a smaller --crop")


if __name__ == "__main__":
    sys.exit(main())
