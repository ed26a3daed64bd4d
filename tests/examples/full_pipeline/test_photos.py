"""Every kind of photo, and photos among them that do not belong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import av
import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from diar_ops._files import write_image
from diar_ops.data import read_image
from diar_ops.results import clean as clean_module
from diar_ops.results import picture as picture_module
from tests import photos
from tests.examples.full_pipeline.runs import NAMES, SIZE, clean, corners_off, frames_of, psnr, refuse_to_align, save
from tests.scripts import EXAMPLES, Runner, assert_one_error

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def test_sixteen_bits_and_the_profile_are_kept(run: Runner, tmp_path: Path) -> None:
    truth, views, _ = photos.sequence(SIZE, 3)
    for name, view in zip(NAMES, views, strict=True):
        deep = (photos.as_frame(view).int() * 257).to(torch.uint16)
        (tmp_path / "photos").mkdir(exist_ok=True)
        write_image(tmp_path / "photos" / name, deep, icc_profile=SRGB)
    out = tmp_path / "out"
    result = run(tmp_path / "photos", "--out", out, "--reference", "0", "--aggregator", "consensus")
    assert result.code == 0
    for path in (out / "clean.png", out / "aligned" / "b.png"):
        photo = read_image(path)
        assert photo.bit_depth == 16
        assert photo.icc_profile == SRGB
    levels = read_image(out / "clean.png").pixels.int().unique()
    assert len(levels) > 2000, "averages fall between the 256 levels of eight bits"
    assert psnr(clean(out), truth) > 30


def test_rotated_phone_photos_are_upright(run: Runner, tmp_path: Path) -> None:
    """b.jpg is stored turned by 90 degrees, with the EXIF note that says so."""
    _, views, H = photos.sequence(SIZE, 3)
    names = ("a.jpg", "b.jpg", "c.jpg")
    folder = save(tmp_path / "photos", views, names)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned clockwise
    stored = Image.fromarray(np.ascontiguousarray(np.rot90(views[1])))
    stored.save(folder / "b.jpg", quality=95, exif=exif)
    out = tmp_path / "out"
    assert run(folder, "--out", out, "--reference", "a.jpg").code == 0
    assert corners_off(out, dict(zip(names, H, strict=True)), "a.jpg") < 0.5


def test_grey_photos(run: Runner, tmp_path: Path) -> None:
    _, views, _ = photos.sequence(SIZE, 3)
    folder = save(tmp_path / "photos", [v.mean(axis=-1).round().astype(np.uint8) for v in views])
    result = run(folder, "--out", tmp_path / "out", "--aggregator", "consensus")
    assert result.out.startswith("3 of 3 photos")
    image = clean(tmp_path / "out")
    assert np.ptp(image, axis=-1).max() <= 1 / 255


def test_transparent_pixels_are_not_used(run: Runner, tmp_path: Path) -> None:
    """The mean takes all that a photo shows; what it says under alpha 0 is not shown."""
    truth, views, _ = photos.sequence(SIZE, 3)
    views = [photos.view(truth, h, noise="rgba") for h in photos.sequence(SIZE, 3)[2]]
    alpha = np.full((SIZE, SIZE, 1), 255, np.uint8)
    alpha[40:90, 40:90] = 0
    views[0][40:90, 40:90] = (255, 0, 255)
    folder = save(tmp_path / "photos", [np.dstack((views[0], alpha)), *views[1:]])
    out = tmp_path / "out"
    assert run(folder, "--out", out, "--reference", "0", "--aggregator", "mean").code == 0
    assert psnr(clean(out)[42:88, 42:88], truth[42:88, 42:88]) > 25
    assert not read_image(out / "weights" / "a.png").pixels[:, 42:88, 42:88].any()
    assert read_image(out / "clean.png").valid is None, "the other photos show it"


def test_sizes_may_differ(run: Runner, tmp_path: Path) -> None:
    truth = photos.picture("poster", SIZE)
    shapes = [(SIZE, SIZE), (200, 150), (130, 180)]
    H = [photos.homography(n, SIZE, s) for n, s in zip(photos.CORNERS, shapes, strict=False)]
    views = [photos.view(truth, h, shape=s, noise="sizes") for h, s in zip(H, shapes, strict=True)]
    out = tmp_path / "out"
    result = run(save(tmp_path / "photos", views), "--out", out, "--reference", "a.png")
    assert result.out.startswith("3 of 3 photos")
    assert corners_off(out, dict(zip(NAMES, H, strict=True)), "a.png") < 0.5
    assert read_image(out / "aligned" / "b.png").size == (SIZE, SIZE)


def test_one_stem_in_two_formats(run: Runner, tmp_path: Path) -> None:
    names = ("a.jpg", "a.png", "b.png")
    folder = save(tmp_path / "photos", photos.sequence(SIZE, 3)[1], names)
    assert run(folder, "--out", tmp_path / "out").code == 0
    written = sorted(p.name for p in (tmp_path / "out" / "aligned").iterdir())
    assert written == ["a.jpg.png", "a.png.png", "b.png"]


def test_broken_files_are_skipped(run: Runner, good: Path, tmp_path: Path) -> None:
    jpeg = tmp_path / "whole.jpg"
    Image.fromarray(photos.sequence(SIZE, 3)[1][0]).save(jpeg)
    (good / "cut.jpg").write_bytes(jpeg.read_bytes()[: jpeg.stat().st_size // 2])
    (good / "text.jpg").write_text("no photo")
    (good / "empty.png").write_bytes(b"")
    result = run(good, "--out", tmp_path / "out")
    assert result.code == 0
    assert result.out.startswith("3 of 3 photos")
    lines = result.err.splitlines()
    assert len(lines) == 3
    report = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    for name in ("cut.jpg", "text.jpg", "empty.png"):
        assert [line.startswith("skipped: ") and name in line for line in lines].count(True) == 1
        assert name in report


BELONGING = ("--reference", "a.png", "--aggregator", "consensus")


@pytest.fixture(scope="module")
def without(program: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """The clean picture of the photos that belong together."""
    folder = tmp_path_factory.mktemp("without")
    good = save(folder / "photos", photos.sequence(SIZE, 3)[1])
    assert program.main([str(good), *BELONGING, "--out", str(folder / "out")]) == 0
    return clean(folder / "out")


@pytest.mark.parametrize("kind", ["something else", "black", "white", "tiny"])
def test_a_photo_that_does_not_belong_is_left_out(
    run: Runner, good: Path, without: np.ndarray, tmp_path: Path, kind: str
) -> None:
    stranger = {
        "something else": photos.view(photos.picture("other", SIZE), np.eye(3), noise="other"),
        "black": np.zeros((SIZE, SIZE, 3), np.uint8),
        "white": np.full((SIZE, SIZE, 3), 255, np.uint8),
        "tiny": (photos.picture("tiny", 16) * 255).astype(np.uint8),
    }[kind]
    save(good, [stranger], ("aa.png",))
    result = run(good, *BELONGING, "--out", tmp_path / "with")
    assert result.code == 0
    assert result.out.startswith("3 of 4 photos aligned to a.png")
    assert result.err.startswith("left out: aa.png: ")
    assert result.err.count("\n") == 1
    frame = frames_of(tmp_path / "with")["aa.png"]
    assert frame["success"] is False
    assert frame["reason"] in ("TOO_FEW", "CHANCE_LEVEL", "COLLINEAR")
    assert frame["homography_reference_frame"] is None
    assert not (tmp_path / "with" / "aligned" / "aa.png").exists()
    report = (tmp_path / "with" / "report.html").read_text(encoding="utf-8")
    assert "left out" in report
    assert "Aligned photo aa.png" not in report
    # More pairs draw other random samples: positions differ by hundredths of a pixel.
    difference = np.abs(clean(tmp_path / "with") - without)
    assert difference.mean() < 0.5 / 255


def test_copies_give_the_photo_back(run: Runner, tmp_path: Path) -> None:
    view = photos.sequence(128, 1)[1][0]
    copies = [view.copy() for _ in range(10)]
    for index, copy in enumerate(copies):
        copy[0, index] ^= 1  # the same photo given twice would count once
    folder = save(tmp_path / "photos", copies, tuple(f"{i}.png" for i in range(10)))
    result = run(folder, "--out", tmp_path / "out", "--aggregator", "consensus")
    assert result.code == 0
    assert result.out.startswith("10 of 10 photos")
    # Each copy is placed to some thousandths of a pixel: hardly a value changes by rounding.
    assert np.abs(clean(tmp_path / "out") - view / 255).max() < 2.5 / 255


def test_names_that_nothing_can_spell(run: Runner, tmp_path: Path) -> None:
    """A name in an old encoding, on a console that knows yet another one."""
    folder = save(tmp_path / "photos", photos.sequence(SIZE, 3)[1])
    odd = os.fsdecode(b"caf\xe9 \xe5\x9b\xbe.png")
    (folder / "b.png").rename(folder / odd)
    program = [sys.executable, EXAMPLES / "full_pipeline.py", folder, "--out", tmp_path / "out", "--reference", odd]
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252", "PYTHONPATH": str(EXAMPLES.parent)}
    result = subprocess.run([*program, "--aggregator", "median"], capture_output=True, env=environment, check=False)
    assert (result.returncode, result.stderr) == (0, b"")
    assert b"3 of 3 photos aligned to caf\\udce9" in result.stdout
    assert odd in frames_of(tmp_path / "out")
    assert (tmp_path / "out" / "aligned" / odd).is_file()
    assert (tmp_path / "out" / "report.html").is_file()


def test_a_video_and_another_format(run: Runner, tmp_path: Path) -> None:
    views = photos.sequence(SIZE, 3)[1]
    folder = save(tmp_path / "photos", views)
    with av.open(str(folder / "clip.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = SIZE, SIZE, "yuv420p", 4_000_000
        for view in views:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(view, format="rgb24")))
        container.mux(stream.encode())
    (folder / "b.png").write_bytes(b"broken")
    (folder / "c.png").unlink()
    out = tmp_path / "out"
    options = ("--frames", "2", "--format", "tiff", "--reference", folder / "a.png", "--aggregator", "consensus")
    result = run(folder, "--out", out, *options)
    assert result.code == 0
    assert result.out.startswith("3 of 3 photos aligned to a.png")
    assert f"see {out / 'clean.tif'}" in result.out
    assert "skipped" in result.err
    names = [name for name in frames_of(out) if name.startswith("clip.mp4 #")]
    assert len(names) == 2
    assert all((out / "aligned" / f"{name}.png").is_file() for name in names)
    with Image.open(out / "clean.tif") as image:
        assert image.tag_v2[270] == f"Made of a.png, {', '.join(names)}; see homographies.json"


@pytest.mark.parametrize(("option", "value"), [("--frames", "0"), ("--format", "bmp")])
def test_wrong_values(run: Runner, tmp_path: Path, option: str, value: str) -> None:
    folder = save(tmp_path / "photos", photos.sequence(SIZE, 3)[1])
    if option == "--format":
        with pytest.raises(SystemExit):
            run(folder, "--out", tmp_path / "out", option, value)
        return
    assert_one_error(run(folder, "--out", tmp_path / "out", option, value), option, "1 or more")


def test_a_format_that_cannot_hold_the_picture_is_refused_before_the_long_work(
    run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save(tmp_path / "photos", photos.sequence(SIZE, 3)[1])
    monkeypatch.setattr(clean_module, "reconstruct_sequence", refuse_to_align)
    monkeypatch.setitem(picture_module._LONGEST, "webp", SIZE - 1)
    result = run(folder, "--out", tmp_path / "out", "--format", "webp")
    assert_one_error(result, f"webp holds at most {SIZE - 1} pixels a side, not {SIZE}; use png or tiff")
