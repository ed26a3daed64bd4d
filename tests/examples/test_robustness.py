"""The whole table of robustness on tiny frames, and it goes on where it was."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

from benchmarks.quality.plan import Task
from benchmarks.quality.robustness import cells as cells_module
from benchmarks.quality.robustness.degraded_photos import choose_pictures
from benchmarks.quality.robustness.factors import FACTORS
from benchmarks.quality.robustness.level_plan import ROBUSTNESS, Cell
from benchmarks.quality.rows import Row, read_rows
from diar_ops._files import write_image
from diar_ops._folders import LOCK
from tests.scripts import Runner, assert_one_error, load_script

TINY = ("--size", 64, "--frames", 3, "--sequences", 1)
FAST = (*TINY, "--methods", "mean", "median+exposure", "--pictures", 0)


@pytest.fixture(scope="module")
def program() -> ModuleType:
    return load_script("robustness")


def rows_of(out: Path) -> list[Row]:
    return read_rows(out / "robustness.csv", ROBUSTNESS)


def test_tables_plots_and_pictures(run: Runner, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run(
        "--out", out, *TINY, "--factors", "foreign", "noise", "--methods", "mean", "mean+aligned", "--aligners", "sift"
    )
    assert done.code == 0, done.err
    rows = rows_of(out)
    assert {row.values["factor"] for row in rows} == {"foreign", "noise"}
    # Two methods with two scores each, and one with two. One frame of three is foreign at 25 and
    # 37.5 %; at 50 % both that are aligned, so that none is left to be in place.
    levels = len(FACTORS["foreign"].levels) + len(FACTORS["noise"].levels)
    assert len(rows) == levels * (2 * 2 + 2) + 3 - 2
    assert {row.values["value"] for row in rows if row.values["score"] == "accepted_foreign"} <= {0.0, 0.5, 1.0}
    text = (out / "robustness.md").read_text(encoding="utf-8")
    assert done.out.startswith(text)
    for words in ("Means over 1 sequences of 3 frames", "### Noise", "| mean+aligned |", "| sift |"):
        assert words in text
    for name in ("reconstruction", "alignment"):
        with Image.open(out / f"{name}.png") as image:
            assert min(image.size) > 200
        assert (out / f"{name}.svg").read_bytes().lstrip().startswith(b"<?xml")
    sheets = sorted(path.name for path in (out / "pictures").iterdir())
    assert sheets == ["foreign_0.png", "noise_0.png"]
    assert len((out / "robustness_summary.csv").read_text().splitlines()) == 1 + levels * 3
    assert [p.name for p in out.iterdir() if p.name.startswith(".")] == [LOCK], "nothing temporary stays"


def test_workers_change_nothing(run: Runner, tmp_path: Path) -> None:
    for workers in (1, 2):
        done = run(
            "--out", tmp_path / str(workers), *FAST, "--factors", "tilt", "--aligners", "sift", "--workers", workers
        )
        assert done.code == 0, done.err
    one, two = tmp_path / "1", tmp_path / "2"
    for name in ("robustness.csv", "robustness.md", "settings.json", "alignment.svg"):
        assert (one / name).read_bytes() == (two / name).read_bytes()


@pytest.mark.usefixtures("no_plots")
def test_what_is_done_is_not_done_again(run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, computed = tmp_path / "out", []
    original = cells_module.score_cell

    def score(task: Task[Cell], **given: object) -> object:
        computed.extend(task.keys)
        return original(task, **given)

    monkeypatch.setattr(cells_module, "score_cell", score)
    assert run("--out", out, *FAST, "--factors", "noise", "--aligners").code == 0
    count = len(FACTORS["noise"].levels)
    assert len(computed) == 2 * count
    first = (out / "robustness.csv").read_bytes()
    computed.clear()
    assert run("--out", out, *FAST, "--factors", "noise", "--aligners").code == 0
    assert computed == []
    assert (out / "robustness.csv").read_bytes() == first
    # More factors, methods and sequences join.
    done = run("--out", out, *FAST, "--factors", "tilt", "--aligners", "--sequences", 2)
    assert done.code == 0, done.err
    assert len(computed) == 2 * 2 * len(FACTORS["tilt"].levels)
    settings = json.loads((out / "settings.json").read_text())
    assert settings["factors"].keys() == {"noise", "tilt"}
    assert settings["pictures"].keys() == {"0", "1"}
    assert len(rows_of(out)) == 2 * 2 * (count + 2 * len(FACTORS["tilt"].levels))


@pytest.mark.usefixtures("no_plots")
def test_ctrl_c_keeps_what_is_done(run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, original, computed = tmp_path / "out", cells_module.score_cell, []

    def score(task: Task[Cell], **given: object) -> object:
        if len(computed) == 2:
            raise KeyboardInterrupt
        computed.append(task)
        return original(task, **given)

    monkeypatch.setattr(cells_module, "score_cell", score)
    command = ("--out", out, *FAST, "--factors", "noise", "--aligners")
    stopped = run(*command)
    assert stopped.code == 130
    assert stopped.err.splitlines()[-1] == "stopped; the same command goes on"
    assert len(rows_of(out)) == 2 * 2 * 2
    monkeypatch.setattr(cells_module, "score_cell", original)
    assert run(*command).code == 0
    assert len(rows_of(out)) == len(FACTORS["noise"].levels) * 2 * 2


@pytest.mark.usefixtures("no_plots")
def test_other_results_are_not_mixed(run: Runner, tmp_path: Path) -> None:
    out, folder = tmp_path / "out", tmp_path / "pictures"
    for k, picture in enumerate(choose_pictures([], 7, (64, 64))):
        write_image(folder / f"{k}.png", (picture * 255).byte())
    command = ("--out", out, *FAST, "--factors", "noise", "--aligners")
    assert run(*command, "--textures", folder).code == 0
    before = (out / "robustness.csv").read_bytes()
    assert_one_error(run(*command), "other pictures of sequence 0", "--overwrite")
    assert_one_error(run(*command, "--frames", 4, "--textures", folder), "frames 3 instead of 4")
    assert (out / "robustness.csv").read_bytes() == before
    assert run(*command, "--overwrite").code == 0
    assert (out / "robustness.csv").read_bytes() != before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--factors", "haze"), "unknown factor haze"),
        (("--methods", "medium"), "unknown method medium"),
        (("--aligners", "shift"), "unknown method shift"),
        (("--workers", 0), "--workers must be 1 or more, got 0"),
        (("--size", 20), "--size must be 64 or more, got 20"),
        (("--sequences", 0), "sequences must be 1 or more, got 0"),
        (("--textures", "nowhere"), "nowhere does not exist"),
        (("--methods", "--aligners"), "nothing to do"),
    ],
)
def test_bad_options_are_one_sentence(run: Runner, tmp_path: Path, arguments: tuple[object, ...], words: str) -> None:
    assert_one_error(run("--out", tmp_path / "out", *FAST, *arguments), words)
    assert not (tmp_path / "out").exists()


def test_help(program: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        program.main(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    for words in (*FACTORS, "--textures DIR", "robustness.md", "NAME+aligned", "goes on"):
        assert words in text
