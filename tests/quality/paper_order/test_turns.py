"""Networks that take turns see the same items, and can be killed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.quality.paper_order import turns
from benchmarks.quality.paper_order.evaluation import trained_steps
from benchmarks.quality.paper_order.plan import NETWORKS, training_options
from benchmarks.quality.paper_order.turns import SharedItems, train_by_turns, weights_file
from diar_ops.training import RestorationConfig, RestorationTask
from diar_ops.training.checkpoint import load_checkpoint
from diar_ops.training.restoration.task import initial_network

SEEDS = (0, 1)


@pytest.fixture(autouse=True)
def short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "TURN", 2)
    monkeypatch.setattr(RestorationTask, "plot", lambda *a: None)


def tiny_options(network: str, seed: int) -> RestorationConfig:
    chosen = training_options(network, seed, textures=None, pool=None, steps=3)
    sizes: dict[str, Any] = {"sizes": (16,), "sequences": (4,), "size_shares": (), "crops": (12,), "held_out": 0.25}
    return replace(chosen, **sizes, frames=(2, 3), pool_frames=3, batch=2, validate=1, validate_every=2, warmup=0)


def states(out: Path, networks: list[str]) -> dict[str, Any]:
    return {
        f"{n}-{s}": load_checkpoint(turns.run_folder(out, n, s) / "checkpoint.pt").mean for n in networks for s in SEEDS
    }


def test_networks_have_equal_parameters() -> None:
    counts = {
        name: sum(p.numel() for p in initial_network(training_options(name, 0, textures=None, pool=None)).parameters())
        for name in NETWORKS
    }
    least = min(counts.values())
    assert all(count <= 1.05 * least for count in counts.values()), counts


def test_networks_of_a_seed_differ_in_the_network_alone() -> None:
    options = [training_options(name, 1, textures=None, pool=None) for name in NETWORKS]
    assert len({replace(o, network="DIAR", options=()).to_json() for o in options}) == 1
    assert len({(o.network, o.options) for o in options}) == len(NETWORKS)


def test_items_are_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Counting:
        sequences = 5

        def __init__(self) -> None:
            self.made: list[tuple[int, int]] = []

        def __getitem__(self, index: tuple[int, int]) -> dict[str, torch.Tensor]:
            self.made.append(index)
            return {"value": torch.tensor(index)}

    counting = Counting()
    items = SharedItems(counting)
    assert items.sequences == 5
    for _ in range(3):
        assert items[2, 1]["value"].tolist() == [2, 1]
    assert counting.made == [(2, 1)]
    items.forget()
    items[2, 1]
    assert counting.made == [(2, 1), (2, 1)]


def test_a_killed_study_goes_on_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    networks = ["softmax-2", "deep-residual-sets"]
    assert train_by_turns(tmp_path / "straight", tiny_options, networks=networks, seeds=SEEDS)
    said = capsys.readouterr().err.splitlines()
    order = [next(w for w in line.split() if w in networks) + line.partition(": step ")[2][0] for line in said]
    # All of them are as far before any goes on.
    assert order == [f"{n}{step}" for step in (2, 3) for _ in SEEDS for n in networks]

    step = turns.Trainer._step
    calls = 0

    def die(self: Any, batch: Any) -> float:
        nonlocal calls
        calls += 1
        if calls == 6:
            raise RuntimeError("killed")
        return step(self, batch)

    monkeypatch.setattr(turns.Trainer, "_step", die)
    with pytest.raises(RuntimeError, match="killed"):
        train_by_turns(tmp_path / "killed", tiny_options, networks=networks, seeds=SEEDS)
    monkeypatch.setattr(turns.Trainer, "_step", step)
    assert train_by_turns(tmp_path / "killed", tiny_options, networks=networks, seeds=SEEDS)
    straight, killed = (states(tmp_path / name, networks) for name in ("straight", "killed"))
    for name, state in straight.items():
        assert all(torch.equal(value, killed[name][key]) for key, value in state.items()), name
    assert trained_steps(weights_file(tmp_path / "straight", "softmax-2", 0)) == 3
    # What is done is not done again.
    capsys.readouterr()
    assert train_by_turns(tmp_path / "straight", tiny_options, networks=networks, seeds=SEEDS)
    assert not capsys.readouterr().err
