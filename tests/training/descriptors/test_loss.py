"""The loss is least where the matches that the library makes of the descriptors are right."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diar_ops import FeatureMap, match_dense, match_local
from diar_ops.training.descriptors.loss import COARSE_TEMPERATURE, cell_centres, coarse_loss, fine_loss, matching_loss
from tests.harness import assert_close, generator
from tests.training.descriptors.tiny import tiny_network

SHIFT = (8.0, -16.0)


def shifted(x: float, y: float, batch: int = 1) -> Tensor:
    H = torch.eye(3, dtype=torch.float64).repeat(batch, 1, 1)
    H[:, 0, 2], H[:, 1, 2] = x, y
    return H


def feature_map(descriptors: Tensor, stride: int = 8) -> FeatureMap:
    offset = (stride - 1) / 2
    valid = torch.ones(len(descriptors), *descriptors.shape[-2:], dtype=torch.bool)
    return FeatureMap(F.normalize(descriptors, dim=1), (float(stride),) * 2, (offset, offset), valid)


def everything(batch: int = 1, side: int = 64) -> Tensor:
    return torch.ones(batch, 1, side, side, dtype=torch.bool)


def test_cell_centres() -> None:
    centres = cell_centres(feature_map(torch.ones(1, 1, 2, 3)))
    assert centres.tolist() == [
        [3.5, 3.5], [11.5, 3.5], [19.5, 3.5], [3.5, 11.5], [11.5, 11.5], [19.5, 11.5]
    ]  # fmt: skip


def test_coarse_loss_of_a_true_shift_is_least() -> None:
    features = torch.randn(2, 64, 8, 8, generator=generator("coarse"))
    moved = features.roll((-2, 1), dims=(2, 3))  # by two rows up, one column to the right
    maps = feature_map(features), feature_map(moved)
    seen = everything(2)
    true = coarse_loss(*maps, seen, seen, shifted(*SHIFT, batch=2))
    for x, y in ((0.0, 0.0), (16.0, -16.0), (-8.0, 16.0)):
        assert coarse_loss(*maps, seen, seen, shifted(x, y, batch=2)) > true + 5
    matches = match_dense(*maps)
    right = (matches.points1 - matches.points0 == torch.tensor(SHIFT)).all(dim=-1) & matches.valid
    assert right.sum() == 2 * 6 * 7


def test_oracle_coarse_loss_of_hard_targets() -> None:
    """On exact cells most of the weight lies on one cell, whose chance is that of a softmax."""
    features = torch.randn(1, 16, 4, 4, generator=generator("oracle coarse"))
    other = features + 0.3 * torch.randn(1, 16, 4, 4, generator=generator("oracle noise"))
    maps = feature_map(features), feature_map(other)
    seen = everything(side=32)
    logits = maps[0].descriptors.flatten(2)[0].T @ maps[1].descriptors.flatten(2)[0]
    logits = (logits / COARSE_TEMPERATURE).double()
    at = torch.arange(16)
    d = (at[:, None] // 4 - at // 4).square() + (at[:, None] % 4 - at % 4).square()
    target = (-0.5 * d / 0.45**2).double().softmax(dim=1)
    expected = sum(-(target * x.log_softmax(dim=1)).sum(dim=1).mean() for x in (logits, logits.T))
    assert_close(coarse_loss(*maps, seen, seen, shifted(0, 0)).double(), expected, rtol=1e-4)


def test_what_the_other_image_does_not_show_does_not_count() -> None:
    features = torch.randn(1, 32, 8, 8, generator=generator("hidden"))
    spoiled = features.clone()
    spoiled[..., :3] = torch.randn(1, 32, 8, 3, generator=generator("spoiled"))
    seen = everything()
    hidden = seen.clone()
    hidden[..., :24] = False
    clean = coarse_loss(feature_map(features), feature_map(features), seen, hidden, shifted(0, 0))
    actual = coarse_loss(feature_map(features), feature_map(spoiled), seen, hidden, shifted(0, 0))
    assert abs(float(actual - clean)) < 0.1
    shown = coarse_loss(feature_map(features), feature_map(spoiled), seen, seen, shifted(0, 0))
    assert shown > actual + 1


def test_nothing_in_common_is_no_loss() -> None:
    features = torch.randn(1, 8, 8, 8, generator=generator("apart")).requires_grad_()
    maps = feature_map(features), feature_map(features.flip(3))
    away = shifted(1000, 0)
    loss = coarse_loss(*maps, everything(), everything(), away)
    loss = loss + fine_loss(*maps, everything(), everything(), away, radius=2, step=1)
    loss.backward()
    assert loss == 0
    assert features.grad is not None
    assert features.grad.isfinite().all()


@pytest.mark.parametrize(("radius", "step"), [(3, 1), (4, 2)])
def test_fine_loss_leads_to_what_match_local_finds(radius: int, step: int) -> None:
    """Descriptors that minimise it put the peak where the homography says, between cells, too."""
    base = torch.randn(1, 64, 16, 16, generator=generator("fine")) * 0.1
    truth = shifted(2.6, -1.0)
    seen = everything(side=32)
    first, second = base.clone().requires_grad_(), base.clone().requires_grad_()
    optimizer = torch.optim.Adam([first, second], lr=0.03)
    for _ in range(250):
        loss = fine_loss(feature_map(first, 2), feature_map(second, 2), seen, seen, truth, radius=radius, step=step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    matches = match_local(feature_map(first.detach(), 2), feature_map(second.detach(), 2), radius=radius, step=step)
    moved = (matches.points1 - matches.points0)[matches.valid]
    assert len(moved) > 20
    assert (moved.median(dim=0).values - torch.tensor([2.6, -1.0])).abs().max() < 0.3


@pytest.mark.parametrize("near", [(True, False), (False, False), (True, True)])
def test_every_parameter_learns(near: tuple[bool, bool]) -> None:
    network: nn.Module = tiny_network().train()
    images = torch.rand(2, 3, 48, 48, generator=generator("learns"))
    batch = {
        "image0": images,
        "image1": images.roll(2, dims=3),
        "visible0": everything(2, 48),
        "visible1": everything(2, 48),
        "homography_1_0": shifted(2, 0, batch=2),
        "near": torch.tensor(near),
    }
    loss = matching_loss(network, batch)
    loss.backward()
    assert loss > 0
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
