"""The command line of the renderer, without Blender; tests/cycles has the rest."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.scripts import load_script

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "examples" / "render_dataset.py"
FAKE = ROOT / "tests" / "cycles" / "fake_blender.py"


@pytest.fixture(scope="module")
def program():
    return load_script("render_dataset")


@pytest.fixture
def run(program, capsys, tmp_path, monkeypatch):
    if os.name == "nt":
        pytest.skip("the fake Blender is a script with a shebang line")
    (tmp_path / "faults").mkdir()
    monkeypatch.setenv("FAKE_BLENDER", str(tmp_path / "faults"))
    fake = tmp_path / "blender"
    fake.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I "{FAKE}" "$@"\n')
    fake.chmod(0o755)

    def call(*arguments):
        options = ["--sequences", 2, "--frames", 2, "--size", 24, 32, "--blender", fake]
        code = program.main([str(a) for a in (*options, *arguments)])
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 255, (40, 50, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def test_help_teaches(program):
    command = [sys.executable, str(SCRIPT), "--help"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for words in ("Examples:", "--kind", "--part K/N", "make render-env", "dataset.json", "label.png"):
        assert words in text


def test_renders_and_continues(run, pictures, tmp_path):
    code, out, err = run(pictures, tmp_path / "out")
    assert (code, err) == (0, "")
    assert "| something in front |" in out
    sheet = tmp_path / "out" / "contact_sheet.jpg"
    assert out.endswith(f"2 sequences of 2 frames; see {sheet}\n")
    with Image.open(sheet) as image:
        assert image.format == "JPEG"
    code, out, err = run(pictures, tmp_path / "out")
    assert (code, err) == (0, "")
    assert "2 sequences of 2 frames (2 were there)" in out
    # What is measured is the whole set, and so is what is said.
    code, out, err = run(pictures, tmp_path / "out", "--sequences", 1)
    assert (code, err) == (0, "")
    assert "2 sequences of 2 frames (2 were there)" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "nowhere does not exist"),
        (["empty"], "no photos in the folder"),
        (["pictures", "--part", "3/2"], "--part must be K/N"),
        (["pictures", "--part", "half"], "--part must be K/N"),
        (["pictures", "--part", "4/4"], "part 4/4 of 3 pictures is empty"),
        (["pictures", "--workers", "0"], "--workers must be 1 or more, got 0"),
        (["pictures", "--device", "cuda"], "finds no CUDA device; use --device cpu"),
    ],
)
def test_bad_input_is_one_sentence(run, pictures, tmp_path, arguments, words):
    (tmp_path / "empty").mkdir()
    code, out, err = run(tmp_path / arguments[0], tmp_path / "out", *arguments[1:])
    assert (code, out) == (1, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert words in err
    assert not (tmp_path / "out").exists()


def test_failures_are_named_and_the_rest_is_there(run, pictures, tmp_path):
    (tmp_path / "faults" / "crash").write_text("3")
    code, out, err = run(pictures, tmp_path / "out")
    assert code == 1
    assert "| something in front |" in out
    assert "failed: sequence 0: Blender was ended by signal 9" in err
    assert err.endswith("error: 1 of 2 sequences failed; the same command tries them again\n")
    assert (tmp_path / "out" / "contact_sheet.jpg").is_file()


def test_an_existing_set_of_another_kind_is_refused(run, pictures, tmp_path):
    assert run(pictures, tmp_path / "out", "--seed", 1)[0] == 0
    code, _, err = run(pictures, tmp_path / "out", "--seed", 2)
    assert code == 1
    assert "seed is 1, asked for 2" in err


def test_parts_share_no_picture(program, pictures):
    files = sorted(pictures.iterdir())
    parts = [program.select_part(files, f"{k}/2") for k in (1, 2)]
    assert parts == [[files[0], files[2]], [files[1]]]
    assert program.select_part(files, "1/1") == files
