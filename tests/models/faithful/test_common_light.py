"""The light common to all frames follows from a set of them, whatever their order and number."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from diar_ops.models import GRID
from diar_ops.models.faithful.common_light import CommonLight
from tests.harness import assert_close, generator


def network() -> CommonLight:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return CommonLight(16).double()


def relative(name: str, batch: int, count: int) -> Tensor:
    """Log factors (B, T, 3, 8, 8) less their mean over frames."""
    shape = (batch, count, 3, GRID, GRID)
    logs = 0.3 * torch.randn(shape, generator=generator(name), dtype=torch.float64)
    return logs - logs.mean(1, keepdim=True) if count > 1 else logs


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("count", [1, 2, 10, 50])
@torch.no_grad()
def test_any_number_of_frames(batch: int, count: int) -> None:
    logs = relative("numbers", batch, count)
    result = network()(logs)
    assert result.shape == (batch, 3, GRID, GRID)
    assert result.isfinite().all()
    everything = torch.ones(batch, count, dtype=torch.bool)
    assert_close(network()(logs, everything), result)


@pytest.mark.parametrize("masked", [False, True])
@torch.no_grad()
def test_order_does_not_matter(masked: bool) -> None:
    logs = relative("order", 2, 7)
    seen = torch.rand(2, 7, generator=generator("seen")) < 0.7 if masked else None
    order = torch.randperm(7, generator=generator("permutation"))
    result = network()(logs[:, order], None if seen is None else seen[:, order])
    assert_close(result, network()(logs, seen))


@torch.no_grad()
def test_every_frame_is_seen() -> None:
    logs = relative("influence", 1, 4)
    before = network()(logs)
    for t in range(4):
        changed = logs.clone()
        changed[:, t] += 0.2
        assert (network()(changed) - before).abs().max() > 1e-5


@pytest.mark.parametrize("filler", [0.0, 100.0, -100.0])
@torch.no_grad()
def test_frames_that_do_not_count_have_no_influence(filler: float) -> None:
    logs = relative("unseen", 2, 3)
    more = torch.full((2, 5, 3, GRID, GRID), filler, dtype=torch.float64)
    more[:, [0, 2, 3]] = logs
    seen = torch.tensor([[True, False, True, True, False]]).expand(2, 5)
    assert_close(network()(more, seen), network()(logs))


@torch.no_grad()
def test_none_counts_at_all() -> None:
    """What is estimated then does not depend on the frames, nor on how many there are."""
    one, other = relative("none", 1, 3), relative("none either", 1, 4)
    result = [network()(x, torch.zeros(x.shape[:2], dtype=torch.bool)) for x in (one, other)]
    assert result[0].isfinite().all()
    assert torch.equal(*result)


@torch.no_grad()
def test_batch_items_do_not_see_each_other() -> None:
    logs, seen = relative("items", 3, 4), torch.ones(3, 4, dtype=torch.bool)
    seen[0, 1] = False
    before = network()(logs, seen)
    assert_close(network()(logs[:1], seen[:1]), before[:1])
    logs[1] += 0.3
    change = (network()(logs, seen) - before).abs().flatten(1).amax(1)
    assert change[1] > 1e-4
    assert change[0] == change[2] == 0


def test_gradients_reach_everything_that_counts() -> None:
    built, logs = network(), relative("gradients", 2, 4).requires_grad_()
    seen = torch.tensor([[True, True, False, True], [True] * 4])
    built(logs, seen).square().sum().backward()
    for name, parameter in built.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name
    assert logs.grad is not None
    assert logs.grad.isfinite().all()
    reached = logs.grad.flatten(2).any(dim=2)
    assert torch.equal(reached, seen)


def test_derivatives() -> None:
    built, logs = network(), relative("gradcheck", 1, 3).requires_grad_()
    seen = torch.tensor([[True, False, True]])
    assert torch.autograd.gradcheck(lambda x: built(x, seen), (logs,), fast_mode=True)


def test_it_can_learn_what_sequences_have_in_common() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        built = CommonLight(32)
    logs = relative("to learn from", 6, 4).float()
    common = 0.2 * torch.randn(6, 3, GRID, GRID, generator=generator("to learn"))
    optimiser = torch.optim.Adam(built.parameters(), lr=3e-3)
    losses = []
    for _ in range(60):
        optimiser.zero_grad()
        loss = (built(logs) - common).square().mean()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    # What is said of all alike would not do.
    assert losses[-1] < 0.1 * common.var(0).mean().item() < losses[0]
