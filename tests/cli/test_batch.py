"""``diar-ops batch``: what it prints for people and for programs, and how it ends."""

import json
from pathlib import Path

import pytest

from diar_ops.batch import BatchOptions
from diar_ops.cli.main import main
from diar_ops.engines import LocalEngine
from tests.batch.archives import write_photos


def batch(*words: object) -> int:
    return main(["batch", *map(str, words)])


def test_plan_result_and_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(BatchOptions, "select_engine", lambda self: LocalEngine(0))
    root, out = tmp_path / "root", tmp_path / "out"
    write_photos(root / "page", 2)
    assert batch(root, "--out", out, "--dry-run") == 0
    assert capsys.readouterr().out == "waiting  page: 2 files\n"
    assert batch(root, "--out", out, "--aggregator", "median", "--json") == 0
    (record,) = json.loads(capsys.readouterr().out)["sequences"]
    assert (record["key"], record["verdict"], len(record["photos"])) == ("page", "good", 2)
    assert batch(root, "--out", out, "--aggregator", "mean") == 1
    assert "choose another folder, the same settings, or do all again with --overwrite" in capsys.readouterr().err
    assert batch(root, "--out", out, "--aggregator", "median") == 0
    assert "1 sequence: 1 good; 0 worked on now" in capsys.readouterr().out
    assert batch(root, "--out", tmp_path / "other", "--gap", "0") == 1
    assert batch(root, "--out", tmp_path / "other", "--engine", "dask") == 2
