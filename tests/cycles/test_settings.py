"""Settings are checked, and a set is continued with its own settings alone."""

import json
from dataclasses import replace

import pytest

from diar_ops import DiarError, OutputError
from diar_ops.cycles import RenderSettings
from tests.cycles.sets import SETTINGS, contents


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
        {"glass": 1.1},
    ],
)
def test_settings_are_checked(options):
    with pytest.raises(DiarError):
        RenderSettings(**options)


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
