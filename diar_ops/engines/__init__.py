"""Engines: the same work for many tasks, on the cores of this machine or of a cluster."""

from diar_ops.engines.cluster import RayEngine
from diar_ops.engines.engine import Engine, Failure, WorkerCrash
from diar_ops.engines.local import LocalEngine, report_progress
from diar_ops.engines.select import ENGINES, select_engine
from diar_ops.engines.threads import one_thread

__all__ = [
    "ENGINES",
    "Engine",
    "Failure",
    "LocalEngine",
    "RayEngine",
    "WorkerCrash",
    "one_thread",
    "report_progress",
    "select_engine",
]
