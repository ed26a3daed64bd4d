"""Errors of frames are those of their homographies, and rows keep them exactly."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from benchmarks.quality.alignment.frame_errors import ALIGNMENT, align_and_score, homography_of, score_frame
from benchmarks.quality.alignment.pairwise import Aligner, Estimate
from benchmarks.quality.plan import Task
from benchmarks.quality.reconstruction import RECONSTRUCTION
from benchmarks.quality.rows import Row, RowKey, read_rows, write_rows
from diar_ops import OutputError
from tests.quality.alignment.views import SIZE, row, views, write_views

INF = math.inf
KEY = RowKey("set", "000000", 3, "any")
EYE = torch.eye(3, dtype=torch.float64)


def frame_row(found: torch.Tensor, true: torch.Tensor, *, success: bool = True) -> Row:
    return score_frame(KEY, 2, found, true, success=success, size=SIZE, seconds=0.123456)


def errors_of(row: Row) -> tuple[float, float, bool]:
    return row.values["corner_error"], row.values["distance"], row.values["success"]


def test_errors_of_a_frame() -> None:
    shift = EYE.clone()
    shift[:2, 2] = torch.tensor([3.0, 4.0])
    result = frame_row(shift * -2, EYE)  # scale and sign of a homography mean nothing
    assert errors_of(result) == (5.0, 5.0, True)
    assert torch.equal(homography_of(result), shift)
    assert result.key == KEY
    refused = frame_row(shift, EYE, success=False)
    assert errors_of(refused) == (INF, INF, False)
    assert torch.equal(homography_of(refused), EYE)


def test_a_homography_that_folds_the_frame_is_infinitely_far_off() -> None:
    folded = EYE.clone()
    folded[2, 0] = -1 / 50
    result = frame_row(folded, EYE)
    assert errors_of(result)[::2] == (INF, True)
    singular = frame_row(torch.zeros(3, 3, dtype=torch.float64), EYE)
    assert errors_of(singular)[:2] == (INF, INF)


def test_rows_survive_the_file(tmp_path: Path) -> None:
    rows = [row(1, "a", 0.25), row(0, "b", INF), frame_row(EYE + 1e-3, EYE)]
    write_rows(tmp_path / "a.csv", rows, ALIGNMENT)
    assert read_rows(tmp_path / "a.csv", ALIGNMENT) == sorted(rows, key=lambda r: r.key)
    (tmp_path / "b.csv").write_text((tmp_path / "a.csv").read_text().replace("True", "maybe"), encoding="utf-8")
    with pytest.raises(OutputError, match="line 2 is not a result"):
        read_rows(tmp_path / "b.csv", ALIGNMENT)
    with pytest.raises(OutputError, match="must begin with"):
        read_rows(tmp_path / "a.csv", RECONSTRUCTION)


def test_a_sequence_is_scored_against_its_homographies(tmp_path: Path) -> None:
    folder = write_views(tmp_path / "000000")
    _, H = views()
    true = torch.linalg.inv(H)
    off = true.clone()
    off[2, :2] += 2 * off[2, 2:]  # two pixels to the right and down in the reference, at w = 1
    seen: list[torch.Size] = []

    def exact(frames: torch.Tensor) -> Estimate:
        seen.append(frames.shape)
        return Estimate(true[: len(frames)], torch.ones(len(frames), dtype=torch.bool))

    def none(frames: torch.Tensor) -> Estimate:
        return Estimate.from_chain({0: EYE}, len(frames))

    aligners = [Aligner("exact", "", "", exact), Aligner("none", "", "", none)]
    wanted = tuple(RowKey("set", "000000", t, m) for t in (2, 3) for m in ("none", "exact"))
    rows = align_and_score(Task(folder, wanted), aligners)
    assert [r.key for r in rows] == [k for k in wanted for _ in range(k.frames - 1)]
    assert [tuple(s) for s in seen] == [(2, 3, *SIZE), (3, 3, *SIZE)]
    for result in rows:
        error, _, success = errors_of(result)
        assert success == (result.method == "exact")
        assert error == (0 if success else INF)
