"""A fake Blender for the driver's logic, the real one where it is installed, and pictures."""

import os
import stat
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from diar_ops.cycles import RenderError, render_dataset
from diar_ops.cycles.worker import BlenderProcess, blender_command
from tests.cycles.sets import SETTINGS

FAKE = Path(__file__).with_name("fake_blender.py")


@pytest.fixture
def faults(tmp_path, monkeypatch):
    """Folder of the fake's faults; see fake_blender.py."""
    folder = tmp_path / "faults"
    folder.mkdir()
    monkeypatch.setenv("FAKE_BLENDER", str(folder))
    return folder


@pytest.fixture
def fake(tmp_path, faults):
    """An executable that takes a Blender's arguments and answers as our script would."""
    if os.name == "nt":
        pytest.skip("the fake Blender is a script with a shebang line")
    path = tmp_path / "blender"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I "{FAKE}" "$@"\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def painted(tmp_path):
    """Return a maker of pictures with detail of every size."""

    def paint(size, name="painted.png", seed=0):
        random = np.random.default_rng(seed)
        image = np.zeros((*size, 3))
        for cells in (4, 8, 16, 32, 64):
            noise = Image.fromarray((random.random((cells, cells, 3)) * 255).astype(np.uint8))
            image += np.asarray(noise.resize(size[::-1], Image.Resampling.BICUBIC)) / 5
        path = tmp_path / "pictures" / name
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image.round().astype(np.uint8)).save(path)
        return path

    return paint


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


@pytest.fixture(scope="session")
def blender():
    """Command-line name of a real Blender: DIAR_OPS_BLENDER, or that of ``make render-env``."""
    path = os.environ.get("DIAR_OPS_BLENDER")
    try:
        blender_command(path)
    except RenderError as error:
        pytest.skip(str(error))
    return path


@pytest.fixture
def blender_process(blender):
    process = BlenderProcess(blender_command(blender), "cpu")
    yield process
    process.close()
