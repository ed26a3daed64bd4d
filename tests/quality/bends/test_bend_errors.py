"""The measurement of bends: what it says of the truth, and of what is off by a known amount."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from benchmarks.quality.bends.__main__ import main
from benchmarks.quality.bends.methods import METHODS, Placed, place_flat
from benchmarks.quality.bends.scores import BENDS, bends_tables, point_errors, pool
from benchmarks.quality.bends.sequences import BentPhotos, render_bent_photos
from benchmarks.quality.rows import Row, read_rows
from diar_ops.geometry import homography_dlt, transform_points
from tests.harness import generator


@pytest.fixture(scope="module")
def photos() -> BentPhotos:
    return render_bent_photos("bent", 3, None, frames=4, size=96)


def test_sequences(photos: BentPhotos) -> None:
    flat = render_bent_photos("flat", 3, None, frames=4, size=96)
    assert photos.frames.shape == flat.frames.shape == (4, 3, 96, 96)
    assert photos.points.shape == (3, 24 * 24, 2)
    assert (flat.kind, flat.bend) == ("flat", 0.0)
    assert photos.kind in ("curl", "bulge", "wave", "frame")
    assert photos.bend > 0.5
    assert (photos.free <= photos.shown).all()
    assert photos.shown[0].double().mean() > 0.9
    pixels = torch.cartesian_prod(*(torch.arange(2.0, 96, 4).double(),) * 2).flip(-1)
    # Frame 0 of a flat picture is its label.
    assert torch.allclose(flat.points[0], pixels, atol=1e-6)
    for frame in (1, 2):
        H = homography_dlt(flat.points[frame][None], pixels[None])[0]
        assert (transform_points(flat.points[frame], H).points - pixels).norm(dim=-1).max() < 1e-6
        assert (photos.points[frame] - flat.points[frame]).norm(dim=-1).max() > 0.5


def _true_placement(photos: BentPhotos, error: float) -> Placed:
    """What is off by ``error`` pixels: the identity, and displacements between points."""
    count, size = len(photos.frames), photos.frames.shape[-1]
    moved = torch.zeros(count, 2, size, size)
    y, x = torch.meshgrid(torch.arange(float(size)), torch.arange(float(size)), indexing="ij")
    moved[:, 0], moved[:, 1] = 0.03 * x + 0.02 * y, -0.01 * y
    eye = torch.eye(3, dtype=torch.float64).repeat(count, 1, 1)
    eye[:, 0, 2] = error
    return Placed(eye, torch.ones(count, dtype=torch.bool), moved, 0.0)


@pytest.mark.parametrize("error", [0.0, 0.25])
def test_errors_are_those_in_the_reference(photos: BentPhotos, error: float) -> None:
    placed = _true_placement(photos, error)
    p = photos.points[0]
    q = p + torch.stack((0.03 * p[:, 0] + 0.02 * p[:, 1], -0.01 * p[:, 1]), dim=-1)
    known = photos._replace(points=torch.stack((p, q)))
    inside = (p > 0).all(-1) & (p < 95).all(-1)
    errors = point_errors(placed, known, 1)[inside]
    assert torch.allclose(errors, torch.full_like(errors, error), atol=1e-5)


def _row(errors: str, *, success: bool = True, foreign: bool = False, method: str = "a") -> Row:
    values = {"frame": 1, "kind": "wave", "bend": 2.0, "unexplained": 1.0, "foreign": foreign, "success": success}
    return Row("bent", "000", 3, method, {**values, "seconds": 1.0, "errors": errors, "covered": errors})


def test_frames_count_alike_and_only_those_that_are_aligned() -> None:
    low, high = " ".join(["0.1"] * 50), " ".join(["0.5"] * 50)
    assert pool([_row(low), _row(high), _row(low)], "errors") == (0.1, 0.5, 0.5)
    assert pool([_row(low), _row("", success=False), _row("")], "errors") == (0.1, 0.1, 0.1)
    assert math.isnan(pool([_row("")], "errors").median)
    rows = [_row(low), _row("", foreign=True), _row(" ".join(["4"] * 50)), _row("", success=False)]
    (table,) = bends_tables(rows)
    assert table.rows[0][6:9] == ["33.3", "1", "1 of 1"]


@pytest.mark.parametrize("name", METHODS)
def test_methods(name: str) -> None:
    """A photo that is shifted is laid back."""
    noise = torch.rand(3, 166, 166, generator=generator("bend methods"))
    picture = torch.nn.functional.avg_pool2d(noise, 7, stride=1)
    frames = torch.stack((picture[:, 2:150, 4:152], picture[:, 5:153, 2:150]))
    placed = METHODS[name](frames, place_flat(frames))
    assert placed.success.all()
    assert placed.seconds > 0
    centre = torch.tensor([[80.0, 70.0]], dtype=torch.float64)
    laid = transform_points(centre, placed.homography_reference_frame[1]).points[0]
    if placed.displacement is not None:
        assert placed.displacement.shape == (2, 2, 148, 148)
        laid = laid - placed.displacement[1, :, 73, 78].double()
    assert (laid - torch.tensor([78.0, 73.0])).norm() < 0.1


def test_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [str(tmp_path), "--sequences", "1", "--frames", "3", "--size", "96", "--methods", "homography"]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "bent, all: 1 sequences, 1 frames" in said
    assert "flat, all" in said
    rows = read_rows(tmp_path / "bends.csv", BENDS)
    assert [row.values["foreign"] for row in rows] == [False, True, False, True]
    assert main(arguments) == 0
    assert capsys.readouterr().out == said
    assert main([str(tmp_path), "--sequences", "1", "--size", "128"]) == 1
    assert "error:" in capsys.readouterr().err
