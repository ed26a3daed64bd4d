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

import sys

from _training import run_training_script
from diar_ops.training import DescriptorConfig, DescriptorTask


def main(argv: list[str] | None = None) -> int:
    """Run the script and return its exit code."""
    return run_training_script(
        argv,
        "examples/train_descriptor.py",
        __doc__,
        DescriptorConfig,
        DescriptorTask.from_config,
        bar_scores=lambda scores: {name: f"{value:.3f}" for name, value in scores.items()},
        less_memory="use a smaller --batch or a smaller --crop",
    )


if __name__ == "__main__":
    sys.exit(main())
