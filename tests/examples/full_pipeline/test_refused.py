"""What cannot be is said in one sentence, before the long work."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from diar_ops.pipeline import AGGREGATORS
from tests import photos
from tests.examples.full_pipeline.runs import SIZE, contents, save
from tests.scripts import Runner, assert_one_error


def test_no_photos(run: Runner, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    out = ("--out", tmp_path / "out")
    assert_one_error(run(empty, *out), "no photos in the folder", str(empty))
    assert_one_error(run(tmp_path / "missing", *out), "missing does not exist")
    (empty / "a.jpg").write_text("no photo")
    assert_one_error(run(empty, *out), "none of the 1 files is a readable photo", "a.jpg")
    assert contents(tmp_path / "out") == {}


def test_one_photo_only(run: Runner, good: Path, tmp_path: Path) -> None:
    result = run(good / "a.png", "--out", tmp_path / "out")
    assert_one_error(result, "one photo alone cannot be cleaned; give two or more")
    (good / "b.png").write_text("no photo")
    (good / "c.png").unlink()
    result = run(good, "--out", tmp_path / "out")
    assert_one_error(result, "one photo alone cannot be cleaned")
    assert result.err.startswith("skipped: ")


def test_nothing_aligns(run: Runner, tmp_path: Path) -> None:
    views = [photos.view(photos.picture(name, SIZE), np.eye(3), noise=name) for name in ("poster", "other", "third")]
    result = run(save(tmp_path / "photos", views), "--out", tmp_path / "out")
    assert_one_error(result, "no other photo could be aligned to ", "same flat thing")
    assert contents(tmp_path / "out") == {}


@pytest.mark.parametrize("asked", ["3", "-1", "d.png", "1.5"])
@pytest.mark.usefixtures("no_long_work")
def test_reference_that_is_none(run: Runner, good: Path, tmp_path: Path, asked: str) -> None:
    result = run(good, "--out", tmp_path / "out", f"--reference={asked}")
    assert_one_error(result, asked, "a file name, a path or a number from 0 to 2")


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--descriptor", "missing.pth", "missing.pth"),
        ("--descriptor", "resnet19", "resnet19"),
        ("--aggregator", "best", f"diar, diar-glass, {', '.join(AGGREGATORS)} or a file of weights, got 'best'"),
        ("--device", "nonsense", "--device: cannot compute on 'nonsense'"),
        ("--ground-truth", "missing.png", "missing.png does not exist"),
        ("--max-size", "15", "--max-size must be 16 pixels or more"),
    ],
)
@pytest.mark.usefixtures("no_long_work")
def test_refused_before_the_long_work(
    run: Runner, good: Path, tmp_path: Path, option: str, value: str, words: str
) -> None:
    assert_one_error(run(good, "--out", tmp_path / "out", option, value), words)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there(run: Runner, good: Path, tmp_path: Path) -> None:
    result = run(good, "--out", tmp_path / "out", "--device", "cuda")
    assert_one_error(result, "--device: cannot compute on 'cuda'")
    assert not (tmp_path / "out").exists()


def test_an_unknown_option_value_names_the_known_ones(program: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--max-size", "big"], ["--seed", "x"], ["--no"]):
        with pytest.raises(SystemExit) as done:
            program.main(arguments)
        assert done.value.code == 2
        assert capsys.readouterr().err.count("error: ") == 1
