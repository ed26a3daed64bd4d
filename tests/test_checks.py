"""The shape checker, the error family, and eps per dtype."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from diar_ops import DiarError, DtypeError, OptionError, ShapeError
from diar_ops._checks import (
    EPS,
    check_bool,
    check_floating,
    check_option,
    check_shapes,
    check_size,
    is_integer,
    solve_dtype,
)


def test_names_bind_across_arguments() -> None:
    sizes = check_shapes(
        "op", points0=(torch.zeros(2, 5, 2), "B N 2"), points1=(torch.zeros(2, 5, 2), "B N 2"), valid=(None, "? B N")
    )
    assert sizes == {"B": 2, "N": 5}
    with pytest.raises(DtypeError, match=r"op: a must be a torch\.Tensor"):
        check_shapes("op", a=(None, "B N 2"))
    with pytest.raises(DtypeError, match="op: a must be a dense tensor"):
        check_shapes("op", a=(torch.zeros(2, 5, 2).to_sparse(), "B N 2"))
    with pytest.raises(ShapeError, match=r"op: b must have shape \(B N 2\) with N = 5 as in a"):
        check_shapes("op", a=(torch.zeros(2, 5, 2), "B N 2"), b=(torch.zeros(2, 4, 2), "B N 2"))


def test_open_batch() -> None:
    assert check_shapes("op", h=(torch.zeros(7, 1, 3, 3), "... 3 3")) == {}
    with pytest.raises(ShapeError, match=r"got \[3\]"):
        check_shapes("op", h=(torch.zeros(3), "... 3 3"))
    with pytest.raises(ShapeError, match=r"got \[2, 3\]"):
        check_shapes("op", h=(torch.zeros(2, 3), "... 3 3"))


def test_every_error_is_a_diar_error() -> None:
    with pytest.raises(DtypeError, match=r"must be a torch\.Tensor"):
        check_shapes("op", a=([1.0], "N"))
    with pytest.raises(DtypeError, match=r"floating point, got torch\.uint8"):
        check_floating("op", image=torch.zeros(1, dtype=torch.uint8), mask=None)
    with pytest.raises(DtypeError, match=r"op: valid must be bool, got torch\.uint8"):
        check_bool("op", valid=torch.zeros(1, dtype=torch.uint8), front=None)
    with pytest.raises(OptionError, match="op: expected a positive threshold, got -1"):
        check_option("op", False, "a positive threshold", -1)
    assert issubclass(ShapeError, DiarError)
    assert issubclass(DtypeError, TypeError)
    assert issubclass(DiarError, ValueError)


def test_half_precision_solves_in_float32() -> None:
    assert solve_dtype(torch.float16) == torch.float32
    assert solve_dtype(torch.float64) == torch.float64
    for dtype, eps in EPS.items():
        assert 1.0 + eps > 1.0
        assert torch.tensor(1.0 + eps, dtype=dtype) > 1.0


def test_whole_numbers_of_every_kind_are_sizes() -> None:
    size = check_size("op", (np.int64(3), np.uint8(4)))
    assert size == (3, 4)
    assert all(type(side) is int for side in size)
    assert is_integer(np.int32(1))
    for wrong in (1.0, np.float64(1), "1", None, torch.tensor(1)):
        assert not is_integer(wrong)
        with pytest.raises(OptionError, match="a positive size"):
            check_size("op", (3, wrong))
