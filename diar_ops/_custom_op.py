"""Operators of the library's own, which ``torch.compile``, ``torch.export`` and ``vmap`` take as one node."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

_Library: Any = torch.library.Library  # whose methods have no types
#: All operators of the library: ``torch.ops.diar_ops``.
_LIBRARY = _Library("diar_ops", "FRAGMENT")


class CustomOp:
    """The operator ``diar_ops::name`` of a function.

    As :func:`torch.library.custom_op` makes it, but its first call does not import torch's compiler,
    which takes longer than aligning a pair of photos. It does not check that the function returns
    no memory of its arguments, and has no gradient unless one is registered.

    Args:
        name: Of the operator.
        function: Computes it, by torch operations, without a gradient.
        schema: ``"(Tensor x, ...) -> Tensor"``; None: read off the function's annotations.
    """

    def __init__(self, name: str, function: Callable[..., Any], schema: str | None = None) -> None:
        self._name = f"diar_ops::{name}"
        schema = schema or torch.library.infer_schema(function, mutates_args=())
        _LIBRARY.define(name + schema, tags=(torch.Tag.pt2_compliant_tag,))
        _LIBRARY.impl(name, function, "CompositeExplicitAutograd")
        self._operator = getattr(torch.ops.diar_ops, name)

    def __call__(self, *args: Any) -> Any:
        return self._operator(*args)

    def register_fake(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Say which empty tensors stand for the results while a graph is traced; a decorator."""
        torch.library.register_fake(self._name, function, lib=_LIBRARY)
        return function

    def register_autograd(self, backward: Callable[..., Any], *, setup_context: Callable[..., Any]) -> None:
        """Give it a gradient, as :func:`torch.library.register_autograd`."""
        torch.library.register_autograd(self._name, backward, setup_context=setup_context, lib=_LIBRARY)

    def register_vmap(self, function: Callable[..., Any]) -> None:
        """Give it a batching rule, as :func:`torch.library.register_vmap`."""
        torch.library.register_vmap(self._name, function, lib=_LIBRARY)


def custom_op(name: str, schema: str | None = None) -> Callable[[Callable[..., Any]], CustomOp]:
    """Make a function the operator ``diar_ops::name``; a decorator. See :class:`CustomOp`."""
    return lambda function: CustomOp(name, function, schema)
