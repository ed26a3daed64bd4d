"""Engines by their names."""

from __future__ import annotations

from diar_ops._errors import OptionError
from diar_ops.engines.cluster import RayEngine
from diar_ops.engines.engine import Engine
from diar_ops.engines.local import LocalEngine

ENGINES = ("local", "ray")


def select_engine(
    name: str = "local", *, workers: int | None = None, address: str | None = None, isolated: bool = False
) -> Engine:
    """Return an engine.

    Args:
        name: One of :data:`ENGINES`.
        workers: Tasks side by side, one core each; as many as there are cores if None.
        address: Of the Ray cluster.
        isolated: Whether one local worker alone has a process of its own, too: what kills it then
            costs one task. Otherwise it works in this process.

    Raises:
        OptionError: There is no such engine, ``workers`` is below 1, or ``address`` is given to
            another engine than Ray's.
    """
    if name not in ENGINES:
        raise OptionError(f"engine must be one of {', '.join(ENGINES)}, got {name}")
    if workers is not None and workers < 1:
        raise OptionError(f"workers must be 1 or more, got {workers}")
    if name == "ray":
        return RayEngine(address, workers)
    if address is not None:
        raise OptionError(f"an address of Ray, {address}, serves the engine ray alone, got the engine {name}")
    return LocalEngine(0 if workers == 1 and not isolated else workers)
