"""How far off points of the picture are laid, frame by frame, and over all of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.quality.alignment.measures import FAR
from benchmarks.quality.bends.methods import METHODS, Placed, place_flat
from benchmarks.quality.bends.sequences import BentPhotos
from benchmarks.quality.plan import Task
from benchmarks.quality.result_tables import Table
from benchmarks.quality.rows import KEY_COLUMNS, Results, Row, column, group_by
from diar_ops.geometry import homography_dlt, transform_points

#: Errors of a frame are kept as so many quantiles, each in the middle of an equal share.
QUANTILES = 50
_SHARES = (torch.arange(QUANTILES, dtype=torch.float64) + 0.5) / QUANTILES
#: Fewer points that both photos show are no measurement.
LEAST_POINTS = 20
#: What a method makes of a frame. ``kind``: how the picture is bent. ``bend``: its mean displacement,
#: in pixels at 256. ``unexplained``: mean distance that the best homography leaves between the
#: points that frame and reference show, in pixels of the reference. ``success``: the method calls
#: the frame aligned; ``foreign``: it shows another picture. ``errors``: quantiles of the distances
#: of points that both show free of things in front from where they belong in the reference, in
#: pixels; ``covered``: those of all points that are in both, whatever hides them. Empty without
#: success. ``seconds``: of the processor, for the whole sequence.
BENDS = Results(
    "diar_ops bends evaluation",
    "bends.csv",
    {
        **KEY_COLUMNS,
        "frame": int,
        "kind": str,
        "bend": float,
        "unexplained": float,
        "foreign": bool,
        "success": bool,
        "seconds": float,
        "errors": str,
        "covered": str,
    },
    ("bends.md",),
)


def score_sequence(task: Task[BentPhotos]) -> list[Row]:
    """Return the rows of a sequence by the methods of its keys."""
    photos, rows = task.source, []
    flat = place_flat(photos.frames)
    for key in task.keys:
        placed = METHODS[key.method](photos.frames, flat)
        for t in range(1, len(photos.frames)):
            foreign = t == len(photos.frames) - 1
            values = {"frame": t, "kind": photos.kind, "bend": round(photos.bend, 3), "unexplained": 0.0}
            values |= {"foreign": foreign, "success": bool(placed.success[t]), "seconds": round(placed.seconds, 3)}
            values |= {"errors": "", "covered": ""}
            if not foreign:
                both, free = (seen[0] & seen[t] for seen in (photos.shown, photos.free))
                values["unexplained"] = round(_unexplained(photos.points[[0, t]], both), 4)
                if placed.success[t]:
                    errors = point_errors(placed, photos, t)
                    values |= {"errors": _quantiles(errors[free]), "covered": _quantiles(errors[both])}
            rows.append(Row(*key, values))
    return rows


def point_errors(placed: Placed, photos: BentPhotos, frame: int) -> Tensor:
    """Return how far (P,) points of the picture are laid from where the reference shows them, in its pixels.

    The reference shows a point at p, the frame at q: the homography takes q to where p should be
    with its displacement.
    """
    p, q = photos.points[0], photos.points[frame]
    laid = transform_points(q, placed.homography_reference_frame[frame].double()).points
    if placed.displacement is not None:
        field = placed.displacement[frame].double()
        size = p.new_tensor([field.shape[-1], field.shape[-2]])
        grid = (2 * p + 1) / size - 1
        at = torch.nn.functional.grid_sample(field[None], grid[None, None], padding_mode="border", align_corners=False)
        p = p + at[0, :, 0].mT
    errors: Tensor = (laid - p).norm(dim=-1)
    return errors


def _unexplained(points: Tensor, both: Tensor) -> float:
    """Return the mean distance that the best homography leaves between points (2, P, 2)."""
    if int(both.sum()) < LEAST_POINTS:
        return 0.0
    reference, frame = points[:, both]
    H = homography_dlt(frame[None], reference[None])[0]
    return float((transform_points(frame, H).points - reference).norm(dim=-1).mean())


def _quantiles(errors: Tensor) -> str:
    if len(errors) < LEAST_POINTS:
        return ""
    return " ".join(f"{value:.4f}" for value in errors.quantile(_SHARES).tolist())


class Pooled(NamedTuple):
    """Errors of all frames, each of which counts alike; in pixels.

    Attributes:
        median: Of the points.
        p95: Of the points.
        worst: The worst frame's median.
    """

    median: float
    p95: float
    worst: float


def pool(rows: Iterable[Row], name: str) -> Pooled:
    """Return the errors of a column of rows, of frames that are called aligned; NaN if there are none."""
    parts = [torch.tensor([*map(float, row.values[name].split())], dtype=torch.float64) for row in rows]
    parts = [part for part in parts if len(part)]
    if not parts:
        return Pooled(torch.nan, torch.nan, torch.nan)
    ordered = torch.cat(parts).sort().values
    middle, high = (float(ordered[round(q * (len(ordered) - 1))]) for q in (0.5, 0.95))
    return Pooled(middle, high, max(float(part.median()) for part in parts))


def bends_tables(rows: list[Row]) -> list[Table]:
    """Return tables of each set, and of the kinds of bends, with a row per method."""
    tables = []
    for name, of_set in group_by(rows, lambda row: row.set).items():
        kinds = sorted({row.values["kind"] for row in of_set})
        for kind in ("all", *(kinds if len(kinds) > 1 else ())):
            chosen = [row for row in of_set if kind in ("all", row.values["kind"])]
            tables.append(_table(name, kind, chosen))
    return tables


def _table(name: str, kind: str, rows: list[Row]) -> Table:
    first = rows[0].method
    common = {(row.sequence, row.values["frame"]) for row in rows if row.method == first and row.values["errors"]}
    heads = ["method", "median [px]", "95 % [px]", "worst frame's median", "95 %, covered points too"]
    heads += [f"95 %, frames of {first}", "refused [%]", f"own, off > {FAR:g} px", "foreign accepted", "seconds"]
    lines = []
    for method, of_method in group_by(rows, lambda row: row.method).items():
        own = [row for row in of_method if not row.values["foreign"]]
        foreign = [row for row in of_method if row.values["foreign"]]
        free, covered = pool(own, "errors"), pool(own, "covered")
        same = pool((row for row in own if (row.sequence, row.values["frame"]) in common), "errors")
        refused = sum(not row.values["success"] for row in own) / len(own)
        off = sum(pool([row], "errors").median > FAR for row in own if row.values["success"])
        accepted = sum(row.values["success"] for row in foreign)
        seconds = sum(row.values["seconds"] for row in foreign) / len(foreign)
        numbers = [f"{value:.3f}" for value in (*free, covered.p95, same.p95)]
        lines.append(
            [method, *numbers, f"{100 * refused:.1f}", str(off), f"{accepted} of {len(foreign)}", f"{seconds:.2f}"]
        )
    of_one = [row for row in rows if row.method == first and not row.values["foreign"]]
    sequences = len({row.sequence for row in of_one})
    bend, unexplained = (float(column(of_one, c).mean()) for c in ("bend", "unexplained"))
    title = f"{name}, {kind}: {sequences} sequences, {len(of_one)} frames; mean displacement {bend:.2f} px at 256"
    title += f", {unexplained:.2f} px left by the best homography"
    return Table(title, 1, heads, lines)
