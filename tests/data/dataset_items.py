"""Items of a dataset, compared."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

MASKS = ("occluded", "flags")
# With threads around, forking warns from Python 3.12 on; the loader forks all the same.
WORKERS = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


CROP = (20, 26)


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one.keys() == other.keys()
    for key, value in one.items():
        if isinstance(value, Tensor):
            assert torch.equal(value, other[key]), key
        else:
            assert value == other[key]
