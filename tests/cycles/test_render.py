"""Sets are written whole, reproducibly and into folders of their own, by a fake Blender."""

import json
from dataclasses import replace

import pytest

from diar_ops import OptionError, OutputError
from diar_ops._folders import locked_folder
from diar_ops.cycles import write_contact_sheet
from diar_ops.data import ImageError, SequenceDataset, read_sequence
from diar_ops.engines import LocalEngine
from diar_ops.scene import FrameFlag, scene_from_document
from tests.cycles.sets import SETTINGS, alive, contents


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
    render("two", engine=LocalEngine(3))
    render("three", replace(SETTINGS, sequences=1))
    result, _ = render("three", engine=LocalEngine(2))
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
    with locked_folder(tmp_path / "out"), pytest.raises(OutputError, match="another run works in"):
        render()


def test_a_corrupt_picture_among_good_ones(render, pictures, tmp_path):
    (pictures / "1.png").write_bytes((pictures / "1.png").read_bytes()[:600])
    settings = replace(SETTINGS, sequences=6)
    result, notes = render("out", settings, engine=LocalEngine(2))
    assert result.finished == list(range(6))
    assert len(notes) == 1
    assert "1.png is truncated or damaged" in notes[0]
    used = [read_sequence(tmp_path / "out" / f"{i:06d}").document["texture"]["file"] for i in range(6)]
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


@pytest.mark.parametrize("options", [{"retries": -1}, {"timeout": 0.0}])
def test_options_are_checked(render, options):
    with pytest.raises(OptionError):
        render(**options)


def test_pictures_behind_glass(render, tmp_path):
    settings = replace(SETTINGS, sequences=3, glass=1.0)
    render("glass", settings)
    render("again", settings, engine=LocalEngine(2))
    assert contents(tmp_path / "glass") == contents(tmp_path / "again")
    assert json.loads((tmp_path / "glass" / "dataset.json").read_text())["glass"] == 1.0
    document = read_sequence(tmp_path / "glass" / "000001").document
    assert document["version"] == 2
    scene = scene_from_document(document)
    assert bool(scene.pane.valid)
    assert scene.environment.centre.shape[:2] == (1, 3)
    flags = SequenceDataset(tmp_path / "glass", masks=("occluded", "flags"))[1]["flags"]
    assert ((flags & FrameFlag.HIGHLIGHT) > 0).double().mean() > 0.3  # the fake's pane mirrors much
    with pytest.raises(OutputError, match=r"glass is 1\.0, asked for 0"):
        render("glass", SETTINGS)
    render("none", replace(SETTINGS, sequences=1))
    with pytest.raises(OutputError, match=r"glass is nothing, asked for 0\.5"):
        render("none", replace(SETTINGS, glass=0.5))


def test_without_glass_nothing_of_it_is_written(render, tmp_path):
    render(settings=replace(SETTINGS, sequences=1))
    assert "glass" not in json.loads((tmp_path / "out" / "dataset.json").read_text())
    document = read_sequence(tmp_path / "out" / "000000").document
    assert document["version"] == 1
    assert not {"pane", "environment"} & document.keys()
