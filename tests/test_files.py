"""Files are written whole or not at all, and what is written reads back the same."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from diar_ops import DtypeError, OptionError, OutputError, ShapeError
from diar_ops._files import atomic_path, write_image, write_text_atomic
from diar_ops.data import ImageError, read_image
from tests.harness import generator

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def pixels(dtype: torch.dtype, channels: int = 3) -> torch.Tensor:
    top = 256 if dtype == torch.uint8 else 65536
    return torch.randint(top, (channels, 9, 14), generator=generator("pixels")).to(dtype)


@pytest.mark.parametrize("depth", [torch.uint8, torch.uint16])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("icc_profile", [None, SRGB])
def test_round_trip(tmp_path: Path, depth: torch.dtype, channels: int, masked: bool, icc_profile: bytes | None) -> None:
    image = pixels(depth, channels)
    valid = torch.rand(1, 9, 14, generator=generator("valid")) > 0.4 if masked else None
    write_image(tmp_path / "a.png", image, valid=valid, icc_profile=icc_profile)
    photo = read_image(tmp_path / "a.png")
    assert photo.pixels.dtype == depth
    np.testing.assert_array_equal(photo.pixels.numpy(), np.broadcast_to(image.numpy(), (3, 9, 14)))
    assert photo.icc_profile == icc_profile
    if masked:
        assert torch.equal(photo.valid, valid)
    else:
        assert photo.valid is None
    with Image.open(tmp_path / "a.png") as again:
        again.verify()  # every chunk's checksum, the profile's included


@pytest.mark.parametrize("real", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("bit_depth", [None, 8, 16])
def test_float_is_rounded_and_clamped(tmp_path: Path, real: torch.dtype, bit_depth: int | None) -> None:
    top = 65535 if bit_depth == 16 else 255
    image = torch.tensor([[-1.0, 0.0, 0.25, 0.5, 1.0, 2.0, float("inf")]], dtype=real)[None]
    write_image(tmp_path / "a.png", image, bit_depth=bit_depth)
    actual = read_image(tmp_path / "a.png").pixels[0, 0].tolist()
    assert actual == [0, 0, round(top * 0.25), round(top * 0.5), top, top, top]


def test_needs_no_gradient_and_no_contiguity(tmp_path: Path) -> None:
    image = torch.rand(14, 9, 3, generator=generator("image")).requires_grad_()
    write_image(tmp_path / "a.png", image.permute(2, 1, 0))
    assert read_image(tmp_path / "a.png").size == (9, 14)


def test_refuses_wrong_arguments(tmp_path: Path) -> None:
    path, good = tmp_path / "a.png", pixels(torch.uint8)
    with pytest.raises(OptionError, match=r"ends in \.png"):
        write_image(tmp_path / "a.jpg", good)
    with pytest.raises(ShapeError, match=r"1 or 3"):
        write_image(path, torch.zeros(2, 4, 4))
    with pytest.raises(ShapeError):
        write_image(path, torch.zeros(3, 0, 4))
    with pytest.raises(ShapeError, match="valid"):
        write_image(path, good, valid=torch.ones(1, 4, 4, dtype=torch.bool))
    with pytest.raises(DtypeError, match="valid must be bool"):
        write_image(path, good, valid=torch.ones(1, 9, 14))
    with pytest.raises(DtypeError, match="int64"):
        write_image(path, good.long())
    with pytest.raises(OptionError, match="bit_depth 8 for"):
        write_image(path, good, bit_depth=16)
    with pytest.raises(OptionError, match="bit_depth 8 or 16"):
        write_image(path, torch.zeros(3, 4, 4), bit_depth=12)
    with pytest.raises(ImageError, match="NaN"):
        write_image(path, torch.full((3, 4, 4), float("nan")))
    assert list(tmp_path.iterdir()) == []


def test_never_overwrites_untold(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text_atomic(path, "first")
    with pytest.raises(OutputError, match=r"a\.txt already exists; pass overwrite=True"):
        write_text_atomic(path, "second")
    assert path.read_text() == "first"
    write_text_atomic(path, "third ß ñ\n", overwrite=True)
    assert path.read_bytes() == "third ß ñ\n".encode()
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"

    def write_slowly() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("mine")
            path.write_text("someone else's")

    with pytest.raises(OutputError, match="already exists"):
        write_slowly()
    assert path.read_text() == "someone else's"
    assert list(tmp_path.iterdir()) == [path]


def test_parents_are_created(tmp_path: Path) -> None:
    write_text_atomic(tmp_path / "new" / "deep" / "a.json", "{}")
    assert (tmp_path / "new" / "deep" / "a.json").read_text() == "{}"


@pytest.mark.parametrize("failure", [RuntimeError("halfway"), KeyboardInterrupt(), SystemExit(1)])
def test_failure_in_the_middle_leaves_the_old_file(tmp_path: Path, failure: BaseException) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail_halfway() -> None:
        with atomic_path(path, overwrite=True) as temporary:
            assert temporary.parent == tmp_path
            assert temporary.suffix == ".txt"
            temporary.write_text("half of the n")
            raise failure

    with pytest.raises(type(failure)):
        fail_halfway()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "the disk quota is used up"),
        (errno.EROFS, "the disk is read-only"),
        (errno.EACCES, "permission denied"),
        (errno.EIO, os.strerror(errno.EIO).lower()),
    ],
)
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_the_system_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, words: str, step: str) -> None:
    path = tmp_path / "a.png"
    write_image(path, pixels(torch.uint8))
    before = path.read_bytes()

    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, step, refuse)
    with pytest.raises(OutputError) as caught:
        write_image(path, torch.zeros(3, 9, 14), overwrite=True)
    assert str(caught.value) == f"cannot write {path}: {words}"
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_full_disk_while_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Path.write_bytes

    def half(self: Path, data: bytes) -> int:
        original(self, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(OutputError, match="the disk is full"):
        write_image(tmp_path / "a.png", pixels(torch.uint16))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_really_full_device(tmp_path: Path) -> None:
    """The block's own writes are covered too, not only those of the library."""

    def fill() -> None:
        with atomic_path(tmp_path / "a.txt"), Path("/dev/full").open("w") as full:
            full.write("x")
            full.flush()

    with pytest.raises(OutputError, match="the disk is full"):
        fill()
    assert list(tmp_path.iterdir()) == []


def test_what_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(OutputError, match="it is a folder"):
        write_image(tmp_path / "folder.png", pixels(torch.uint8), overwrite=True)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="a part of the path is a file"):
        write_text_atomic(tmp_path / "file" / "a.txt", "")
    with pytest.raises(OutputError, match="a part of the path is a file"):
        write_text_atomic(tmp_path / "file" / "deep" / "a.txt", "")
    with pytest.raises(OutputError, match="the file name is too long"):
        write_text_atomic(tmp_path / ("a" * 300 + ".txt"), "")


@pytest.mark.skipif(os.name == "nt", reason="named pipes and modes of POSIX")
def test_devices_are_spared_and_modes_are_ordinary(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    with pytest.raises(OutputError, match="not a plain file"):
        write_text_atomic(tmp_path / "pipe.txt", "", overwrite=True)
    write_text_atomic(tmp_path / "a.txt", "")
    (tmp_path / "b.txt").touch()
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == stat.S_IMODE((tmp_path / "b.txt").stat().st_mode)
