"""How time and memory of an operation grow with its input: fitted exponents and their tables.

A measurement is a point of a series if it says so::

    benchmark.extra_info["growth"] = point("median_aggregate", "frames", 40, device="cpu")
    benchmark.extra_info["peak MiB"] = peak_memory(call)
    benchmark.pedantic(call, rounds=5)

Points with the same operation, quantity and device form a series. Its exponent is the slope of
the logarithm of time (memory) against the logarithm of the quantity: 1 is linear, 2 quadratic, 0
constant.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from benchmarks.tables import markdown_table


class Fit(NamedTuple):
    """A slope in log-log coordinates.

    Attributes:
        exponent: The slope; NaN where it cannot be fitted.
        error: Its standard error; NaN for two points, which any line meets.
    """

    exponent: float
    error: float


def fit_exponent(sizes: list[float], values: list[float]) -> Fit:
    """Fit ``values ~ sizes ** exponent`` by least squares on the logarithms.

    Returns:
        NaN for both if there are fewer than two different sizes, or a value has no logarithm
        (memory that could not be measured, or none that was needed).
    """
    usable = all(math.isfinite(v) and v > 0 for v in (*sizes, *values))
    if not usable or len(set(sizes)) < 2:
        return Fit(math.nan, math.nan)
    # scipy.stats.linregress has no standard error for values that do not grow at all.
    x, y = [math.log(s) for s in sizes], [math.log(v) for v in values]
    count = len(x)
    centre, level = sum(x) / count, sum(y) / count
    spread = sum((a - centre) ** 2 for a in x)
    slope = sum((a - centre) * (b - level) for a, b in zip(x, y, strict=True)) / spread
    if count == 2:
        return Fit(slope, math.nan)
    rest = sum((b - level - slope * (a - centre)) ** 2 for a, b in zip(x, y, strict=True))
    return Fit(slope, math.sqrt(rest / (count - 2) / spread))


def point(op: str, quantity: str, size: int, *, device: str, label: str = "", listed: bool = False) -> dict[str, Any]:
    """Return what makes a measurement a point of a series.

    Args:
        op: What is measured.
        quantity: What grows, and what does not: "frames of 256 x 256".
        size: How much of it.
        device: Where it is computed.
        label: How ``size`` is written in the tables.
        listed: Whether the series has a table of its points, too.
    """
    return {
        "op": op,
        "quantity": quantity,
        "size": size,
        "device": device,
        "label": label or f"{size}",
        "listed": listed,
    }


def growth_rows(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one row per series among the records of pytest-benchmark, its points in order."""
    series: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for record in records:
        growth = record["extra_info"].get("growth")
        if growth is not None:
            name = (growth["op"], growth["quantity"], growth["device"])
            series.setdefault(name, []).append(record)
    return [_row(one) for one in series.values()]


def _row(records: list[dict[str, Any]]) -> dict[str, Any]:
    records = sorted(records, key=lambda record: record["extra_info"]["growth"]["size"])
    growths = [record["extra_info"]["growth"] for record in records]
    sizes = [growth["size"] for growth in growths]
    seconds = [record["stats"]["median"] for record in records]
    mebibytes = [record["extra_info"]["peak MiB"] for record in records]
    time, memory = fit_exponent(sizes, seconds), fit_exponent(sizes, mebibytes)
    return {
        **{key: growths[0][key] for key in ("op", "quantity", "device", "listed")},
        "labels": [growth["label"] for growth in growths],
        "sizes": sizes,
        "seconds": seconds,
        "MiB": mebibytes,
        "time": time._asdict(),
        "memory": memory._asdict(),
    }


def growth_tables(rows: list[dict[str, Any]]) -> str:
    """Return the table of all series, and one of the points of each that is listed."""
    if not rows:
        return ""
    header = [
        "operation",
        "device",
        "grows with",
        "from",
        "to",
        "time exponent",
        "memory exponent",
        "s at the largest",
        "MiB at the largest",
    ]
    lines = [
        [
            row["op"],
            row["device"],
            row["quantity"],
            row["labels"][0],
            row["labels"][-1],
            _exponent(row["time"]),
            _exponent(row["memory"]),
            _number(row["seconds"][-1]),
            _number(row["MiB"][-1]),
        ]
        for row in rows
    ]
    tables = [f"### growth\n\n{markdown_table(header, lines, words=3)}"]
    for row in rows:
        if row["listed"]:
            points = [
                [label, _number(seconds), _number(mebibytes)]
                for label, seconds, mebibytes in zip(row["labels"], row["seconds"], row["MiB"], strict=True)
            ]
            title = f"### {row['op']}, {row['quantity']}, {row['device']}"
            tables.append(f"{title}\n\n{markdown_table([row['quantity'], 's', 'MiB'], points)}")
    return "\n\n".join(tables)


def _exponent(fit: dict[str, float]) -> str:
    if math.isnan(fit["exponent"]):
        return "not fitted"
    error = "" if math.isnan(fit["error"]) else f" ± {fit['error']:.2f}"
    return f"{fit['exponent']:.2f}{error}"


def _number(value: float) -> str:
    return "not measured" if math.isnan(value) else f"{value:.3g}"
