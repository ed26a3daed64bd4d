"""The command line of training; tests/training has the rest."""

from __future__ import annotations

import csv
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors import safe_open

from diar_ops.models import DeepResidualSets, load_pretrained
from tests.examples.training import Run, check_one_sentence, run_with_torchrun, script_help, script_runner
from tests.sequences import write_dataset

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "examples" / "train.py"
SMALL = (
    "--network",
    "DeepResidualSets",
    "--options",
    "channels=(4, 8)",
    "blocks=(0, 0)",
    "decoder_blocks=(0, 0)",
    "--sizes",
    16,
    "--sequences",
    4,
    "--pool-frames",
    2,
    "--held-out",
    0.25,
    "--frames",
    1,
    2,
    "--crops",
    12,
    "--batch",
    2,
    "--steps",
    3,
    "--validate-every",
    2,
    "--threads",
    1,
)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    return script_runner("train", capsys, tmp_path, SMALL)


def test_help_teaches() -> None:
    text = script_help("train")
    for words in (
        "Examples:",
        "torchrun",
        "--initial FILE",
        "--crops PIXELS [PIXELS ...]",
        "(default: 15000)",
        "{cosine,constant}",
        "checkpoint.pt",
        "tensorboard --logdir",
    ):
        assert words in text


def test_trains_and_continues(run: Run, tmp_path: Path) -> None:
    code, out, err = run()
    assert (code, err) == (0, "")
    weights = tmp_path / "out" / "DeepResidualSets.safetensors"
    assert out.startswith("3 steps in 0.")
    assert ", rendered psnr " in out
    assert out.endswith(f"see {weights}\n")
    assert isinstance(load_pretrained(weights), DeepResidualSets)
    facts = safe_open(weights, "pt").metadata()
    assert facts["steps"] == "3"
    assert facts["command"].startswith("python examples/train.py ")
    code, out, err = run("--steps", 5)
    assert (code, err) == (0, "")
    assert out.startswith("5 steps in 0.")
    with (tmp_path / "out" / "curve.csv").open(newline="") as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["2", "3", "4", "5"]


def test_sets_of_cycles(run: Run, tmp_path: Path) -> None:
    aligned = write_dataset(tmp_path / "aligned", kind="aligned")
    code, out, err = run("--sequences", 0, "--cycles", aligned, "--validation", aligned, "--crops", 16)
    assert (code, err) == (0, "")
    assert ", cycles psnr " in out
    assert "rendered" not in out


RECIPES = sorted((ROOT / "examples" / "recipes").glob("*.txt"))
#: Recipes follow with a result of their own; these make a run of one out of thousands of steps.
ONE_STEP = [
    "--options",
    "whole_channels=8",
    "whole_blocks=1",
    "common_channels=8",
    "context_channels=4",
    "channels=8",
    "blocks=1",
    "heads=2",
    "--sizes",
    "32",
    "--sequences",
    "2",
    "--size-shares",
    "1",
    "--pool-frames",
    "2",
    "--frames",
    "2",
    "2",
    "--crops",
    "32",
    "--batch",
    "1",
    "--steps",
    "1",
    "--procedural",
    "1",
]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_recipes_are_options(
    recipe: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Recipes compute on one thread; the other tests keep theirs.
    monkeypatch.setattr("torch.set_num_threads", lambda count: None)
    run = script_runner("train", capsys, tmp_path, [f"@{recipe}", *ONE_STEP])
    code, out, err = run()
    assert (code, err) == (0, "")
    assert out.startswith("1 steps in 0.")


def test_make_weights_follows_all_recipes_in_their_order() -> None:
    followed = re.findall(r"recipes/(\S+)\.txt", (ROOT / "Makefile").read_text())
    assert followed == [recipe.stem for recipe in RECIPES]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--batch", 0), "RestorationConfig.batch: expected at least 1, got 0"),
        (("--network", "Swin"), "--network must be one of"),
        (("--device", "nowhere"), "--device: cannot compute on 'nowhere'"),
        (("--textures", "nowhere"), "nowhere"),
        (("--initial", "nowhere"), "nowhere"),
        (("--cycles", "nowhere"), "nowhere does not exist"),
    ],
)
def test_what_is_wrong_is_one_sentence(run: Run, arguments: tuple[object, ...], words: str, tmp_path: Path) -> None:
    check_one_sentence(run(*arguments), words)
    assert not (tmp_path / "out").exists()


def test_other_options_are_refused(run: Run) -> None:
    assert run("--steps", 1)[0] == 0
    code, _, err = run("--lr", 0.5)
    assert code == 1
    assert "the run began with lr = 0.0003, now it is 0.5" in err


@pytest.mark.slow
def test_ctrl_c_ends_with_a_checkpoint(tmp_path: Path) -> None:
    options = (tmp_path / "out", *SMALL, "--pool", tmp_path / "pool", "--workers", 1)
    command = [sys.executable, str(SCRIPT), *map(str, options), "--steps", "1000000"]
    training = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PATH": ""},
    )
    while not (tmp_path / "out" / "checkpoint.pt").is_file() and training.poll() is None:
        time.sleep(0.1)
    training.send_signal(signal.SIGINT)
    out, err = training.communicate(timeout=120)
    assert (training.returncode, out) == (130, "")
    assert err == "stopped; the same command goes on\n"


@pytest.mark.slow
def test_torchrun(tmp_path: Path) -> None:
    output = run_with_torchrun("train", tmp_path, SMALL)
    assert output.count("3 steps in") == 1
    load_pretrained(tmp_path / "out" / "DeepResidualSets.safetensors")
