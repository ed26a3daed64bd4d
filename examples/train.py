#!/usr/bin/env python3
"""Train a network that makes one clean picture of several aligned frames.

Give an output folder. Sequences are rendered from folders of pictures (and drawn pages, posters,
maps) when they are first needed, and kept in --pool for all later runs; sets of render_dataset.py
can be mixed in. The network learns from crops of them, and is measured on whole sequences that it
was not trained on.

Stopped (Ctrl-C) or killed, the same command goes on where it was: on the same processor bit for bit
as if it had never stopped, unless the length is in --minutes. A finished run is extended with a
larger --epochs, --steps or --minutes. @FILE stands for the options in a file: recipes/ has those of
diar-glass, and `make weights PICTURES=paintings/` follows them from nothing.

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

import sys

from _training import run_training_script
from diar_ops.training import RestorationConfig, RestorationTask


def main(argv: list[str] | None = None) -> int:
    """Run the script and return its exit code."""
    return run_training_script(
        argv,
        "examples/train.py",
        __doc__,
        RestorationConfig,
        RestorationTask.from_config,
        bar_scores=lambda scores: {n: f"{v:.2f}" for n, v in scores.items() if "psnr" in n},
        less_memory="use a smaller --batch, smaller --crops or fewer --frames",
    )


if __name__ == "__main__":
    sys.exit(main())
