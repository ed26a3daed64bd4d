"""``diar-ops`` and ``diar-ops clean``: help, options, what programs read, exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from diar_ops._version import __version__
from diar_ops.cli import job, main
from diar_ops.results import CleanOptions, CleanResult
from tests.cli.conftest import ENTRY
from tests.examples.full_pipeline.runs import contents
from tests.scripts import Runner, assert_one_error, load_script

Start = Callable[..., "subprocess.Popen[str]"]
QUICK = ("--aggregator", "median", "--reference", "a.png")


def test_help_needs_no_torch(process: Start) -> None:
    with process("--help", before="import atexit, sys; atexit.register(lambda: print('torch' in sys.modules))") as run:
        out, err = run.communicate(timeout=60)
    assert (run.returncode, err) == (0, "")
    assert out.endswith("False\n")
    assert "clean" in out
    assert "130" in out


def test_version(command: Runner) -> None:
    assert command("--version") == (0, f"diar-ops {__version__}\n", "")


def test_every_option_is_offered_with_its_help(command: Runner) -> None:
    """By the command and by the script: one source for both."""
    words = " ".join(command("clean", "--help").out.split())
    script = load_script("full_pipeline").parse_arguments([])
    for field in fields(CleanOptions):
        assert f"--{field.name.replace('_', '-')}" in words
        assert field.metadata["help"], f"{field.name} says nothing"
        assert getattr(script, field.name) == field.default


@pytest.mark.parametrize("arguments", [("clean",), ("clean", "a", "--out", "b", "--bends", "x"), ("nope",), ("--no",)])
def test_a_wrong_command_line(command: Runner, arguments: tuple[str, ...]) -> None:
    result = command(*arguments)
    assert result.code == 2
    assert "Traceback" not in result.err
    assert result.out == ""


def test_options_reach_the_job(command: Runner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[object] = []

    def clean(photos: object, folder: object, options: CleanOptions, **_: object) -> CleanResult:
        asked.extend((photos, folder, options))
        raise MemoryError

    monkeypatch.setattr(job, "clean_photos", clean)
    arguments = ("--lens", "--bends", "auto", "--seed", "-3", "--max-size", "99", "--ground-truth", "t.png")
    result = command("clean", "a", "b", "--out", tmp_path, *arguments)
    assert_one_error(result, "not enough memory", "--max-size")
    expected = CleanOptions(lens=True, bends="auto", seed=-3, max_size=99, ground_truth="t.png")
    assert asked == [["a", "b"], str(tmp_path), expected]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (("--device", "nonsense"), "--device: cannot compute on 'nonsense'"),
        (("--seed", 10**25), "--seed must fit into 64 bits"),
        (("--max-size", 15), "--max-size must be 16 pixels or more"),
        (("--aggregator", "best"), "--aggregator must be one of diar, diar-glass"),
    ],
)
def test_errors_name_the_flag(
    command: Runner, good: Path, tmp_path: Path, wrong: tuple[object, ...], words: str
) -> None:
    assert_one_error(command("clean", good, "--out", tmp_path / "out", *wrong), words)


def test_one_object_for_programs(command: Runner, good: Path, tmp_path: Path) -> None:
    (good / "broken.png").write_text("no photo")
    result = command("clean", good, "--out", tmp_path / "out", "--json", *QUICK)
    assert result.code == 0
    told = json.loads(result.out)
    assert told["folder"] == str(tmp_path / "out")
    assert told["picture"] == "clean.png"
    assert told["reference"] == "a.png"
    assert [(photo["file"], photo["aligned"], photo["reason"]) for photo in told["photos"]] == [
        (name, True, "OK") for name in ("a.png", "b.png", "c.png")
    ]
    assert "broken.png" in told["skipped"][0]
    steps = ["reading photos", "aligning", "reconstructing", "drawing the report", "writing results"]
    assert list(told["timings"]) == steps
    again = command("clean", good, "--out", tmp_path / "out", "--json")
    assert again.code == 1
    assert "already holds results" in json.loads(again.out)["error"]
    assert "(--overwrite)" in again.err


def test_quiet(command: Runner, good: Path, tmp_path: Path) -> None:
    assert command("clean", good, "--out", tmp_path / "out", "--quiet", *QUICK) == (0, "", "")


def test_the_script_gives_the_same_bytes(command: Runner, good: Path, tmp_path: Path) -> None:
    assert command("clean", good, "--out", tmp_path / "one", "--quiet", *QUICK).code == 0
    assert load_script("full_pipeline").main([str(good), "--out", str(tmp_path / "two"), *QUICK]) == 0
    one, two = contents(tmp_path / "one"), contents(tmp_path / "two")
    del one["report.html"], two["report.html"]  # they say when and how long
    assert one == two


def test_without_the_extra(process: Start) -> None:
    with process("--help", before="import sys; sys.modules['typer'] = None") as run:
        out, err = run.communicate(timeout=60)
    assert (run.returncode, out) == (1, "")
    assert err == "error: the command needs typer: pip install 'diar-ops[app]'\n"


def test_info(command: Runner) -> None:
    told = json.loads(command("info", "--json").out)
    assert told["diar_ops"] == __version__
    assert told["weights"]["diar"] == "shipped"
    assert told["devices"][0] == "cpu"
    assert command("info").out.startswith("diar_ops:  ")


def test_waiting_threads_sleep_unless_the_user_says_otherwise(process: Start) -> None:
    code = "import os, sys, atexit; os.environ.pop('OMP_WAIT_POLICY', None); {};"
    for mine, found in (("pass", "passive"), ("os.environ['OMP_WAIT_POLICY'] = 'ACTIVE'", "active")):
        with process("info", "--json", before=code.format(mine)) as run:
            assert json.loads(run.communicate(timeout=120)[0])["threads"]["waiting"] == found


def test_scripts_set_up_threads_before_torch() -> None:
    """Their first import does; one that brings torch before it comes too late."""
    for name in ("full_pipeline", "train", "compare_renderers", "evaluate", "render_dataset"):
        code = (
            "import builtins, os, sys; os.environ.pop('OMP_WAIT_POLICY', None); load = builtins.__import__\n"
            "def watch(name, *args):\n"
            "    if name == 'torch': print(os.environ.get('OMP_WAIT_POLICY')); os._exit(0)\n"
            "    return load(name, *args)\n"
            f"builtins.__import__ = watch; sys.argv = ['{name}', '--help']; sys.path.insert(0, 'examples')\n"
            f"import runpy; runpy.run_path('examples/{name}.py', run_name='__main__')"
        )
        done = subprocess.run([sys.executable, "-uc", code], capture_output=True, text=True, check=False)
        assert done.stdout == "PASSIVE\n", (name, done.stderr)


@pytest.mark.skipif(os.name != "posix", reason="pipes and signals are POSIX's")
class TestStreams:
    def test_nobody_reads(self, process: Start, good: Path, tmp_path: Path) -> None:
        reader, writer = os.pipe()
        os.close(reader)
        with process("clean", good, "--out", tmp_path / "out", *QUICK, stdout=writer) as run:
            os.close(writer)
            _, err = run.communicate(timeout=120)
        assert (run.returncode, err) == (0, "")
        assert (tmp_path / "out" / "report.html").is_file()

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
    def test_full_disk_behind_the_output(self, process: Start, tmp_path: Path) -> None:
        with Path("/dev/full").open("w") as full:
            for arguments, code in ((("info",), 0), (("clean", tmp_path / "missing", "--out", tmp_path / "out"), 1)):
                with process(*arguments, stdout=full) as run:
                    _, err = run.communicate(timeout=120)
                assert run.returncode == code
                assert "Traceback" not in err
                assert "Exception" not in err

    def test_ctrl_c_while_packages_load(self, process: Start, tmp_path: Path) -> None:
        code = (
            "import sys\nclass Slow:\n    def find_spec(self, name, *_):\n"
            "        if name == 'torch': print('LOADING', flush=True); import time; time.sleep(60)\n"
            "sys.meta_path.insert(0, Slow())"
        )
        with process("clean", tmp_path, "--out", tmp_path / "out", before=code) as run:
            assert run.stdout is not None
            assert run.stdout.readline() == "LOADING\n"
            run.send_signal(signal.SIGINT)
            _, err = run.communicate(timeout=60)
        assert (run.returncode, err) == (130, "")

    def test_a_console_that_cannot_show_a_name(self, process: Start, tmp_path: Path) -> None:
        missing = tmp_path / "画像"
        with process(
            "clean", missing, "--out", tmp_path / "out", before="import sys; sys.stderr.reconfigure(encoding='cp1252')"
        ) as run:
            _, err = run.communicate(timeout=120)
        assert run.returncode == 1
        assert r"\u753b\u50cf does not exist" in err


def test_completion_knows_commands_and_options(process: Start, tmp_path: Path) -> None:
    for typed, known in (("diar-ops ", "clean"), ("diar-ops clean --agg", "--aggregator")):
        environment = {**os.environ, "_DIAR_OPS_COMPLETE": "complete_bash", "COMP_WORDS": typed}
        environment |= {"COMP_CWORD": str(len(typed.split(" ")) - 1), "PYTHONPATH": str(Path.cwd())}
        with process(env=environment) as run:
            assert known in run.communicate(timeout=60)[0].split()


def test_the_entry_point_is_the_command() -> None:
    found = [entry for entry in entry_points(group="console_scripts") if entry.name == "diar-ops"]
    for entry in found:  # none where the package is used without being installed
        assert entry.load() is main.main
    assert "diar_ops.cli.main" in ENTRY[2]
