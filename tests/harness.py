"""The shape of an op's tests: one class per public op, one method per kind of question.

Subclass :class:`OpTests`, name the op, give one valid call, and answer the questions that only
you can (exception, cardinality, oracle, property, nan). Smoke, gradcheck and module-twin tests come
with the class, and one for each mode of torch (:mod:`tests.modes`). ``tests/test_api_surface.py``
fails when a public op lacks a kind.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import pytest
import torch
from torch import Tensor, nn

import diar_ops
from tests.modes import MODES, ModeTests, tensors_of
from tests.tolerances import assert_close as assert_close

#: What every op's class must answer; a method ``test_<kind>`` or ``test_<kind>_...`` answers it.
KINDS = ("smoke", "exception", "cardinality", "oracle", "property", "nan", "gradcheck", *MODES)


def generator(name: str, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a generator seeded by ``name``: the name says what the randomness is for."""
    return torch.Generator(device).manual_seed(zlib.crc32(name.encode()))


class Call(NamedTuple):
    """One valid call of an op."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any] = {}


class OpTests(ModeTests):
    """Base of every op's test class. See the module docstring."""

    #: Public name of the op.
    op: ClassVar[str]
    #: Public name of the Module twin; ``None`` if the op has neither state nor options.
    module: ClassVar[str | None] = None

    @property
    def function(self) -> Callable[..., Any]:
        return getattr(diar_ops, self.op)

    def call(self, device: torch.device, dtype: torch.dtype) -> Call:
        """Return one valid call, small and seeded by name. Data go into args, options in kwargs."""
        raise AssertionError(f"{type(self).__name__} must define call()")

    def gradcheck_call(self, device: torch.device) -> tuple[Callable[..., Any], tuple[Tensor, ...]]:
        """Return a function and its float64 inputs, those that require grad being checked."""
        raise AssertionError(f"{type(self).__name__} must define gradcheck_call()")

    def test_smoke(self, device: torch.device, dtype: torch.dtype) -> None:
        args, kwargs = self.call(device, dtype)
        for tensor in tensors_of(self.function(*args, **kwargs)):
            assert tensor.device.type == device.type
            if tensor.is_floating_point():
                assert tensor.dtype == dtype
                assert tensor.isfinite().all()

    def test_module(self, device: torch.device, dtype: torch.dtype) -> None:
        if self.module is None:
            pytest.skip("the op has no Module twin")
        args, kwargs = self.call(device, dtype)
        twin = getattr(diar_ops, self.module)(**kwargs)
        assert isinstance(twin, nn.Module)
        for name, value in kwargs.items():
            if isinstance(value, (bool, int, float, str, tuple)):
                assert f"{name}={value}" in repr(twin), "the repr must print every option"
        expected = tensors_of(self.function(*args, **kwargs))
        actual = tensors_of(twin(*args))
        assert len(actual) == len(expected)
        for a, e in zip(actual, expected, strict=True):
            assert torch.equal(a, e)

    def test_gradcheck(self, device: torch.device) -> None:
        self.skip_if_exempt("gradcheck")
        function, inputs = self.gradcheck_call(device)
        assert any(x.requires_grad for x in inputs)
        assert torch.autograd.gradcheck(function, inputs, fast_mode=False)
