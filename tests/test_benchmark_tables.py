"""What the benchmarks make of their measurements: growth exponents and Markdown tables."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.last_release import change_table, changes, read_release, verdict
from benchmarks.page import draw_page
from benchmarks.scaling import fit_exponent, growth_rows, growth_tables, point
from benchmarks.tables import ratio_tables


def record(seconds: float, extra: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return what pytest-benchmark writes of one measurement, as far as the tables read it."""
    stats = {"median": seconds, "min": 0.9 * seconds, "iqr": seconds / 10, "rounds": 5}
    empty = {"group": "sort", "name": "test_sort", "params": {}, "param": None}
    return {**empty, **fields, "extra_info": extra, "stats": stats}


def grown(size: int, seconds: float, mebibytes: float, **fields: Any) -> dict[str, Any]:
    options = {"device": "cpu", "label": f"{size}²", **fields}
    growth = point(options.pop("op", "sort"), "pixels", size**2, **options)
    return record(seconds, {"growth": growth, "peak MiB": mebibytes})


def method(name: str, seconds: float, **extra: Any) -> dict[str, Any]:
    return record(seconds, extra, params={"method": name}, param=name)


@given(st.floats(-1, 3), st.floats(1e-6, 1e6))
def test_a_power_law_is_found_exactly(exponent: float, factor: float) -> None:
    sizes = [5.0, 10.0, 20.0, 40.0]
    fit = fit_exponent(sizes, [factor * size**exponent for size in sizes])
    assert fit.exponent == pytest.approx(exponent, abs=1e-9)
    assert fit.error == pytest.approx(0, abs=1e-9)


def test_slope_and_standard_error_are_those_of_numpy() -> None:
    sizes, values = [1.0, 2.0, 4.0, 8.0, 16.0], [1.0, 2.5, 3.7, 9.0, 14.0]
    (slope, _), covariance = np.polyfit(np.log(sizes), np.log(values), 1, cov=True)
    fit = fit_exponent(sizes, values)
    assert fit.exponent == pytest.approx(slope)
    assert fit.error == pytest.approx(math.sqrt(covariance[0, 0]))


def test_two_points_have_a_slope_without_an_error() -> None:
    fit = fit_exponent([1.0, 2.0], [1.0, 4.0])
    assert fit.exponent == pytest.approx(2)
    assert math.isnan(fit.error)


@pytest.mark.parametrize(
    ("sizes", "values"),
    [
        ([], []),
        ([4.0], [1.0]),
        ([4.0, 4.0], [1.0, 2.0]),
        ([1.0, 2.0], [0.0, 1.0]),
        ([1.0, 2.0], [math.nan, 1.0]),
        ([1.0, 2.0], [-1.0, 1.0]),
    ],
)
def test_no_exponent_without_two_sizes_and_logarithms(sizes: list[float], values: list[float]) -> None:
    assert all(math.isnan(number) for number in fit_exponent(sizes, values))


def test_points_of_a_series_are_collected_in_order() -> None:
    records = [grown(512, 0.4, 8.0), grown(128, 0.1, 0.5), grown(256, 0.2, 2.0)]
    other = grown(128, 9.0, 1.0, device="cuda")
    ours, cuda = growth_rows([*records, other, record(1.0, {})])
    assert (ours["op"], ours["quantity"], ours["device"]) == ("sort", "pixels", "cpu")
    assert ours["sizes"] == [128**2, 256**2, 512**2]
    assert ours["seconds"] == [0.1, 0.2, 0.4]
    assert ours["time"]["exponent"] == pytest.approx(0.5)
    assert ours["memory"]["exponent"] == pytest.approx(1)
    assert cuda["device"] == "cuda"
    assert json.loads(json.dumps(ours)) == ours


def test_growth_has_a_row_per_series_and_a_table_of_points_where_asked() -> None:
    records = [grown(128, 0.1, 0.5, listed=True), grown(256, 0.2, math.nan, listed=True)]
    lines = growth_tables(growth_rows(records)).splitlines()
    assert lines[0] == "### growth"
    cells = [cell.strip() for cell in lines[4].strip("|").split("|")]
    assert cells == ["sort", "cpu", "pixels", "128²", "256²", "0.50", "not fitted", "0.2", "not measured"]
    assert lines[6] == "### sort, pixels, cpu"
    assert [line.count("|") for line in lines[8:]] == [4] * 4
    assert growth_tables([]) == ""


def test_ratios_are_bold_where_a_peer_is_faster() -> None:
    fast, slow, half, floor = (
        method(*row) for row in (("fast", 0.5), ("slow", 2.0), ("ours, half of it", 0.5), ("bare sum", 0.1))
    )
    records = [method("ours", 1.0), fast, slow, half, floor, grown(128, 0.1, 0.5)]
    text = ratio_tables({"benchmarks": records})
    title, _, *table = text.splitlines()
    assert title == "### sort"
    ratios = {line.split("|")[1].strip(): line.split("|")[5].strip() for line in table[2:]}
    assert ratios == {
        "bare sum": "0.10",
        "fast": "**0.50**",
        "ours, half of it": "0.50",
        "**ours**": "1.00",
        "slow": "2.00",
    }


def run(ours: float, **peers: float) -> dict[str, Any]:
    """Return a run of one case; ``bare_sum`` stands for "bare sum"."""
    records = [method("ours", ours), method("ours, half of it", ours / 2)]
    return {"benchmarks": [*records, *(method(name.replace("_", " "), seconds) for name, seconds in peers.items())]}


def test_only_ratios_that_got_worse_by_more_than_15_percent_are_flagged() -> None:
    release = {"cpu": run(1.0, slower=2.0, slightly=2.0, better=2.0, bare_sum=0.5)}
    now = run(3.0, slower=5.1, slightly=5.4, better=9.0, bare_sum=1.5, new=3.0)  # another machine, three times as slow
    rows = {row.peer: row for row in changes(now, release, "cpu")}
    assert {peer: round(row.now, 2) for peer, row in rows.items()} == {
        "slower": 1.7, "slightly": 1.8, "better": 3.0, "bare sum": 0.5, "new": 1.0,
    }  # fmt: skip
    assert [peer for peer, row in rows.items() if row.is_worse] == ["slower"]
    assert rows["new"].before is None
    lines = change_table(list(rows.values())).splitlines()
    assert lines[2] == "1 of 4 ratios is more than 15% worse than in the last release: sort (slower)."
    first, *_, last = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[6:]]
    assert first == ["sort", "slower", "**1.70**", "2.00", "0.85", "never run"]
    assert last == ["sort", "new", "1.00", "new", "", "never run"]


def test_a_run_on_a_gpu_is_compared_with_one_on_a_gpu() -> None:
    release = {"cpu": run(1.0, peer=2.0), "cuda": run(0.1, peer=4.0)}
    (cpu,) = changes(run(1.0, peer=2.0), release, "cpu")
    (cuda,) = changes(run(0.1, peer=2.0), release, "cuda")
    assert (cpu.is_worse, cuda.is_worse) == (False, True)
    assert cpu.on_gpu == cuda.on_gpu == pytest.approx(40)
    (first,) = changes(run(1.0, peer=2.0), {"cpu": release["cpu"]}, "cuda")
    assert not first.is_worse
    assert verdict([first]) == "The last release has no ratio to compare with."


def test_a_ratio_is_of_the_fastest_rounds_and_per_pair_where_numbers_differ() -> None:
    ours, peer = method("ours", 1.0), method("peer", 4.0)
    peer["stats"]["min"] = 1.8
    (row,) = changes({"benchmarks": [ours, peer]}, {}, "cpu")
    assert row.now == pytest.approx(2)
    pairs = [method("ours", 1.0, **{"ms per pair": 10.0}), method("peer", 1.0, **{"ms per pair": 50.0})]
    (row,) = changes({"benchmarks": pairs}, {}, "cpu")
    assert row.now == pytest.approx(5)


def test_the_committed_runs_are_read_and_complete() -> None:
    release = read_release()
    assert "cpu" in release
    assert not [row.peer for row in changes(release["cpu"], release, "cpu") if row.is_worse]
    assert release["cpu"]["scaling"]


@pytest.mark.parametrize("grows", [False, True])
def test_the_page_shows_a_line_a_ratio_and_a_line_a_series(tmp_path: Path, *, grows: bool) -> None:
    rows = changes(run(1.0, faster=0.5, slower=2.0), {"cpu": run(1.0, slower=4.0)}, "cpu")
    growth = growth_rows([grown(128, 0.1, 0.5), grown(256, 0.2, 1.0)]) if grows else []
    draw_page(tmp_path / "page", rows, growth, "a machine")
    text = (tmp_path / "page.svg").read_text(encoding="utf-8")
    for words in ("sort: faster", "sort: slower", "a machine", *(["sort (0.5)", "s against pixels"] if grows else [])):
        assert f"<!-- {words}" in text
    assert (tmp_path / "page.png").stat().st_size > 0
