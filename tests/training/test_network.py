"""The network that options ask for, with the weights that a seed or a file gives."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from diar_ops import OptionError, WeightsError
from diar_ops.models import save_pretrained
from diar_ops.training import RestorationConfig
from diar_ops.training.restoration.task import initial_network

SMALL = ("channels=(4, 8)", "blocks=(0, 0)", "decoder_blocks=(0, 0)")


def test_options_of_the_network() -> None:
    network = initial_network(
        RestorationConfig(options=(*SMALL, "heads=2", "aggregation=embedded_mean", "window=(None, 2, 3)"))
    )
    config = network.config
    assert (config.channels, config.heads, config.window) == ((4, 8), 2, (None, 2, 3))
    assert config.aggregation == "embedded_mean"


def test_a_seed_is_a_network_and_leaves_other_random_numbers_alone() -> None:
    before = torch.get_rng_state()
    weights = [
        next(initial_network(RestorationConfig(network="DeepResidualSets", options=SMALL, seed=seed)).parameters())
        for seed in (0, 0, 1)
    ]
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_weights_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    trained = initial_network(RestorationConfig(network="DeepResidualSets", options=SMALL, seed=5))
    save_pretrained(trained, path)
    network = initial_network(RestorationConfig(network="DeepResidualSets", options=SMALL, initial=str(path)))
    for one, other in zip(network.parameters(), trained.parameters(), strict=True):
        assert torch.equal(one, other)
    with pytest.raises(WeightsError, match="of another network than DIAR with these options"):
        initial_network(RestorationConfig(network="DIAR", options=SMALL, initial=str(path)))
    with pytest.raises(WeightsError):
        initial_network(RestorationConfig(network="DIAR", options=SMALL, initial=str(tmp_path / "missing.safetensors")))


@pytest.mark.parametrize(
    ("network", "options", "words"),
    [
        ("ResNet", (), "--network must be one of DeepResidualSets, DIAR"),
        ("DIAR", ("depth",), "NAME=VALUE with a name among channels, "),
        ("DIAR", ("width=3",), "got width=3"),
        ("DIAR", ("depth=0",), "a depth from 1 to"),
        ("DIAR", ("aggregation=median",), "an aggregation among"),
    ],
)
def test_what_does_not_exist_is_named(network: str, options: tuple[str, ...], words: str) -> None:
    with pytest.raises(OptionError) as caught:
        initial_network(RestorationConfig(network=network, options=options))
    assert words in str(caught.value)
