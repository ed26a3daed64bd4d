"""What the scripts share: help from their docstring, and how they end."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, get_type_hints

import torch
from tqdm import tqdm

from diar_ops import DiarError
from diar_ops.pipeline import check_device
from diar_ops.training.options import RunConfig

__all__ = [
    "add_options",
    "argument_parser",
    "exit_code",
    "progress_bar",
    "training_bar",
    "training_device",
    "training_exit_code",
]


def argument_parser(doc: str | None) -> argparse.ArgumentParser:
    """Return a parser whose help is a script's docstring, options after its first paragraph."""
    summary, _, rest = (doc or "").partition("\n\n")
    return argparse.ArgumentParser(
        description=summary,
        epilog=rest,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


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


def training_bar(watched: bool) -> tqdm[None]:
    """Return a bar of a thousandth of the run each; none where nobody watches."""
    shape = "{desc}: {percentage:5.1f}%|{bar}| {elapsed}<{remaining}{postfix}"
    return tqdm(total=1000, desc="training", disable=None if watched else True, bar_format=shape)


def training_exit_code(run: Callable[[], str], *, less_memory: str) -> int:
    """Run a training, and end as :func:`exit_code` does; of several processes the first speaks."""
    with nullcontext() if int(os.environ.get("RANK", 0)) == 0 else redirect_stdout(None):
        return exit_code(run, less_memory=less_memory, stopped="the same command goes on")


@contextmanager
def progress_bar(words: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar that is called with (done, in all); none where nobody watches, as in a log."""
    with tqdm(desc=words, unit=unit, disable=None) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show


def exit_code(run: Callable[[], str], *, less_memory: str, stopped: str) -> int:
    """Run, print what it returns, and turn every failure into one sentence and an exit code.

    Args:
        run: The script.
        less_memory: What to do where memory is short.
        stopped: What became of the results after Ctrl-C.

    Returns:
        0 on success, 1 after an error, 130 after Ctrl-C, as shells have it.
    """
    try:
        print(run())
    except DiarError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except MemoryError:
        print(f"error: not enough memory; {less_memory}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"stopped; {stopped}", file=sys.stderr)
        return 130
    return 0
