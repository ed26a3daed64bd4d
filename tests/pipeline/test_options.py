"""AlignOptions checks itself, and its defaults are those of align_sequence."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import pytest
import torch

from diar_ops import AlignOptions, OptionError, align_sequence
from tests import photos
from tests.harness import tensors_of


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"matching_size": 31}, "matching_size >= 32, got 31"),
        ({"refinement_size": 0}, "refinement_size >= 32, got 0"),
        ({"scales": ()}, "at least one scale"),
        ({"max_matches": 0}, "max_matches > 0"),
        ({"threshold": 0.0}, "threshold > 0"),
        ({"threshold": float("nan")}, "threshold > 0"),
    ],
)
def test_wrong_values_are_refused(wrong: dict[str, Any], expected: str) -> None:
    with pytest.raises(OptionError, match=f"AlignOptions: expected {expected}"):
        AlignOptions(**wrong)


def test_unknown_names_and_later_changes_are_refused() -> None:
    with pytest.raises(TypeError, match="match_size"):
        AlignOptions(match_size=256)  # type: ignore[call-arg]
    with pytest.raises(FrozenInstanceError):
        AlignOptions().joint = False  # type: ignore[misc]


def test_defaults_are_those_of_align_sequence() -> None:
    _, views, _ = photos.sequence(96, 2)
    frames = [photos.as_frame(view) for view in views]
    for one, other in zip(
        tensors_of(align_sequence(frames)), tensors_of(align_sequence(frames, options=AlignOptions())), strict=True
    ):
        assert torch.equal(one.nan_to_num(), other.nan_to_num())
