"""Leading sizes that must broadcast."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from diar_ops._errors import ShapeError

__all__ = ["check_broadcast"]


def check_broadcast(op: str, /, **leading: Sequence[int] | None) -> tuple[int, ...]:
    """Return the broadcast of the leading sizes, or raise :class:`ShapeError`.

    Args:
        op: Name of the calling op, for the message.
        **leading: ``argument_name=leading_sizes``; ``None`` is skipped.
    """
    present = {name: tuple(sizes) for name, sizes in leading.items() if sizes is not None}
    try:
        return tuple(torch.broadcast_shapes(*present.values()))  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        listed = ", ".join(f"{list(sizes)} of {name}" for name, sizes in present.items())
        raise ShapeError(f"{op}: the leading sizes must broadcast, got {listed}") from error
