"""What the scripts that train share: options of a dataclass, where to train, bar and files."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext, redirect_stdout
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import torch
from tqdm import tqdm

from _cli import exit_code
from diar_ops._checks import check_device
from diar_ops.models import save_pretrained
from diar_ops.training import Loop, Progress, RunConfig, joined_processes

__all__ = ["add_options", "closing_line", "run_training", "training_device", "training_exit_code"]

Trained = TypeVar("Trained", bound=Loop)


def add_options(parser: argparse.ArgumentParser, config: type[Any]) -> None:
    """Add an option for every field of a dataclass of :mod:`diar_ops.training.options`.

    Those of the class itself come first, then those that every run has.
    """
    hints = get_type_hints(config)
    inherited = {f.name for base in config.__bases__ if is_dataclass(base) for f in fields(base)}
    for f in sorted(fields(config), key=lambda f: f.name in inherited):
        parser.add_argument(f"--{f.name.replace('_', '-')}", **_argument(f, hints[f.name]))


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


def training_device(config: RunConfig) -> torch.device:
    """Return where a run computes, and give torch the threads that it asks for."""
    if config.threads:
        torch.set_num_threads(config.threads)
    if config.device == "cuda" and "LOCAL_RANK" in os.environ:
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    return check_device("--device", config.device)


def run_training(
    build: Callable[..., Trained],
    device: torch.device,
    weights: Path,
    command: str,
    shown: Callable[[Mapping[str, float]], dict[str, str]],
) -> Trained:
    """Train to the end, and return what trained.

    Args:
        build: Makes it of the keyword arguments that every :class:`Loop` takes.
        device: Where to train.
        weights: The file of the network of mean weights, written at every checkpoint.
        command: Goes into its header.
        shown: Words of the scores for the bar.

    Raises:
        KeyboardInterrupt: The run was stopped.
    """
    # A thousandth of the run each; no bar where nobody watches.
    shape = "{desc}: {percentage:5.1f}%|{bar}| {elapsed}<{remaining}{postfix}"
    with (
        joined_processes(device) as processes,
        tqdm(
            total=1000, desc="training", disable=None if processes.first else True, bar_format=shape
        ) as bar,
    ):

        def progress(now: Progress) -> None:
            bar.update(round(now.done * bar.total) - bar.n)
            bar.set_postfix(step=now.step, loss=f"{now.loss:.2f}", **shown(now.scores))

        trainer = build(
            device=device,
            processes=processes,
            progress=progress,
            export=lambda trained, facts: save_pretrained(
                trained, weights, metadata={"command": command, **facts}, overwrite=True
            ),
            note=lambda sentence: tqdm.write(sentence, file=sys.stderr),
        )
        if not trainer.run():
            raise KeyboardInterrupt
    return trainer


def closing_line(trainer: Loop, scores: Mapping[str, float], weights: Path) -> str:
    """Return what a training says at its end."""
    state = trainer.state
    words = "".join(f", {name} {value:.3f}" for name, value in scores.items())
    skipped = f" ({state.skipped} of them skipped)" if state.skipped else ""
    return f"{state.step} steps{skipped} in {state.seconds / 60:.1f} minutes{words}; see {weights}"


def training_exit_code(run: Callable[[], str], *, less_memory: str) -> int:
    """Run a training, and end as :func:`exit_code` does; of several processes the first speaks."""
    with nullcontext() if int(os.environ.get("RANK", 0)) == 0 else redirect_stdout(None):
        return exit_code(run, less_memory=less_memory, stopped="the same command goes on")
