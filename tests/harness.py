"""The shape of an op's tests: one class per public op, one method per kind of question.

Subclass :class:`OpTests`, name the op, give one valid call, and answer the questions that only
you can (exception, cardinality, oracle, property, nan). Smoke, gradcheck, compile and module-twin
tests come with the class. ``tests/test_api_surface.py`` fails when a public op lacks a kind.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import pytest
import torch
from torch import Tensor, nn

import diar_ops

#: (rtol, atol) for results that differ by rounding only.
TOLERANCES: dict[torch.dtype, tuple[float, float]] = {
    torch.float16: (5e-3, 5e-3),
    torch.bfloat16: (3e-2, 3e-2),
    torch.float32: (1e-4, 1e-5),
    torch.float64: (1e-9, 1e-10),
}

#: What every op's class must answer; a method ``test_<kind>`` or ``test_<kind>_...`` answers it.
KINDS = ("smoke", "exception", "cardinality", "oracle", "property", "nan", "gradcheck", "compile", "autocast")


def generator(name: str, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a generator seeded by ``name``: the name says what the randomness is for."""
    return torch.Generator(device).manual_seed(zlib.crc32(name.encode()))


def assert_close(actual: Any, expected: Any, *, rtol: float | None = None, atol: float | None = None) -> None:
    """``torch.testing.assert_close`` with :data:`TOLERANCES` of the actual dtype as default."""
    actual, expected = torch.as_tensor(actual), torch.as_tensor(expected)
    default = TOLERANCES.get(actual.dtype, (0.0, 0.0))
    torch.testing.assert_close(
        actual,
        expected.to(actual),
        rtol=default[0] if rtol is None else rtol,
        atol=default[1] if atol is None else atol,
    )


def assert_identical(actual: list[Tensor], expected: list[Tensor]) -> None:
    """Check that tensors agree in dtype and in every bit of every value; NaN equals NaN."""
    assert [a.dtype for a in actual] == [e.dtype for e in expected]
    for a, e in zip(actual, expected, strict=True):
        torch.testing.assert_close(a, e, rtol=0, atol=0, equal_nan=True)


def tensors_of(output: Any) -> list[Tensor]:
    """Flatten an op's output (tensor, NamedTuple, list, dataclass field list) into its tensors."""
    if isinstance(output, Tensor):
        return [output]
    if isinstance(output, (list, tuple)):
        return [tensor for item in output for tensor in tensors_of(item)]
    return []


class Call(NamedTuple):
    """One valid call of an op."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any] = {}


class OpTests:
    """Base of every op's test class. See the module docstring."""

    #: Public name of the op.
    op: ClassVar[str]
    #: Public name of the Module twin; ``None`` if the op has neither state nor options.
    module: ClassVar[str | None] = None
    #: Kinds that make no sense for this op, each with the reason.
    exempt: ClassVar[dict[str, str]] = {}

    @property
    def function(self) -> Callable[..., Any]:
        return getattr(diar_ops, self.op)

    def call(self, device: torch.device, dtype: torch.dtype) -> Call:
        """Return one valid call, small and seeded by name. Data go into args, options in kwargs."""
        raise AssertionError(f"{type(self).__name__} must define call()")

    def gradcheck_call(self, device: torch.device) -> tuple[Callable[..., Any], tuple[Tensor, ...]]:
        """Return a function and its float64 inputs, those that require grad being checked."""
        raise AssertionError(f"{type(self).__name__} must define gradcheck_call()")

    def skip_if_exempt(self, kind: str) -> None:
        if kind in self.exempt:
            pytest.skip(self.exempt[kind])

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

    def test_autocast(self, device: torch.device) -> None:
        """Ambient autocast changes nothing: an op computes in the precision of its inputs at least."""
        self.skip_if_exempt("autocast")
        args, kwargs = self.call(device, torch.float32)
        expected = tensors_of(self.function(*args, **kwargs))
        args, kwargs = self.call(device, torch.float32)
        with torch.autocast(device.type, torch.bfloat16):
            actual = tensors_of(self.function(*args, **kwargs))
        assert_identical(actual, expected)

    def test_default_dtype(self, device: torch.device) -> None:
        """The default dtype of the process changes no dtype, and no value by more than rounding."""
        self.skip_if_exempt("default_dtype")
        args, kwargs = self.call(device, torch.float32)
        expected = tensors_of(self.function(*args, **kwargs))
        for other in (torch.float64, torch.bfloat16):
            args, kwargs = self.call(device, torch.float32)  # anew: generators remember
            torch.set_default_dtype(other)
            try:
                actual = tensors_of(self.function(*args, **kwargs))
            finally:
                torch.set_default_dtype(torch.float32)
            assert [a.dtype for a in actual] == [e.dtype for e in expected]
            for a, e in zip(actual, expected, strict=True):
                assert_close(a.nan_to_num(), e.nan_to_num())

    def test_gradcheck(self, device: torch.device) -> None:
        self.skip_if_exempt("gradcheck")
        function, inputs = self.gradcheck_call(device)
        assert any(x.requires_grad for x in inputs)
        assert torch.autograd.gradcheck(function, inputs, fast_mode=False)

    def test_compile(self, device: torch.device, compile_backend: str) -> None:
        self.skip_if_exempt("compile")
        torch.compiler.reset()
        args, kwargs = self.call(device, torch.float32)
        compiled = torch.compile(lambda *a: self.function(*a, **kwargs), fullgraph=True, backend=compile_backend)
        expected = tensors_of(self.function(*args, **kwargs))
        actual = tensors_of(compiled(*args))
        for a, e in zip(actual, expected, strict=True):
            assert_close(a, e)
