"""What the scripts that train share: options of a dataclass, where to train, bar and files."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext, redirect_stdout
from inspect import get_annotations
from pathlib import Path
from typing import TypeVar

# First, before torch: it sets up the threads.
from _cli import add_option, argument_parser, exit_code

# isort: split
import torch
from tqdm import tqdm

from diar_ops._checks import check_device
from diar_ops._options import described_options
from diar_ops.models import save_pretrained
from diar_ops.training import Progress, RunConfig, Task, Trainer, join_processes

Config = TypeVar("Config", bound=RunConfig)


def run_training_script(
    argv: list[str] | None,
    script: str,
    doc: str | None,
    config_type: type[Config],
    build_task: Callable[[Config], Task],
    *,
    bar_scores: Callable[[Mapping[str, float]], dict[str, str]],
    less_memory: str,
) -> int:
    """Run a script that trains, and return its exit code; of several processes the first prints.

    Args:
        argv: Words of the command line; those of the process if ``None``.
        script: Path of the script, for the header of the file of weights.
        doc: Docstring of the script, for its help.
        config_type: Dataclass of its options.
        build_task: Returns the task that options ask for.
        bar_scores: Returns the scores that the progress bar shows, in words.
        less_memory: What to do where memory is short.
    """
    command = shlex.join(["python", script, *(sys.argv[1:] if argv is None else argv)])

    def train() -> str:
        out, config = _parse_arguments(argv, doc, config_type)
        device = _training_device(config)
        return _train(build_task(config), out, device, command, bar_scores)

    with nullcontext() if int(os.environ.get("RANK", 0)) == 0 else redirect_stdout(None):
        return exit_code(train, less_memory=less_memory, stopped="the same command goes on")


def _parse_arguments(argv: list[str] | None, doc: str | None, config_type: type[Config]) -> tuple[Path, Config]:
    """Return output folder and options; the help lists a class's own options before its bases'."""
    parser = argument_parser(doc, option_files=True)
    parser.add_argument("out", metavar="OUT", help="output folder; an unfinished run is continued")
    options = {known.name: known for known in described_options(config_type)}
    for kind in config_type.__mro__:
        for name in get_annotations(kind):
            add_option(parser, options[name], nargs=2 if name == "frames" else "+")
    values = vars(parser.parse_args(argv))
    return Path(values.pop("out")), config_type(**values)


def _training_device(config: RunConfig) -> torch.device:
    """Return where a run computes, and give torch the threads that it asks for."""
    if config.threads:
        torch.set_num_threads(config.threads)
    if config.device == "cuda" and "LOCAL_RANK" in os.environ:
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    return check_device("--device", config.device)


def _train(
    task: Task,
    out: Path,
    device: torch.device,
    command: str,
    bar_scores: Callable[[Mapping[str, float]], dict[str, str]],
) -> str:
    """Train to the end, and return the closing line.

    Raises:
        KeyboardInterrupt: The run was stopped.
    """
    weights = out / f"{type(task.network).__name__}.safetensors"
    # A thousandth of the run each; no bar where nobody watches.
    shape = "{desc}: {percentage:5.1f}%|{bar}| {elapsed}<{remaining}{postfix}"
    with (
        join_processes(device) as processes,
        tqdm(total=1000, desc="training", disable=None if processes.is_main else True, bar_format=shape) as bar,
    ):

        def progress(now: Progress) -> None:
            bar.update(round(now.done * bar.total) - bar.n)
            bar.set_postfix(step=now.step, loss=f"{now.loss:.2f}", **bar_scores(now.scores))

        trainer = Trainer(
            task,
            out,
            device=device,
            processes=processes,
            progress=progress,
            export=lambda network, facts: save_pretrained(
                network, weights, metadata={"command": command, **facts}, overwrite=True
            ),
            note=lambda sentence: tqdm.write(sentence, file=sys.stderr),
        )
        if not trainer.run():
            raise KeyboardInterrupt
    state = trainer.state
    scores = task.summary(trainer.scores)
    words = "".join(f", {name} {value:.3f}" for name, value in scores.items())
    skipped = f" ({state.skipped} of them skipped)" if state.skipped else ""
    return f"{state.step} steps{skipped} in {state.seconds / 60:.1f} minutes{words}; see {weights}"
