"""Argument checks: one shape checker that binds names across arguments, and eps per dtype.

Shape, dtype and device checks read metadata only. They cost microseconds, never synchronise a
GPU, and trace through ``torch.compile``. Values (NaN, range) are each op's own business.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import wraps
from numbers import Real
from operator import index
from typing import Any, ParamSpec, TypeGuard, TypeVar

import numpy as np
import torch
from torch import Tensor

from diar_ops._errors import DeviceError, DtypeError, OptionError, ShapeError

P = ParamSpec("P")
R = TypeVar("R")

#: Smallest value safely added to a denominator, about eight units in the last place of 1.0.
EPS: dict[torch.dtype, float] = {
    torch.float16: 2.0**-7,
    torch.bfloat16: 2.0**-4,
    torch.float32: 2.0**-20,
    torch.float64: 2.0**-49,
}


def eps_of(dtype: torch.dtype) -> float:
    """Return the eps of ``dtype`` from :data:`EPS`."""
    return EPS[dtype]


def solve_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype to compute in for inputs of ``dtype``: at least float32."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def widest_dtype(device: torch.device) -> torch.dtype:
    """Return float64, or float32 on a device that has none (MPS): for small, exact solves."""
    return torch.float32 if device.type == "mps" else torch.float64


def full_precision(op: Callable[P, R]) -> Callable[P, R]:
    """Run an op with ambient autocast off: it computes in the precision of its inputs at least."""

    @wraps(op)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        tensors = (x for x in (*args, *kwargs.values()) if isinstance(x, Tensor))
        first = next(tensors, None)
        kind = "cpu" if first is None else first.device.type
        if not torch.amp.is_autocast_available(kind) or not torch.is_autocast_enabled(kind):
            return op(*args, **kwargs)
        with torch.autocast(kind, enabled=False):
            return op(*args, **kwargs)

    return call


def eager(op: Callable[P, R]) -> Callable[P, R]:
    """Let compiled code call an op as it is, between its graphs: the op's docstring says why."""

    @wraps(op)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if not torch.compiler.is_compiling():
            return op(*args, **kwargs)
        # Only here: it imports the compiler, which takes as long as importing torch.
        disabled: Callable[P, R] = torch.compiler.disable(op)  # type: ignore[no-untyped-call]
        return disabled(*args, **kwargs)

    return call


def check_shapes(op: str, /, **named: tuple[Any, str]) -> dict[str, int]:
    """Check tensors against shape patterns and bind each size name across the whole call.

    A pattern is a space-separated list of sizes: an integer must be equal, a name binds to the
    size where it first appears and must equal it everywhere else in the call, and a leading
    ``...`` stands for any number of batch dimensions (not compared). A pattern that begins with
    ``?`` is that of an optional argument, which may be ``None``.

    Args:
        op: Name of the calling op, for the message.
        **named: ``argument_name=(tensor, "B N 2")``.

    Returns:
        The sizes by name.

    Raises:
        DtypeError: A value is not a tensor, or one that does not hold its values side by side.
        ShapeError: The rank or a size does not fit.
        DeviceError: The tensors are on different devices.
    """
    bound: dict[str, tuple[int, str]] = {}
    device: torch.device | None = None
    for argument, (tensor, pattern) in named.items():
        optional = pattern.startswith("?")
        pattern = pattern.removeprefix("? ")
        if tensor is None and optional:
            continue
        if not isinstance(tensor, Tensor):
            raise DtypeError(
                f"{op}: {argument} must be a torch.Tensor of shape ({pattern}), "
                f"got {type(tensor).__name__}; convert it with torch.as_tensor"
            )
        if tensor.layout != torch.strided:
            raise DtypeError(f"{op}: {argument} must be a dense tensor, got {tensor.layout}; use .to_dense()")
        _bind_sizes(op, argument, tuple(tensor.shape), pattern, bound)
        device = tensor.device if device is None else device
        if tensor.device != device:
            raise DeviceError(
                f"{op}: {argument} is on {tensor.device}, the other tensors on {device}; move them to one device"
            )
    return {name: size for name, (size, _) in bound.items()}


def _bind_sizes(
    op: str, argument: str, shape: tuple[int, ...], pattern: str, bound: dict[str, tuple[int, str]]
) -> None:
    """Check one shape; add the sizes that it names to ``bound``, each with its argument."""
    tokens = pattern.split()
    open_ended = tokens[:1] == ["..."]
    if open_ended:
        tokens = tokens[1:]
    fits = len(shape) >= len(tokens) if open_ended else len(shape) == len(tokens)
    if not fits:
        raise ShapeError(f"{op}: {argument} must have shape ({pattern}), got {list(shape)}")
    for token, size in zip(tokens, shape[len(shape) - len(tokens) :], strict=True):
        if token.isdigit():
            if size != int(token):
                raise ShapeError(f"{op}: {argument} must have shape ({pattern}), got {list(shape)}")
            continue
        expected, owner = bound.setdefault(token, (size, argument))
        if expected != size:
            raise ShapeError(
                f"{op}: {argument} must have shape ({pattern}) with {token} = {expected} "
                f"as in {owner}, got {list(shape)}"
            )


def check_floating(op: str, /, **named: Tensor | None) -> None:
    """Raise :class:`DtypeError` unless each tensor is floating point (``None`` is skipped)."""
    for argument, tensor in named.items():
        if tensor is not None and not tensor.is_floating_point():
            raise DtypeError(
                f"{op}: {argument} must be floating point, got {tensor.dtype}; for 8-bit images use image.float() / 255"
            )


def check_bool(op: str, /, **named: Tensor | None) -> None:
    """Raise :class:`DtypeError` unless each mask is boolean (``None`` is skipped)."""
    for argument, tensor in named.items():
        if tensor is not None and tensor.dtype != torch.bool:
            raise DtypeError(f"{op}: {argument} must be bool, got {tensor.dtype}")


def is_integer(value: object) -> TypeGuard[int]:
    """Return whether a value is a whole number: an int, one of NumPy's, or a symbolic size."""
    if isinstance(value, (int, torch.SymInt)):
        return not isinstance(value, bool)
    return hasattr(type(value), "__index__") and not isinstance(value, Tensor)


def is_number(value: object) -> TypeGuard[float]:
    """Return whether a value is a real number: a float or int, one of NumPy's, or a symbolic one."""
    return isinstance(value, (int, float, torch.SymInt, torch.SymFloat, Real))


def is_finite(value: object) -> TypeGuard[float]:
    """Return whether a value is a finite real number; :func:`math.isfinite` takes no symbolic ones."""
    return is_number(value) and -math.inf < value < math.inf


def check_size(op: str, size: Any) -> tuple[int, int]:
    """Return (height, width); raise :class:`OptionError` unless both are positive integers."""
    fits = isinstance(size, (tuple, list, torch.Size)) and len(size) == 2
    fits = fits and all(is_integer(side) and side > 0 for side in size)
    check_option(op, fits, "a positive size (height, width)", size)
    # Symbolic sizes stay symbolic; NumPy's integers would make its floats out of products.
    sides: list[Any] = [side if isinstance(side, (int, torch.SymInt)) else index(side) for side in size]
    return sides[0], sides[1]


def check_has_values(op: str, /, **named: Tensor | None) -> None:
    """Raise :class:`DeviceError` where a tensor is on the meta device, for ops that steer by values."""
    for argument, tensor in named.items():
        if tensor is not None and tensor.is_meta:
            raise DeviceError(f"{op}: {argument} is on the meta device, where tensors have no values")


def check_generator(op: str, generator: object) -> None:
    """Raise :class:`OptionError` unless ``generator`` is a ``torch.Generator`` or ``None``."""
    fits = generator is None or isinstance(generator, torch.Generator)
    check_option(op, fits, "generator to be a torch.Generator or None", generator)


def check_option(op: str, condition: bool, expected: str, got: object) -> None:
    """Raise :class:`OptionError` with ``expected`` and ``got`` unless ``condition`` holds."""
    if not condition:
        raise OptionError(f"{op}: expected {expected}, got {got!r}")


def read_number(value: Tensor) -> float | None:
    """Return the number in a 0-d tensor, or ``None`` under ``torch.compile`` and ``vmap``.

    On a GPU this waits for everything before it: callers say in their docstring that they do so.
    """
    numbers = read_numbers(value)
    return None if numbers is None else float(numbers)


def read_numbers(values: Tensor) -> Any:
    """Return the (nested) list of the numbers in a tensor, or ``None``: see :func:`read_number`."""
    if torch.compiler.is_compiling():
        return None
    try:
        return values.tolist()
    except RuntimeError:  # vmap: there is one number per mapped item
        return None


def is_exporting() -> bool:
    """Return whether ``torch.export`` traces: its programs must not hang on values, nor on this package."""
    exporting = getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)  # from torch 2.7 on
    return bool(exporting())


def under_transform() -> bool:
    """Return whether a transform of torch.func (grad, vjp, jvp, vmap) is at work.

    ``torch.autograd.Function.apply`` asks the same, and in the same way: there is no public one.
    """
    return bool(torch._C._are_functorch_transforms_active())


def check_no_gradient(op: str, /, **named: Tensor | None) -> None:
    """Raise :class:`DtypeError` where an op without a gradient is asked for one: zeros would pass for it."""
    for argument, tensor in named.items():
        if tensor is not None and tensor.requires_grad and torch.is_grad_enabled():
            raise DtypeError(
                f"{op}: {argument} asks for a gradient, and {op} has none; pass {argument}.detach(), "
                f"or call it under torch.no_grad()"
            )


def check_broadcast(op: str, /, **leading: Sequence[int] | None) -> tuple[int, ...]:
    """Return the broadcast of the leading sizes, or raise :class:`ShapeError`.

    Args:
        op: Name of the calling op, for the message.
        **leading: ``argument_name=leading_sizes``; ``None`` is skipped.
    """
    present = {name: tuple(sizes) for name, sizes in leading.items() if sizes is not None}
    # torch's own imports sympy, which takes half as long as importing torch.
    broadcast: Callable[..., Sequence[int]] = (
        torch.broadcast_shapes if torch.compiler.is_compiling() else np.broadcast_shapes
    )
    try:
        return tuple(broadcast(*present.values()))
    except (RuntimeError, ValueError) as error:
        listed = ", ".join(f"{list(sizes)} of {name}" for name, sizes in present.items())
        raise ShapeError(f"{op}: the leading sizes must broadcast, got {listed}") from error


def check_device(op: str, device: torch.device | str) -> torch.device:
    """Return the device after making sure that it computes; raise :class:`DeviceError` if not."""
    try:
        usable = torch.device(device)
        torch.zeros(1, device=usable).cpu()  # the first call on a device is the one that fails
    # A missing backend raises RuntimeError, AssertionError or NotImplementedError.
    except (RuntimeError, AssertionError) as error:
        why = str(error).strip().splitlines()[0].split(". ")[0].rstrip(".")
        raise DeviceError(f"{op}: cannot compute on {str(device)!r}: {why}") from error
    return usable
