"""Rows, figures with intervals, tables, plots and pictures say what was measured."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import pytest
import torch
from PIL import Image

from benchmarks.quality import RowKey, Task, read_rows, tables_markdown, write_rows
from benchmarks.quality.alignment import (
    MEASURES,
    Aligner,
    AlignmentRow,
    Estimate,
    align_and_score,
    alignment_comparison_csv,
    alignment_comparison_tables,
    alignment_csv,
    alignment_tables,
    choose_frames,
    compare_aligners,
    frame_file,
    picture_of,
    plot_boxes,
    plot_cumulative,
    rank_frames,
    score_frame,
    summarise_alignment,
    write_frames,
)
from diar_ops import OutputError
from tests.quality.alignment.pictures import SIZE, row, views, write_views

INF = math.inf
KEY = RowKey("set", "000000", 3, "any")
EYE = torch.eye(3, dtype=torch.float64)


def frame_row(found: torch.Tensor, true: torch.Tensor, *, success: bool = True) -> AlignmentRow:
    return score_frame(KEY, 2, found, true, success=success, size=SIZE, seconds=0.123456, threads=1)


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


def test_sequences_of_one_picture_are_drawn_together() -> None:
    # Four sequences of each of ten pictures, all good or all bad: as ten sequences of four frames.
    rows = [row(i, "a", 0.5 if i < 20 else 9.0) for i in range(40)]
    shown = {("set", f"{i:06d}"): f"{i // 4}.jpg" for i in range(40)}
    together = [row(i, "a", 0.5 if i < 5 else 9.0, frame=t) for i in range(10) for t in range(1, 5)]
    (found,), (expected,) = summarise_alignment(rows, shown), summarise_alignment(together)
    assert (found.sequences, found.pictures, found.scored) == (40, 10, 40)
    assert found.figures == expected.figures
    (naive,) = summarise_alignment(rows)
    assert naive.figures["below_1"].low > found.figures["below_1"].low


def test_aligners_are_compared_on_the_same_frames() -> None:
    rows = [row(i, "ours", 0.1, frame=t) for i in range(4) for t in (1, 2)]
    rows += [row(i, "sift", 0.3 if t == 1 else INF, frame=t) for i in range(4) for t in (1, 2)]
    rows += [row(i, "orb", 2.0, frame=t) for i in range(2) for t in (1, 2)]
    ours, sift, orb = compare_aligners(rows)
    assert [c.against for c in (ours, sift, orb)] == ["sift", "ours", "ours"]
    assert (sift.sequences, sift.scored, sift.better, sift.worse) == (4, 8, 0, 8)
    assert (orb.sequences, orb.scored) == (2, 4)
    assert tuple(sift.figures["below_1"]) == (-0.5, -0.5, -0.5)
    assert tuple(sift.figures["refused"]) == (0.5, 0.5, 0.5)
    assert sift.figures["median"].mean == INF
    assert ours.figures["below_1"].mean == 0.5
    assert [c.against for c in compare_aligners(rows, against="orb")] == ["orb", "orb", "ours"]
    text = tables_markdown(alignment_comparison_tables([ours, orb]))
    assert "| orb | ours | 4 | 0 | 4 | -100.0 [-100.0, -100.0] |" in text
    assert "n = 2 sequences or n = 4 sequences, 4 or 8 frames" in text
    lines = list(csv.DictReader(io.StringIO(alignment_comparison_csv([sift]))))
    assert (lines[0]["worse"], lines[0]["median"]) == ("8", "inf")


def test_the_interval_of_a_difference_is_paired() -> None:
    # Both methods fail on the same pictures: the shares vary, their difference does not.
    rows = [row(i, m, 9.0 if i % 2 else 0.5) for i in range(20) for m in ("ours", "sift")]
    difference = compare_aligners(rows)[0].figures["below_1"]
    assert tuple(difference) == (0, 0, 0)


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
    text = tables_markdown(alignment_tables(summaries))
    assert "n = 3 sequences, 3 frames without the references" in text
    assert "| a | 3 | 100.0 [100.0, 100.0] |" in text
    assert "| 0.25 [0.25, 0.25] |" in text
    assert "| inf [inf, inf] |" in text
    assert "| - | 100 |" in text
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
    assert [r.sequence for r in rank_frames(rows)[:3]] == ["000002", "000001", "000003"]


def test_worst_median_and_best_frames_are_chosen_for_each_set() -> None:
    rows = [row(i, "a", e, name=n) for i, e in enumerate((3.0, 1.0, 2.0)) for n in ("one", "two")]
    rows.append(row(0, "a", INF)._replace(set="one", frames=2))
    chosen = [(kind, r.set, r.corner_error) for kind, r in choose_frames(rows)]
    expected = [("worst", 3), ("median", 2), ("best", 1)]
    assert chosen == [(kind, name, error) for name in ("one", "two") for kind, error in expected]


def test_pictures_of_frames(tmp_path: Path) -> None:
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
    sheets = {
        name: picture_of(r, folder)
        for name, r in (("good", good), ("bad", bad), ("refused", refused))
    }
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
