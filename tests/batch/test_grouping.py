"""A heap of photos is sorted by the time they were taken, then by what they show."""

import random
from datetime import datetime, timedelta
from pathlib import Path

import pillow_heif
import pytest
from PIL import Image

from diar_ops.batch import Verdict, group_photos, overlap
from diar_ops.batch.times import read_time, split_by_time
from diar_ops.engines import LocalEngine
from tests.batch.archives import results, run, write_photos

NOON = datetime(2024, 5, 17, 12)


def heap(folder: Path, sequences: int, count: int) -> tuple[list[Path], dict[Path, int]]:
    """Return photos of several pictures under names that say nothing, and which one each shows."""
    folder.mkdir()
    numbers = random.Random("heap").sample(range(1000), sequences * count)
    shown = {}
    for seed in range(sequences):
        for path in write_photos(folder / "drawer", seed, count):
            shown[path.rename(folder / f"{numbers.pop():03d}.png")] = seed
    (folder / "drawer").rmdir()
    return sorted(shown), shown


def sets(groups: list[list[Path]]) -> set[frozenset[Path]]:
    return {frozenset(group) for group in groups}


@pytest.mark.parametrize("all_pairs", [True, False])
def test_a_shuffled_mix_is_sorted_by_what_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, all_pairs: bool
) -> None:
    paths, shown = heap(tmp_path / "heap", 3, 3)
    lone = write_photos(tmp_path, 9, count=1)
    damaged = tmp_path / "damaged.jpg"
    damaged.write_bytes(b"no photo")
    monkeypatch.setattr(overlap, "ALL_PAIRS", 100 if all_pairs else 2)
    groups = group_photos([*paths, *lone, damaged])
    expected = {frozenset(p for p in paths if shown[p] == seed) for seed in range(3)}
    assert sets(groups) == expected | {frozenset(lone), frozenset([damaged])}
    assert all(group == sorted(group) for group in groups)


def write_time(path: Path, time: datetime) -> None:
    image = Image.open(path)
    exif = image.getexif()
    exif[0x8769] = {0x9003: time.strftime("%Y:%m:%d %H:%M:%S"), 0x9291: "25"}
    image.save(path, exif=exif)


def test_time_of_a_photo(tmp_path: Path) -> None:
    path = write_photos(tmp_path, 0, count=1)[0]
    assert read_time(path) is None
    write_time(path, NOON)
    assert read_time(path) == NOON + timedelta(milliseconds=250)
    assert read_time(tmp_path / "nowhere.jpg") is None
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = NOON.strftime("%Y:%m:%d %H:%M:%S")
    pillow_heif.from_pillow(Image.new("RGB", (64, 48))).save(tmp_path / "phone.heic", exif=exif.tobytes())
    assert read_time(tmp_path / "phone.heic") == NOON


def test_pauses_part_photos() -> None:
    times = [NOON + timedelta(seconds=s) if s is not None else None for s in (500, 0, None, 299, 10, 801, None)]
    assert split_by_time(times, 300.0) == [[1, 4, 3, 0], [5], [2, 6]]
    assert split_by_time([], 300.0) == []


def test_a_heap_becomes_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Two visits to one picture, with a pause between them: two sequences; and a photo alone.
    monkeypatch.setattr("diar_ops.batch.BatchOptions.select_engine", lambda self: LocalEngine(0))
    root = tmp_path / "root"
    for number, path in enumerate(write_photos(root, 1, count=4)):
        write_time(path, NOON + timedelta(minutes=20 * (number // 2), seconds=number))
    write_photos(root, 5, count=1)
    out = tmp_path / "out"
    plan = run(root, out, group=True, dry_run=True)
    planned = {record.key: (list(record.inputs), record.verdict) for record in plan.records}
    assert planned == {
        "10": (["10.png", "11.png"], Verdict.WAITING),
        "12": (["12.png", "13.png"], Verdict.WAITING),
        "50": (["50.png"], Verdict.SINGLE),
    }
    result = run(root, out, group=True)
    assert [record.verdict for record in result.records] == [Verdict.GOOD, Verdict.GOOD, Verdict.SINGLE]
    assert {name.split("/")[1] for name in results(out)} == {"10", "12"}
    # Sorted as before without a look at the photos, and done.
    monkeypatch.setattr("diar_ops.batch.grouping.group_photos", None)
    assert run(root, out, group=True).done == 0
