"""The table of ops and modes of torch: ``pytest --modes table.md`` runs those tests alone and writes it."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.modes import MODES, ModeTests

#: Outcomes, the worst first: a mode may have several tests of an op.
OUTCOMES = ("failed", "error", "skipped", "passed")


def mode_of(item: pytest.Item) -> str | None:
    """Return the mode that a test asks for, if it is one of those."""
    cls, name = getattr(item, "cls", None), getattr(item, "originalname", "")
    mode = name.removeprefix("test_")
    return mode if cls is not None and issubclass(cls, ModeTests) and mode in MODES else None


def write_counts(reporter: pytest.TerminalReporter) -> None:
    """Write how many hostile examples every op has been given, and what became of them."""
    counts = [dict(report.user_properties).get("fuzz") for report in reporter.stats.get("passed", [])]
    total = 0
    for op, computed, refused in sorted(filter(None, counts)):
        reporter.write_line(f"{op}: {computed} computed, {refused} refused with a sentence")
        total += computed + refused
    reporter.write_line(f"{total} hostile examples")


def write_table(path: Path, stats: dict[str, list[Any]]) -> str:
    """Write the table of the reports of a run; return a summary in one line."""
    worst: dict[str, dict[str, str]] = defaultdict(dict)
    notes: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    work: dict[str, str] = {}
    for outcome in reversed(OUTCOMES):
        for report in stats.get(outcome, []):
            properties = dict(getattr(report, "user_properties", []))
            if "op" not in properties:
                continue
            op, mode = properties["op"], properties["mode"]
            worst[op][mode] = outcome
            if outcome == "skipped":
                notes[op][report.longrepr[2].removeprefix("Skipped: ")].add(mode)
            if "work" in properties:
                work[op] = properties["work"]
    signs = {"passed": "ok", "skipped": "exempt", "failed": "**fails**", "error": "**fails**"}
    lines = [
        "# Modes of torch, op by op",
        "",
        "Written by `make modes`. ok: a test shows it; exempt: not asked of this op, for the reason below.",
        "",
        *(f"- **{mode}**: {meaning}" for mode, meaning in MODES.items()),
        "",
        "| op | " + " | ".join(MODES) + " | on a GPU, after the first call |",
        "| --- |" + " --- |" * (len(MODES) + 1),
    ]
    for op in sorted(worst):
        cells = [signs[worst[op][mode]] if mode in worst[op] else "" for mode in MODES]
        lines.append(f"| `{op}` | " + " | ".join(cells) + f" | {work.get(op, '')} |")
    lines += ["", "## Why not", ""]
    for op in sorted(notes):
        lines += [f"- `{op}`, {', '.join(sorted(modes))}: {why}" for why, modes in sorted(notes[op].items())]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    count = {o: sum(outcome == o for modes in worst.values() for outcome in modes.values()) for o in OUTCOMES}
    failed = count["failed"] + count["error"]
    return f"{path}: {len(worst)} ops, {count['passed']} modes work, {count['skipped']} exempt, {failed} fail"
