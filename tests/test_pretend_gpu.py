"""The pretended GPU counts what a real one would do, and refuses what it would refuse."""

from __future__ import annotations

import pytest
import torch

from tests.pretend_gpu import GPU, pretend_gpu


def test_values_and_gradients_are_true() -> None:
    values = torch.tensor([[1.0, -2.0], [3.0, 4.0]])
    with pretend_gpu() as work:
        x = values.to(GPU).requires_grad_()
        loss = (x * x + torch.zeros(2, device=GPU)).sum()
        loss.backward()
        assert x.device == x.grad.device == loss.device == GPU
        assert torch.equal(x.grad.cpu(), 2 * values)
        assert loss.item() == 30
        assert work.copies.total() == 1
        assert work.waits.total() == 2  # .cpu() and .item()


def test_counts() -> None:
    with pretend_gpu() as work:
        x = torch.arange(6.0, device=GPU)
        assert (work.kernels.total(), work.waits.total(), work.copies.total()) == (1, 0, 0)
        for expression, kernels, waits, copies in (
            (lambda: x.view(2, 3).mT[1:], 0, 0, 0),
            (lambda: x + 1, 1, 0, 0),
            (lambda: torch.tensor([1.0], device=GPU), 0, 0, 1),
            (lambda: x.new_tensor([1.0]), 0, 0, 1),
            (lambda: x[x > 2], 2, 1, 0),
            (lambda: x.clone().masked_fill_(x > 2, 0.0), 3, 0, 0),
            (lambda: x[[0, 2]], 1, 0, 1),
            (lambda: bool((x > 2).any()), 3, 1, 0),
            (lambda: x.tolist(), 1, 1, 0),
            (lambda: torch.linalg.inv(torch.eye(3, device=GPU)), 4, 1, 0),
        ):
            work.clear()
            expression()
            assert (work.waits.total(), work.copies.total()) == (waits, copies)
            assert work.kernels.total() <= kernels + 1


def test_written_in_place() -> None:
    with pretend_gpu():
        x = torch.zeros(2, 3, device=GPU)
        x[1] = 5
        x[:, 2] += 1
        x[x > 5] = 0.0
        assert x.tolist() == [[0, 0, 1], [5, 5, 0]]


def test_what_a_device_refuses() -> None:
    with pretend_gpu():
        x = torch.ones(3, device=GPU)
        with pytest.raises(RuntimeError, match="one device"):
            x + torch.ones(3)
        with pytest.raises(RuntimeError, match="generator"):
            torch.rand(3, device=GPU, generator=torch.Generator())
        with pytest.raises(TypeError, match="numpy"):
            x.numpy()
        assert (x + torch.tensor(1.0)).tolist() == [2, 2, 2]


def test_generators_of_the_device() -> None:
    expected = torch.rand(3, generator=torch.Generator().manual_seed(5))
    with pretend_gpu():
        rng = torch.Generator(GPU).manual_seed(5)
        assert rng.device == GPU
        assert isinstance(rng, torch.Generator)
        assert torch.equal(torch.rand(3, device=GPU, generator=rng).cpu(), expected)
