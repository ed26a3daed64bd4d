"""Operators that ``torch.compile`` and ``torch.export`` take as one node, with their gradients.

For loops whose length the data decide: traced, they would be unrolled to their bounds, which takes
minutes to compile and many times the work.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from diar_ops._custom_op import CustomOp


def define_operator(
    name: str, arguments: str, outputs: int, kernel: Callable[..., Any], fake: Callable[..., Any]
) -> CustomOp:
    """Define the operator ``diar_ops::name``, differentiable as the function that computes it is.

    Its gradient runs ``kernel`` again and differentiates that: the graph around it keeps the
    arguments only. It has no second derivative.

    Args:
        name: Of the operator; its gradient is ``name_backward``.
        arguments: Of the schema, such as ``"Tensor image, SymInt width"``.
        outputs: Number of tensors that ``kernel`` returns.
        kernel: Computes the operator: a tensor, or several.
        fake: Returns empty tensors like those of ``kernel``.
    """

    # Without a kernel for autograd of its own, autograd works inside of an operator.
    def differentiate(slopes: list[Tensor | None], wanted: list[bool], *given: Any) -> list[Tensor]:
        with torch.enable_grad():
            tracked = [x.detach().requires_grad_() if w else x for x, w in zip(given, wanted, strict=True)]
            results = kernel(*tracked)
            pairs = zip((results,) if outputs == 1 else results, slopes, strict=True)
            used = [(y, slope) for y, slope in pairs if slope is not None and y.requires_grad]
        variables = [x for x, w in zip(tracked, wanted, strict=True) if w]
        if not used:
            return [torch.zeros_like(x) for x in variables]
        ends, slopes_of_ends = zip(*used, strict=True)
        found = torch.autograd.grad(ends, variables, slopes_of_ends, allow_unused=True)
        return [torch.zeros_like(x) if g is None else g for x, g in zip(variables, found, strict=True)]

    def fake_gradients(slopes: list[Tensor | None], wanted: list[bool], *given: Any) -> list[Tensor]:
        return [torch.empty_like(x) for x, w in zip(given, wanted, strict=True) if w]

    def remember(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*(x for x in inputs if isinstance(x, Tensor)))
        ctx.others = [None if isinstance(x, Tensor) else (x,) for x in inputs]

    def backward(ctx: Any, *slopes: Tensor | None) -> tuple[Tensor | None, ...]:
        saved = iter(ctx.saved_tensors)
        given = [next(saved) if other is None else other[0] for other in ctx.others]
        wanted = list(ctx.needs_input_grad)
        found = iter(gradients(list(slopes), wanted, *given))
        return tuple(next(found) if w else None for w in wanted)

    results = ", ".join(["Tensor"] * outputs)
    operator = CustomOp(name, kernel, f"({arguments}) -> ({results})")
    gradients = CustomOp(
        f"{name}_backward", differentiate, f"(Tensor?[] slopes, bool[] wanted, {arguments}) -> Tensor[]"
    )
    operator.register_fake(fake)
    gradients.register_fake(fake_gradients)
    operator.register_autograd(backward, setup_context=remember)
    return operator
