"""Mosaics: photos of parts of one picture are all in, exact, in one light, on a canvas of bounded size."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchmarks.quality.mosaic.parts import Parts, photograph_parts
from benchmarks.quality.mosaic.scores import frame_errors, seam_score
from diar_ops import (
    Alignment,
    Canvas,
    DiarError,
    OptionError,
    align_sequence,
    psnr,
    reconstruct_sequence,
    transform_points,
    warp_homography,
)
from diar_ops._files import write_image
from diar_ops._pixels import image_size, image_to_float
from diar_ops.data import read_image
from diar_ops.metrics import colour_gain
from diar_ops.pipeline import mosaic_canvas
from diar_ops.pipeline._align.graph import shared_share
from diar_ops.pipeline._even_light import even_light
from diar_ops.pipeline._warp import AlignedSequence
from diar_ops.results import CleanOptions, clean_photos
from tests.geometry.refine_scene import texture
from tests.harness import assert_close, generator

EYE = torch.eye(3, dtype=torch.float64)


@pytest.fixture(scope="module")
def picture() -> Tensor:
    return texture("mosaic", 1, 3, 240, 860)[0].float()


@pytest.fixture(scope="module")
def parts(picture: Tensor) -> Parts:
    """Five photos of a scroll, each of a quarter of it; the outer ones do not meet the middle one."""
    return photograph_parts(picture, generator=generator("mosaic parts"), grid=(1, 5), share=(0.94, 0.32))


@pytest.fixture(scope="module")
def frames(parts: Parts) -> list[Tensor]:
    """Those, and a photo of something else."""
    foreign = texture("mosaic foreign", 1, 3, *image_size(parts.frames[0]))[0]
    return [*parts.frames, (255 * foreign).byte()]


@pytest.fixture(scope="module")
def found(frames: list[Tensor]) -> Alignment:
    return align_sequence(frames)


@pytest.fixture(scope="module")
def canvas(found: Alignment, frames: list[Tensor]) -> Canvas:
    return mosaic_canvas(found, [image_size(frame) for frame in frames]).canvas


def test_photos_that_do_not_meet_the_reference_are_in_and_exact(found: Alignment, parts: Parts) -> None:
    assert found.success.tolist() == [True] * 5 + [False]
    assert (found.overlap[:5] == 0).any()
    assert max(frame_errors(found, parts)) < 0.5


def test_canvas_holds_all_photos_tightly(found: Alignment, canvas: Canvas, frames: list[Tensor]) -> None:
    places = []
    for t in range(5):
        height, width = image_size(frames[t])
        corners = torch.tensor([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]]).double()
        H = canvas.homography_canvas_reference @ found.homography_reference_frame[t]
        places.append(transform_points(corners, H).points)
    places_of_all = torch.cat(places)
    limit = torch.tensor(canvas.size).flip(0) - 1
    assert ((places_of_all > -0.6) & (places_of_all < limit + 0.6)).all()
    assert (places_of_all.amin(0) < 1.5).all()
    assert (places_of_all.amax(0) > limit - 1.5).all()


@pytest.mark.parametrize(("aggregator", "least"), [("mean", 30.0), ("diar", 30.0)])
def test_picture_is_whole_and_without_seams(
    found: Alignment, canvas: Canvas, frames: list[Tensor], parts: Parts, picture: Tensor, aggregator: str, least: float
) -> None:
    result = reconstruct_sequence(frames, found, canvas=canvas, aggregator=aggregator)
    H = canvas.homography_canvas_reference @ parts.homography_frame_picture[found.reference]
    onto_picture = torch.linalg.inv(H)[None].float()
    shown = (result.coverage > 0)[None]
    laid = warp_homography(result.image[None], onto_picture, shown, size=image_size(picture), mode="bicubic")
    assert laid.valid.float().mean() > 0.85
    gain = colour_gain(laid.image, picture[None], laid.valid)
    lit = torch.where(laid.valid, (laid.image * gain).clamp(0, 1), 0)
    assert psnr(lit, picture[None], laid.valid) > least
    inside = torch.nn.functional.max_pool2d((~laid.valid).float(), 25, 1, 12) == 0
    assert seam_score(lit, picture[None], inside, parts) < 1.25
    assert result.weights is not None
    assert_close(result.weights.sum(0)[result.coverage > 0], torch.ones(int(shown.sum())), atol=1e-3)


def test_light_of_photos_that_show_all_is_left_to_the_aggregator(picture: Tensor) -> None:
    frames = [picture, 0.8 * picture]
    alignment = Alignment.from_homographies(EYE.repeat(2, 1, 1), [image_size(picture)] * 2)
    canvas = Canvas(EYE, (300, 300))
    assert even_light(AlignedSequence(frames, [None, None], alignment, [0, 1], picture.device, canvas)) is None


def test_files_are_on_the_canvas(tmp_path: Path, parts: Parts) -> None:
    photos = tmp_path / "photos"
    for t in (0, 1, 2):
        write_image(photos / f"{t}.png", image_to_float(parts.frames[t]))
    result = clean_photos([photos], tmp_path / "out", CleanOptions(aggregator="mean", canvas="all"))
    document = json.loads((tmp_path / "out" / "homographies.json").read_text())
    assert result.canvas is not None
    size = tuple(document["canvas"]["size"])
    assert size == result.canvas.size
    assert size[1] > 1.5 * image_size(parts.frames[0])[1]
    assert_close(torch.tensor(document["canvas"]["homography_canvas_reference"]), result.canvas[0].float(), atol=1e-6)
    for name in ("clean.png", "aligned/0.png", "weights/0.png"):
        assert read_image(tmp_path / "out" / name).size == size
    assert (tmp_path / "out" / "report.html").stat().st_size > 1000


def test_canvas_is_bounded() -> None:
    H = EYE.repeat(2, 1, 1)
    H[1, 0, 2] = 60.0
    alignment = Alignment.from_homographies(H, [(64, 80)] * 2)
    whole = mosaic_canvas(alignment, [(64, 80)] * 2)
    assert (whole.canvas.size, whole.shrunk, whole.cut) == ((64, 140), 1.0, [])
    small = mosaic_canvas(alignment, [(64, 80)] * 2, most_pixels=64 * 140 // 4)
    assert small.canvas.size == (32, 70)
    assert small.shrunk == pytest.approx(0.5)
    corner = transform_points(torch.tensor([[139.5, 63.5]]).double(), small.canvas.homography_canvas_reference).points
    assert_close(corner, torch.tensor([[69.5, 31.5]]))


def test_what_runs_towards_the_horizon_is_cut() -> None:
    H = EYE.repeat(2, 1, 1)
    H[1, 2, 0] = -0.9 / 79  # ten times nearer at the right side than at the left one
    alignment = Alignment.from_homographies(H, [(64, 80)] * 2)
    mosaic = mosaic_canvas(alignment, [(64, 80)] * 2)
    assert mosaic.cut == [1]
    assert max(mosaic.canvas.size) < 400


def test_canvas_looks_as_it_is_told() -> None:
    turn = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    alignment = Alignment.from_homographies(EYE[None], [(64, 80)])
    assert mosaic_canvas(alignment, [(64, 80)], homography_view_reference=turn).canvas.size == (80, 64)


def test_what_is_asked_wrongly_is_said() -> None:
    alignment = Alignment.from_homographies(EYE[None], [(64, 80)])
    with pytest.raises(OptionError, match="most_pixels >= 1"):
        mosaic_canvas(alignment, [(64, 80)], most_pixels=0)
    with pytest.raises(DiarError, match="no photo is aligned"):
        mosaic_canvas(alignment._replace(success=torch.tensor([False])), [(64, 80)])
    with pytest.raises(DiarError, match="`canvas` must be one of reference, all, got 'both'"):
        CleanOptions(canvas="both")


def test_shares_of_close_ups_and_neighbours() -> None:
    beside = EYE.clone()
    beside[0, 2] = 60.0
    assert shared_share(beside, (64, 80), (64, 80)) == pytest.approx(0.25, abs=0.07)
    assert shared_share(torch.diag(torch.tensor([4.0, 4.0, 1.0])).double(), (64, 80), (64, 80)) == 1.0
    assert shared_share(10 * beside, (64, 80), (64, 60)) == 0.0
