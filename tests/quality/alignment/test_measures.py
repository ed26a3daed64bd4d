"""Shares and quantiles have known values and intervals, and tables say them again."""

from __future__ import annotations

import csv
import io
import math

import pytest

from benchmarks.quality.alignment.error_section import (
    alignment_comparison_csv,
    alignment_comparison_tables,
    alignment_csv,
    alignment_tables,
)
from benchmarks.quality.alignment.measures import MEASURES, compare_aligners, summarise_alignment
from benchmarks.quality.result_tables import tables_markdown
from benchmarks.quality.summaries import Summary
from tests.quality.alignment.views import row

INF = math.inf


def counts_of(summary: Summary, *names: str) -> list[int]:
    return [summary.counts[name] for name in names]


def test_shares_and_quantiles_count_all_frames() -> None:
    errors = [0.5, 0.5, 2.0, 4.0, 10.0, INF, INF, 0.5]
    rows = [row(i // 2, "a", e, frame=1 + i % 2) for i, e in enumerate(errors)]
    rows += [row(i, "none", INF) for i in range(3)]
    some, none = summarise_alignment(rows)
    assert (some.counts["sequences"], some.counts["scored"], some.frames) == (4, 8, 3)
    figures = {name: mean.mean for name, mean in some.scores.items()}
    assert figures["below_1"] == 3 / 8
    assert figures["below_3"] == 4 / 8
    assert figures["below_5"] == 5 / 8
    assert figures["median"] == 3.0
    assert figures["p95"] == INF
    assert figures["refused"] == 2 / 8
    assert figures["false_accepts"] == 2 / 6
    assert some.scores["seconds"].mean == pytest.approx(0.1)
    assert (none.scores["refused"].mean, none.scores["median"].mean) == (1, INF)
    assert math.isnan(none.scores["false_accepts"].mean)
    assert math.isnan(none.scores["false_accepts"].low)


def test_a_false_accept_may_be_infinitely_far_off() -> None:
    (summary,) = summarise_alignment([row(0, "a", INF, success=True), row(1, "a", 1.0)])
    assert summary.scores["false_accepts"].mean == 0.5
    assert summary.scores["refused"].mean == 0


def test_intervals_are_over_sequences_not_frames() -> None:
    # Twenty sequences, each all good or all bad: nine frames of one say no more than one does.
    rows = [row(i, "a", 0.5 if i < 10 else 9.0, frame=t) for i in range(20) for t in range(1, 10)]
    share = summarise_alignment(rows)[0].scores["below_1"]
    half = 1.96 * math.sqrt(0.25 / 20)
    assert share.mean == 0.5
    assert share.low == pytest.approx(0.5 - half, abs=0.06)
    assert share.high == pytest.approx(0.5 + half, abs=0.06)
    alone = summarise_alignment(rows[:9])[0].scores["below_1"]
    assert alone.mean == 1
    assert math.isnan(alone.low)


def test_sequences_of_one_picture_are_drawn_together() -> None:
    # Four sequences of each of ten pictures, all good or all bad: as ten sequences of four frames.
    rows = [row(i, "a", 0.5 if i < 20 else 9.0) for i in range(40)]
    shown = {("set", f"{i:06d}"): f"{i // 4}.jpg" for i in range(40)}
    together = [row(i, "a", 0.5 if i < 5 else 9.0, frame=t) for i in range(10) for t in range(1, 5)]
    (result,), (expected,) = summarise_alignment(rows, shown), summarise_alignment(together)
    assert result.counts == {"sequences": 40, "pictures": 10, "scored": 40}
    assert result.scores == expected.scores
    (naive,) = summarise_alignment(rows)
    assert naive.scores["below_1"].low > result.scores["below_1"].low


def test_aligners_are_compared_on_the_same_frames() -> None:
    rows = [row(i, "ours", 0.1, frame=t) for i in range(4) for t in (1, 2)]
    rows += [row(i, "sift", 0.3 if t == 1 else INF, frame=t) for i in range(4) for t in (1, 2)]
    rows += [row(i, "orb", 2.0, frame=t) for i in range(2) for t in (1, 2)]
    ours, sift, orb = compare_aligners(rows)
    assert [c.against for c in (ours, sift, orb)] == ["sift", "ours", "ours"]
    assert counts_of(sift, "sequences", "scored", "better", "worse") == [4, 8, 0, 8]
    assert counts_of(orb, "sequences", "scored") == [2, 4]
    assert tuple(sift.scores["below_1"]) == (-0.5, -0.5, -0.5)
    assert tuple(sift.scores["refused"]) == (0.5, 0.5, 0.5)
    assert sift.scores["median"].mean == INF
    assert ours.scores["below_1"].mean == 0.5
    assert [c.against for c in compare_aligners(rows, against="orb")] == ["orb", "orb", "ours"]
    text = tables_markdown(alignment_comparison_tables([ours, orb]))
    assert "| orb | ours | 4 | 0 | 4 | -100.0 [-100.0, -100.0] |" in text
    assert "n = 2 sequences or n = 4 sequences, 4 or 8 frames" in text
    lines = list(csv.DictReader(io.StringIO(alignment_comparison_csv([sift]))))
    assert (lines[0]["worse"], lines[0]["median"]) == ("8", "inf")


def test_the_interval_of_a_difference_is_paired() -> None:
    # Both methods fail on the same pictures: the shares vary, their difference does not.
    rows = [row(i, m, 9.0 if i % 2 else 0.5) for i in range(20) for m in ("ours", "sift")]
    difference = compare_aligners(rows)[0].scores["below_1"]
    assert tuple(difference) == (0, 0, 0)


def test_sequences_of_unequal_length_weigh_by_their_frames() -> None:
    rows = [row(0, "a", 0.5, frame=t) for t in range(1, 4)] + [row(1, "a", 9.0)]
    (summary,) = summarise_alignment(rows)
    assert summary.scores["below_1"].mean == 0.75
    assert summary.counts["scored"] == 4


def test_tables_say_what_summaries_hold() -> None:
    summaries = summarise_alignment([row(i, m, e) for i in range(3) for m, e in (("a", 0.25), ("b", INF))])
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
    for measure in MEASURES.values():
        assert measure.title in text
