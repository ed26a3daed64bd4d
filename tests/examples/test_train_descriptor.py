"""The command line of the training of descriptors; tests/training/descriptors has the rest."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from safetensors import safe_open

from diar_ops import DualDescriptor, load_descriptor
from tests.examples.training import Run, check_one_sentence, run_with_torchrun, script_help, script_runner

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


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    return script_runner("train_descriptor", capsys, tmp_path, SMALL)


def test_help_teaches() -> None:
    text = script_help("train_descriptor")
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


def test_trains_and_continues(run: Run, tmp_path: Path) -> None:
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
def test_what_is_wrong_is_one_sentence(run: Run, arguments: tuple[object, ...], words: str, tmp_path: Path) -> None:
    check_one_sentence(run(*arguments), words)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_torchrun(tmp_path: Path) -> None:
    """The second process has no near pair, and so no use for the fine stages."""
    output = run_with_torchrun("train_descriptor", tmp_path, SMALL)
    assert output.count("2 steps in") == 1
    load_descriptor(str(tmp_path / "out" / "DualDescriptor.safetensors"))
