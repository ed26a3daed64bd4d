"""The tables of the outcome."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from benchmarks.quality.intervals import Mean
from benchmarks.quality.paper_order.claims import CLAIMS, EQUAL, Claim, mean_difference, network_differences, verdict
from benchmarks.quality.paper_order.evaluation import SHORT, SLICES
from benchmarks.quality.paper_order.plan import NETWORKS
from benchmarks.quality.rows import Pictures, Row, column, group_by
from benchmarks.quality.scores import SCORES, Measure
from benchmarks.quality.training_curves import Curve

#: The claim that distortions are tested on, and the condition that distorts.
DISTORTED, DISTORTION = CLAIMS[0], "jitter-3"
_SLICE_MEASURE = Measure("PSNR [dB]")


def report_order(
    rows: Sequence[Row], pictures: Pictures | None = None, curves: Mapping[str, Curve] | None = None
) -> str:
    """Return all tables, as Markdown.

    Args:
        rows: Of :func:`evaluate_networks`.
        pictures: Which picture each sequence shows.
        curves: Learning curves of the runs, by network, "-" and seed.
    """
    parts = _curve_sections(curves or {})
    for (name, frames), group in group_by(rows, lambda row: (row.set, row.frames)).items():
        sequences = len({row.sequence for row in group})
        parts += [f"### {name}, {frames} frames, {sequences} sequences", _scores_table(group)]
        parts.append(_claims_table(group, ("psnr_gain", "ssim", "psnr"), pictures))
        if any(group[0].values[f"psnr_{s}"] == group[0].values[f"psnr_{s}"] for s in SLICES):
            parts.append(_claims_table(group, [f"psnr_{s}" for s in SLICES], pictures))
    parts += _distortion_sections(rows, pictures)
    return "\n\n".join(parts) + "\n"


def _scores_table(rows: Sequence[Row]) -> str:
    names = ("psnr_gain", "ssim", "psnr")
    by_network = group_by(rows, lambda row: row.method.rpartition("-")[0])
    lines = [
        [name, *(SCORES[score].format(float(column(by_network[name], score).mean())) for score in names)]
        for name in NETWORKS
        if name in by_network
    ]
    return markdown_table(["network", *(SCORES[score].title for score in names)], lines)


def _claims_table(rows: Sequence[Row], scores: Sequence[str], pictures: Pictures | None) -> str:
    lines = []
    for claim in CLAIMS:
        for score in scores:
            cells = _claim_cells(rows, claim, score, pictures)
            if cells is not None:
                lines.append([claim.name, score, *cells])
    return markdown_table(["claim", "score", "difference", "of each seed", "verdict"], lines)


def _claim_cells(rows: Sequence[Row], claim: Claim, score: str, pictures: Pictures | None) -> list[str] | None:
    """Return difference, that of each seed, and verdict; None where no sequence has the score."""
    differences = network_differences(rows, claim.better, claim.than, score, pictures)
    if not differences.values.numel():
        return None
    mean = mean_difference(differences, claim.confidence)
    measure = SCORES.get(score, _SLICE_MEASURE)
    seeds = ", ".join(measure.format(value, "+") for value in differences.values.mean(1).tolist())
    return [_signed(measure, mean), seeds, verdict(differences, mean, EQUAL.get(score, EQUAL["psnr"]))]


def _signed(measure: Measure, mean: Mean) -> str:
    return measure.format_mean(mean, "+")


def _distortion_sections(rows: Sequence[Row], pictures: Pictures | None) -> list[str]:
    """Return a table of how much more networks differ where frames are misaligned."""
    by_set = group_by([row for row in rows if row.frames == SHORT], lambda row: row.set)
    lines = []
    for name, plain in by_set.items():
        distorted = by_set.get(f"{name}+{DISTORTION}")
        if distorted is None:
            continue
        for score in ("psnr_gain", "ssim"):
            at_3, at_0 = (
                network_differences(group, DISTORTED.better, DISTORTED.than, score, pictures)
                for group in (distorted, plain)
            )
            more = at_3.minus(at_0)
            mean = mean_difference(more)
            seeds = ", ".join(SCORES[score].format(value, "+") for value in more.values.mean(1).tolist())
            lines.append([name, score, _signed(SCORES[score], mean), seeds, verdict(more, mean)])
    if not lines:
        return []
    title = f"### How much more {DISTORTED.better} leads {DISTORTED.than} at 3 px than at 0"
    return [title, markdown_table(["set", "score", "difference", "of each seed", "verdict"], lines)]


def _curve_sections(curves: Mapping[str, Curve]) -> list[str]:
    """Return a table of the differences over the training, on the sequences held out."""
    by_network = group_by(curves, lambda name: name.rpartition("-")[0])
    claims = [claim for claim in CLAIMS if {claim.better, claim.than} <= by_network.keys()]
    if not claims:
        return []
    steps = sorted(set.intersection(*(set(curve["step"]) for curve in curves.values())))
    score = "psnr_gain"
    lines = []
    for step in steps:
        cells = [f"{step:.0f}"]
        for claim in claims:
            better, than = (
                sum(_at_step(curves[name], step, f"rendered_{score}") for name in by_network[side])
                / len(by_network[side])
                for side in (claim.better, claim.than)
            )
            cells.append(SCORES[score].format(better - than, "+"))
        lines.append(cells)
    title = f"### Differences over the training, {SCORES[score].title}, sequences held out, mean over seeds"
    return [title, markdown_table(["step", *(claim.name for claim in claims)], lines)]


def _at_step(curve: Curve, step: float, name: str) -> float:
    return curve[name][curve["step"].index(step)]


def markdown_table(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Return a table as Markdown."""
    rows = [heads, ["---"] * len(heads), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)
