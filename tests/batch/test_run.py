"""A batch finds its sequences, gives what the command gives, and goes on where it was."""

import csv
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import unquote

import pytest

from diar_ops import OptionError, OutputError
from diar_ops._folders import locked_folder
from diar_ops.batch import BatchOptions, Verdict, clean_folders
from diar_ops.batch.record import file_digest
from diar_ops.engines import one_thread
from diar_ops.results import CleanOptions, Listener, clean_photos
from tests.batch.archives import QUICK, copy, results, run, write_photos
from tests.cycles.sets import unfinished, wait_until

NAMES = {"a": "a", "b": "b", "b/ü & <c>": "b__ü & <c>"}
pytestmark = pytest.mark.usefixtures("here")


def test_each_folder_is_a_sequence(archive: Path, cleaned: Path) -> None:
    result = run(archive, cleaned)
    assert result.done == 0
    assert {record.key: record.name for record in result.records} == NAMES
    verdicts = {record.key: record.verdict for record in result.records}
    assert verdicts == {"a": Verdict.GOOD, "b": Verdict.REFUSED, "b/ü & <c>": Verdict.DOUBTFUL}
    reasons = {record.key: record.reasons for record in result.records}
    assert reasons["a"] == []
    assert "one photo alone" in reasons["b"][0]
    assert reasons["b/ü & <c>"][0].startswith("skipped: b/ü & <c>/broken.jpg holds no picture")
    assert "1 refused, 1 doubtful, 1 good; 0 worked on now" in result.summary()


def test_files_are_those_of_the_command(archive: Path, cleaned: Path, tmp_path: Path) -> None:
    with one_thread():
        clean_photos([str(archive / "a")], tmp_path / "results" / "a", QUICK)
    theirs = {name: data for name, data in results(cleaned).items() if name.startswith("results/a/")}
    assert results(tmp_path) == theirs
    assert (cleaned / "results" / "a" / "report.html").is_file()


def test_manifest(archive: Path, cleaned: Path) -> None:
    rows = list(csv.DictReader((cleaned / "manifest.csv").read_text(encoding="utf-8").splitlines()))
    assert {row["sequence"]: row["verdict"] for row in rows} == {"a": "good", "b": "refused", "b/ü & <c>": "doubtful"}
    with closing(sqlite3.connect(cleaned / "manifest.sqlite")) as database:
        assert database.execute("SELECT verdict, photos, aligned FROM sequences WHERE name = 'a'").fetchall() == [
            ("good", 2, 2)
        ]
        files = database.execute("SELECT role, file, sha256 FROM files WHERE sequence = 'a'").fetchall()
        steps = {step for (step,) in database.execute("SELECT step FROM timings WHERE sequence = 'a'")}
    folders = {"input": archive, "output": cleaned / "results" / "a"}
    assert {role for role, *_ in files} == set(folders)
    assert all(file_digest(folders[role] / file) == digest for role, file, digest in files)
    assert {"aligning", "reconstructing"} <= steps


def test_manifest_tells_how_far_the_batch_is(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diar_ops.batch.run._REFRESH", 0.0)
    waiting = []

    class Reader(Listener):
        @contextmanager
        def step(self, name: str) -> Iterator[Callable[..., None]]:
            def progress(done: int, total: int) -> None:
                if done:
                    waiting.append((tmp_path / "manifest.csv").read_text(encoding="utf-8").count("waiting"))
                    assert (tmp_path / "index.html").is_file()

            yield progress

    clean_folders(str(archive), str(tmp_path), QUICK, BatchOptions(), listener=Reader())
    assert waiting[0] > 0  # later ones are written once in a while only
    assert "waiting" not in (tmp_path / "manifest.csv").read_text(encoding="utf-8")


def test_page_lists_the_doubtful_first(cleaned: Path) -> None:
    page = (cleaned / "index.html").read_text(encoding="utf-8")
    assert re.findall(r'class="badge (\w+)"', page) == ["refused", "doubtful", "good"]
    assert "<c>" not in page  # names are text
    for link in re.findall(r'(?:href|src)="([^"]+)"', page):
        assert (cleaned / unquote(link)).is_file(), link


def _lose_record(out: Path) -> None:
    (out / "records" / "a.json").unlink()


def _cut_record(out: Path) -> None:
    (out / "records" / "a.json").write_text("{")


def _lose_results(out: Path) -> None:
    shutil.rmtree(out / "results" / "a")


def _leave_half(out: Path) -> None:
    """What a kill leaves between the results and their record."""
    _lose_record(out)
    (out / "results" / "a" / "clean.png").write_bytes(b"of other photos")


@pytest.mark.parametrize("harm", [_lose_record, _cut_record, _lose_results, _leave_half])
def test_what_is_missing_is_done_again(
    archive: Path, cleaned: Path, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    out = copy(cleaned, tmp_path / "out")
    harm(out)
    result = run(archive, out)
    assert result.done == 1
    assert results(out) == results(cleaned)
    assert run(archive, out).done == 0


def test_changed_photos_are_done_again(archive: Path, cleaned: Path, tmp_path: Path) -> None:
    root, out = copy(archive, tmp_path / "root"), copy(cleaned, tmp_path / "out")
    before = (out / "records" / "a.json").read_text()
    os.utime(root / "a" / "10.png")
    assert run(root, out).done == 1  # touched: read again, not cleaned again
    after = (out / "records" / "a.json").read_text()
    assert before != after
    assert results(out) == results(cleaned)
    shutil.copyfile(write_photos(tmp_path / "other", 7)[0], root / "a" / "10.png")
    write_photos(root / "new", 8, count=1)
    (root / "b" / "30.png").unlink()
    records = {record.key: record for record in run(root, out).records}
    assert records["a"].verdict is Verdict.REFUSED  # no two photos of the same thing
    assert not (out / "results" / "a").exists()
    assert records["b"].verdict is Verdict.GONE
    assert records["new"].verdict is Verdict.REFUSED


def test_other_settings_need_another_folder(archive: Path, cleaned: Path) -> None:
    with pytest.raises(OptionError, match=r"made with `aggregator` median, not mean; choose another folder"):
        run(archive, cleaned, CleanOptions(aggregator="mean"))


def test_overwrite_does_all_again(archive: Path, cleaned: Path, tmp_path: Path) -> None:
    out = copy(cleaned, tmp_path / "out")
    assert run(archive, out, CleanOptions(aggregator="mean", overwrite=True)).done == 3
    assert json.loads((out / "settings.json").read_text())["aggregator"] == "mean"
    assert run(archive, out, CleanOptions(aggregator="mean")).done == 0


def test_a_plan_leaves_no_trace(archive: Path, tmp_path: Path) -> None:
    result = run(archive, tmp_path / "out", dry_run=True)
    assert [record.verdict for record in result.records] == [Verdict.WAITING] * 3
    assert not (tmp_path / "out").exists()


def test_refused_before_the_work(archive: Path, cleaned: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="never go where the photos are"):
        run(archive, archive)
    with pytest.raises(OptionError, match="no photos below"):
        run(tmp_path, tmp_path / "out")
    with locked_folder(cleaned), pytest.raises(OutputError, match="another run works in"):
        run(archive, cleaned)
    for wrong in ({"gap": 0.0}, {"retries": -1}):
        with pytest.raises(OptionError):
            BatchOptions(**wrong)  # type: ignore[arg-type]


def test_results_in_the_archive_are_no_photos(archive: Path, cleaned: Path, tmp_path: Path) -> None:
    root = copy(archive, tmp_path / "root")
    copy(cleaned, root / "out")
    assert {record.key for record in run(root, root / "out").records} == set(NAMES)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="signals of Linux")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_stopped_in_the_middle(archive: Path, cleaned: Path, tmp_path: Path, how: signal.Signals) -> None:
    out = tmp_path / "out"
    words = ["batch", str(archive), "--out", str(out), "--aggregator", "median", "--workers", "1"]
    code = f"import sys; from diar_ops.cli.main import main; sys.exit(main({words}))"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: list(out.glob("results/.diar-tmp-*")), seconds=240)
    process.send_signal(how)
    _, errors = process.communicate()
    wait_until(lambda: not unfinished(out / "results"))
    assert process.returncode == (-9 if how == signal.SIGKILL else 130)
    if how == signal.SIGINT:
        assert "stopped; finished sequences stay, the same command goes on" in errors
        assert not list(out.glob("results/.diar-tmp-*"))
        assert (out / "manifest.csv").is_file()
    run(archive, out)
    assert results(out) == results(cleaned)
    assert not list(out.glob("results/.diar-tmp-*"))
