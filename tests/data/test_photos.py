"""Photos are listed as a person counts, read or named, and found by what a person calls them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import cv2
import pytest
import torch

from diar_ops import OptionError
from diar_ops._files import write_image
from diar_ops.data import ImageError, Photo, find_photo, list_images, read_photos
from tests.harness import generator
from tests.sequences import write_dataset, write_sequence


def save(path: Path, dtype: torch.dtype = torch.uint8, size: tuple[int, int] = (30, 40)) -> Path:
    top = 256 if dtype == torch.uint8 else 65536
    pixels = torch.randint(top, (3, *size), generator=generator(path.name)).to(dtype)
    write_image(path, pixels)
    return path


def test_broken_files_are_skipped_with_one_sentence_each(tmp_path: Path) -> None:
    save(tmp_path / "1.png")
    whole = save(tmp_path / "4.png").read_bytes()
    (tmp_path / "2.jpg").write_text("no photo")
    (tmp_path / "3.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "5.jpg").write_bytes(b"")
    states: list[tuple[int, int]] = []
    loaded, skipped = read_photos(tmp_path, progress=lambda *state: states.append(state))
    assert [photo.name for photo in loaded] == ["1.png", "4.png"]
    assert len(skipped) == 3
    for sentence, name, why in zip(
        skipped, ("2.jpg", "3.png", "5.jpg"), ("no picture", "truncated", "empty"), strict=True
    ):
        assert name in sentence
        assert why in sentence
        assert "\n" not in sentence
    assert states == [(n, 5) for n in range(1, 6)]


def test_nothing_readable_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_text("no photo")
    (tmp_path / "2.jpg").write_text("no photo either")
    with pytest.raises(ImageError, match=r"none of the 2 files is a readable photo: .*1\.jpg"):
        read_photos(tmp_path)
    with pytest.raises(ImageError, match="does not exist"):
        read_photos(tmp_path / "missing")


@pytest.mark.parametrize("depth", [torch.uint8, torch.uint16])
def test_max_size_shrinks_and_keeps_the_depth(tmp_path: Path, depth: torch.dtype) -> None:
    save(tmp_path / "wide.png", depth, (60, 80))
    save(tmp_path / "tall.png", depth, (80, 20))
    save(tmp_path / "small.png", depth, (20, 16))
    (small, tall, wide), skipped = read_photos(tmp_path, max_size=20)
    assert skipped == []
    assert (wide.size, tall.size, small.size) == ((15, 20), (20, 5), (20, 16))
    assert {photo.pixels.dtype for photo in (wide, tall, small)} == {depth}
    full = cv2.imread(str(tmp_path / "wide.png"), cv2.IMREAD_UNCHANGED)[..., ::-1]
    # A fourfold anti-aliased reduction of noise keeps its mean and shrinks its spread.
    top = torch.iinfo(depth).max
    assert abs(wide.pixels.double().mean() - full.mean()) < 0.02 * top
    assert wide.pixels.double().std() < 0.35 * full.astype(float).std()


def test_max_size_keeps_full_scale(tmp_path: Path) -> None:
    """White stays white in both depths: rounding must not wrap around."""
    for dtype in (torch.uint8, torch.uint16):
        path = tmp_path / f"{dtype}.png"
        white = torch.full((3, 50, 70), torch.iinfo(dtype).max, dtype=torch.int32).to(dtype)
        write_image(path, white)
        (photo,), _ = read_photos(path, max_size=32)
        assert (photo.pixels.int() == torch.iinfo(dtype).max).all()


def test_max_size_shrinks_the_mask(tmp_path: Path) -> None:
    valid = torch.ones(1, 40, 40, dtype=torch.bool)
    valid[:, :, :10] = False
    write_image(tmp_path / "a.png", torch.full((3, 40, 40), 0.5), valid=valid)
    (photo,), _ = read_photos(tmp_path, max_size=20)
    assert photo.valid is not None
    assert photo.valid.shape == (1, 20, 20)
    assert not photo.valid[:, :, :5].any(), "a pixel that mixes in a transparent one is not valid"
    assert photo.valid[:, :, 5:].all()


@pytest.mark.parametrize("max_size", [15, 0, -1])
def test_max_size_is_checked(tmp_path: Path, max_size: int) -> None:
    save(tmp_path / "1.png")
    with pytest.raises(OptionError, match="max_size >= 16"):
        read_photos(tmp_path, max_size=max_size)


def test_find_photo() -> None:
    names = ["b.jpg", "0", "a.jpg", "b.jpg"]
    photos = [Photo(torch.zeros(3, 1, 1, dtype=torch.uint8), name) for name in names]
    assert find_photo(photos, "a.jpg") == 2
    assert find_photo(photos, "b.jpg") == 0
    assert find_photo(photos, "3") == 3
    assert find_photo(photos, "0") == 1, "a file of that name comes before a number"
    for name in ("4", "-1", "c.jpg", "", "1.0", "\N{SUPERSCRIPT TWO}"):
        with pytest.raises(OptionError, match="expected a file name, a path or a number from 0 to 3"):
            find_photo(photos, name)


def test_a_photo_is_found_by_its_path_and_by_its_number_among_all(tmp_path: Path) -> None:
    save(tmp_path / "0.png")
    (tmp_path / "1.png").write_bytes(b"broken")
    save(tmp_path / "2.png")
    loaded, skipped = read_photos(tmp_path)
    assert len(skipped) == 1
    assert find_photo(loaded, str(tmp_path / "2.png")) == 1
    assert find_photo(loaded, "2") == 1
    with pytest.raises(OptionError, match="number 1 was skipped"):
        find_photo(loaded, "1")


def test_twins_count_once_and_namesakes_twice(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    save(tmp_path / "a" / "1.png")
    (tmp_path / "b" / "copy.png").write_bytes((tmp_path / "a" / "1.png").read_bytes())
    save(tmp_path / "b" / "1.png", size=(31, 40))
    loaded, (sentence,) = read_photos([tmp_path / "a", tmp_path / "b"])
    assert [photo.path for photo in loaded] == [tmp_path / "a" / "1.png", tmp_path / "b" / "1.png"]
    assert "copy.png shows pixel by pixel what" in sentence


def test_what_looks_like_a_picture_is_never_passed_over(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    for name in ("notes.txt", "data.json", "setup.ini"):
        (tmp_path / name).write_text("plain")
    for name, data in {"b.CR2": b"x", "c.psd": b"8BPS\0\1", "d.pdf": b"%PDF-1.7", "e": b"gimp xcf v011"}.items():
        (tmp_path / name).write_bytes(data)
    save(tmp_path / "f.png").rename(tmp_path / "f.HEIC")
    loaded, skipped = read_photos(tmp_path)
    assert [photo.name for photo in loaded] == ["a.png", "f.HEIC"]
    assert [next(name for name in ("b.CR2", "c.psd", "d.pdf", "/e ") if name in said) for said in skipped]
    assert len(skipped) == 4


def test_a_raw_photo_beside_its_jpeg_is_the_same_shot(tmp_path: Path) -> None:
    save(tmp_path / "1.png")
    (tmp_path / "1.dng").write_bytes(b"II*\0" + bytes(60))
    (tmp_path / "1.mov").write_bytes(b"\0\0\0\x14ftypqt  " + bytes(60))
    loaded, skipped = read_photos(tmp_path)
    assert [photo.name for photo in loaded] == ["1.png"]
    assert all("of the same shot as 1.png" in sentence for sentence in skipped)
    assert len(skipped) == 2


def test_list_counts_like_a_person(tmp_path: Path) -> None:
    order = ["01.tiff", "9.png", "a.jpeg", "b.webp", "IMG1.tif", "img2.JPG", "img10.png", "²x.png"]
    for name in [*reversed(order), ".hidden.png", "notes.txt", "._a.jpg"]:
        (tmp_path / name).touch()
    (tmp_path / "sub.png").mkdir()
    listed = [path.name for path in list_images(tmp_path)]
    assert listed == order


def test_list_takes_files_as_given_and_once(tmp_path: Path) -> None:
    for name in ["b.png", "a.png", "odd.dat"]:
        (tmp_path / name).touch()
    listed = list_images([tmp_path / "odd.dat", str(tmp_path / "b.png"), tmp_path])
    assert [path.name for path in listed] == ["odd.dat", "b.png", "a.png"]
    assert list_images(str(tmp_path / "a.png")) == [tmp_path / "a.png"]


def test_list_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImageError, match=r"no photos in the folder .*looked at its 0 files"):
        list_images(tmp_path)
    with pytest.raises(ImageError, match=r"missing does not exist$"):
        list_images(tmp_path / "missing")
    with pytest.raises(ImageError, match="no folder and no file"):
        list_images([])

    def denied(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", denied)
    with pytest.raises(ImageError, match="permission denied"):
        list_images(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_list_survives_a_dangling_link(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    (tmp_path / "b.png").symlink_to(tmp_path / "gone.png")
    assert [path.name for path in list_images(tmp_path)] == ["a.png"]


def test_the_folder_of_a_rendered_sequence_gives_its_frames(tmp_path: Path) -> None:
    document = write_sequence(tmp_path / "a", frames=3)
    (tmp_path / "a" / "sheet.png").write_bytes(b"")
    frames = [tmp_path / "a" / f"{n:02d}.png" for n in range(3)]
    assert list_images(tmp_path / "a") == frames
    frames[1].unlink()
    assert list_images(tmp_path / "a") == frames, "whoever reads them says that it is missing"
    path = tmp_path / "a" / "sequence.json"
    path.write_text(json.dumps({**document, "version": 3}))
    with pytest.raises(ImageError, match="is version 3 of the format"):
        list_images(tmp_path / "a")
    path.write_text(json.dumps(document)[:400])
    with pytest.raises(ImageError, match="is not JSON"):
        list_images(tmp_path / "a")
    path.write_text('{"of": "another program"}')
    names = [file.name for file in list_images(tmp_path / "a")]
    assert names == ["00.png", "02.png", "label.png", "sheet.png"]


def test_the_folder_of_a_whole_data_set_is_refused(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "set", sequences=4, frames=1)
    sentence = (
        f"{folder} is a whole data set, not one sequence; give one of its sub-folders (000000, 000001, 000002, ...)"
    )
    for name in (".hidden", "dataset.json", "contact_sheet.jpg"):
        (folder / name).touch()
        with pytest.raises(ImageError) as caught:
            list_images(folder)
        assert str(caught.value) == sentence
    (folder / "dataset.json").unlink()
    photos = [folder / "contact_sheet.jpg"]
    assert list_images(folder) == photos, "photos beside somebody's sequences are photos"
