"""``diar-ops info``: what is installed, where it computes, which weights are there."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from diar_ops._version import __version__
from diar_ops.cli.ending import exit_code
from diar_ops.models.weights.load import SHIPPED
from diar_ops.models.weights.torchvision import URLS

#: A package of each extra of programs, as it is imported.
EXTRAS = {"examples": "jinja2", "photos": "pillow_heif", "app": "gradio", "cluster": "ray"}
PACKAGES = ("torch", "numpy", "pillow", "scipy", "opencv-python-headless")

command = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@command.command()
def info(
    as_json: Annotated[bool, typer.Option("--json", metavar="", help="Print one JSON object, for programs.")] = False,
) -> None:
    """Tell versions, devices and weights: what a report of a fault should have in it."""

    def job() -> str:
        facts = gather()
        if as_json:
            return json.dumps(facts, indent=2)
        return "\n".join(f"{name + ':':<10} {_words(value)}" for name, value in facts.items())

    raise typer.Exit(exit_code(job, less_memory="close other programs", stopped="nothing was written"))


def gather() -> dict[str, Any]:
    """Return versions, extras, devices, threads and weights as plain data."""
    devices = ["cpu", *(f"cuda:{i} ({torch.cuda.get_device_name(i)})" for i in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        devices.append("mps")
    cache = Path(torch.hub.get_dir()) / "checkpoints"
    downloads = {name: (cache / url.rsplit("/", 1)[-1]).is_file() for name, url in URLS.items()}
    return {
        "diar_ops": __version__,
        "python": f"{platform.python_version()} on {platform.platform()}",
        "packages": {name: _installed(name) for name in PACKAGES},
        "extras": {extra: importlib.util.find_spec(module) is not None for extra, module in EXTRAS.items()},
        "devices": devices,
        "threads": {"torch": torch.get_num_threads(), "waiting": os.environ.get("OMP_WAIT_POLICY", "").lower()},
        "weights": {path.stem: "shipped" for path in sorted(SHIPPED.glob("*.safetensors"))}
        | {name: "downloaded" if there else "downloaded at first use" for name, there in downloads.items()},
    }


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_words(part)}" for name, part in value.items())
    if isinstance(value, list):
        return ", ".join(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "missing" if value is None else str(value)
