"""Full scale of each dtype."""

from __future__ import annotations

import pytest
import torch

from diar_ops import DtypeError
from diar_ops._pixels import image_to_float


def test_image_to_float_spans_zero_to_one() -> None:
    eight = image_to_float(torch.tensor([0, 51, 255], dtype=torch.uint8))
    sixteen = image_to_float(torch.tensor([0, 13107, 65535], dtype=torch.uint16))
    for actual in (eight, sixteen):
        assert actual.dtype == torch.float32
        assert actual.tolist() == torch.tensor([0, 0.2, 1.0]).tolist()
    assert image_to_float(torch.tensor(255, dtype=torch.uint8)) == 1  # any shape, a scalar too


@pytest.mark.parametrize("bad", [torch.zeros(3), torch.zeros(3, dtype=torch.int32), [1, 2]])
def test_image_to_float_refuses_others(bad: object) -> None:
    with pytest.raises(DtypeError, match="image_to_float"):
        image_to_float(bad)
