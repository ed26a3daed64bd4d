"""A run beside that of the last release: every ratio to a peer, and which of them got worse.

Times of two runs do not compare: machines differ, and so do hours on one. Ratios to a peer of the
same run do. They are taken from the fastest round of each method, which other programs disturb
least, where the tables show medians.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.tables import cases_of, cost, is_peer, markdown_table

#: One file a kind of device, ``cpu.json`` and ``cuda.json``: what ``make bench`` wrote for the release.
FOLDER = Path(__file__).with_name("last_release")
#: A ratio below ``1 / WORSE`` of what it was is flagged.
WORSE = 1.15


class Change(NamedTuple):
    """The time of a peer over that of ours, now and in the last release.

    Attributes:
        case: What is measured.
        peer: Who is compared; "bare ..." is what no method can do without.
        now: The ratio of this run.
        before: That of the last release on the same kind of device; ``None`` where it has none.
        on_gpu: That of the last release on a GPU; ``None`` where it has none.
    """

    case: str
    peer: str
    now: float
    before: float | None
    on_gpu: float | None

    @property
    def is_worse(self) -> bool:
        return self.before is not None and self.now * WORSE < self.before


def ratios(output_json: dict[str, Any]) -> dict[tuple[str, str], float]:
    """Return the time of each peer over that of ours, by case and peer."""
    found = {}
    for case, rows in cases_of(output_json).items():
        ours = next((_fastest(record) for method, record in rows if method == "ours"), None)
        if ours:
            found.update({(case, method): _fastest(record) / ours for method, record in rows if is_peer(method)})
    return found


def read_release(folder: Path = FOLDER) -> dict[str, dict[str, Any]]:
    """Return what was measured for the last release, by kind of device: what was never run is not there."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}


def changes(output_json: dict[str, Any], release: dict[str, dict[str, Any]], kind: str) -> list[Change]:
    """Return a change for each ratio of a run on a ``kind`` of device, "cpu" or "cuda"."""
    before = ratios(release[kind]) if kind in release else {}
    on_gpu = ratios(release["cuda"]) if "cuda" in release else {}
    return [Change(*key, now, before.get(key), on_gpu.get(key)) for key, now in ratios(output_json).items()]


def change_table(rows: list[Change]) -> str:
    """Return a Markdown table of all ratios, what got worse first and in bold."""
    if not rows:
        return ""
    rows = sorted(rows, key=lambda row: not row.is_worse)
    lines = [
        [
            row.case,
            row.peer,
            f"**{row.now:.2f}**" if row.is_worse else f"{row.now:.2f}",
            _known(row.before, "new"),
            f"{row.now / row.before:.2f}" if row.before else "",
            _known(row.on_gpu, "never run"),
        ]
        for row in rows
    ]
    header = ["case", "peer", "x ours", "last release", "change", "on a GPU"]
    return f"### against the last release\n\n{verdict(rows)}\n\n{markdown_table(header, lines, words=2)}"


def verdict(rows: list[Change]) -> str:
    """Return one sentence: how many ratios got worse, of how many that the last release has, too."""
    known = [row for row in rows if row.before is not None]
    worse = [f"{row.case} ({row.peer})" for row in known if row.is_worse]
    if not known:
        return "The last release has no ratio to compare with."
    if not worse:
        return f"None of {len(known)} ratios is more than {WORSE - 1:.0%} worse than in the last release."
    are = "is" if len(worse) == 1 else "are"
    return (
        f"{len(worse)} of {len(known)} ratios {are} more than {WORSE - 1:.0%} worse than in the last release: "
        f"{', '.join(worse)}."
    )


def _fastest(record: dict[str, Any]) -> float:
    return cost(record) * record["stats"]["min"] / record["stats"]["median"]


def _known(value: float | None, otherwise: str) -> str:
    return otherwise if value is None else f"{value:.2f}"
