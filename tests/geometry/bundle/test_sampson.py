"""The derivatives of the joint adjustment, against autograd in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from diar_ops import undistort_points
from diar_ops.geometry._bundle import sampson
from diar_ops.geometry._bundle.levenberg import DISTORTION_PRIOR, State, assemble
from diar_ops.geometry._bundle.pairs import Pairs
from diar_ops.geometry._bundle.projection import LensNormalization, project
from diar_ops.geometry._bundle.sampson import pair_terms, robust_cost, squared_distances
from tests.harness import assert_close, generator

F64 = torch.float64
SCALE = torch.tensor([0.01, 0.012, 0.009], dtype=F64)
REACH = torch.tensor([60.0, 50.0, 90.0], dtype=F64)


def some_pairs(name: str, *, with_lens: bool, number: int = 30) -> tuple[Pairs, Tensor]:
    """Three pairs of three frames, strongly tilted, with errors of all sizes up to the reach."""
    rng = generator(f"sampson {name}")

    def randn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=rng, dtype=F64)

    homography = torch.eye(3, dtype=F64) + 0.2 * randn(3, 3, 3)
    homography[:, 2, :2] *= 0.5
    homography[:, 2, 2] = 1
    points = 1.2 * (torch.rand(3, 2, number, generator=rng, dtype=F64) - 0.5)
    lens = LensNormalization(torch.tensor([1.7, 1.9, 2.1], dtype=F64), 0.1 * randn(3, 2))
    weight = torch.rand(3, number, generator=rng, dtype=F64)
    weight[0, :5] = 0
    return (
        Pairs(
            torch.tensor([0, 1, 2]),
            torch.tensor([1, 2, 0]),
            points,
            points + 0.05 * randn(3, 2, number),
            weight,
            SCALE,
            lens if with_lens else None,
        ),
        homography,
    )


def full(entries: Tensor) -> Tensor:
    return torch.cat((entries, torch.ones(3, 1, dtype=F64)), 1).view(3, 3, 3)


@pytest.mark.parametrize("with_lens", [False, True], ids=["pinhole", "lens"])
class TestDerivatives:
    def test_gradient(self, with_lens: bool) -> None:
        pairs, homography = some_pairs("gradient", with_lens=with_lens)
        k = torch.tensor(-0.1, dtype=F64, requires_grad=True)
        entries = homography.flatten(1)[:, :8].clone().requires_grad_()
        squares = squared_distances(pairs, full(entries), k.expand(3))
        cost = robust_cost(squares.nan_to_num(posinf=1e9), pairs.weight, REACH).sum()
        slope, by_k = torch.autograd.grad(cost, (entries, k), allow_unused=True)
        terms = pair_terms(pairs, homography, k.detach().expand(3), REACH)
        state = State(homography[None], k.detach()[None], torch.zeros(1, dtype=torch.int64))
        free = torch.ones(1, 25, dtype=torch.bool)
        system = assemble(terms, pairs, state.distortion, free)
        assert_close(terms.cost.sum(), cost.detach())
        assert_close(system.gradient[0, :24].view(3, 8), slope)
        if with_lens:
            assert by_k is not None
            assert_close(terms.lens_gradient.sum(), by_k)
            assert by_k.abs() > 1e-3

    def test_jacobian(self, with_lens: bool) -> None:
        """The normal matrix is J^T W J of the Jacobian that autograd finds, W held constant."""
        pairs, homography = some_pairs("jacobian", with_lens=with_lens)
        k = torch.tensor([-0.1], dtype=F64)

        def residual(entries: Tensor, distortion: Tensor) -> Tensor:
            h, distortion = full(entries), distortion.expand(3)
            sides = (
                project(points, index, h, SCALE, pairs.lens, distortion)
                for points, index in ((pairs.points0, pairs.first), (pairs.points1, pairs.second))
            )
            a, b = sides
            return torch.stack((a.qx - b.qx, a.qy - b.qy), -1)  # [3, N, 2]

        entries = homography.flatten(1)[:, :8]
        by_h, by_k = torch.autograd.functional.jacobian(residual, (entries, k))
        columns = torch.cat((by_h.flatten(-2), by_k), -1)  # [3, N, 2, 25]
        sides = [
            project(points, index, homography, SCALE, pairs.lens, k.expand(3)).by_pixel
            for points, index in ((pairs.points0, pairs.first), (pairs.points1, pairs.second))
        ]
        g = [torch.stack(s, -1).unflatten(-1, (2, 2)) for s in sides]
        covariance = g[0] @ g[0].mT + g[1] @ g[1].mT
        squares = squared_distances(pairs, homography, k.expand(3))
        near = (1 - squares / REACH[:, None] ** 2).clamp_min(0)
        weight = pairs.weight * 3 * near**2 / REACH[:, None] ** 2
        weights = weight[..., None, None] * torch.linalg.inv(covariance)
        expected = torch.einsum("pnai,pnab,pnbj->ij", columns, weights, columns)
        terms = pair_terms(pairs, homography, k.expand(3), REACH)
        free = torch.ones(1, 25, dtype=torch.bool)
        normal = assemble(terms, pairs, k, free).normal[0]
        normal[24, 24] -= DISTORTION_PRIOR
        assert_close(normal, expected, rtol=1e-9, atol=1e-12)

    def test_image_of_a_pixel(self, with_lens: bool) -> None:
        """G is the derivative of the position in the reference by the photo's pixels."""
        pairs, homography = some_pairs("pixels", with_lens=with_lens)
        k = torch.full((3,), -0.1, dtype=F64)
        unit = SCALE / pairs.lens.gain if pairs.lens is not None else SCALE
        step = 1e-6 * unit[:, None]
        for axis in range(2):
            moved = [pairs.points0.clone() for _ in range(2)]
            moved[0][:, axis] += step
            moved[1][:, axis] -= step
            plus, minus = (project(m, pairs.first, homography, SCALE, pairs.lens, k) for m in moved)
            result = project(pairs.points0, pairs.first, homography, SCALE, pairs.lens, k).by_pixel
            assert_close(result[axis], (plus.qx - minus.qx) / 2e-6, rtol=1e-5, atol=1e-8)
            assert_close(result[2 + axis], (plus.qy - minus.qy) / 2e-6, rtol=1e-5, atol=1e-8)


def test_lens_is_that_of_undistort_points() -> None:
    """gain and shift of a lens as the adjustment sets them undistort as the public function."""
    size, k = (240, 320), torch.tensor(-0.09, dtype=F64)
    half, centre = 200.0, torch.tensor([159.5, 119.5], dtype=F64)
    points = torch.rand(1, 7, 2, generator=generator("lens"), dtype=F64) * 200
    lens = LensNormalization(torch.tensor([half], dtype=F64), centre[None])
    index, eye = torch.zeros(1, dtype=torch.int64), torch.eye(3, dtype=F64)[None]
    own = (points - centre).mT / half
    projected = project(own, index, eye, torch.ones(1, dtype=F64), lens, k[None])
    expected = undistort_points(points, k, size=size).points
    assert_close(torch.stack((projected.qx, projected.qy), -1), expected)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs, homography = some_pairs("chunks", with_lens=True)
    k = torch.full((3,), 0.05, dtype=F64)
    whole = pair_terms(pairs, homography, k, REACH)
    monkeypatch.setattr(sampson, "_CHUNK", 1)
    for a, b in zip(pair_terms(pairs, homography, k, REACH), whole, strict=True):
        assert_close(a, b)


def test_swapping_the_frames_of_a_pair_changes_no_distance() -> None:
    pairs, homography = some_pairs("swap", with_lens=True)
    k = torch.full((3,), 0.05, dtype=F64)
    swapped = pairs._replace(first=pairs.second, second=pairs.first, points0=pairs.points1, points1=pairs.points0)
    expected = squared_distances(pairs, homography, k)
    assert_close(squared_distances(swapped, homography, k), expected)


def test_points_behind_the_horizon_do_not_count() -> None:
    pairs, homography = some_pairs("horizon", with_lens=False)
    homography[0, 2] = torch.tensor([2.0, 0.0, 1.0])  # w = 0 at x = -0.5
    behind = 1 + 2 * pairs.points0[0, 0] <= 0.05
    assert behind.any()
    assert not behind.all()
    squares = squared_distances(pairs, homography, REACH)
    assert squares[0][behind].isinf().all()
    terms = pair_terms(pairs, homography, REACH, REACH)
    without = pairs._replace(weight=pairs.weight.clone())
    without.weight[0, behind] = 0
    expected = pair_terms(without, homography, REACH, REACH)
    assert_close(terms.normal, expected.normal)
    assert_close(terms.gradient, expected.gradient)
    lost = pairs.weight[0][behind].sum() / 2
    assert_close(terms.cost.sum() - expected.cost.sum(), lost)
