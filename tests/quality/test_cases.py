"""The worst, median and best are chosen, drawn once, and show frames, result, label and error."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.quality.aligned import Disturbance, load_aligned
from benchmarks.quality.cases import case_picture, choose_cases, picture_file, rank_cases, write_cases
from benchmarks.quality.rows import Row
from diar_ops.data import read_image
from diar_ops.engines import select_engine
from tests.sequences import write_dataset


def row(sequence: int, psnr: float, frames: int = 3, method: str = "mean") -> Row:
    scores = {"psnr": psnr, "psnr_gain": psnr, "rmse": 0.1, "ssim": 0.9}
    return Row("set", f"{sequence:06d}", frames, method, scores)


@pytest.mark.parametrize(
    ("count", "wanted", "expected"),
    [
        (7, 1, [("worst", 0), ("median", 3), ("best", 6)]),
        (7, 2, [("worst", 0), ("worst", 1), ("median", 2), ("median", 3), ("best", 5), ("best", 6)]),
        (4, 2, [("worst", 0), ("worst", 1), ("median", 2), ("best", 3)]),
        (2, 1, [("worst", 0), ("best", 1)]),
        (1, 3, [("worst", 0)]),
        (5, 0, []),
        (0, 2, []),
    ],
)
def test_ranks(count: int, wanted: int, expected: list[tuple[str, int]]) -> None:
    assert rank_cases(count, wanted) == expected


def test_cases_are_of_the_most_frames() -> None:
    rows = [row(i, float(p)) for i, p in enumerate((3, 1, 2))] + [row(3, 0.0, frames=2)]
    rows += [row(0, 9.0, method="median")]
    cases = [(c.kind, c.row.method, c.row.values["psnr"]) for c in choose_cases(rows)]
    assert cases == [("worst", "mean", 1), ("median", "mean", 2), ("best", "mean", 3), ("worst", "median", 9)]


@pytest.mark.parametrize("count", [1, 2, 4])
def test_a_picture_shows_frames_result_label_and_error(tmp_path: Path, count: int) -> None:
    folder = write_dataset(tmp_path / "set", 1, kind="misaligned") / "000000"
    aligned = load_aligned(folder, count)
    restored = aligned.label.clone()
    restored[..., :32] += 0.125  # half of what is drawn white
    sheet = case_picture(aligned, restored)
    height, width = aligned.label.shape[-2:]
    assert sheet.dtype == torch.uint8
    assert sheet.shape == (3, 2 * (height + 4) + 4, 3 * (width + 4) + 4)
    tile = sheet[:, height + 8 : -4, 2 * (width + 4) + 4 : -4]
    seen = torch.ones(height, width).bool() if aligned.covered is None else aligned.covered[0, 0]
    darker = restored[0].clamp(0, 1) - aligned.label[0]
    expected = (darker.abs().mean(0) * 4 * 255).round()
    assert (tile[0].float() - expected)[seen].abs().max() <= 1
    assert (tile[:, ~seen] == 128).all()


@pytest.mark.parametrize("workers", [1, 2])
def test_pictures_are_drawn_once(tmp_path: Path, workers: int) -> None:
    sets = write_dataset(tmp_path / "set", 2, kind="aligned")
    folders = {("set", f"{i:06d}"): sets / f"{i:06d}" for i in range(2)}
    cases = choose_cases([row(0, 1.0), row(1, 2.0), row(0, 1.5, method="median")])
    out, calls = tmp_path / "out", []

    def draw() -> None:
        write_cases(
            out,
            cases,
            folders,
            ["mean", "median"],
            Disturbance(),
            select_engine(workers=workers),
            progress=lambda done, total: calls.append((done, total)),
        )

    draw()
    assert calls == [(1, 2), (2, 2)], "sequence by sequence"
    files = [picture_file(out, *case.row.key) for case in cases]
    assert [f.name for f in files] == ["set_000000_3_mean.png", "set_000001_3_mean.png", "set_000000_3_median.png"]
    assert all(read_image(f).pixels.shape[0] == 3 for f in files)
    files[0].write_bytes(b"kept")
    draw()
    assert files[0].read_bytes() == b"kept"
    assert len(calls) == 2
