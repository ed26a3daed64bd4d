"""Sequences of look-alikes: the same for the same seed, with their truth; what is counted of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.quality.lookalikes.__main__ import HEADS, append_rows, read_rows, table
from benchmarks.quality.lookalikes.sequences import FAMILIES, FOREIGN, OWN, UNDECIDABLE, make_sequence
from diar_ops import OptionError


@pytest.mark.parametrize("family", FAMILIES)
def test_sequences_are_the_same_for_the_same_seed(family: str) -> None:
    made, again, other = (make_sequence(family, 1, seed, None) for seed in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(made.frames, again.frames, strict=True))
    assert not torch.equal(made.frames[0], other.frames[0])
    assert 4 <= len(made.frames) == len(made.truth) == len(made.homography_frame_picture) <= 6
    assert made.truth[0] == (UNDECIDABLE if family == "endless" else OWN)
    assert (FOREIGN in made.truth) or family not in ("page", "form", "mirrored", "foreign")


def test_an_unknown_family_is_refused() -> None:
    with pytest.raises(OptionError, match="one of page"):
        make_sequence("wallpaper", 0, 0, None)


def test_what_is_counted(tmp_path: Path) -> None:
    rows = [
        dict(zip(HEADS, ("page", 0, 0, t, *values), strict=True))
        for t, values in enumerate(
            [
                (OWN, 1, "OK", "0.02", "1"),
                (OWN, 1, "OK", "7.5", "1"),
                (OWN, 0, "AMBIGUOUS", "90", "1"),
                (FOREIGN, 1, "OK", "0.1", "1"),
                (FOREIGN, 0, "CHANCE_LEVEL", "0.1", "1"),
                (UNDECIDABLE, 0, "AMBIGUOUS", "0.1", "1"),
            ],
            start=1,
        )
    ]
    path = tmp_path / "lookalikes.csv"
    append_rows(path, rows[:2])
    append_rows(path, rows[2:])
    assert table(read_rows(path)).splitlines()[2:] == [
        "| page | 1 | 3 | 1 | 1 | 2 | 1 |",
        "| all | 1 | 3 | 1 | 1 | 2 | 1 |",
    ]
