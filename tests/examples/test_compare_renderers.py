"""The torch renderer shows the very scenes that Cycles rendered, which the bundled sample holds."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

from tests.scripts import load_script

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "tests" / "cycles" / "sample"


@pytest.fixture(scope="module")
def program() -> ModuleType:
    return load_script("compare_renderers")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """The labels under the names of the scans: as sharp as frames of their size can show."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for sequence in SAMPLE.glob("*/000000"):
        document = json.loads((sequence / "sequence.json").read_text(encoding="utf-8"))
        label = Image.open(sequence / "label.png")
        label.save(folder / document["texture"]["file"], quality=95)
    return folder


@pytest.mark.parametrize("kind", ["aligned", "misaligned"])
def test_both_renderers_show_the_same(program: ModuleType, pictures: Path, tmp_path: Path, kind: str) -> None:
    out = tmp_path / "out"
    assert program.main([str(SAMPLE / kind), str(pictures), "--out", str(out)]) == 0
    report = json.loads((out / "comparison.json").read_text(encoding="utf-8"))
    figures = report["cycles and torch, or both"]
    # Full sets differ by .004 (docs/data.md); these pictures are blurred once more.
    assert figures["mean absolute difference, nothing in front"][0] < 0.015
    for name in ("mean brightness", "share in shadow", "share in highlight", "share occluded"):
        cycles, torch = figures[name]
        assert abs(cycles - torch) < 0.02, name
    assert report["residuals"]["earth mover's"] < 0.01
    for name in ("frames.png", "residuals.png"):
        with Image.open(out / name) as image:
            assert min(image.size) > 100


def test_missing_pictures_are_one_sentence(
    program: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert program.main([str(SAMPLE / "aligned"), str(tmp_path), "--out", str(out)]) == 1
    assert "does not exist" in capsys.readouterr().err
    assert not out.exists()


def test_a_sequence_without_a_scene_is_one_sentence(
    program: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.main([str(ROOT / "examples" / "demo_sequence"), str(tmp_path)]) == 1
    assert "not the description of a planar scene" in capsys.readouterr().err
