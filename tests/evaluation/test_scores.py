"""Scores have known values, their means known intervals, and tables say them again."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import pytest
import torch

from diar_ops import OutputError
from diar_ops.evaluation import (
    SCORES,
    Mean,
    Row,
    RowKey,
    choose_sequences,
    find_leads,
    leads_markdown,
    mean_of,
    read_rows,
    score_picture,
    summarise,
    summary_csv,
    summary_markdown,
    write_rows,
)
from tests.harness import generator


def row(sequence: int, method: str, psnr: float, frames: int = 3) -> Row:
    return Row("set", f"{sequence:06d}", frames, method, psnr, psnr + 2, 10 ** (-psnr / 20), 0.9)


def test_known_scores() -> None:
    label = torch.rand(1, 3, 24, 24, generator=generator("label")) * 0.4 + 0.2
    scores = score_picture(label + 0.1, label, None)
    assert scores.keys() == SCORES.keys() == set(Row._fields) - set(RowKey._fields)
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
    write_rows(tmp_path / "a.csv", rows)
    write_rows(tmp_path / "b.csv", reversed(rows))
    assert read_rows(tmp_path / "a.csv") == sorted(rows)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert rows[1].key == ("set", "000000", 3, "mean")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "must begin with"),
        ("a,b\n", "must begin with"),
        (",".join(Row._fields) + "\nset,s,3,mean,1,2\n", "line 2 is not a result"),
        (",".join(Row._fields) + "\nset,s,x,mean,1,2,3,4\n", "line 2 is not a result"),
    ],
)
def test_a_damaged_table_is_one_sentence(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    with pytest.raises(OutputError, match=words):
        read_rows(tmp_path / "a.csv")


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


def test_summaries_and_leads() -> None:
    rows = [row(i, "mean", 20 + i) for i in range(4)]
    rows += [row(i, "median", 22 + i) for i in range(4)]
    rows += [row(i, "net", 25 + i + 0.1 * (i % 2)) for i in range(3)]
    mean, median, net = summarise(rows)
    assert [s.sequences for s in (mean, median, net)] == [4, 4, 3]
    assert mean.scores["psnr"].mean == pytest.approx(21.5)
    (lead,) = find_leads(rows, ["net", "absent"], ["mean", "median", "other"])
    assert (lead.method, lead.rival, lead.sequences) == ("net", "median", 3)
    # Paired: sequences differ by far more than the leads do.
    assert lead.scores["psnr"].mean == pytest.approx(3 + 0.1 / 3)
    assert 2.99 < lead.scores["psnr"].low < lead.scores["psnr"].high < 3.11
    assert find_leads(rows, ["net"], []) == []


def test_tables_say_what_summaries_hold() -> None:
    summaries = summarise([row(i, "a|b", 20 + i) for i in range(3)])
    (line,) = csv.DictReader(io.StringIO(summary_csv(summaries)))
    assert "seconds" not in line
    assert float(line["psnr"]) == 21
    assert float(line["psnr_low"]) == pytest.approx(summaries[0].scores["psnr"].low)
    timed = {("set", 3, "a|b"): 0.25}
    (line,) = csv.DictReader(io.StringIO(summary_csv(summaries, timed)))
    assert line["seconds"] == "0.25"
    plain, with_time = summary_markdown(summaries), summary_markdown(summaries, timed)
    assert "time" not in plain
    assert "| time [s] |" in with_time
    assert "a\\|b" in plain
    assert "| 21.00 [20" in plain
    assert leads_markdown([]) == ""
    pairs = [row(i, m, 20 + i + (m == "net")) for i in range(2) for m in ("mean", "net")]
    assert "| +1.00 [+1.00, +1.00] |" in leads_markdown(find_leads(pairs, ["net"], ["mean"]))


def test_the_worst_median_and_best_are_chosen() -> None:
    rows = [row(i, "mean", float(i)) for i in (3, 1, 4, 0, 2, 5, 6)]
    assert [r.psnr for r in choose_sequences(rows, 1)] == [0, 3, 6]
    assert [r.psnr for r in choose_sequences(rows, 3)] == [0, 1, 2, 3, 4, 5, 6]
    assert [r.psnr for r in choose_sequences(rows[:1], 2)] == [3]
