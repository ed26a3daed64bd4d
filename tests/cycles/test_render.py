"""The driver survives what Blender, users and disks do; a fake Blender stands in for the real."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from diar_ops import DiarError, ImageError, OptionError, OutputError, RenderError
from diar_ops.cycles import RenderSettings, _scheduler, render_dataset, worker, write_contact_sheet
from diar_ops.cycles import render as driver
from diar_ops.cycles import sequence as one_sequence
from diar_ops.data import SequenceDataset, read_sequence

SETTINGS = RenderSettings(kind="misaligned", sequences=4, frames=3, size=(24, 32), seed=5)
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "render_dataset.py"


@pytest.fixture
def pictures(painted):
    for number, size in enumerate([(40, 60), (64, 64), (90, 50)]):
        folder = painted(size, f"{number}.png", seed=number).parent
    return folder


@pytest.fixture
def render(pictures, fake, tmp_path):
    """Return a short form of ``render_dataset`` that also collects what was said."""

    def run(out="out", settings=SETTINGS, **options):
        notes = []
        options = {"blender": fake, "note": notes.append, **options}
        result = render_dataset(pictures, tmp_path / out, settings, **options)
        return result, notes

    return run


def contents(folder):
    """All files of a set and what they hold, without the lock."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def alive(faults):
    """Which of the fake's processes still run."""

    def runs(process):
        try:
            stat = Path(f"/proc/{process}/stat").read_text()
        except OSError:
            return False
        return stat.rpartition(")")[2].split()[0] != "Z"

    numbers = [int(path.name.removeprefix("process-")) for path in faults.glob("process-*")]
    assert numbers
    return [number for number in numbers if runs(number)]


def wait_until(condition, seconds=20):
    for _ in range(seconds * 50):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("nothing happened")


def test_writes_the_format(render, tmp_path, faults):
    progress = []
    result, notes = render(progress=lambda *state: progress.append(state))
    assert (result.finished, result.already, result.failed) == ([0, 1, 2, 3], 0, {})
    assert notes == []
    assert progress == [(done, 12) for done in range(13)]
    document = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert document["format"] == "diar_ops dataset"
    assert [entry["file"] for entry in document["images"]] == ["0.png", "1.png", "2.png"]
    assert document["software"]["blender"] == "4.5.99"
    sequence = read_sequence(tmp_path / "out" / "000002")
    assert sequence.kind == "misaligned"
    assert len(sequence.frames) == 3
    assert sequence.document["index"] == 2
    assert sequence.document["frames"][0]["shares"]["occluded"] == 0.25
    assert sorted(p.name for p in sequence.folder.iterdir()) == [
        "00.png",
        "01.png",
        "02.png",
        "label.png",
        "masks",
        "sequence.json",
    ]
    item = SequenceDataset(tmp_path / "out", masks=("occluded", "flags"))[1]
    assert item["frames"].shape == (3, 3, 24, 32)
    assert bool(item["occluded"][..., :8].all())
    assert not bool(item["occluded"][..., 8:].any())
    assert write_contact_sheet(tmp_path / "out").stat().st_size > 1000
    assert alive(faults) == []


def test_is_the_same_again_with_more_workers_and_in_two_goes(render, tmp_path):
    render("one")
    render("two", workers=3)
    render("three", replace(SETTINGS, sequences=1))
    result, _ = render("three", workers=2)
    assert (result.finished, result.already) == ([1, 2, 3], 1)
    assert contents(tmp_path / "one") == contents(tmp_path / "two") == contents(tmp_path / "three")
    render("four", replace(SETTINGS, seed=6))
    assert contents(tmp_path / "one") != contents(tmp_path / "four")


def test_a_finished_set_is_left_alone(render, tmp_path):
    render()
    before = contents(tmp_path / "out")
    result, _ = render(settings=replace(SETTINGS, sequences=2))
    assert (result.finished, result.already) == ([], 2)
    assert contents(tmp_path / "out") == before


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("crash", "signal 9: Segmentation fault, says the fake"),
        ("fail", "no memory"),
        ("hang", "no answer for"),
        ("babble", "this is not JSON"),
    ],
)
def test_a_fault_costs_nothing(render, tmp_path, faults, fault, words):
    render("good")
    (faults / fault).write_text("1" if fault == "hang" else "2")
    progress = []
    # Long enough for a frame of the fake on a busy machine, short enough to wait for.
    timeout = 3.0 if fault == "hang" else 60.0
    result, notes = render(timeout=timeout, progress=lambda *state: progress.append(state))
    assert (result.finished, result.failed) == ([0, 1, 2, 3], {})
    assert len(notes) in (1, 2)  # equal sentences are said once
    assert "tried again" in notes[0]
    assert words in notes[0]
    assert progress[-1] == (12, 12)
    assert contents(tmp_path / "good") == contents(tmp_path / "out")
    assert alive(faults) == []


def test_a_sequence_that_always_fails_is_named_and_tried_next_time(render, tmp_path, faults):
    render("good")
    (faults / "crash").write_text("3")
    result, _ = render(retries=2)
    assert result.finished == [1, 2, 3]
    assert list(result.failed) == [0]
    assert "Segmentation fault" in result.failed[0]
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {".lock", "dataset.json", "000001", "000002", "000003"}
    result, _ = render()
    assert (result.finished, result.already) == ([0], 3)
    assert contents(tmp_path / "good") == contents(tmp_path / "out")


def test_processes_are_replaced_before_they_grow(render, faults, monkeypatch):
    monkeypatch.setattr(_scheduler, "SEQUENCES_PER_PROCESS", 2)
    render()
    assert len(list(faults.glob("process-*"))) == 1 + 2  # one tells the version
    assert alive(faults) == []


def start(pictures, out, fake, *more):
    options = [
        "--sequences",
        "4",
        "--frames",
        "3",
        "--size",
        "24",
        "32",
        "--seed",
        "5",
        "--blender",
    ]
    command = [sys.executable, str(EXAMPLE), str(pictures), str(out), *options, str(fake)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(EXAMPLE.parents[1])}
    return subprocess.Popen(
        [*command, *more],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere workers end a frame later")
def test_kill_and_resume(render, pictures, fake, tmp_path, faults):
    render("good")
    (faults / "slow").write_text("0.3")
    out = tmp_path / "out"
    process = start(pictures, out, fake, "--workers", "2")
    wait_until(lambda: (out / "000001").exists() or (out / "000000").exists())
    wait_until(lambda: list(out.glob(".diar-tmp-*/0*.png")))
    process.kill()
    process.communicate()
    wait_until(lambda: not alive(faults))
    assert list(out.glob(".diar-tmp-*"))
    (faults / "slow").unlink()
    result, _ = render()
    assert 1 <= result.already <= 3
    assert contents(tmp_path / "good") == contents(out)


@pytest.mark.skipif(os.name == "nt", reason="there, Ctrl-C cannot be sent to one process")
def test_ctrl_c_leaves_nothing_behind(pictures, fake, tmp_path, faults):
    (faults / "slow").write_text("0.3")
    out = tmp_path / "out"
    process = start(pictures, out, fake)
    wait_until(lambda: list(out.glob(".diar-tmp-*/0*.png")))
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert errors.strip() == "stopped; finished sequences stay, the same command goes on"
    assert output == ""
    assert alive(faults) == []
    assert not list(out.glob(".diar-tmp-*"))


def test_full_disk_where_we_write(render, tmp_path, faults, monkeypatch):
    write = one_sequence.write_mask

    def full(path, mask):
        if "02_" in path.name:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, mask)

    monkeypatch.setattr(one_sequence, "write_mask", full)
    with pytest.raises(OutputError, match=r"the disk is full; .*the same command goes on"):
        render(workers=2)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {".lock", "dataset.json"}
    assert alive(faults) == []


@pytest.mark.parametrize("fault", ["fail", "cut"])
def test_full_disk_where_blender_writes(render, faults, monkeypatch, fault):
    (faults / fault).write_text("1")
    usage = _scheduler.shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr(_scheduler.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(OutputError, match="the disk is full; "):
        render()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": 6}, "seed is 5, asked for 6"),
        ({"frames": 5, "samples": 4}, "frames is 3, asked for 5; samples is 16, asked for 4"),
        ({"size": (24, 24)}, r"size is \[24, 32\], asked for \[24, 24\]"),
        ({"kind": "aligned"}, 'kind is "misaligned", asked for "aligned"'),
        ({"ranges": replace(SETTINGS.ranges, roll=5.0)}, "ranges.roll is 20.0, asked for 5.0"),
    ],
)
def test_other_settings_are_refused(render, tmp_path, change, words):
    small = replace(SETTINGS, sequences=1)
    render(settings=small)
    before = contents(tmp_path / "out")
    with pytest.raises(OutputError, match=words):
        render(settings=replace(small, **change))
    assert contents(tmp_path / "out") == before


def test_other_pictures_versions_and_documents_are_refused(render, tmp_path, pictures, painted):
    small = replace(SETTINGS, sequences=1)
    render(settings=small)
    painted((50, 50), "3.png")
    with pytest.raises(OutputError, match=r"picture 3\.png is new"):
        render(settings=small)
    (pictures / "3.png").unlink()
    (pictures / "0.png").rename(pictures / "3.png")
    with pytest.raises(OutputError, match=r"picture 3\.png is new; picture 0\.png is gone"):
        render(settings=small)
    (pictures / "3.png").rename(pictures / "0.png")
    path = tmp_path / "out" / "dataset.json"
    document = json.loads(path.read_text())
    for change, words in (
        ({"version": 7}, "version is 7, asked for 1"),
        ({"software": {"blender": "4.5.0"}}, r'blender is "4.5.0", asked for "4.5.99"'),
        ({"format": "something"}, "does not describe a data set"),
        ({"images": document["images"][::-1]}, "in another order"),
    ):
        path.write_text(json.dumps({**document, **change}))
        with pytest.raises(OutputError, match=words):
            render(settings=small)
    path.write_text("{")
    with pytest.raises(OutputError, match="damaged"):
        render(settings=small)


@pytest.mark.parametrize(
    "text",
    [
        '{"format": "diar_ops dataset", "version": 2, "images": ["a"]}',
        '{"format": "diar_ops dataset", "version": 1, "images": 5}',
        '{"format": "diar_ops dataset", "version": 1, "images": [], "ranges": [1]}',
    ],
)
def test_documents_that_are_not_understood_are_one_sentence(render, tmp_path, text):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "dataset.json").write_text(text)
    with pytest.raises(OutputError, match=r"version is 2, asked for 1|is damaged"):
        render()
    assert (tmp_path / "out" / "dataset.json").read_text() == text


def test_sequences_of_an_unknown_set_are_refused(render, tmp_path):
    small = replace(SETTINGS, sequences=1)
    render(settings=small)
    (tmp_path / "out" / "dataset.json").unlink()
    with pytest.raises(OutputError, match=r"holds sequences but no dataset\.json"):
        render(settings=small)


def test_the_folder_of_the_pictures_is_refused(render, pictures):
    before = contents(pictures)
    with pytest.raises(OptionError, match="another folder for out than that of the pictures"):
        render(pictures)
    assert contents(pictures) == before


def test_a_second_run_in_the_same_folder_is_refused(render, tmp_path):
    pytest.importorskip("fcntl")
    with driver._locked(tmp_path / "out"), pytest.raises(OutputError, match="another run is"):
        render()


def test_a_corrupt_picture_among_good_ones(render, pictures, tmp_path):
    (pictures / "1.png").write_bytes((pictures / "1.png").read_bytes()[:600])
    settings = replace(SETTINGS, sequences=6)
    result, notes = render("out", settings, workers=2)
    assert result.finished == list(range(6))
    assert len(notes) == 1
    assert "1.png is truncated or damaged" in notes[0]
    used = [
        read_sequence(tmp_path / "out" / f"{i:06d}").document["texture"]["file"] for i in range(6)
    ]
    assert set(used) == {"0.png", "2.png"}
    render("again", settings)
    assert contents(tmp_path / "out") == contents(tmp_path / "again")


def test_no_pictures(render, pictures, tmp_path):
    for path in pictures.iterdir():
        path.write_bytes(b"no picture")
    with pytest.raises(ImageError, match="none of the 3 files is a usable picture"):
        render()
    assert not (tmp_path / "out").exists()
    for path in pictures.iterdir():
        path.unlink()
    with pytest.raises(ImageError, match="no photos in the folder"):
        render()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            {"kind": "library", "message": "libXi.so.6: cannot open shared object file"},
            r"libXi\.so\.6.*apt install libx11-6 .*libgl1",
        ),
        ({"kind": "version", "message": "4.4.3"}, r"is Blender 4\.4\.3; Blender 4\.5 or newer"),
        ({"kind": "start", "message": "ImportError: numpy"}, "did not start: ImportError: numpy"),
    ],
)
def test_blender_that_cannot_work(render, faults, answer, words):
    (faults / "refuse").write_text(json.dumps({"event": "failed", **answer}))
    with pytest.raises(RenderError, match=words):
        render()


def test_no_such_graphics_card(render, tmp_path):
    with pytest.raises(RenderError, match=r"finds no OPTIX device; use --device cpu"):
        render(settings=replace(SETTINGS, device="optix"))
    assert not (tmp_path / "out").exists()


def test_python_without_bpy(render):
    if driver.blender_command(sys.executable) and "bpy" in sys.modules:
        pytest.skip("this Python has bpy")
    with pytest.raises(RenderError, match=r"no package bpy .* `make render-env`"):
        render(blender=sys.executable)


def test_no_blender_at_all(render, tmp_path, monkeypatch):
    monkeypatch.setattr(worker, "_ENVIRONMENT", "no-such-environment")
    monkeypatch.setattr(worker, "find_spec", lambda name: None)
    with pytest.raises(RenderError, match=r"run `make render-env` once"):
        render(blender=None)
    with pytest.raises(RenderError, match=r"there is no program .*nowhere"):
        render(blender=tmp_path / "nowhere")


@pytest.mark.parametrize("options", [{"workers": 0}, {"retries": -1}, {"timeout": 0.0}])
def test_options_are_checked(render, options):
    with pytest.raises(OptionError):
        render(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"kind": "other"},
        {"sequences": 0},
        {"frames": 0},
        {"samples": 0},
        {"size": (8, 64)},
        {"size": (64,)},
        {"device": "gpu"},
    ],
)
def test_settings_are_checked(options):
    with pytest.raises(DiarError):
        RenderSettings(**options)


def test_seeds_do_not_depend_on_torch(pictures):
    choice = driver.TextureChoice(sorted(pictures.iterdir()), 5, "aligned", (24, 32))
    before = torch.random.get_rng_state()
    rounds = [[choice.candidates(3 * r + k)[0].name for k in range(3)] for r in range(8)]
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(sorted(names) == ["0.png", "1.png", "2.png"] for names in rounds)
    assert len({tuple(names) for names in rounds}) > 1
    assert [len(set(choice.candidates(k))) for k in range(9)] == [3] * 9
