"""The config validates itself, and comes back from a file."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from diar_ops import OptionError
from diar_ops.models import FaithfulDIAR, FaithfulDIARConfig, load_pretrained, save_pretrained
from tests.models.faithful.small import SMALL, network
from tests.models.restorers import sequence


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("whole_channels", 0, "a positive integer"),
        ("whole_blocks", True, "a positive integer"),
        ("context_channels", 1.5, "a positive integer"),
        ("channels", -8, "a positive integer"),
        ("blocks", None, "a positive integer"),
        ("heads", "4", "a positive integer"),
        ("common_channels", 0, "a positive integer"),
        ("channels", 63, "an even number"),
        ("channels", 66, "a number that 4 heads divide"),
        ("whole_channels", 98, "a number that 4 heads divide"),
        ("window", 4, "(frames or None, rows, columns)"),
        ("window", [None, 4, 4], "(frames or None, rows, columns)"),
        ("window", (None, 4), "(frames or None, rows, columns)"),
        ("window", (2, 0, 4), "(frames or None, rows, columns)"),
        ("window", (2, None, 4), "(frames or None, rows, columns)"),
        ("window", (True, 4, 4), "(frames or None, rows, columns)"),
    ],
)
def test_config_validates_itself(field: str, value: Any, expected: str) -> None:
    with pytest.raises(OptionError) as error:
        FaithfulDIARConfig(**{field: value})
    assert f"FaithfulDIARConfig.{field}: expected {expected}" in str(error.value)


@pytest.mark.parametrize("window", [(None, 2, 2), (3, 2, 4)])
def test_a_file_gives_the_network_back(tmp_path: Any, window: tuple[int | None, int, int]) -> None:
    config = FaithfulDIARConfig(**{**vars(SMALL), "window": window})
    built = network(config).float()
    save_pretrained(built, tmp_path / "net.safetensors")
    loaded = load_pretrained(tmp_path / "net.safetensors")
    assert isinstance(loaded, FaithfulDIAR)
    assert loaded.config == config
    frames, valid = sequence("file", 1, 2, 9, 9)
    for one, other in zip(loaded(frames.float(), valid), built(frames.float(), valid), strict=True):
        assert torch.equal(one, other)
