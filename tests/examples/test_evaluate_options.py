"""evaluate.py refuses what cannot be, in one sentence, and never mixes results."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import ModuleType

import pytest

from diar_ops import DeepResidualSets, DeepResidualSetsConfig, save_pretrained
from tests.examples.test_evaluate import FAST, ONLY, rows_of, table_of
from tests.scripts import Runner, assert_one_error
from tests.sequences import write_dataset


@pytest.mark.usefixtures("no_plots")
def test_other_settings_are_not_mixed(run: Runner, small: Path, weights: Path, tmp_path: Path) -> None:
    out, mine = tmp_path / "out", tmp_path / "net.safetensors"
    settings = out / "reconstruction" / "settings.json"
    shutil.copy(weights, mine)
    assert run(small, "--out", out, *ONLY, "--methods", "mean", mine, "--frames", 2).code == 0
    before = table_of(out)
    command = (small, "--out", out, *ONLY, "--methods", "mean", mine, "--frames", 2)
    assert_one_error(run(*command, "--jitter", 1), "other settings", "jitter 0.0 instead of 1.0")
    assert_one_error(run(*command, "--misalign", 1), "misaligned 0 instead of 1")
    other = write_dataset(tmp_path / "elsewhere" / "small", sequences=1, kind="misaligned")
    assert_one_error(run(other, *command[1:]), "another set called small")
    config = DeepResidualSetsConfig(channels=(4, 6), blocks=(1, 1), decoder_blocks=(0, 1))
    save_pretrained(DeepResidualSets(config), mine, overwrite=True)
    assert_one_error(run(*command), "other weights called net", "--overwrite")
    assert table_of(out) == before
    assert run(*command, "--overwrite").code == 0
    assert json.loads(settings.read_text())["weights"].keys() == {"net"}
    settings.unlink()
    assert_one_error(run(*command), "no settings.json")


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
        (("--against", "median"), "--against median: there is no such method"),
        (("--curves", "nowhere"), "cannot read nowhere/curve.csv"),
        (("--parts", "alignment"), "there is no set to evaluate for alignment"),
    ],
)
def test_bad_options_are_one_sentence(
    run: Runner, small: Path, tmp_path: Path, arguments: tuple[object, ...], words: str
) -> None:
    methods = () if "--methods" in arguments else FAST
    assert_one_error(run(small, "--out", tmp_path / "out", *methods, *arguments), words)
    assert not (tmp_path / "out" / "reconstruction" / "scores.csv").exists()


@pytest.mark.usefixtures("no_plots")
def test_bad_folders_are_one_sentence(run: Runner, small: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert_one_error(run(tmp_path / "nowhere", "--out", out), "does not exist")
    assert_one_error(run(tmp_path, "--out", out), "no sequences in the folder")
    assert_one_error(run(small, small, "--out", out), "is given twice")
    assert not out.exists()
    out.write_text("a file")
    assert_one_error(run(small, "--out", out, *FAST), "is a file")
    other = tmp_path / "other"
    other.mkdir()
    (other / "report.html").write_text("mine")
    assert_one_error(run(small, "--out", other, *FAST), "holds a report.html, but no results")
    assert (other / "report.html").read_text() == "mine"
    broken = tmp_path / "broken"
    shutil.copytree(small, broken)
    (broken / "000001" / "01.png").write_bytes(b"no picture")
    for workers in (1, 2):
        kept = tmp_path / f"kept-{workers}"
        failed = run(broken, "--out", kept, *FAST, "--frames", 2, "--workers", workers)
        assert_one_error(failed, "01.png")
    # What was there before the broken one is kept.
    assert {r.sequence for r in rows_of(tmp_path / "kept-1")} == {"000000"}


@pytest.mark.usefixtures("no_plots")
def test_two_sets_of_one_name_are_told_apart(run: Runner, small: Path, tmp_path: Path) -> None:
    other = write_dataset(tmp_path / "small", sequences=1)
    done = run(small, other, "--out", tmp_path / "out", *FAST, "--frames", 2)
    assert done.code == 0, done.err
    assert {r.set for r in rows_of(tmp_path / "out")} == {str(small), str(other)}


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
        "--parts PART",
        "report.html",
        "by 5 to 30 %",
    ):
        assert words in text
    with pytest.raises(SystemExit) as stop:
        program.main([])
    assert stop.value.code == 2
