"""The whole evaluation: sets in, tables and pictures out, and it goes on where it was."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest
import torch
from PIL import Image

from diar_ops import DeepResidualSets, DeepResidualSetsConfig, save_pretrained
from diar_ops.evaluation import CLASSICAL, read_rows
from diar_ops.evaluation import reconstruction as reconstruction_module
from diar_ops.evaluation import run as run_module
from tests.scripts import load_script
from tests.sequences import write_dataset

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "tests" / "data" / "sample"
FAST = ("--methods", "mean", "median+exposure")


class Run(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture(scope="module")
def program() -> ModuleType:
    return load_script("evaluate")


@pytest.fixture
def run(program: ModuleType, capsys: pytest.CaptureFixture[str]) -> Callable[..., Run]:
    def call(*arguments: object) -> Run:
        code = program.main([str(a) for a in arguments])
        captured = capsys.readouterr()
        return Run(code, captured.out, captured.err)

    return call


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("sets") / "small", kind="aligned")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "sets.safetensors"
    config = DeepResidualSetsConfig(channels=(4, 8), blocks=(1, 1), decoder_blocks=(0, 1))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_pretrained(DeepResidualSets(config), path)
    return path


def assert_one_error(result: Run, *words: str) -> None:
    assert result.code == 1
    assert result.out == ""
    line = result.err.splitlines()[-1]
    assert line.startswith("error: ")
    assert "Traceback" not in result.err
    for word in words:
        assert word in line


def test_the_bundled_sequences(run: Callable[..., Run], tmp_path: Path) -> None:
    out = tmp_path / "out"
    methods = [name + end for name in CLASSICAL for end in ("", "+exposure")]
    sets = SAMPLE / "aligned", SAMPLE / "misaligned"
    done = run(*sets, "--out", out, "--methods", *methods, "--frames", 4, 50)
    assert done.code == 0, done.err
    rows = read_rows(out / "scores.csv")
    assert len(rows) == 2 * len(methods)
    quality = {(r.set, r.method): r for r in rows}
    for name in ("aligned", "misaligned"):
        assert quality[name, "median"].psnr > quality[name, "mean"].psnr
        for row in (r for r in rows if r.set == name):
            assert row.frames == 4
            assert row.psnr_gain >= row.psnr - 0.1
            assert row.rmse == pytest.approx(10 ** (-row.psnr / 20), abs=1e-5)
            assert 12 < row.psnr < 40, row
            assert 0.3 < row.ssim < 1, row
    summary = (out / "summary.md").read_text(encoding="utf-8")
    assert done.out.startswith(summary)
    assert "time" not in summary
    for name in methods:
        assert f"| {name} | 4 | 1 |" in summary
    for name in ("psnr", "ssim"):
        with Image.open(out / f"{name}.png") as image:
            assert min(image.size) > 200
        assert (out / f"{name}.svg").read_bytes().lstrip().startswith(b"<?xml")
    assert not [p for p in out.iterdir() if p.name.startswith(".")], "nothing temporary stays"


def test_the_demo_sequence_is_a_set(
    run: Callable[..., Run], demo_folder: Path, tmp_path: Path
) -> None:
    done = run(demo_folder, "--out", tmp_path / "out", *FAST, "--frames", 3, 10)
    assert done.code == 0, done.err
    rows = read_rows(tmp_path / "out" / "scores.csv")
    assert {r.set for r in rows} == {"demo_sequence"}
    by = {(r.method, r.frames): r.psnr for r in rows}
    assert by["median+exposure", 10] > by["median+exposure", 3]
    assert by["median+exposure", 10] > by["mean", 10] + 1


def test_workers_change_nothing(run: Callable[..., Run], small: Path, tmp_path: Path) -> None:
    files = ("scores.csv", "summary.md", "summary.csv", "psnr.svg", "settings.json")
    for workers in (1, 2):
        arguments = ("--methods", "mean", "rpca+exposure", "intrinsic", "--jitter", 1)
        done = run(small, "--out", tmp_path / str(workers), *arguments, "--workers", workers)
        assert done.code == 0, done.err
    for name in files:
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes(), name


def test_what_is_done_is_not_done_again(
    run: Callable[..., Run], small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, computed = tmp_path / "out", []
    original = reconstruction_module.score_sequence

    def score(task: run_module.Task, **given: object) -> object:
        computed.extend(task.wanted)
        return original(task, **given)

    monkeypatch.setattr(reconstruction_module, "score_sequence", score)
    assert run(small, "--out", out, *FAST, "--frames", 2, "--sequences", 2).code == 0
    assert len(computed) == 4
    first = (out / "scores.csv").read_bytes()
    computed.clear()
    assert run(small, "--out", out, *FAST, "--frames", 2, "--sequences", 2).code == 0
    assert computed == []
    assert (out / "scores.csv").read_bytes() == first
    # More frames, sequences and methods join; the summary is of what was asked for.
    more = ("--methods", "median+exposure", "rpca", "--frames", 2, 4)
    done = run(small, "--out", out, *more)
    assert len(computed) == 3 * 4 - 2
    assert len(read_rows(out / "scores.csv")) == 4 + len(computed)
    assert "| mean |" not in done.out
    assert "| rpca | 4 | 3 |" in done.out
    computed.clear()
    assert run(small, "--out", out, *FAST, "--frames", 2, "--overwrite").code == 0
    assert len(computed) == len(read_rows(out / "scores.csv")) == 6


def test_stopped_it_keeps_what_is_done(
    run: Callable[..., Run], small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, original, left = tmp_path / "out", reconstruction_module.score_sequence, [2]

    def score(task: run_module.Task, **given: object) -> object:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return original(task, **given)

    monkeypatch.setattr(reconstruction_module, "score_sequence", score)
    stopped = run(small, "--out", out, *FAST)
    assert stopped.code == 130
    assert "the same command goes on" in stopped.err
    assert {r.sequence for r in read_rows(out / "scores.csv")} == {"000000", "000001"}
    left[0] = 1
    assert run(small, "--out", out, *FAST).code == 0
    whole = tmp_path / "whole"
    left[0] = 3
    assert run(small, "--out", whole, *FAST).code == 0
    assert (out / "scores.csv").read_bytes() == (whole / "scores.csv").read_bytes()


def test_other_settings_are_not_mixed(
    run: Callable[..., Run], small: Path, weights: Path, tmp_path: Path
) -> None:
    out, mine = tmp_path / "out", tmp_path / "net.safetensors"
    shutil.copy(weights, mine)
    assert run(small, "--out", out, "--methods", "mean", mine, "--frames", 2).code == 0
    before = (out / "scores.csv").read_bytes()
    command = (small, "--out", out, "--methods", "mean", mine, "--frames", 2)
    assert_one_error(run(*command, "--jitter", 1), "other settings", "jitter 0.0 instead of 1.0")
    assert_one_error(run(*command, "--misalign", 1), "misaligned 0 instead of 1")
    other = write_dataset(tmp_path / "elsewhere" / "small", sequences=1, kind="misaligned")
    assert_one_error(run(other, *command[1:]), "another set called small")
    config = DeepResidualSetsConfig(channels=(4, 6), blocks=(1, 1), decoder_blocks=(0, 1))
    save_pretrained(DeepResidualSets(config), mine, overwrite=True)
    assert_one_error(run(*command), "other weights called net", "--overwrite")
    assert (out / "scores.csv").read_bytes() == before
    assert run(*command, "--overwrite").code == 0
    assert json.loads((out / "settings.json").read_text())["weights"].keys() == {"net"}
    (out / "settings.json").unlink()
    assert_one_error(run(*command), "no settings.json")


def test_networks_lead_or_trail_the_best_classical_method(
    run: Callable[..., Run], small: Path, weights: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = run(
        small, "--out", out, *FAST, f"net={weights}", "--frames", 2, 3, "--timing", "--pictures", 1
    )
    assert done.code == 0, done.err
    assert "Lead over the best classical method" in done.out
    rows = {(r.sequence, r.frames, r.method): r for r in read_rows(out / "scores.csv")}
    best = max(
        FAST[1:], key=lambda m: sum(r.psnr for k, r in rows.items() if k[1:] == (2, m))
    )  # fmt: skip
    names = [f"{i:06d}" for i in range(3)]
    lead = sum(rows[n, 2, "net"].psnr - rows[n, 2, best].psnr for n in names) / 3
    assert f"| small | net | 2 | {best} | 3 | {lead:+.2f} [" in done.out
    with (out / "summary.csv").open(encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert len(table) == 6
    assert all(float(line["seconds"]) > 0 for line in table)
    for method in ("mean", "median+exposure", "net"):
        with Image.open(out / "pictures" / f"small_{method}.png") as image:
            # Three rows: worst, median, best; label, two frames, three methods.
            assert image.size[1] == 3 * 123 + 3
            assert image.size[0] > 6 * 160


def test_default_methods_leave_out_a_network_that_is_not_there(
    run: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from diar_ops.evaluation import methods

    monkeypatch.setattr(methods, "SHIPPED", tmp_path)
    done = run(SAMPLE / "aligned", "--out", tmp_path / "out", "--frames", 3)
    assert done.code == 0
    assert done.err == "diar is left out: the package holds no weights of it yet\n"
    assert {r.method for r in read_rows(tmp_path / "out" / "scores.csv")} == {
        f"{name}+exposure" for name in CLASSICAL
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--methods", "medain"), "unknown method medain"),
        (("--methods", "nowhere.safetensors"), "nowhere.safetensors"),
        (("--frames", 7), "no sequence has 7 frames, the longest has 4"),
        (("--frames", 0), "frames must be 1 or more, got 0"),
        (("--sequences", 0), "sequences must be 1 or more, got 0"),
        (("--workers", 0), "--workers must be 1 or more, got 0"),
        (("--pictures", -1), "--pictures must be 0 or more, got -1"),
        (("--jitter", -1), "jitter of 0 pixels or more"),
        (("--jitter", 500), "500 pixels are too much"),
        (("--misalign", 4), "at most 3 can be misaligned"),
    ],
)
def test_bad_options_are_one_sentence(
    run: Callable[..., Run], small: Path, tmp_path: Path, arguments: tuple[object, ...], words: str
) -> None:
    methods = () if "--methods" in arguments else FAST
    assert_one_error(run(small, "--out", tmp_path / "out", *methods, *arguments), words)
    assert not (tmp_path / "out" / "scores.csv").exists()


def test_bad_folders_are_one_sentence(run: Callable[..., Run], small: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert_one_error(run(tmp_path / "nowhere", "--out", out), "does not exist")
    assert_one_error(run(tmp_path, "--out", out), "no sequences in the folder")
    assert_one_error(run(small, small, "--out", out), "is given twice")
    assert not out.exists()
    out.write_text("a file")
    assert_one_error(run(small, "--out", out, *FAST), "is a file")
    broken = tmp_path / "broken"
    shutil.copytree(small, broken)
    (broken / "000001" / "01.png").write_bytes(b"no picture")
    for workers in (1, 2):
        kept = tmp_path / f"kept-{workers}"
        failed = run(broken, "--out", kept, *FAST, "--frames", 2, "--workers", workers)
        assert_one_error(failed, "01.png")
    # What was there before the broken one is kept.
    assert {r.sequence for r in read_rows(tmp_path / "kept-1" / "scores.csv")} == {"000000"}


def test_two_sets_of_one_name_are_told_apart(
    run: Callable[..., Run], small: Path, tmp_path: Path
) -> None:
    other = write_dataset(tmp_path / "small", sequences=1)
    done = run(small, other, "--out", tmp_path / "out", *FAST, "--frames", 2)
    assert done.code == 0, done.err
    assert {r.set for r in read_rows(tmp_path / "out" / "scores.csv")} == {str(small), str(other)}


def test_help(program: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        program.main(["--help"])
    assert stop.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for words in (
        "--jitter PX",
        "--misalign N",
        "scores.csv",
        "NAME+exposure",
        "--self-aligned",
        "by 5 to 30 %",
    ):
        assert words in text
    with pytest.raises(SystemExit) as stop:
        program.main([])
    assert stop.value.code == 2
