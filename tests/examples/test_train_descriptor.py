"""The command line of the training of descriptors; tests/training/descriptors has the rest."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from safetensors import safe_open

from diar_ops import DualDescriptor, load_descriptor
from tests.scripts import load_script

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "train_descriptor.py"
SMALL = (
    "--options",
    "widths=(4, 4, 8, 8)",
    "blocks=(0, 0, 0)",
    "coarse=8",
    "fine=6",
    "fine_width=4",
    "--size",
    48,
    "--crop",
    32,
    "--sequences",
    2,
    "--pool-frames",
    2,
    "--batch",
    2,
    "--steps",
    2,
    "--near",
    0.5,
    "--threads",
    1,
)


@pytest.fixture(scope="module")
def program() -> ModuleType:
    return load_script("train_descriptor")


@pytest.fixture
def run(
    program: ModuleType, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., tuple[int, str, str]]:
    def call(*arguments: object) -> tuple[int, str, str]:
        options = (tmp_path / "out", *SMALL, "--pool", tmp_path / "pool", *arguments)
        code = program.main([str(a) for a in options])
        return code, *capsys.readouterr()

    return call


def test_help_teaches() -> None:
    command = [sys.executable, str(SCRIPT), "--help"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for words in (
        "Examples:",
        "--initial FILE",
        "--rotation DEGREES",
        "(default: 2.5)",
        "{cosine,constant}",
        "checkpoint.pt",
        "--resnet18 FILE",
    ):
        assert words in text
    assert text.index("--textures") < text.index("--batch")  # its own options come first


def test_trains_and_continues(run: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "pictures").mkdir()
    Image.effect_noise((80, 90), 60).convert("RGB").save(tmp_path / "pictures" / "noise.png")
    measured = ("--validation", tmp_path / "pictures", "--validate", 2, "--validate-every", 1)
    code, out, err = run(*measured)
    assert (code, err) == (0, "")
    weights = tmp_path / "out" / "DualDescriptor.safetensors"
    assert out.startswith("2 steps in 0.")
    for words in (", right 0.", ", found 0.", ", right of dense SIFT ", ", found of dense SIFT "):
        assert words in out
    assert out.endswith(f"see {weights}\n")
    assert isinstance(load_descriptor(str(weights)).trunk, DualDescriptor)
    facts = safe_open(weights, "pt").metadata()
    assert (facts["steps"], facts["pairs"]) == ("2", "4")
    assert facts["command"].startswith("python examples/train_descriptor.py ")
    assert run(*measured, "--steps", 3)[0] == 0
    with (tmp_path / "out" / "curve.csv").open(newline="") as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--batch", 0), "DescriptorConfig.batch: expected at least 1, got 0"),
        (("--options", "depth=3"), "--options of DualDescriptor are NAME=VALUE"),
        (("--device", "nowhere"), "--device: cannot compute on 'nowhere'"),
        (("--textures", "nowhere"), "nowhere"),
        (("--resnet18", "nowhere"), "nowhere"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    run: Callable[..., tuple[int, str, str]],
    arguments: tuple[object, ...],
    words: str,
    tmp_path: Path,
) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (1, "")
    assert err.startswith("error: ")
    assert words in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_torchrun(tmp_path: Path) -> None:
    """The second process has no near pair, and so no use for the fine stages."""
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        str(SCRIPT),
        *map(str, (tmp_path / "out", *SMALL, "--pool", tmp_path / "pool")),
    ]
    environment = {"PYTHONPATH": str(SCRIPT.parents[1]), "OMP_NUM_THREADS": "1", "PATH": ""}
    done = subprocess.run(
        command, cwd=SCRIPT.parents[1], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("2 steps in") == 1
    load_descriptor(str(tmp_path / "out" / "DualDescriptor.safetensors"))
