"""Curves of training runs are read, drawn and told as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.quality.score_plots import plot_curves
from benchmarks.quality.score_sections import training_table
from benchmarks.quality.training_curves import read_curve, read_curves
from diar_ops import OptionError, OutputError
from diar_ops.training.curve import write_curve


def write_run(folder: Path, scores: tuple[float, ...], name: str = "rendered") -> Path:
    folder.mkdir(parents=True)
    rows = [
        {
            "step": 10.0 * (i + 1),
            "seconds": 360.0 * (i + 1),
            "loss": 1.0,
            f"{name}_psnr": score,
            f"{name}_psnr_gain": score + 2,
            f"{name}_ssim": score / 40,
        }
        for i, score in enumerate(scores)
    ]
    write_curve(folder / "curve.csv", rows)
    return folder


def test_curves_are_those_of_the_trainer(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / "one", (20, 24, 23)), write_run(tmp_path / "two", (21,), "cycles")]
    curves = read_curves(runs)
    assert list(curves) == ["one", "two"]
    assert curves["one"]["rendered_psnr"] == [20, 24, 23]
    table = training_table(curves)
    assert table.heads == [
        "run",
        "steps",
        "hours",
        "PSNR [dB], rendered: last (best)",
        "PSNR [dB], cycles: last (best)",
        "SSIM, rendered: last (best)",
        "SSIM, cycles: last (best)",
    ]
    assert table.rows[0][:5] == ["one", "30", "0.30", "23.00 (24.00)", "-"]
    plot_curves(tmp_path / "training", curves)
    assert (tmp_path / "training.png").stat().st_size > 1000
    svg = (tmp_path / "training.svg").read_bytes()
    plot_curves(tmp_path / "training", curves)
    assert (tmp_path / "training.svg").read_bytes() == svg


def test_empty_cells_are_gaps(tmp_path: Path) -> None:
    path = tmp_path / "curve.csv"
    path.write_text("step,seconds,a_psnr\n1,5,\n2,10,21.5\n", encoding="utf-8")
    assert training_table({"run": read_curve(path)}).rows == [["run", "2", "0.00", "21.50 (21.50)"]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot read"),
        ("", "not the curve of a training"),
        ("step,loss\n1,2\n", "not the curve of a training"),
        ("step,seconds,a_psnr\n1,2\n", "line 2 is damaged"),
        ("step,seconds,a_psnr\n1,2,high\n", "line 2 is damaged"),
        ("step,seconds,a_psnr\n", "no rows yet"),
    ],
)
def test_what_is_no_curve_is_one_sentence(tmp_path: Path, text: str | None, words: str) -> None:
    path = tmp_path / "curve.csv"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(OutputError, match=words):
        read_curve(path)


def test_two_runs_of_one_name_are_refused(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / parent / "run", (20,)) for parent in ("a", "b")]
    with pytest.raises(OptionError, match="two runs are called run"):
        read_curves(runs)
