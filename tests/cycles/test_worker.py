"""A Blender that is missing or cannot work is one sentence."""

import json
import sys
from dataclasses import replace

import pytest

from diar_ops.cycles import RenderError, worker
from tests.cycles.sets import SETTINGS


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
    if worker.blender_command(sys.executable) and "bpy" in sys.modules:
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
