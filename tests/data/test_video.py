"""Frames of a video: sharp, unlike each other, upright, and no more of them in memory than are asked for."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from diar_ops import OptionError
from diar_ops.data import ImageError, read_image, read_photos, read_video
from diar_ops.data.video import _Candidate, choose_frames
from tests.data.image_files import channels_last

HEIGHT, WIDTH = 64, 96


def scene(shift: int) -> np.ndarray:
    """Blocks of colour that wander to the left, a red one in the upper left corner."""
    rng = np.random.default_rng(3)
    wide = rng.integers(40, 216, (8, 40, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    picture = np.ascontiguousarray(wide[:, shift : shift + WIDTH])
    picture[:16, :16] = (230, 20, 20)
    return picture


def blurred(picture: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(picture, (0, 0), 5)


def write(path: Path, pictures: Iterable[np.ndarray], turn: int = 0) -> Path:
    """Write a video; ``turn`` is 90 if players are to turn it clockwise."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = WIDTH, HEIGHT, "yuv420p", 4_000_000
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    if turn:
        data = bytearray(path.read_bytes())
        matrix = data.index(b"tkhd") + 44
        one = (1 << 16).to_bytes(4, "big")
        minus = (-(1 << 16)).to_bytes(4, "big", signed=True)
        data[matrix : matrix + 20] = bytes(4) + one + bytes(4) + minus + bytes(4)
        path.write_bytes(data)
    return path


def test_the_sharp_and_different_frames_are_taken(tmp_path: Path) -> None:
    """Of each five frames only the third is sharp."""
    pictures = [scene(2 * n) if n % 5 == 2 else blurred(scene(2 * n)) for n in range(40)]
    photos = read_video(write(tmp_path / "clip.mp4", pictures), frames=4)
    numbers = [int(photo.name.removeprefix("clip.mp4 #")) for photo in photos]
    assert len(set(numbers)) == 4
    assert numbers == sorted(numbers)
    assert all(number % 5 == 2 for number in numbers)
    for number, photo in zip(numbers, photos, strict=True):
        assert np.abs(channels_last(photo).astype(int) - scene(2 * number)).mean() < 12


def test_frames_far_from_each_other_are_chosen() -> None:
    candidates = [_Candidate(n, n, 1.0, np.full((4, 4), n, np.float32)) for n in range(11)]
    assert [candidate.number for candidate in choose_frames(candidates, 3)] == [0, 10, 5]
    assert len(choose_frames(candidates, 20)) == 11
    assert choose_frames([], 3) == []


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_a_turned_video_is_upright(tmp_path: Path, suffix: str) -> None:
    photo = read_video(write(tmp_path / f"a{suffix}", [scene(0)], turn=90), frames=1)[0]
    assert photo.size == (WIDTH, HEIGHT)
    assert np.abs(channels_last(photo).astype(int) - np.rot90(scene(0), -1)).mean() < 12


def test_a_still_video_gives_one_frame(tmp_path: Path) -> None:
    grey = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    assert len(read_video(write(tmp_path / "a.mp4", [grey] * 10))) == 1


def test_few_whole_frames_in_a_long_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diar_ops.data.video._LONG", 20)
    path = write(tmp_path / "a.mp4", [scene(n) for n in range(36)])
    assert len(read_video(path, frames=3)) == 3
    assert len(read_video(path, frames=12)) == 12


def test_candidates_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diar_ops.data.video._CANDIDATES", 4)
    assert len(read_video(write(tmp_path / "a.mp4", [scene(n) for n in range(40)]), frames=4)) == 4


def test_videos_among_photos(tmp_path: Path) -> None:
    write(tmp_path / "clip.mp4", [scene(6 * n) for n in range(10)])
    write(tmp_path / "lies.jpg.mp4", [scene(0)]).rename(tmp_path / "lies.jpg")
    cv2.imwrite(str(tmp_path / "a.png"), scene(90))
    photos, skipped = read_photos(tmp_path, frames=3)
    assert skipped == []
    names = [photo.name for photo in photos]
    assert names[0] == "a.png"
    assert [name.split(" #")[0] for name in names[1:]] == ["clip.mp4"] * 3 + ["lies.jpg"]
    with pytest.raises(ImageError, match="is a video, not a photo"):
        read_image(tmp_path / "clip.mp4")


def test_what_is_refused(tmp_path: Path) -> None:
    data = write(tmp_path / "a.mp4", [scene(0)] * 5).read_bytes()
    (tmp_path / "half.mp4").write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageError, match=r"half\.mp4 is truncated or damaged"):
        read_video(tmp_path / "half.mp4")
    with pytest.raises(ImageError, match=r"gone\.mp4 does not exist"):
        read_video(tmp_path / "gone.mp4")
    with av.open(str(tmp_path / "sound.m4a"), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    with pytest.raises(ImageError, match="holds no pictures"):
        read_video(tmp_path / "sound.m4a")
    with pytest.raises(OptionError, match="frames >= 1"):
        read_video(tmp_path / "a.mp4", frames=0)
