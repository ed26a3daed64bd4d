"""Methods are summarised and compared, and tables say it again."""

from __future__ import annotations

import csv
import io
import math

import pytest

from benchmarks.quality.intervals import Mean
from benchmarks.quality.result_tables import (
    comparison_csv,
    comparison_tables,
    summary_csv,
    summary_tables,
    tables_markdown,
)
from benchmarks.quality.summaries import compare_alignments, compare_methods, summarise
from tests.quality.score_rows import row


def test_summaries() -> None:
    rows = [row(i, "mean", 20 + i) for i in range(4)]
    rows += [row(i, "net", 25 + i) for i in range(3)]
    mean, net = summarise(rows, {("set", f"{i:06d}"): f"{i // 2}.jpg" for i in range(4)})
    assert [s.size for s in (mean, net)] == [(4, 2), (3, 2)]
    assert mean.scores["psnr"].mean == pytest.approx(21.5)
    assert summarise(rows)[0].counts["pictures"] == 4


def test_methods_are_compared_on_the_sequences_that_both_have() -> None:
    rows = [row(i, "mean", 20 + i) for i in range(4)]
    rows += [row(i, "median", 22 + i) for i in range(4)]
    rows += [row(i, "diar", 25 + i + 0.1 * (i % 2)) for i in range(3)]
    mean, median, diar = compare_methods(rows)
    assert [c.against for c in (mean, median, diar)] == ["diar", "diar", "median"]
    assert [s.counts["sequences"] for s in (diar, median)] == [3, 3]
    # Paired: sequences differ by far more than methods do.
    difference = diar.scores["psnr"]
    assert difference.mean == pytest.approx(3 + 0.1 / 3)
    assert 2.99 < difference.low < difference.high < 3.11
    assert diar.counts["psnr_better"] == 3
    # Less is better of the RMSE.
    assert diar.scores["rmse"].mean < 0
    assert diar.counts["rmse_better"] == 3
    assert (mean.counts["psnr_better"], mean.counts["ssim_better"]) == (0, 0)
    assert [c.against for c in compare_methods(rows, against="mean")] == ["diar", "mean", "mean"]
    assert [c.against for c in compare_methods(rows[:8])] == ["median", "mean"]
    assert compare_methods(rows[:4]) == []
    alone = compare_methods([row(0, "mean", 20), row(1, "median", 20)])
    assert alone == [], "no sequence of both"


def test_equal_infinite_scores_differ_by_nothing() -> None:
    rows = [row(i, m, math.inf) for i in range(2) for m in ("mean", "median")]
    comparison = compare_methods(rows)[0]
    assert comparison.scores["psnr"] == Mean(0, 0, 0)
    assert comparison.counts["psnr_better"] == 0


def test_own_alignment_is_compared_with_the_exact_one() -> None:
    exact = [row(i, "mean", 20 + i) for i in range(4)]
    own = [row(i, "mean", 19.5 + i) for i in range(1, 4)] + [row(0, "median", 21)]
    (cost,) = compare_alignments(exact, own)
    assert (cost.method, cost.against, cost.counts["sequences"]) == ("mean", "exact", 3)
    assert cost.scores["psnr"] == Mean(-0.5, -0.5, -0.5)
    assert cost.counts["psnr_better"] == 0


def test_tables_say_what_summaries_hold() -> None:
    shown = {("set", f"{i:06d}"): f"{i % 2}.jpg" for i in range(3)}
    summaries = summarise([row(i, "a|b", 20 + i) for i in range(3)], shown)
    (line,) = csv.DictReader(io.StringIO(summary_csv(summaries)))
    assert "seconds" not in line
    assert float(line["psnr"]) == 21
    assert float(line["psnr_low"]) == pytest.approx(summaries[0].scores["psnr"].low)
    assert (line["sequences"], line["pictures"]) == ("3", "2")
    timed = {("set", 3, "a|b"): 0.25}
    (line,) = csv.DictReader(io.StringIO(summary_csv(summaries, timed)))
    assert line["seconds"] == "0.25"
    (plain,), (with_time,) = summary_tables(summaries), summary_tables(summaries, timed)
    assert plain.title == "set, 3 frames, n = 3 sequences of 2 pictures"
    assert "time [s]" not in plain.heads
    assert with_time.heads[-1] == "time [s]"
    assert "| a\\|b | 3 | 21.00 [21" in tables_markdown([plain])


def test_tables_of_comparisons() -> None:
    pairs = [row(i, m, 20 + i + (m == "diar")) for i in range(2) for m in ("mean", "diar")]
    comparisons = compare_methods(pairs)
    (table,) = comparison_tables(comparisons)
    text = tables_markdown([table])
    assert "RMSE (less is better)" in text
    assert "| diar | mean | 2 | +1.00 [+1.00, +1.00], better on 2 |" in text
    first, second = csv.DictReader(io.StringIO(comparison_csv(comparisons)))
    assert (first["method"], first["psnr"], first["psnr_better"]) == ("mean", "-1.000000", "0")
    assert (second["against"], second["psnr_high"]) == ("mean", "1.000000")
