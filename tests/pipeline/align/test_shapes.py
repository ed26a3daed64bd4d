"""What the bends of all photos have in common, and what that says of each."""

from __future__ import annotations

import torch
from torch import Tensor

from diar_ops._types import RefinedGrid
from diar_ops.pipeline._align.shapes import common_shapes, predict_grids
from tests.harness import generator

ROWS, COLUMNS, PHOTOS = 9, 12, 8


def grids_of_one_surface(name: str, noise: float) -> tuple[RefinedGrid, Tensor]:
    """Grids of photos of a wavy surface, a third of each hidden and filled with nonsense; and the true ones."""
    rng = generator(name)
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, n + 3).double() for n in (ROWS, COLUMNS)), indexing="ij")
    height = (3 * x + 1).sin() + (2 * y).cos() * x**3
    parallax = 2 * torch.randn(PHOTOS, 2, 1, 1, generator=rng, dtype=torch.float64)
    tilt = torch.randn(PHOTOS, 2, 1, 1, generator=rng, dtype=torch.float64)
    true = parallax * height + tilt * x + tilt.flip(0) * y
    grid = true + noise * torch.randn(true.shape, generator=rng, dtype=torch.float64)
    certainty = torch.ones(PHOTOS, ROWS, COLUMNS, dtype=torch.float64)
    for t in range(PHOTOS):
        left = 4 * (t % 3)
        certainty[t, :, left : left + 4] = 0
        grid[t, :, :, left + 2 : left + 5] += 5
    one = torch.ones(PHOTOS, dtype=torch.float64)
    found = RefinedGrid(grid, certainty, one.bool(), one, one, one, one, one, one.long())
    return found, true


def test_shapes_say_what_is_hidden_and_what_is_noise() -> None:
    noise = 0.1
    found, true = grids_of_one_surface("shapes", noise)
    shapes = common_shapes(found)
    assert shapes is not None
    laid = predict_grids(found, shapes)
    off, given = ((grid - true)[..., 1:-1, 1:-1].square().sum(1).sqrt() for grid in (laid, found.grid))
    assert off.median() < 0.7 * noise * 2**0.5  # two coordinates
    assert off.quantile(0.95) < 1
    assert given.quantile(0.95) > 4


def test_one_wrong_grid_of_eight_does_not_draw_the_shapes() -> None:
    found, true = grids_of_one_surface("one wrong shape", 0.05)
    found.grid[3] = 10 * torch.randn(found.grid[3].shape, generator=generator("wrong shape"), dtype=torch.float64)
    shapes = common_shapes(found)
    assert shapes is not None
    others = torch.arange(PHOTOS) != 3
    off = (predict_grids(found, shapes) - true)[others][..., 1:-1, 1:-1].square().sum(1).sqrt()
    assert off.median() < 0.1


def test_too_few_bent_photos_have_no_shapes() -> None:
    found, _ = grids_of_one_surface("few shapes", 0.05)
    assert common_shapes(found._replace(success=torch.arange(PHOTOS) < 2)) is None
    assert common_shapes(found._replace(success=torch.zeros(PHOTOS, dtype=torch.bool))) is None
