"""The learning curve is a table that others read, and a plot."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
from PIL import Image

from diar_ops.training.curve import Line, column, plot_curve, write_curve

ROWS = [
    {"step": 10, "seconds": 60.5, "loss": -12.0},
    {"step": 20, "seconds": 3600.0, "loss": math.nan, "held_psnr": 20.0, "held_psnr_gain": 21.5},
]


def test_a_table(tmp_path: Path) -> None:
    path = tmp_path / "curve.csv"
    write_curve(path, ROWS[:1])
    write_curve(path, ROWS)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["10", "20"]
    assert rows[0]["held_psnr"] == ""  # was not measured yet
    assert float(rows[1]["held_psnr_gain"]) == 21.5
    assert rows[1]["loss"] == "nan"


def test_a_plot(tmp_path: Path) -> None:
    for rows in (ROWS, []):
        lines = [Line("PSNR", column(rows, "held_psnr")), Line("baseline", 19.0, "--", "C1")]
        plot_curve(tmp_path / "curve.png", rows, lines, title="DIAR", ylabel="dB")
        with Image.open(tmp_path / "curve.png") as image:
            assert image.size == (900, 400)
            assert len(np.unique(np.asarray(image))) > 10
