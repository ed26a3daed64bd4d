"""Scores have known values, their means known intervals, and tables say them again."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import pytest
import torch

from benchmarks.quality.intervals import Mean, mean_of
from benchmarks.quality.reconstruction import PERCEPTUAL, RECONSTRUCTION
from benchmarks.quality.result_tables import (
    comparison_csv,
    comparison_tables,
    summary_csv,
    summary_tables,
    tables_markdown,
)
from benchmarks.quality.rows import KEY_COLUMNS, Row, read_rows, write_rows
from benchmarks.quality.scores import SCORES, score_picture
from benchmarks.quality.summaries import compare_alignments, compare_methods, summarise
from diar_ops import OutputError
from tests.harness import generator

HEAD = ",".join(RECONSTRUCTION.columns)


def row(sequence: int, method: str, psnr: float, frames: int = 3) -> Row:
    scores = {"psnr": psnr, "psnr_gain": psnr + 2, "rmse": 10 ** (-psnr / 20), "ssim": 0.9}
    return Row("set", f"{sequence:06d}", frames, method, scores)


def test_known_scores() -> None:
    label = torch.rand(1, 3, 24, 24, generator=generator("label")) * 0.4 + 0.2
    scores = score_picture(label + 0.1, label, None)
    assert list(scores) == [*SCORES][:-1] == [*RECONSTRUCTION.columns][len(KEY_COLUMNS) :]
    assert [*PERCEPTUAL.columns] == [*RECONSTRUCTION.columns, "lpips"]
    assert scores["psnr"] == pytest.approx(20, abs=1e-3)
    assert scores["rmse"] == pytest.approx(0.1, abs=1e-6)
    exact = score_picture(label, label, None)
    assert exact["psnr"] == math.inf
    assert exact["ssim"] == pytest.approx(1)
    darker = score_picture(label * torch.tensor([0.5, 0.7, 0.9]).view(1, 3, 1, 1), label, None)
    assert darker["psnr_gain"] > 100 > darker["psnr"]


def test_only_what_is_shown_counts_and_values_are_clipped() -> None:
    label = torch.ones(1, 3, 24, 24)
    picture, shown = label * 1.5, torch.ones(1, 1, 24, 24, dtype=torch.bool)
    picture[..., :4], shown[..., :4] = 0, False
    assert score_picture(picture, label, shown)["rmse"] == 0
    assert score_picture(picture, label, None)["rmse"] > 0.3


def test_rows_survive_the_file(tmp_path: Path) -> None:
    rows = [row(1, 'odd, "name"', 20.123456), row(0, "mean", math.inf), row(0, "mean", 1.0, 10)]
    write_rows(tmp_path / "a.csv", rows, RECONSTRUCTION)
    write_rows(tmp_path / "b.csv", reversed(rows), RECONSTRUCTION)
    assert read_rows(tmp_path / "a.csv", RECONSTRUCTION) == sorted(rows, key=lambda r: r.key)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert rows[1].key == ("set", "000000", 3, "mean")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "must begin with"),
        ("a,b\n", "must begin with"),
        (HEAD + "\nset,s,3,mean,1,2\n", "line 2 is not a result"),
        (HEAD + "\nset,s,x,mean,1,2,3,4\n", "line 2 is not a result"),
    ],
)
def test_a_damaged_table_is_one_sentence(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    with pytest.raises(OutputError, match=words):
        read_rows(tmp_path / "a.csv", RECONSTRUCTION)


def test_the_interval_of_a_mean_is_that_of_the_normal_law() -> None:
    values = torch.randn(400, generator=generator("bootstrap"), dtype=torch.float64) * 3 + 20
    mean = mean_of(values)
    assert mean.mean == pytest.approx(float(values.mean()))
    half = 1.96 * float(values.std()) / 20
    assert mean.low == pytest.approx(mean.mean - half, abs=0.1 * half)
    assert mean.high == pytest.approx(mean.mean + half, abs=0.1 * half)
    assert mean_of(values) == mean, "the same on every call"


def test_intervals_of_equal_single_and_infinite_values() -> None:
    assert mean_of(torch.full((5,), 7.0)) == Mean(7, 7, 7)
    alone = mean_of(torch.tensor([7.0]))
    assert alone.mean == 7
    assert math.isnan(alone.low)
    assert mean_of(torch.tensor([math.inf, 1.0, 2.0])).high == math.inf


def test_sequences_of_one_picture_are_drawn_together() -> None:
    # Five sequences of each of twenty pictures, all alike: a hundred say no more than twenty do.
    quality = torch.randn(20, generator=generator("pictures"), dtype=torch.float64)
    values = quality.repeat_interleave(5)
    pictures = [f"{i // 5}.jpg" for i in range(100)]
    twenty, hundred = mean_of(quality), mean_of(values, pictures)
    assert hundred.mean == pytest.approx(twenty.mean)
    assert hundred.low == pytest.approx(twenty.low)
    assert hundred.high == pytest.approx(twenty.high)
    naive = mean_of(values)
    assert naive.high - naive.low < 0.6 * (hundred.high - hundred.low)
    assert mean_of(quality, [str(i) for i in range(20)]) == twenty
    assert math.isnan(mean_of(values[:10], ["one.jpg"] * 10).low)


def test_pictures_of_unequal_numbers_of_sequences_weigh_by_them() -> None:
    values = torch.tensor([1.0, 1.0, 1.0, 5.0])
    mean = mean_of(values, ["a", "a", "a", "b"])
    assert mean == Mean(2, 1, 5)


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
