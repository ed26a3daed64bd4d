"""Loaded weights are float32 and exact, whatever the default dtype of the process is."""

from __future__ import annotations

import pytest
import torch

from diar_ops import load_pretrained


@pytest.mark.parametrize("name", ["diar", "dual"])
@pytest.mark.parametrize("other", [torch.float64, torch.bfloat16])
def test_loaded_weights_are_float32(name: str, other: torch.dtype) -> None:
    expected = load_pretrained(name).state_dict()
    torch.set_default_dtype(other)
    try:
        actual = load_pretrained(name).state_dict()
    finally:
        torch.set_default_dtype(torch.float32)
    for key, value in expected.items():
        assert actual[key].dtype == value.dtype
        assert torch.equal(actual[key], value), key
