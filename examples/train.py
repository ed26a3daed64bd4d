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

import os
import shlex
import sys
from contextlib import nullcontext, redirect_stdout
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any, get_type_hints

import torch
from tqdm import tqdm

from _cli import argument_parser, exit_code
from diar_ops.models import save_pretrained
from diar_ops.pipeline import check_device
from diar_ops.training import (
    Progress,
    TrainConfig,
    Trainer,
    initial_network,
    joined_processes,
    training_sequences,
    validation_sets,
)


def parse_arguments(argv: list[str] | None) -> tuple[Path, TrainConfig]:
    """Parse the command line."""
    parser = argument_parser(__doc__)
    parser.add_argument("out", metavar="OUT", help="output folder; an unfinished run is continued")
    hints = get_type_hints(TrainConfig)
    for f in fields(TrainConfig):
        parser.add_argument(f"--{f.name.replace('_', '-')}", **_argument(f, hints[f.name]))
    options = vars(parser.parse_args(argv))
    return Path(options.pop("out")), TrainConfig(**options)


def _argument(f: Field[Any], hint: Any) -> dict[str, Any]:
    """Return what argparse has to know of an option."""
    assert f.default is not MISSING
    several = isinstance(f.default, tuple)
    shown = " ".join(map(str, f.default)) if several else f.default
    text = f.metadata["help"].replace("%", "%%")
    known = "(default" in text or shown is None or shown == ""
    argument = {
        "default": f.default,
        "type": next((kind for kind in (int, float) if kind.__name__ in str(hint)), str),
        "help": text if known else f"{text} (default: {shown})",
        "metavar": f.metadata["metavar"],
    }
    if "choices" in f.metadata:
        argument.update(choices=f.metadata["choices"], metavar=None)
    if several:
        argument["nargs"] = 2 if f.name == "frames" else "+"
    return argument


def run(out: Path, config: TrainConfig, command: str) -> str:
    """Train, and return the closing line."""
    if config.device == "cuda" and "LOCAL_RANK" in os.environ:
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    else:
        device = check_device("--device", config.device)
    if config.threads:
        torch.set_num_threads(config.threads)
    network = initial_network(config)
    weights = out / f"{config.network}.safetensors"
    with joined_processes(device) as processes, _bar(processes.first) as bar:

        def progress(now: Progress) -> None:
            bar.update(round(now.done * bar.total) - bar.n)
            scores = {name: f"{v:.2f}" for name, v in now.scores.items() if "psnr" in name}
            bar.set_postfix(step=now.step, loss=f"{now.loss:.2f}", **scores)

        trainer = Trainer(
            network, config, training_sequences(config), validation_sets(config), out,
            device=device, processes=processes, progress=progress,
            export=lambda trained, facts: save_pretrained(
                trained, weights, metadata={"command": command, **facts}, overwrite=True
            ),
            note=lambda sentence: tqdm.write(sentence, file=sys.stderr),
        )  # fmt: skip
        if not trainer.run():
            raise KeyboardInterrupt
    state = trainer.state
    scores = "".join(f", {n.replace('_', ' ')} {v:.3f}" for n, v in trainer.scores.items())
    skipped = f" ({state.skipped} of them skipped)" if state.skipped else ""
    return f"{state.step} steps{skipped} in {state.seconds / 60:.1f} minutes{scores}; see {weights}"


def _bar(watched: bool) -> tqdm[None]:
    """Return a bar of a thousandth of the run each; none where nobody watches."""
    shape = "{desc}: {percentage:5.1f}%|{bar}| {elapsed}<{remaining}{postfix}"
    return tqdm(total=1000, desc="training", disable=None if watched else True, bar_format=shape)


def main(argv: list[str] | None = None) -> int:
    """Run the script and return its exit code."""
    words = sys.argv[1:] if argv is None else argv

    def train() -> str:
        out, config = parse_arguments(argv)
        return run(out, config, shlex.join(["python", "examples/train.py", *words]))

    # Of several processes the first one speaks.
    with nullcontext() if int(os.environ.get("RANK", 0)) == 0 else redirect_stdout(None):
        return exit_code(
            train,
            less_memory="use a smaller --batch, smaller --crops or fewer --frames",
            stopped="the same command goes on",
        )


if __name__ == "__main__":
    sys.exit(main())
