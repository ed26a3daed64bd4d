"""Plots and pictures show what was measured."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from PIL import Image

from benchmarks.quality.alignment.error_plots import plot_boxes, plot_cumulative
from benchmarks.quality.alignment.frame_errors import ENTRIES, score_frame
from benchmarks.quality.alignment.frame_pictures import (
    choose_frames,
    frame_file,
    frame_picture,
    frame_rank,
    write_frames,
)
from benchmarks.quality.rows import RowKey
from tests.quality.alignment.views import SIZE, row, views, write_views

INF = math.inf
KEY = RowKey("set", "000000", 3, "any")


def test_plots_take_what_there_is(tmp_path: Path) -> None:
    rows = [row(i, "a", 0.1 * (i + 1), name=n) for i in range(5) for n in ("one", "two")]
    rows += [row(i, "refuses all", INF, name="one") for i in range(5)]
    rows += [row(0, "exact", 0.0, name="two")]
    plot_boxes(tmp_path / "corner_error", rows, "corner_error")
    for name in ("cumulative", "again"):
        plot_cumulative(tmp_path / name, rows)
    for name in ("corner_error", "cumulative"):
        with Image.open(tmp_path / f"{name}.png") as image:
            assert min(image.size) > 300
        assert b"refuses all" in (tmp_path / f"{name}.svg").read_bytes()
    assert (tmp_path / "cumulative.svg").read_bytes() == (tmp_path / "again.svg").read_bytes()


def test_the_worst_come_first() -> None:
    rows = [row(0, "a", 3.0), row(1, "a", INF), row(2, "a", INF, success=True), row(3, "a", 7.0)]
    assert [r.sequence for r in sorted(rows, key=frame_rank)[:3]] == ["000002", "000001", "000003"]


def test_worst_median_and_best_frames_are_chosen_for_each_set() -> None:
    rows = [row(i, "a", e, name=n) for i, e in enumerate((3.0, 1.0, 2.0)) for n in ("one", "two")]
    rows.append(row(0, "a", INF)._replace(set="one", frames=2))
    chosen = [(kind, r.set, r.values["corner_error"]) for kind, r in choose_frames(rows)]
    expected = [("worst", 3), ("median", 2), ("best", 1)]
    assert chosen == [(kind, name, error) for name in ("one", "two") for kind, error in expected]


def test_pictures_of_frames(tmp_path: Path) -> None:
    folder = write_views(tmp_path / "000000")
    _, H = views()
    true = torch.linalg.inv(H)
    good = score_frame(KEY, 1, true[1], true[1], success=True, size=SIZE, seconds=0)
    moved = true[1].clone()
    moved[:2, 2] += 8
    entries = dict(zip(ENTRIES, moved.flatten().tolist(), strict=True))
    bad = good._replace(method="bad", values={**good.values, **entries})
    failed = {**good.values, "corner_error": INF, "success": False}
    refused = good._replace(method="refused", values=failed)
    sheets = {name: frame_picture(r, folder) for name, r in (("good", good), ("bad", bad), ("refused", refused))}
    for sheet in sheets.values():
        assert sheet.dtype == torch.uint8
        assert sheet.shape == (3, 240 + 18 + 4, 4 * (320 + 4) + 4)
    # The last part is the difference: black where the frame fits, and a refused one lies right.
    difference = {name: sheet[:, 18:258, -324:-4].float().mean().item() for name, sheet in sheets.items()}
    assert difference["good"] < 0.25 * difference["bad"]
    assert difference["refused"] == pytest.approx(difference["good"], rel=1e-3)
    red = torch.tensor([255, 60, 60])[:, None, None]
    for name, drawn in (("good", True), ("bad", True), ("refused", False)):
        assert bool((sheets[name][:, 18:] == red).all(0).any()) == drawn
    done: list[int] = []
    out, folders = tmp_path / "out", {("set", "000000"): folder}
    write_frames(out, [good, bad, refused], folders, progress=lambda: done.append(1))
    files = [frame_file(out, r) for r in (good, bad, refused)]
    assert files[2].name == "set_000000_3_refused_1.png"
    assert all(f.is_file() for f in files)
    files[0].write_bytes(b"kept")
    write_frames(out, [good], folders)
    assert files[0].read_bytes() == b"kept"
    assert len(done) == 3
