"""Breaking points lie where curves cross their limits; tables say what rows say."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import pytest

from benchmarks.quality.robustness.level_plan import set_name
from benchmarks.quality.robustness.levels import BreakingPoint, find_breaking_points, summarise_robustness
from benchmarks.quality.robustness.output import breaking_markdown, factor_markdown, robustness_csv
from benchmarks.quality.rows import Row

LEVELS = (0.0, 0.1, 0.2, 0.3)


def rows_of(method: str, score: str, curve: Sequence[float], spread: float = 1.0) -> list[Row]:
    """Two sequences whose mean is the curve, with frames that have 0.01 more than was asked for."""
    return [
        Row(
            set_name("occluded", level),
            name,
            5,
            method,
            {
                "factor": "occluded",
                "level": level,
                "measured": level and level + 0.01,
                "score": score,
                "value": value + sign * spread,
            },
        )
        for level, value in zip(LEVELS, curve, strict=False)
        for name, sign in (("0", -1), ("1", 1))
    ]


def breaks(method: str, score: str, curve: Sequence[float]) -> BreakingPoint:
    spread = 0.05 if score == "below_3" else 1.0
    (point,) = find_breaking_points(summarise_robustness(rows_of(method, score, curve, spread)))
    return point


def test_breaking_points() -> None:
    # 3 dB are lost a third of the way from 0.11 to 0.21.
    assert breaks("mean", "psnr_gain", (30, 28, 25, 29)).position == pytest.approx(0.11 + 0.1 / 3)
    # Better at first does not move the limit.
    assert breaks("mean", "psnr_gain", (30, 35, 27.5, 26.5)).position == pytest.approx(0.21 + 0.05)
    none = breaks("mean", "psnr_gain", (30, 29, 28, 27))
    assert none.position is None
    assert none.last == pytest.approx(0.31)
    assert breaks("sift", "below_3", (1.0, 0.95, 0.85, 0.0)).position == pytest.approx(0.16)
    assert breaks("sift", "below_3", (0.8, 0.95, 0.85, 0.0)).position == 0, "broken from the start"


def test_losses_are_counted_sequence_by_sequence() -> None:
    summaries = summarise_robustness(rows_of("mean", "psnr_gain", (30, 28, 25, 20), spread=5))
    assert [s.sequences for s in summaries] == [2] * 4
    for summary, lost in zip(summaries, (0, 2, 5, 10), strict=True):
        mean = summary.scores["lost"]
        assert mean.mean == mean.low == mean.high == pytest.approx(lost)


def test_tables() -> None:
    rows = rows_of("mean", "psnr_gain", (30, 28, 25)) + rows_of("mean", "psnr", (20, 19, 18))
    rows += rows_of("ours", "below_3", (1, 0.95, 0.5), 0)
    rows += rows_of("ours", "accepted_foreign", (0, 0.25, 0), 0)[2:4]
    summaries = summarise_robustness(rows)
    text = factor_markdown(summaries)
    assert "| method | 0.0 % | 11.0 % | 21.0 % |" in text
    assert "| mean | 30.0 (20.0) | 28.0 (19.0) | 25.0 (18.0) |" in text
    assert "| ours | 100 | 95 | 50 |" in text
    assert "| ours |  | 25 |  |" in text
    assert "within 1 px" not in text, "there is no such score"
    text = breaking_markdown(find_breaking_points(summaries))
    assert "| mean | 14 % |" in text
    assert "| ours | 12 % |" in text
    never = find_breaking_points(summarise_robustness(rows_of("mean", "psnr_gain", (30, 29))))
    assert "| mean | none up to 11 % |" in breaking_markdown(never)
    table = list(csv.DictReader(io.StringIO(robustness_csv(summaries))))
    assert len(table) == 6
    assert float(table[1]["psnr_gain"]) == 28
    assert float(table[1]["lost"]) == 2
    assert table[1]["below_3"] == table[5]["psnr"] == table[5]["lost_low"] == ""
    assert float(table[4]["accepted_foreign"]) == 0.25
