"""evaluate.py --parts alignment: the same frames for all methods, and it goes on where it was."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks.quality.alignment import frame_errors as errors_module
from benchmarks.quality.alignment.frame_errors import ALIGNMENT
from benchmarks.quality.plan import Task
from benchmarks.quality.rows import Row, read_rows
from tests.quality.alignment.views import write_views
from tests.scripts import Runner, assert_one_error

METHODS = ("--parts", "alignment", "--pictures", 0, "--aligners", "sift", "sift+pairs")
SETTINGS = "alignment/settings.json"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sets") / "small"
    for index in range(3):
        write_views(folder / f"{index:06d}")
    return folder


def rows_of(out: Path) -> list[Row]:
    return read_rows(out / "alignment" / "alignment.csv", ALIGNMENT)


def without_times(out: Path) -> list[Row]:
    return [row._replace(values={**row.values, "seconds": 0.0}) for row in rows_of(out)]


def test_tables_plots_and_pictures(run: Runner, small: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run(small, "--out", out, *METHODS, "ours", "loftr", "--sequences", 2, "--pictures", 2)
    assert done.code == 0, done.err
    assert done.err == "loftr is left out: it needs the file of its weights (--kornia-loftr)\n"
    rows = rows_of(out)
    assert len(rows) == 2 * 3 * 2, "two frames beside the reference"
    assert all(row.values["success"] and row.values["corner_error"] < 1.5 for row in rows)
    assert all(row.values["seconds"] > 0 and row.values["threads"] == 1 for row in rows)
    text = (out / "alignment" / "summary.md").read_text(encoding="utf-8")
    said = "**small, 3 frames each, n = 2 sequences, 4 frames without the references**"
    assert said in text
    assert said in done.out
    assert "- `sift+pairs`: SIFT (contrastThreshold=0.005), brute force" in text
    with (out / "alignment" / "summary.csv").open(encoding="utf-8") as file:
        table = {line["method"]: line for line in csv.DictReader(file)}
    assert list(table) == ["sift", "sift+pairs", "ours"]
    assert float(table["ours"]["below_3"]) == 1
    for name in ("corner_error", "distance", "cumulative"):
        assert (out / f"{name}.png").stat().st_size > 1000
        assert (out / f"{name}.svg").read_bytes().lstrip().startswith(b"<?xml")
    pictures = sorted(p.name for p in (out / "alignment" / "pictures").iterdir())
    assert len(pictures) == 3 * 4, "all of the four frames, in turn worst, median and best"
    assert not [p for p in out.iterdir() if p.name.startswith(".")], "nothing temporary stays"


@pytest.mark.usefixtures("no_plots")
def test_workers_change_nothing_but_times(run: Runner, small: Path, tmp_path: Path) -> None:
    for workers in (1, 2):
        out = tmp_path / str(workers)
        done = run(small, "--out", out, *METHODS, "--workers", workers, "--sequences", 2)
        assert done.code == 0, done.err
    one, two = tmp_path / "1", tmp_path / "2"
    assert without_times(one) == without_times(two)
    assert (one / SETTINGS).read_bytes() == (two / SETTINGS).read_bytes()


@pytest.mark.usefixtures("no_plots")
def test_what_is_done_is_not_done_again(
    run: Runner, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, computed = tmp_path / "out", []
    original = errors_module.align_and_score

    def score(task: Task[Path], **given: object) -> object:
        computed.extend(task.keys)
        return original(task, **given)

    monkeypatch.setattr(errors_module, "align_and_score", score)
    assert run(small, "--out", out, *METHODS[:-1], "--sequences", 2).code == 0
    assert [(k.sequence, k.frames) for k in computed] == [("000000", 3), ("000001", 3)]
    first = (out / "alignment" / "alignment.csv").read_bytes()
    computed.clear()
    assert run(small, "--out", out, *METHODS[:-1], "--sequences", 2).code == 0
    assert computed == []
    assert (out / "alignment" / "alignment.csv").read_bytes() == first
    # More methods and prefixes join.
    done = run(small, "--out", out, *METHODS, "--frames", 2, 3)
    assert done.code == 0, done.err
    assert len(computed) == 3 * 2 * 2 - 2
    assert len(rows_of(out)) == 3 * 2 * (1 + 2)
    assert "2 frames each" in (out / "alignment" / "summary.md").read_text(encoding="utf-8")
    methods = json.loads((out / SETTINGS).read_text())["methods"]
    assert methods.keys() == {"sift", "sift+pairs"}


@pytest.mark.usefixtures("no_plots")
def test_other_results_are_not_mixed(run: Runner, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.quality.alignment import keypoints

    out = tmp_path / "out"
    command = (small, "--out", out, *METHODS[:-1], "--sequences", 1)
    assert run(*command).code == 0
    before = (out / "alignment" / "alignment.csv").read_bytes()
    other = json.loads((out / SETTINGS).read_text())
    (out / SETTINGS).write_text(json.dumps({**other, "format": "diar_ops evaluation"}))
    assert_one_error(run(*command), "results of another kind")
    (out / SETTINGS).write_text(json.dumps(other))
    monkeypatch.setattr(keypoints, "KEYPOINTS", {"sift": keypoints.KEYPOINTS["sift"]._replace(words="SIFT, other")})
    monkeypatch.setattr("benchmarks.quality.alignment.aligners.KEYPOINTS", keypoints.KEYPOINTS)
    assert_one_error(run(*command), "another method called sift", "--overwrite")
    assert (out / "alignment" / "alignment.csv").read_bytes() == before
    assert run(*command, "--overwrite").code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--aligners", "shift"), "unknown method shift"),
        (("--frames", 1), "frames must be 2 or more, got none"),
        (("--frames", 9), "no sequence has 9 frames, the longest has 3"),
        (("--aligners", "paper", "--resnet18", "nowhere.pth"), "nowhere.pth"),
        (("--against", "diar"), "--against diar: there is no such method"),
    ],
)
def test_bad_options_are_one_sentence(
    run: Runner, small: Path, tmp_path: Path, arguments: tuple[object, ...], words: str
) -> None:
    assert_one_error(run(small, "--out", tmp_path / "out", *METHODS, *arguments), words)
    assert not (tmp_path / "out").exists()


def test_single_frames_cannot_be_aligned(run: Runner, tmp_path: Path) -> None:
    folder = write_views(tmp_path / "set" / "000000", 1)
    done = run(folder.parent, "--out", tmp_path / "out", *METHODS)
    assert_one_error(done, "no sequence has 2 frames, the longest has 1")


def test_help(program: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        program.main(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    for words in ("--aligners", "--kornia-loftr FILE", "alignment.csv", "NAME+pairs", "N worst"):
        assert words in text
