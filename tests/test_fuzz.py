"""Hostile input: every op answers with a sentence or with a finite result, whatever it is given.

Each example takes the valid call that the op's test class gives and spoils one or two of its
arguments. ``--fuzz 1000`` tries as many examples of every op and prints the counts.
"""

from __future__ import annotations

import inspect
import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

from diar_ops import DiarError
from tests.harness import OpTests
from tests.ops import classes_by_op

#: Ops without a call that could be spoiled, or that draw, read and write files.
WITHOUT_CALL = {"load_descriptor", "load_pretrained", "save_pretrained"}
#: Whole pipelines, of which an example takes a second instead of milliseconds.
SLOW = {"align_sequence", "reconstruct_sequence", "render_planar_scene", "settle_frames"}

VALUES = (float("nan"), float("inf"), -float("inf"), 1e30, -1e30, 1e-40, 0.0, 1.0, -1.0)
DTYPES = (torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.uint8, torch.bool, torch.complex64)
#: What people pass by mistake, to tensors and to options.
THINGS = (None, "text", [1.0, 2.0], (), {}, 1.5, -1, 0, True, float("nan"), float("inf"), np.float64(0.5), np.int64(3))


def _fill(tensor: Tensor, value: float, whole: bool) -> Tensor:
    if not tensor.is_floating_point():
        return torch.ones_like(tensor) if value else torch.zeros_like(tensor)
    spoiled = tensor.detach().clone()
    (spoiled if whole else spoiled.view(-1)[::7]).fill_(value)
    return spoiled


def _negative_strides(tensor: Tensor) -> Any:
    return tensor.detach().numpy()[::-1] if tensor.ndim else tensor.detach().numpy()


TENSOR_CHANGES = {
    "dtype": lambda t, draw: t.detach().to(draw(st.sampled_from(DTYPES))),
    "values": lambda t, draw: _fill(t, draw(st.sampled_from(VALUES)), draw(st.booleans())),
    "empty": lambda t, draw: t.detach().narrow(draw(st.integers(0, t.ndim - 1)), 0, 0) if t.ndim else t,
    "shorter": lambda t, draw: t.detach().narrow(draw(st.integers(0, t.ndim - 1)), 0, 1) if t.numel() and t.ndim else t,
    "fewer dimensions": lambda t, draw: t.detach()[0] if t.ndim and len(t) else t,
    "more dimensions": lambda t, draw: t.detach()[None],
    "transposed": lambda t, draw: t.detach().mT if t.ndim > 1 else t,
    "strided": lambda t, draw: torch.stack([t.detach(), t.detach()], -1)[..., 0],
    "expanded": lambda t, draw: t.detach()[:1].expand_as(t) if t.ndim and len(t) else t,
    "asks for a gradient": lambda t, draw: t.detach().clone().requires_grad_() if t.is_floating_point() else t,
    "meta": lambda t, draw: t.detach().to("meta"),
    "sparse": lambda t, draw: t.detach().to_sparse(),
    "numpy": lambda t, draw: _negative_strides(t),
    "another thing": lambda t, draw: draw(st.sampled_from(THINGS)),
}


def spoil(value: Any, draw: Any) -> tuple[str, Any]:
    """Return what was done to an argument, and the result."""
    leaves, spec = tree_flatten(value)
    places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, Tensor)]
    if not places:
        return "another thing", draw(st.sampled_from(THINGS))
    name = draw(st.sampled_from(sorted(TENSOR_CHANGES)))
    place = draw(st.sampled_from(places))
    leaves[place] = TENSOR_CHANGES[name](leaves[place], draw)
    return name, tree_unflatten(leaves, spec)


def _finite(value: Any) -> bool:
    tensors = [t for t in tree_leaves(value) if isinstance(t, Tensor) and t.device.type != "meta" and not t.is_sparse]
    numbers = [x for x in tree_leaves(value) if isinstance(x, float)]
    return all(bool(t.isfinite().all()) for t in tensors) and all(np.isfinite(x) for x in numbers)


@pytest.mark.parametrize("op", sorted(set(classes_by_op()) - WITHOUT_CALL))
def test_hostile_input(op: str, request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> None:
    asked = request.config.getoption("--fuzz")
    counts: Counter[str] = Counter()
    tests: OpTests = classes_by_op()[op]()
    names = list(inspect.signature(tests.function).parameters)

    @settings(max_examples=asked or (25 if op in SLOW else 200), suppress_health_check=list(HealthCheck))
    @given(st.data())
    def check(data: st.DataObject) -> None:
        args, kwargs = tests.call(torch.device("cpu"), torch.float32)
        given_names = dict(zip(names, args, strict=False)) | dict(kwargs)
        changes = {}
        for name in data.draw(st.lists(st.sampled_from(sorted(given_names)), min_size=1, max_size=2, unique=True)):
            changes[name], given_names[name] = spoil(given_names[name], data.draw)
        finite = _finite(given_names)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                result = tests.function(
                    *(given_names[n] for n in names[: len(args)]), **{n: given_names[n] for n in kwargs}
                )
        except DiarError as error:
            if not any(name in str(error) or name.replace("features", "levels") in str(error) for name in names):
                raise AssertionError(f"{op} with {changes}: the sentence names no argument: {error}") from error
            counts["refused"] += 1
        except Exception as error:
            raise AssertionError(f"{op} with {changes}: {type(error).__name__}: {error}") from error
        else:
            counts["computed"] += 1
            assert not finite or _finite(result) or tests.infinite, f"{op} with {changes}: a result is not finite"

    check()
    record_property("fuzz", (op, counts["computed"], counts["refused"]))
