"""Rows, figures with intervals, tables, plots and pictures say what was measured."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import pytest
import torch
from PIL import Image

from diar_ops import OutputError
from diar_ops.evaluation import RowKey, Task, read_rows, write_rows
from diar_ops.evaluation.alignment import (
    MEASURES,
    Aligner,
    AlignmentRow,
    Estimate,
    align_and_score,
    alignment_csv,
    alignment_markdown,
    picture_of,
    plot_boxes,
    plot_cumulative,
    score_frame,
    summarise_alignment,
    worst_frames,
    write_worst,
)
from tests.evaluation.alignment.pictures import SIZE, row, views, write_views

INF = math.inf
KEY = RowKey("set", "000000", 3, "any")
EYE = torch.eye(3, dtype=torch.float64)


def frame_row(found: torch.Tensor, true: torch.Tensor, *, success: bool = True) -> AlignmentRow:
    return score_frame(
        KEY, 2, found, true, success=success, size=SIZE, seconds=0.123456, threads=1
    )  # fmt: skip


def test_errors_of_a_frame() -> None:
    shift = EYE.clone()
    shift[:2, 2] = torch.tensor([3.0, 4.0])
    result = frame_row(shift * -2, EYE)  # scale and sign of a homography mean nothing
    assert (result.corner_error, result.distance, result.success) == (5.0, 5.0, True)
    assert torch.equal(result.homography_reference_frame, shift)
    assert result.key == KEY
    refused = frame_row(shift, EYE, success=False)
    assert (refused.corner_error, refused.distance, refused.success) == (INF, INF, False)
    assert torch.equal(refused.homography_reference_frame, EYE)


def test_a_homography_that_folds_the_frame_is_infinitely_far_off() -> None:
    folded = EYE.clone()
    folded[2, 0] = -1 / 50
    result = frame_row(folded, EYE)
    assert (result.corner_error, result.success) == (INF, True)
    singular = frame_row(torch.zeros(3, 3, dtype=torch.float64), EYE)
    assert (singular.corner_error, singular.distance) == (INF, INF)


def test_rows_survive_the_file(tmp_path: Path) -> None:
    rows = [row(1, "a", 0.25), row(0, "b", INF), frame_row(EYE + 1e-3, EYE)]
    write_rows(tmp_path / "a.csv", rows, AlignmentRow)
    assert read_rows(tmp_path / "a.csv", AlignmentRow) == sorted(rows)
    (tmp_path / "b.csv").write_text(
        (tmp_path / "a.csv").read_text().replace("True", "maybe"), encoding="utf-8"
    )
    with pytest.raises(OutputError, match="line 2 is not a result"):
        read_rows(tmp_path / "b.csv", AlignmentRow)
    with pytest.raises(OutputError, match="must begin with"):
        read_rows(tmp_path / "a.csv")


def test_a_sequence_is_scored_against_its_homographies(tmp_path: Path) -> None:
    folder = write_views(tmp_path / "000000")
    _, H = views()
    true = torch.linalg.inv(H)
    off = true.clone()
    off[2, :2] += 2 * off[2, 2:]  # two pixels to the right and down in the reference, at w = 1
    seen: list[torch.Size] = []

    def exact(frames: torch.Tensor) -> Estimate:
        seen.append(frames.shape)
        return Estimate(true[: len(frames)], torch.ones(len(frames), dtype=torch.bool))

    def none(frames: torch.Tensor) -> Estimate:
        return Estimate.of({0: EYE}, len(frames))

    aligners = [Aligner("exact", "", "", exact), Aligner("none", "", "", none)]
    wanted = tuple(RowKey("set", "000000", t, m) for t in (2, 3) for m in ("none", "exact"))
    rows = align_and_score(Task(folder, wanted), aligners)
    assert [r.key for r in rows] == [k for k in wanted for _ in range(k.frames - 1)]
    assert [tuple(s) for s in seen] == [(2, 3, *SIZE), (3, 3, *SIZE)]
    for result in rows:
        assert result.success == (result.method == "exact")
        assert result.corner_error == (0 if result.success else INF)


def test_shares_and_quantiles_count_all_frames() -> None:
    errors = [0.5, 0.5, 2.0, 4.0, 10.0, INF, INF, 0.5]
    rows = [row(i // 2, "a", e, frame=1 + i % 2) for i, e in enumerate(errors)]
    rows += [row(i, "none", INF) for i in range(3)]
    some, none = summarise_alignment(rows)
    assert (some.sequences, some.scored, some.frames) == (4, 8, 3)
    figures = {name: mean.mean for name, mean in some.figures.items()}
    assert figures["below_1"] == 3 / 8
    assert figures["below_3"] == 4 / 8
    assert figures["below_5"] == 5 / 8
    assert figures["median"] == 3.0
    assert figures["p95"] == INF
    assert figures["refused"] == 2 / 8
    assert figures["false_accepts"] == 2 / 6
    assert some.seconds.mean == pytest.approx(0.1)
    assert (none.figures["refused"].mean, none.figures["median"].mean) == (1, INF)
    assert math.isnan(none.figures["false_accepts"].mean)
    assert math.isnan(none.figures["false_accepts"].low)


def test_a_false_accept_may_be_infinitely_far_off() -> None:
    (summary,) = summarise_alignment([row(0, "a", INF, success=True), row(1, "a", 1.0)])
    assert summary.figures["false_accepts"].mean == 0.5
    assert summary.figures["refused"].mean == 0


def test_intervals_are_over_sequences_not_frames() -> None:
    # Twenty sequences, each all good or all bad: nine frames of one say no more than one does.
    rows = [row(i, "a", 0.5 if i < 10 else 9.0, frame=t) for i in range(20) for t in range(1, 10)]
    share = summarise_alignment(rows)[0].figures["below_1"]
    half = 1.96 * math.sqrt(0.25 / 20)
    assert share.mean == 0.5
    assert share.low == pytest.approx(0.5 - half, abs=0.06)
    assert share.high == pytest.approx(0.5 + half, abs=0.06)
    alone = summarise_alignment(rows[:9])[0].figures["below_1"]
    assert alone.mean == 1
    assert math.isnan(alone.low)


def test_sequences_of_unequal_length_weigh_by_their_frames() -> None:
    rows = [row(0, "a", 0.5, frame=t) for t in range(1, 4)] + [row(1, "a", 9.0)]
    (summary,) = summarise_alignment(rows)
    assert summary.figures["below_1"].mean == 0.75
    assert summary.scored == 4


def test_tables_say_what_summaries_hold() -> None:
    summaries = summarise_alignment(
        [row(i, m, e) for i in range(3) for m, e in (("a", 0.25), ("b", INF))]
    )
    lines = list(csv.DictReader(io.StringIO(alignment_csv(summaries))))
    assert [line["method"] for line in lines] == ["a", "b"]
    assert float(lines[0]["median"]) == float(lines[0]["median_high"]) == 0.25
    assert float(lines[1]["p95"]) == INF
    assert float(lines[0]["seconds"]) == pytest.approx(0.1)
    text = alignment_markdown(summaries, {"a": "does a", "b": "does b"})
    assert "3 sequences, 3 frames without the references" in text
    assert "| a | 100.0 [100.0, 100.0] |" in text
    assert "| 0.25 [0.25, 0.25] |" in text
    assert "| inf [inf, inf] |" in text
    assert "| - | 100 |" in text
    assert "- `b`: does b" in text
    for title, _ in MEASURES.values():
        assert title in text


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
    assert [r.sequence for r in worst_frames(rows, 3)] == ["000002", "000001", "000003"]


def test_pictures_of_the_worst(tmp_path: Path) -> None:
    folder = write_views(tmp_path / "000000")
    _, H = views()
    true = torch.linalg.inv(H)
    good = score_frame(KEY, 1, true[1], true[1], success=True, size=SIZE, seconds=0, threads=1)
    moved = true[1].clone()
    moved[:2, 2] += 8
    bad = good._replace(
        method="bad", **dict(zip(good._fields[-9:], moved.flatten().tolist(), strict=True))
    )
    refused = good._replace(method="refused", corner_error=INF, success=False)
    sheets = {name: picture_of(r, folder) for name, r in
              (("good", good), ("bad", bad), ("refused", refused))}  # fmt: skip
    for sheet in sheets.values():
        assert sheet.dtype == torch.uint8
        assert sheet.shape == (3, 240 + 18 + 4, 4 * (320 + 4) + 4)
    # The last part is the difference: black where the frame fits, and a refused one lies right.
    difference = {
        name: sheet[:, 18:258, -324:-4].float().mean().item() for name, sheet in sheets.items()
    }
    assert difference["good"] < 0.25 * difference["bad"]
    assert difference["refused"] == pytest.approx(difference["good"], rel=1e-3)
    red = torch.tensor([255, 60, 60])[:, None, None]
    for name, drawn in (("good", True), ("bad", True), ("refused", False)):
        assert bool((sheets[name][:, 18:] == red).all(0).any()) == drawn
    files = write_worst(tmp_path / "out", [good, bad, refused], {("set", "000000"): folder}, 5)
    assert [f.parent.name for f in files] == ["any", "bad", "refused"]
    assert files[2].name == "00_set_000000_01_refused.png"
    assert all(f.is_file() for f in files)
