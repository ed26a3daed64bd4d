"""The coloured maps of the report."""

from __future__ import annotations

import re

import pytest
import torch

from diar_ops.colour import linear_to_srgb, srgb_to_linear
from diar_ops.results import _maps as maps
from tests.results.finished_run import run_of_one_frame


def test_source_map_names_the_strongest_frame() -> None:
    weights = torch.zeros(3, 1, 8, 8)
    weights[0, :, :, :4] = 1.0
    weights[1, :, :, 4:6] = 0.6
    weights[2, :, :, 4:6] = 0.4
    coloured = maps.source_map(weights, torch.full((3, 8, 8), 0.5), ["#ff0000", "#00ff00", "#0000ff"])
    assert coloured[:3, 0].argmax(0).tolist()[:6] == [0, 0, 0, 0, 1, 1]
    assert coloured[3, 0].tolist() == [1, 1, 1, 1, 1, 1, 0, 0]


def test_difference_map_follows_the_homography_and_the_gain() -> None:
    """A darker copy, shifted by ten pixels, with one spot added: only the spot differs."""
    y, x = torch.meshgrid(torch.arange(60), torch.arange(80), indexing="ij")
    clean = 0.3 + 0.002 * torch.stack((x, y, x + y))
    frame = linear_to_srgb(srgb_to_linear(clean).roll(-10, dims=2) / 2)
    frame[:, 20:30, 20:30] = 1.0
    run = run_of_one_frame(frame, [[1.0, 0, 10], [0, 1, 0], [0, 0, 1]], gain=2.0)
    tinted, share = maps.difference_map(*run.warp_reduced(0, frame, (60, 80)), clean)
    shown = tinted[3] > 0
    assert shown[:, 10:].all()
    assert not shown[:, :10].any()
    orange = tinted[0] - tinted[2] > 0.2
    expected = torch.zeros_like(orange)
    expected[20:30, 30:40] = True
    assert torch.equal(orange & shown, expected)
    assert share == pytest.approx(100 / (60 * 70))


def test_difference_map_hides_what_lies_behind_the_horizon() -> None:
    clean = torch.full((3, 50, 50), 0.5)
    # the frame's right part would land behind the camera: w = 1 - x / 30
    homography = [[1.0, 0, 0], [0, 1, 0], [-1 / 30, 0, 1]]
    run = run_of_one_frame(clean, homography)
    tinted, _ = maps.difference_map(*run.warp_reduced(0, clean, (50, 50)), clean)
    in_front = torch.linalg.inv(torch.tensor(homography))[2, 0] * torch.arange(50) + 1 > 0
    assert not tinted[3][:, ~in_front].any()
    assert tinted[3, 10, 5] == 1


def test_the_bent_part_is_what_no_affine_map_explains() -> None:
    y, x = torch.meshgrid(torch.linspace(-1, 1, 40), torch.linspace(-1, 1, 60), indexing="ij")
    affine = torch.stack([3 + 2 * x - y, 5 * y - 4])
    valid = (x < 0.5)[None]
    assert maps.bent_part(affine, valid).abs().max() < 1e-4
    curl = torch.stack([torch.zeros_like(x), 2 * torch.cos(6 * x)])
    curl = maps.bent_part(curl, valid)
    # What lies where nothing is shown has no say.
    astray = torch.where(valid, affine + curl, 1000.0)
    assert torch.allclose(maps.bent_part(astray, valid), curl, atol=1e-4)
    assert 1 < curl.norm(dim=0).max() < 4
    assert (curl[:, ~valid[0]] == 0).all()


def test_frame_colours_are_distinct() -> None:
    assert len(set(maps.frame_colours(50))) == 50
    assert all(re.fullmatch("#[0-9a-f]{6}", colour) for colour in maps.frame_colours(50))
