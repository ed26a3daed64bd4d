"""refine_grid: what is not quite flat is found, and nothing else."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import BSpline
from torch import Tensor
from torch.nn import functional as F

from diar_ops import DtypeError, OptionError, ShapeError, homography_dlt, refine_grid, warp_homography
from diar_ops.geometry._spline import DisplacementGrid, spline_basis
from tests.geometry.grid_scene import EYE, bent_pair, bulge, noisy
from tests.geometry.refine_scene import SIZE, spoil, texture
from tests.harness import Call, OpTests, generator

NAN = float("nan")


def field_of(grid: Tensor) -> Tensor:
    """Displacements (B, 2, h, w) of every pixel."""
    rows, columns = (torch.arange(n, dtype=grid.dtype) for n in SIZE)
    return DisplacementGrid(grid, SIZE).at(rows, columns)


def off(grid: Tensor, field: Tensor, margin: int = 4) -> Tensor:
    """Distances of a grid's displacements from the true ones, the outermost pixels left out."""
    inner = (..., slice(margin, -margin), slice(margin, -margin))
    return (field_of(grid.double())[0] - field).norm(dim=0)[inner].flatten()


class TestRefineGrid(OpTests):
    op = "refine_grid"
    infinite = "its residuals are inf where nothing agrees"
    module = "RefineGrid"
    free = ((2, 3), (2, 3), (0,))

    def call(self, device: torch.device, dtype: torch.dtype) -> Call:
        source, destination, _ = bent_pair("grid call", 2.0)
        args = (source.to(device, dtype), destination.to(device, dtype), EYE.to(device, dtype))
        return Call(args, {"cells": (5, 6), "levels": 1, "max_iterations": 3})

    def gradcheck_call(self, device: torch.device) -> tuple[Any, tuple[Tensor, ...]]:
        source, destination, _ = (x.to(device) for x in bent_pair("grid gradcheck", 1.0))
        parts = [texture(f"grid gradcheck {k}", 1, 3, *SIZE).to(device) for k in range(2)]
        corners = torch.tensor([[[0, 0], [1, 0], [1, 1], [0, 1]]]).to(source) * torch.tensor(SIZE).flip(0).to(source)

        def refine(shares: Tensor, moves: Tensor) -> Tensor:
            """Thousands of pixels move by a few numbers: differences need a call for each."""
            H = homography_dlt(corners, corners + moves)
            one = source + shares[0] * parts[0]
            other = destination + shares[1] * parts[1]
            # The gradient is that of the last three steps: if there are no others, it is exact.
            refined = refine_grid(one, other, H, cells=(2, 2), levels=1, max_iterations=2)
            assert refined.success.all()
            return refined.grid

        shares = torch.tensor([0.01, 0.02], dtype=torch.float64, device=device)
        moves = 0.3 * torch.rand(1, 4, 2, generator=generator("moves"), dtype=torch.float64)
        return refine, (shares.requires_grad_(), moves.to(device).requires_grad_())

    def test_gradcheck_of_the_last_steps_is_that_of_the_whole(self) -> None:
        """The mean displacement grows by a pixel as the source moves on by one."""
        source, destination, _ = bent_pair("grid slope", 1.0)
        shift = torch.zeros((), dtype=torch.float64, requires_grad=True)
        right = torch.zeros(1, 3, 3, dtype=torch.float64)
        right[0, 0, 2] = 1.0
        grid = refine_grid(source, destination, EYE + shift * right, levels=1).grid
        field_of(grid)[0, 0, 30:-30, 30:-30].mean().backward()
        assert shift.grad is not None
        assert 0.8 < shift.grad < 1.1

    def test_exception(self) -> None:
        image, eye = torch.rand(2, 3, 40, 50), torch.eye(3).expand(2, 3, 3)
        with pytest.raises(ShapeError, match="image_dst must have shape"):
            refine_grid(image, image[0], eye)
        with pytest.raises(ShapeError, match="image_src must have at least 18 x 18 pixels"):
            refine_grid(image[..., :17], image, eye)
        with pytest.raises(DtypeError, match="floating point, got"):
            refine_grid(image.byte(), image, eye)
        with pytest.raises(OptionError, match="levels that leave 6 pixels of 40"):
            refine_grid(image, image, eye, levels=4)
        with pytest.raises(OptionError, match="max_iterations >= 1"):
            refine_grid(image, image, eye, max_iterations=0)
        with pytest.raises(OptionError, match="cells to be"):
            refine_grid(image, image, eye, cells=(0, 4))
        with pytest.raises(OptionError, match="smoothness > 0"):
            refine_grid(image, image, eye, smoothness=0.0)
        with pytest.raises(ShapeError, match="start must have shape"):
            refine_grid(image, image, eye, cells=(4, 4), start=torch.zeros(2, 2, 4, 4))
        with pytest.raises(ShapeError, match="start must have 1 or 2 grids"):
            refine_grid(image, image, eye, cells=(4, 4), start=torch.zeros(3, 2, 7, 7))
        with pytest.raises(ShapeError, match="shapes must have shape"):
            refine_grid(image, image, eye, cells=(4, 4), shapes=torch.zeros(2, 2, 7, 7))
        with pytest.raises(OptionError, match="features to be"):
            refine_grid(image, image, eye, features="edges")  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("sources", "destinations", "starts", "expected"),
        [(1, 1, 1, 1), (3, 1, 1, 3), (1, 3, 3, 3), (0, 1, 0, 0), (0, 0, 0, 0)],
    )
    def test_cardinality(self, sources: int, destinations: int, starts: int, expected: int) -> None:
        source, destination, _ = bent_pair("grid sizes", 2.0)
        found = refine_grid(
            source.expand(sources, -1, -1, -1),
            destination.expand(destinations, -1, -1, -1),
            EYE.expand(starts, 3, 3),
            cells=(4, 7),
            levels=1,
        )
        assert found.grid.shape == (expected, 2, 7, 10)
        assert found.certainty.shape == (expected, 4, 7)
        assert found.success.all()

    def test_cardinality_items_do_not_depend_on_each_other(self) -> None:
        one, two = bent_pair("grid first", 1.0), bent_pair("grid second", 4.0)
        both = refine_grid(*(torch.cat((a, b)) for a, b in zip(one[:2], two[:2], strict=True)), EYE.expand(2, 3, 3))
        for item, (source, destination, _) in enumerate((one, two)):
            alone = refine_grid(source, destination, EYE)
            torch.testing.assert_close(both.grid[item], alone.grid[0], rtol=0, atol=1e-9)

    def test_oracle_basis_of_scipy(self) -> None:
        cells, length = 5, 33.0
        knots = (np.arange(cells + 7) - 3) * length / cells - 0.5
        positions = torch.linspace(-0.5, length - 0.5 - 1e-9, 40, dtype=torch.float64)
        theirs = BSpline.design_matrix(positions.numpy(), knots, 3).toarray()
        np.testing.assert_allclose(spline_basis(positions, length, cells).numpy(), theirs, atol=1e-12)

    @pytest.mark.parametrize("pixels", [1.0, 3.0, 8.0])
    def test_oracle_known_field(self, pixels: float) -> None:
        source, destination, field = bent_pair("grid known", pixels)
        found = refine_grid(noisy(source, "one"), noisy(destination, "two"), EYE)
        assert found.success
        assert off(found.grid, field).median() < 0.06
        assert off(found.grid, field).quantile(0.95) < 0.2
        assert found.residual < 0.9 * found.residual_before
        assert found.shift == pytest.approx(field.square().sum(0).mean().sqrt().item(), rel=0.2)
        assert found.reliability > 0.9

    def test_oracle_behind_a_homography(self) -> None:
        source, destination, field = bent_pair("grid behind", 3.0)
        H = torch.tensor([[[1.03, 0.02, -4.0], [-0.03, 0.98, 5.0], [1e-4, -5e-5, 1.0]]], dtype=torch.float64)
        photo = warp_homography(source, H, size=(130, 160), mode="bicubic")
        found = refine_grid(photo.image, destination, torch.linalg.inv(H), photo.valid)
        assert found.success
        assert off(found.grid, field, 12).median() < 0.06

    def test_oracle_light_and_a_thing_in_front_do_not_drag(self) -> None:
        source, destination, field = bent_pair("grid spoiled", 2.0)
        found = refine_grid(spoil(source, "grid spoil"), destination, EYE)
        assert found.success
        seen = torch.ones(SIZE, dtype=torch.bool)
        seen[SIZE[0] // 2 - 8 :, SIZE[1] * 3 // 5 - 8 :] = False
        error = (field_of(found.grid)[0] - field).norm(dim=0)
        assert error[seen].median() < 0.1
        assert error[seen].quantile(0.95) < 0.4
        # Behind the thing, the field goes on smoothly: no farther off than the homography alone.
        assert error[~seen].mean() < field.norm(dim=0)[~seen].mean()
        assert found.certainty[0, 7:, 8:].mean() < 0.5 * found.certainty[0, :5, :6].mean()

    def test_oracle_a_second_layer_does_not_drag(self) -> None:
        """A reflection lies over half of both pictures, at a place of its own in each."""
        source, destination, field = bent_pair("grid layer", 2.0)
        room = texture("grid room", 1, 3, SIZE[0], SIZE[1] + 30)
        mask = torch.zeros(SIZE, dtype=torch.float64)
        mask[20:100, 30:110] = 1.0
        for image, left in ((source, 0), (destination, 7)):
            image += 0.3 * mask * room[..., left : left + SIZE[1]]
        found = refine_grid(source.clamp(0, 1), destination.clamp(0, 1), EYE)
        assert found.success
        assert off(found.grid, field).median() < 0.15

    @pytest.mark.parametrize("parallax", [8, 12, 16])
    def test_oracle_ends_where_the_picture_does(self, parallax: int) -> None:
        """Beside a bent picture stands what is farther away, and moves by other pixels between the photos."""
        source, destination, field = bent_pair("grid picture", 2.0)
        room = texture("grid beside", 1, 3, SIZE[0], 100)
        one, two = (
            torch.cat((image, room[..., left : left + 58]), -1)
            for image, left in ((source, 0), (destination, parallax))
        )
        found = refine_grid(noisy(one, "one"), noisy(two, "two"), EYE, cells=(10, 16))
        assert found.success
        rows, columns = (torch.arange(n, dtype=torch.float64) for n in one.shape[-2:])
        moved = DisplacementGrid(found.grid, (one.shape[-2], one.shape[-1])).at(rows, columns)[0]
        inside = (moved[..., : SIZE[1]] - field).norm(dim=0)[6:-6, 6:-14]
        assert inside.median() < 0.08
        assert inside.quantile(0.95) < 0.2
        assert found.grid.norm(dim=1).max() <= 0.02 * math.hypot(*one.shape[-2:])
        assert (moved[..., -15:] == 0).all()
        assert (found.certainty[0, :, -5:] == 0).all()

    def test_cardinality_a_torn_item_leaves_the_others(self) -> None:
        source, destination, _ = bent_pair("grid untorn", 2.0)
        torn = destination.clone()
        torn[..., 100:] = destination[..., 100:].roll(12, -2)
        one, two = torch.cat((source, source)), torch.cat((torn, destination))
        both, alone = refine_grid(one, two, EYE), refine_grid(source, destination, EYE)
        torch.testing.assert_close(both.grid[1], alone.grid[0], rtol=0, atol=1e-9)
        assert both.grid[0].norm(dim=0).max() <= 0.02 * math.hypot(*SIZE)

    def test_oracle_nothing_seen_is_affine(self) -> None:
        source, destination, field = bent_pair("grid half seen", 2.0)
        valid = torch.zeros(1, 1, *SIZE, dtype=torch.bool)
        valid[..., :40] = True
        found = refine_grid(source, destination, EYE, valid)
        assert found.success
        assert (field_of(found.grid)[0, :, 10:-10, 5:35] - field[:, 10:-10, 5:35]).norm(dim=0).median() < 0.1
        unseen = field_of(found.grid)[0, :, :, -30:]
        y, x = torch.meshgrid(*(torch.arange(float(n), dtype=unseen.dtype) for n in unseen.shape[1:]), indexing="ij")
        affine = torch.stack((torch.ones_like(x), x, y), -1).flatten(0, 1)
        left = unseen.flatten(1).mT - affine @ torch.linalg.lstsq(affine, unseen.flatten(1).mT).solution
        assert left.norm(dim=1).max() < 0.4
        assert unseen.norm(dim=0).max() < 1.5 * field.norm(dim=0).max()
        assert (found.certainty[0, :, 4:] == 0).all()

    def test_oracle_shapes_go_on_where_nothing_is_seen(self) -> None:
        source, destination, field = bent_pair("grid half seen", 2.0)
        shape = refine_grid(*bent_pair("grid shape", 3.0)[:2], EYE).grid[0]
        valid = torch.zeros(1, 1, *SIZE, dtype=torch.bool)
        valid[..., :60] = True
        alone, shaped = (
            refine_grid(source, destination, EYE, valid, shapes=shapes, smoothness=10.0) for shapes in (None, shape)
        )
        errors = [(field_of(x.grid)[0] - field)[:, 10:-10, 70:-10].norm(dim=0).median() for x in (alone, shaped)]
        assert errors[1] < 0.15 < 2 * errors[0]
        hundred = refine_grid(source, destination, EYE, valid, shapes=100 * shape, smoothness=10.0)
        torch.testing.assert_close(hundred.grid, shaped.grid, rtol=0, atol=1e-6)  # in any unit

    def test_oracle_a_start_is_where_it_begins(self) -> None:
        source, destination, field = bent_pair("grid start", 8.0)
        near, far = (
            refine_grid(source, destination, EYE, levels=1, start=start, max_iterations=4)
            for start in (refine_grid(source, destination, EYE).grid, None)
        )
        assert off(near.grid, field).median() < 0.06
        assert off(far.grid, field).median() > 1.0

    @pytest.mark.parametrize("value", [NAN, torch.inf])
    def test_nan_in_start_and_shapes_counts_as_zero(self, value: float) -> None:
        source, destination, _ = bent_pair("grid nan start", 2.0)
        bad = torch.full((1, 2, 8, 8), value)
        found = refine_grid(source, destination, EYE, cells=(5, 5), start=bad, shapes=bad[0])
        torch.testing.assert_close(found, refine_grid(source, destination, EYE, cells=(5, 5)))

    def test_compile_with_start_and_shapes(self) -> None:
        source, destination, _ = bent_pair("grid compile", 2.0)
        options = {"cells": (5, 5), "levels": 1, "start": torch.rand(1, 2, 8, 8), "shapes": torch.rand(3, 8, 8)}

        def refine(one: Tensor, two: Tensor) -> Tensor:
            return refine_grid(one, two, EYE, **options).grid

        compiled = torch.compile(refine, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(compiled(source, destination), refine(source, destination))

    @given(seed=st.integers(0, 30), noise=st.floats(0.0, 0.02))
    def test_property_flat_pictures_stay_flat(self, seed: int, noise: float) -> None:
        picture = texture(f"grid flat {seed % 5}", 1, 3, *SIZE)
        one, two = noisy(picture, f"one {seed}", noise), noisy(0.7 * picture + 0.1, f"two {seed}", noise)
        found = refine_grid(one, two, EYE, levels=2)
        assert not found.success
        assert (found.grid == 0).all()

    @given(seed=st.integers(0, 30))
    def test_property_foreign_pictures_have_no_grid(self, seed: int) -> None:
        one, two = texture(f"grid one {seed}", 1, 3, *SIZE), texture(f"grid two {seed}", 1, 3, *SIZE)
        found = refine_grid(one, two, EYE)
        assert not found.success or found.agreement < 0.1

    def test_property_both_directions_agree(self) -> None:
        source, destination, _ = bent_pair("grid back", 2.0)
        forth = field_of(refine_grid(source, destination, EYE).grid)[0]
        back = field_of(refine_grid(destination, source, EYE).grid)
        y, x = (torch.arange(n, dtype=torch.float64) for n in SIZE)
        place = torch.stack(
            ((x + forth[0] + 0.5) * 2 / SIZE[1] - 1, (y[:, None] + forth[1] + 0.5) * 2 / SIZE[0] - 1), -1
        )
        returned = F.grid_sample(back, place[None], align_corners=False, padding_mode="border")[0]
        assert (forth + returned)[:, 8:-8, 8:-8].norm(dim=0).median() < 0.08

    def test_property_smoother_is_smoother(self) -> None:
        source, destination, _ = bent_pair("grid smooth", 3.0)
        grids = [refine_grid(source, destination, EYE, smoothness=s).grid for s in (0.1, 1000.0)]
        rough, smooth = (g.diff(n=2, dim=-1).square().mean() for g in grids)
        assert smooth < rough

    def test_nan_pixels_are_unknown(self) -> None:
        source, destination, field = bent_pair("grid nan", 2.0)
        source[:, 1, 20:50, 30:70] = NAN
        destination[..., 90:, :40] = torch.inf
        found = refine_grid(source, destination, EYE)
        assert found.success
        assert off(found.grid, field).median() < 0.1

    def test_nan_everywhere_is_the_identity(self) -> None:
        source, destination, _ = bent_pair("grid nan all", 2.0)
        H = torch.cat((EYE, EYE, EYE * NAN, EYE * 0, EYE))
        source = source.repeat(5, 1, 1, 1)
        source[1] = NAN
        source.requires_grad_()
        found = refine_grid(source, destination, H)
        assert found.success.tolist() == [True, False, False, False, True]
        assert (found.grid[1:4] == 0).all()
        assert (found.certainty[1:4] == 0).all()
        found.grid.square().sum().backward()
        assert source.grad is not None
        assert source.grad.isfinite().all()
        torch.testing.assert_close(found.grid[0], found.grid[4])


def test_bulge_is_what_it_says() -> None:
    assert bulge(2.0).norm(dim=0).max() == pytest.approx(2.0, abs=0.01)
