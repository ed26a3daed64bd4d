"""DIAR: the paper's aggregations between encoder and decoder, and its options."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from diar_ops import DIAR, DeepResidualSetsConfig, DIARConfig, OptionError
from tests.harness import assert_close
from tests.models.restorers import CONFIGS, NAN, network, sequence


@pytest.mark.parametrize("order", [[0, 2, 1, 3], [1, 0]])
def test_a_temporal_window_sees_the_order(order: list[int]) -> None:
    """Which frames share a window, and, where the attention knows the time, in which order."""
    frames, _ = sequence("order in windows", 1, len(order), 8, 8)
    built = network("two frames a window")
    assert (built(frames[:, order]).image - built(frames).image).abs().max() > 1e-6


@pytest.mark.parametrize("name", ["softmax", "embedded mean"])
def test_oracle_aggregation(name: str) -> None:
    """The paper's formulas over the embeddings x and what the attention makes of them, y."""
    built = network(name)
    assert isinstance(built, DIAR)
    assert built.attention is not None
    frames, _ = sequence("aggregation", 2, 3, 8, 12)
    planes = torch.cat((frames - 0.5, torch.ones_like(frames[:, :, :1])), dim=2)
    x = torch.stack([built.encoder(planes[:, t]) for t in range(3)], dim=1)
    y = x
    for block in built.attention.get_submodule("blocks").children():
        y = block(y)
    merged = (y.softmax(dim=1) * x).sum(dim=1) if name == "softmax" else y.mean(dim=1)
    assert_close(built(frames).image, built.decoder(merged).sigmoid())


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("channels", (), "channels to be a tuple of 1 to 6"),
        ("channels", [24, 48, 64], "channels to be a tuple of 1 to 6"),
        ("channels", (24, 0, 64), "channels to be a tuple of 1 to 6"),
        ("channels", (1,) * 7, "channels to be a tuple of 1 to 6"),
        ("blocks", (1, 1), "blocks to be a tuple of 3"),
        ("blocks", (1, -1, 1), "blocks to be a tuple of 3"),
        ("decoder_blocks", (1, True, 1), "decoder_blocks to be a tuple of 3"),
        ("aggregation", "median", "an aggregation among"),
        ("aggregation", ["mean"], "an aggregation among"),
        ("window", (None, 4), "a window"),
        ("window", (2, 0, 4), "a window"),
        ("window", 4, "a window"),
        ("depth", 0, "a depth from 1 to"),
        ("heads", 5, "heads that divide 64 channels"),
        ("heads", 0, "heads that divide 64 channels"),
        ("mlp_ratio", NAN, "a positive mlp_ratio"),
        ("mlp_ratio", "2", "a positive mlp_ratio"),
        ("temporal_bias", 1, "temporal_bias to be True or False"),
        ("temporal_bias", True, "a window of a number of frames"),
    ],
)
def test_configs_validate_themselves(field: str, value: object, expected: str) -> None:
    with pytest.raises(OptionError, match=f"DIARConfig: expected {expected}"):
        DIARConfig(**{field: value})  # type: ignore[arg-type]


def test_config_comes_back() -> None:
    config = DIARConfig(window=(5, 4, 4), aggregation="embedded_mean")
    assert DIAR(config).config == config
    assert DIAR().config == DIARConfig()
    assert "window=(5, 4, 4)" in repr(DIAR(config))
    assert [DeepResidualSetsConfig((8,) * n, (1,) * n, (1,) * n).stride for n in (1, 3, 4)] == [
        1, 4, 8,
    ]  # fmt: skip


def test_checkpoint_saves_memory_and_changes_nothing() -> None:
    torch.manual_seed(0)
    config = CONFIGS["softmax"]
    assert isinstance(config, DIARConfig)
    plain = DIAR(config).double()
    lean = DIAR(config, checkpoint=True).double()
    lean.load_state_dict(plain.state_dict())
    frames, valid = sequence("checkpoint", 1, 3, 8, 8)
    gradients: list[list[Tensor | None]] = []
    kept: list[int] = []
    for built in (plain, lean):
        sizes: list[int] = []

        def pack(tensor: Tensor, sizes: list[int] = sizes) -> Tensor:
            sizes.append(tensor.nbytes)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            loss = built(frames, valid).image.square().sum()
        kept.append(sum(sizes))
        loss.backward()
        gradients.append([p.grad for p in built.parameters()])
    assert kept[1] < kept[0]
    for one, other in zip(*gradients, strict=True):
        assert one is not None
        assert_close(other, one)
