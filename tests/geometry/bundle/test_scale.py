"""The scale of right matches among wrong ones, against distributions that are known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from diar_ops.geometry._bundle.scale import MIN_SCALE, estimate_scales
from tests.harness import assert_close, generator

F64 = torch.float64
HALF = 200.0


def drawn(name: str, pairs: int, right: int, wrong: int, noise: float = 0.3) -> Tensor:
    """Return squared distances of right matches, and of wrong ones in a disc of the photo."""
    rng = generator(f"noise {name}")
    near = noise**2 * torch.randn(pairs, right, 2, generator=rng, dtype=F64).square().sum(-1)
    far = HALF**2 * torch.rand(pairs, wrong, generator=rng, dtype=F64)
    return torch.cat((near, far), 1)


def scales(squares: Tensor, batch: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    return estimate_scales(squares, torch.full((len(squares),), HALF, dtype=F64), batch)


@pytest.mark.parametrize("noise", [0.05, 0.3, 1.0, 4.0])
@pytest.mark.parametrize(("right", "wrong"), [(40, 0), (40, 40), (40, 160), (300, 0), (300, 1200)])
def test_scale_of_right_matches(right: int, wrong: int, noise: float) -> None:
    """As well as the number of right matches allows, whose share may be a fifth."""
    own, significant, typical = scales(drawn("crowd", 200, right, wrong, noise))
    assert significant.double().mean() > 0.99
    off = (own[significant] / noise).log()
    # The best estimate from right matches alone would scatter by 1 / (2 sqrt(n)).
    assert off.std() < 1.8 * 0.5 / right**0.5
    assert off.mean().abs() < 0.05
    assert_close(typical, torch.full_like(typical, noise), rtol=0.05)


def test_wrong_pairs_have_no_small_scale() -> None:
    own, significant, typical = scales(torch.cat((drawn("a", 30, 60, 140), drawn("b", 70, 0, 200))))
    assert significant[:30].all()
    assert not (significant & (own < 10))[30:].any()
    assert_close(typical, torch.full_like(typical, 0.3), rtol=0.1)


def test_small_pairs_are_measured_together() -> None:
    """Ten matches, six of them wrong, are not significant; 45 such pairs are."""
    _, significant, typical = scales(drawn("small", 45 * 20, 4, 6), batch=20)
    assert not significant.any()
    assert (typical / 0.3).log().abs().max() < 0.3


def test_few_exact_matches_are_not_the_noise() -> None:
    """Two equal photos among twenty, and some equal matches in every pair."""
    squares = drawn("equal", 45, 200, 100)
    squares[0] = 0
    squares[:, :9] = 0
    own, _, typical = scales(squares)
    assert own[0] <= MIN_SCALE
    assert_close(own[1:], torch.full((44,), 0.3, dtype=F64), rtol=0.2)
    assert_close(typical, torch.full_like(typical, 0.3), rtol=0.1)


def test_local_search_errs_near_by() -> None:
    """Wrong matches no farther than 5 px away are background, too."""
    rng = generator("noise local")
    squares = torch.cat((drawn("local", 100, 150, 0), 25 * torch.rand(100, 350, generator=rng, dtype=F64)), 1)
    own, significant, _ = scales(squares)
    assert significant.all()
    assert (own / 0.3).log().abs().max() < 0.3


def test_nothing_to_measure() -> None:
    for squares in (torch.empty(0, 5), torch.empty(3, 0), torch.full((3, 5), torch.inf)):
        own, significant, typical = scales(squares.to(F64))
        assert own.isinf().all()
        assert not significant.any()
        assert typical.isfinite().all()
