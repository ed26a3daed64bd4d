"""The cores of a Ray cluster."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Callable, Iterator
from typing import Any

from diar_ops._errors import DiarError
from diar_ops.engines.engine import Begin, Engine, LazyWork, Pool
from diar_ops.engines.threads import one_thread


class RayEngine(Engine):
    """Work in tasks of Ray, one core each, on all machines of a cluster.

    Every machine needs the same diar_ops, and the files under the same paths or URLs. Work within a
    task tells nothing of its progress.

    Args:
        address: Of the cluster, as ``ray.init`` takes it; None for the one that this process is
            connected to already or that ``RAY_ADDRESS`` names, else one of this machine alone,
            for the time of the work.
        workers: Tasks side by side at most; None for as many as the cluster has cores.
    """

    def __init__(self, address: str | None = None, workers: int | None = None) -> None:
        self.address, self.workers = address, workers

    def open_pool(self, begin: Begin[Any, Any], on_progress: Callable[[int, Any], None]) -> Pool:
        """Return the workers: see :meth:`Engine.open_pool`."""
        # Nothing about this use is sent anywhere.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import ray
        except ImportError as error:
            raise DiarError("the engine ray needs Ray; install it with: pip install 'diar-ops[cluster]'") from error
        owned = not ray.is_initialized()
        if owned:
            address = self.address or os.environ.get("RAY_ADDRESS")
            own: dict[str, Any] = {} if address else {"include_dashboard": False, "num_cpus": self.workers}
            try:
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **own)
            except (ConnectionError, RuntimeError, ValueError) as error:
                words = " ".join(str(error).split())[:200]
                raise DiarError(f"cannot connect to Ray at {address or 'this machine'}: {words}") from error
        api: Any = ray  # typed in parts
        return _RayTasks(api, begin, self.workers, owned)


class _RayTasks:
    """Tasks of Ray; it chooses the machines."""

    def __init__(self, ray: Any, begin: Begin[Any, Any], workers: int | None, owned: bool) -> None:
        self.busy: dict[Any, int] = {}  #: the index of each task
        self._ray, self._workers, self._owned = ray, workers, owned
        # What dies is tried again by the engine, not by Ray: it is counted, and told.
        remote: Any = ray.remote(_answer).options(num_cpus=1, max_retries=0)
        begin_ref, token = ray.put(begin), secrets.token_hex(8)
        self._submit: Callable[[object], Any] = lambda task: remote.remote(token, begin_ref, task)

    @property
    def limit(self) -> int:
        # Twice as many as can run: no core waits for its next task.
        return self._workers or 2 * max(1, int(self._ray.cluster_resources().get("CPU", 1)))

    def submit(self, index: int, task: object) -> None:
        self.busy[self._submit(task)] = index

    def wait(self) -> Iterator[tuple[int, str, Any]]:
        for ref in self._ray.wait(list(self.busy), timeout=1.0)[0]:
            index = self.busy.pop(ref)
            try:
                kind, value = self._ray.get(ref)
            except self._ray.exceptions.RayError as error:
                kind, value = "crash", f"its process or machine died ({type(error).__name__})"
            yield index, kind, value

    def close(self) -> None:
        for ref in self.busy:
            self._ray.cancel(ref, force=True)
        if self._owned:
            self._ray.shutdown()


_begun: dict[str, LazyWork] = {}


def _answer(token: str, begin: Begin[Any, Any], task: object) -> tuple[str, Any]:
    """Work on one task; what ``begin`` returned serves all tasks of a run in this process."""
    if token not in _begun:
        while _begun:
            _begun.popitem()[1].close()
        _begun[token] = LazyWork(begin)
    with one_thread():
        return _begun[token].answer(task)
