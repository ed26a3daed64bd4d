"""The local engine: order, retries, errors, and an end that leaves nothing running."""

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from diar_ops import DiarError, OptionError
from diar_ops.engines import Failure, LocalEngine, RayEngine, select_engine
from tests.cycles.sets import wait_until
from tests.engines.jobs import Begin, Job, broken


def records(folder: Path, kind: str) -> int:
    return len(list(folder.glob(f"{kind}-*")))


@pytest.mark.parametrize("workers", [0, 2])
def test_results_come_in_order_and_of_one_thread(tmp_path: Path, workers: int) -> None:
    jobs = [Job(i, tmp_path, "slow" if i == 0 else "") for i in range(5)]
    assert list(LocalEngine(workers).map(Begin(tmp_path), jobs)) == [(i**2, 1) for i in range(5)]
    assert records(tmp_path, "begun") <= max(1, workers)
    assert records(tmp_path, "closed") == records(tmp_path, "begun")


def test_no_tasks_need_no_worker(tmp_path: Path) -> None:
    assert list(LocalEngine(2).map(Begin(tmp_path), [])) == []
    assert records(tmp_path, "begun") == 0


@pytest.mark.parametrize(
    ("workers", "what", "words"),
    [(0, "crash", "fell over"), (1, "crash", "fell over"), (2, "die", "was killed"), (1, "exit", "exit code 3")],
)
def test_what_dies_is_tried_again(tmp_path: Path, workers: int, what: str, words: str) -> None:
    jobs = [Job(0, tmp_path), Job(1, tmp_path, what, times=2), Job(2, tmp_path)]
    retried: list[tuple[int, str]] = []
    seen: list[tuple[int, object]] = []
    results = dict(
        LocalEngine(workers).map_unordered(
            Begin(tmp_path),
            jobs,
            on_progress=lambda *state: seen.append(state),
            on_retry=lambda *state: retried.append(state),
        )
    )
    assert results == {i: (i**2, 1) for i in range(3)}
    assert [index for index, _ in retried] == [1, 1]
    assert all(words in reason for _, reason in retried)
    assert sorted(seen) == [(0, 0), (1, 1), (1, 1), (1, 1), (2, 2)]


def test_what_always_dies_fails_and_the_others_go_on(tmp_path: Path) -> None:
    jobs = [Job(0, tmp_path, "die", times=9), Job(1, tmp_path)]
    first, second = LocalEngine(1).map(Begin(tmp_path), jobs, retries=1)
    assert isinstance(first, Failure)
    assert "memory is short" in first.reason
    assert second == (1, 1)
    assert records(tmp_path, "tried-0") == 2


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(("what", "kind"), [("refuse", DiarError), ("bug", ZeroDivisionError)])
def test_errors_end_the_run(tmp_path: Path, workers: int, what: str, kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught:
        list(LocalEngine(workers).map(Begin(tmp_path), [Job(0, tmp_path, what), Job(1, tmp_path)]))
    assert records(tmp_path, "tried-0") == 1  # an error is no crash
    if workers:
        assert "in __call__" in str(caught.value.__cause__)  # where in the worker


def test_errors_of_the_beginning(tmp_path: Path) -> None:
    with pytest.raises(DiarError, match="weights are missing"):
        list(LocalEngine(1).map(broken, [Job(0, tmp_path)]))


def test_who_stops_early_leaves_nothing_running(tmp_path: Path) -> None:
    with closing(LocalEngine(2).map_unordered(Begin(tmp_path), [Job(0, tmp_path), Job(1, tmp_path, "stop")])) as run:
        assert next(run) == (0, (0, 1))
        wait_until((tmp_path / "stopping").exists)
        start = time.monotonic()
    assert time.monotonic() - start < 9  # not waited for, not killed
    assert (tmp_path / "cleared").exists()
    assert records(tmp_path, "closed") == 2


SCRIPT = """
import sys
from pathlib import Path
from diar_ops.engines import LocalEngine
from tests.engines.jobs import Begin, Job

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    list(LocalEngine(1).map(Begin(folder), [Job(0, folder, "stop")]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="signals and processes of Linux")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_workers_do_not_outlive_their_parent(tmp_path: Path, how: signal.Signals) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    folders = [str(Path.cwd()), os.environ.get("PYTHONPATH", "")]
    run = subprocess.Popen(
        [sys.executable, script, tmp_path],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(folders)},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait_until((tmp_path / "stopping").exists, seconds=60)
    worker = int(next(tmp_path.glob("begun-*")).name.split("-")[1])
    run.send_signal(how)
    run.wait()
    wait_until(lambda: not Path(f"/proc/{worker}/cmdline").exists())
    assert (tmp_path / "cleared").exists() == (how == signal.SIGINT)


def test_engines_by_name() -> None:
    assert isinstance(select_engine("ray", address="10.0.0.1:6379"), RayEngine)
    for options, workers in (({"workers": 1}, 0), ({"workers": 1, "isolated": True}, 1), ({"workers": 3}, 3)):
        engine = select_engine("local", **options)
        assert isinstance(engine, LocalEngine)
        assert engine.workers == workers
    engine = select_engine()
    assert isinstance(engine, LocalEngine)
    assert engine.workers >= 1
    for wrong in ({"name": "dask"}, {"workers": 0}, {"address": "auto"}):
        with pytest.raises(OptionError):
            select_engine(**wrong)
