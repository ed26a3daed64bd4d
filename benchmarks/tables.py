"""The numbers of a run as Markdown: where they were measured, and one ratio table per case."""

from __future__ import annotations

import platform
from typing import Any


def machine_line(info: dict[str, Any]) -> str:
    """Return one line that says where the numbers were measured."""
    cpu = info.get("cpu", {}).get("brand_raw") or platform.processor() or info.get("machine", "")
    known = [(name, version) for name, version in info["versions"].items() if version]
    versions = ", ".join(f"{name} {version}" for name, version in known)
    return (
        f"{cpu}, {info['threads']} threads, {info['cpu_capability']}; timer {info['timer']}; "
        f"device {info['device']}; "
        f"Python {info['python_version']}; {versions}"
    )


def method_and_case(record: dict[str, Any]) -> tuple[str, str]:
    """Return who was measured and what, by the conventions in ``conftest.py``."""
    params = record["params"] or {}
    tokens = (record["param"] or "").split("-") if record["param"] else []
    if "method" in params:
        method = str(params["method"])
        tokens = _without(tokens, method.split("-"))
    else:
        method = record["name"].split("[")[0].removeprefix("test_")
    group = record["group"] or record["name"].split("[")[0].removeprefix("test_")
    return method, " ".join([group, *tokens])


def _without(tokens: list[str], part: list[str]) -> list[str]:
    for i in range(len(tokens) - len(part) + 1):
        if tokens[i : i + len(part)] == part:
            return tokens[:i] + tokens[i + len(part) :]
    return tokens


def cases_of(output_json: dict[str, Any]) -> dict[str, list[tuple[str, dict[str, Any]]]]:
    """Return the methods of each case with what was measured of them; points of growth are left out."""
    cases: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for record in output_json["benchmarks"]:
        if "growth" not in record["extra_info"]:
            method, case = method_and_case(record)
            cases.setdefault(case, []).append((method, record))
    return cases


def is_peer(method: str) -> bool:
    """Return whether a method is neither ours nor a part or a variant of it."""
    return not method.startswith("ours")


def ratio_tables(output_json: dict[str, Any]) -> str:
    """Return one Markdown table per case: median, IQR, ratio to ours, extra numbers."""
    return "\n\n".join(_table(case, rows) for case, rows in cases_of(output_json).items())


def _table(case: str, rows: list[tuple[str, dict[str, Any]]]) -> str:
    ours = next((cost(r) for method, r in rows if method == "ours"), None)
    extra = list(dict.fromkeys(key for _, r in rows for key in r["extra_info"]))
    lines = []
    for method, record in sorted(rows, key=lambda row: cost(row[1])):
        stats = record["stats"]
        lines.append(
            [
                f"**{method}**" if method == "ours" else method,
                f"{1e3 * stats['median']:.4g}",
                f"{1e3 * stats['iqr']:.2g}",
                str(stats["rounds"]),
                _ratio(method, cost(record) / ours) if ours else "",
                *(_cell(record["extra_info"].get(key, "")) for key in extra),
            ]
        )
    header = ["method", "median ms", "IQR ms", "rounds", "x ours", *extra]
    return f"### {case}\n\n{markdown_table(header, lines)}"


def markdown_table(header: list[str], rows: list[list[str]], *, words: int = 1) -> str:
    """Return a Markdown table; the first ``words`` columns align left, numbers right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    rule = ["-" * width if i < words else "-" * (width - 1) + ":" for i, width in enumerate(widths)]
    return "\n".join(
        "| "
        + " | ".join(
            cell.ljust(width) if i < words else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        + " |"
        for line in [header, rule, *rows]
    )


def _ratio(method: str, ratio: float) -> str:
    """Return the ratio to two digits, bold where a peer is faster."""
    lost = ratio < 1 and is_peer(method) and not method.startswith("bare ")
    return f"**{ratio:.2f}**" if lost else f"{ratio:.2f}"


def cost(record: dict[str, Any]) -> float:
    """Return the time that is compared: per pair where methods were given different numbers."""
    return float(record["extra_info"].get("ms per pair", 1e3 * record["stats"]["median"]))


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
