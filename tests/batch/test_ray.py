"""A cluster of two machines, one of which dies in the middle, gives what this process gives."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from diar_ops import DiarError
from diar_ops.batch import BatchOptions, clean_folders
from diar_ops.engines import Failure, RayEngine
from diar_ops.results import Listener
from tests.batch.archives import QUICK, results
from tests.engines.jobs import Begin, Job

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # of Ray's own making
MEMORY = 80 * 2**20


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes of one core; the driver is connected."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 1, "object_store_memory": MEMORY, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    ray.init(address=cluster.address, log_to_driver=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def test_what_dies_is_tried_again(cluster: Any, tmp_path: Path) -> None:
    jobs = [Job(0, tmp_path), Job(1, tmp_path, "crash", times=2), Job(2, tmp_path, "die"), Job(3, tmp_path, "die", 9)]
    retried: list[int] = []
    found = dict(RayEngine().map_unordered(Begin(tmp_path), jobs, on_retry=lambda index, _: retried.append(index)))
    assert [found[i] for i in range(3)] == [(i**2, 1) for i in range(3)]
    assert isinstance(found[3], Failure)
    assert "died" in found[3].reason
    assert sorted(retried) == [1, 1, 2, 3, 3]
    with pytest.raises(DiarError, match="no such number"):
        list(RayEngine().map(Begin(tmp_path), [Job(4, tmp_path, "refuse")]))


def test_a_machine_dies_in_the_middle(cluster: Any, archive: Path, cleaned: Path, tmp_path: Path) -> None:
    node = cluster.add_node(num_cpus=1, object_store_memory=MEMORY)
    out, killed = tmp_path / "out", []

    class Killer(Listener):
        def info(self, sentence: str) -> None: ...

        def step(self, name: str) -> Any:  # type: ignore[override]
            from contextlib import contextmanager

            @contextmanager
            def step() -> Iterator[Any]:
                def progress(done: int, total: int) -> None:
                    if done == 1:
                        cluster.remove_node(node, allow_graceful=False)
                        killed.append(done)

                yield progress

            return step()

    result = clean_folders(str(archive), str(out), QUICK, BatchOptions(engine="ray"), listener=Killer())
    assert killed == [1]
    assert results(out) == results(cleaned)
    names = [record.name for record in result.records]
    assert len(names) == len(set(names)) == 3
    assert {path.stem for path in (out / "records").iterdir()} == set(names)


def test_no_cluster_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    def refuse(**_: object) -> None:
        raise ConnectionError("nobody answers")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(DiarError, match="cannot connect to Ray at nowhere:1: nobody answers"):
        list(RayEngine("nowhere:1").map(int, [1]))  # type: ignore[arg-type]
