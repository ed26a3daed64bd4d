"""The whole program: a folder of photos in, one clean picture out, one sentence for what is bad."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from diar_ops import DIAR, FaithfulDIAR, FaithfulDIARConfig, corner_error, save_pretrained
from diar_ops._files import write_image
from diar_ops.data import read_image
from diar_ops.results import files as results_module
from tests import photos
from tests.scripts import load_script

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "examples" / "full_pipeline.py"
SIZE = 160
NAMES = ("a.png", "b.png", "c.png")
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


class Run(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture(scope="module")
def program() -> ModuleType:
    return load_script("full_pipeline")


@pytest.fixture
def run(program: ModuleType, capsys: pytest.CaptureFixture[str]) -> Callable[..., Run]:
    def call(*arguments: object) -> Run:
        code = program.main([str(a) for a in arguments])
        captured = capsys.readouterr()
        return Run(code, captured.out, captured.err)

    return call


def save(folder: Path, views: list[np.ndarray], names: tuple[str, ...] = NAMES) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, view in zip(names, views, strict=True):
        Image.fromarray(view).save(folder / name, quality=95)
    return folder


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """A folder of three spoiled photos; a.png is frontal."""
    return save(tmp_path / "photos", photos.sequence(SIZE, 3)[1])


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def clean(folder: Path) -> np.ndarray:
    """The clean picture, (H, W, 3) in [0, 1]."""
    pixels = read_image(folder / "clean.png").pixels
    return pixels.numpy().transpose(1, 2, 0) / float(torch.iinfo(pixels.dtype).max)


def psnr(image: np.ndarray, truth: np.ndarray) -> float:
    return float(-10 * np.log10(np.square(image - truth).mean()))


def frames_of(folder: Path) -> dict[str, dict[str, Any]]:
    document = json.loads((folder / "homographies.json").read_text(encoding="utf-8"))
    return {frame["file"]: frame for frame in document["frames"]}


def corners_off(folder: Path, H: dict[str, np.ndarray], reference: str) -> float:
    """The largest mean corner error of the photos, in pixels."""
    found = frames_of(folder)
    worst = 0.0
    for name, h in H.items():
        estimate = torch.tensor(found[name]["homography_reference_frame"], dtype=torch.float64)
        exact = torch.from_numpy(H[reference] @ np.linalg.inv(h))
        worst = max(worst, float(corner_error(estimate, exact, size=(SIZE, SIZE))))
    return worst


def assert_one_error(result: Run, *words: str) -> None:
    assert result.code == 1
    assert result.out == ""
    lines = result.err.splitlines()
    assert [line.startswith("error: ") for line in lines].count(True) == 1
    assert lines[-1].startswith("error: ")
    assert "Traceback" not in result.err
    for word in words:
        assert word in lines[-1]


def refuse_to_align(*_: object, **__: object) -> None:
    raise AssertionError("the long work must not have begun")


# --- it works ---------------------------------------------------------------------------------


def test_a_stranger_runs_it(good: Path, tmp_path: Path) -> None:
    """As a program of its own: all outputs are there, right, and the summary says where."""
    out = tmp_path / "out"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [
            sys.executable,
            SCRIPT,
            good,
            "--out",
            out,
            "--reference",
            "a.png",
            "--aggregator",
            "softmax",
        ],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "no bar where nobody watches, and nothing to complain about"
    assert done.stdout.startswith("3 of 3 photos aligned to a.png, ")
    assert done.stdout.endswith(f"see {out / 'clean.png'} and {out / 'report.html'}\n")
    assert done.stdout.count("\n") == 1
    assert set(contents(out)) == {
        "clean.png",
        "homographies.json",
        "report.html",
        *(f"{kind}/{name}" for kind in ("aligned", "weights") for name in NAMES),
    }
    truth, views, H = photos.sequence(SIZE, 3)
    assert psnr(clean(out), truth) > 10 + max(psnr(view / 255, truth) for view in views)
    assert read_image(out / "clean.png").bit_depth == 8
    document = json.loads((out / "homographies.json").read_text(encoding="utf-8"))
    assert document["reference"] == "a.png"
    assert document["size"] == [SIZE, SIZE]
    assert all(f["success"] and f["reason"] == "OK" for f in document["frames"])
    assert corners_off(out, dict(zip(NAMES, H, strict=True)), "a.png") < 0.5
    weights = sum(read_image(out / "weights" / n).pixels.int() for n in NAMES)
    assert ((weights - 255).abs() <= 2).all(), "shares add up to one, each rounded"
    report = (out / "report.html").read_text(encoding="utf-8")
    assert "All 3 photos were aligned" in report
    assert all(name in report for name in NAMES)
    assert all(f'alt="Aligned photo {name}"' in report for name in NAMES)


def test_the_same_seed_gives_the_same_bytes(
    run: Callable[..., Run], good: Path, tmp_path: Path
) -> None:
    for name, seed in (("one", 3), ("two", 3), ("three", 4)):
        result = run(good, "--out", tmp_path / name, "--seed", seed, "--aggregator", "softmax")
        assert result.code == 0
    one, two = ((tmp_path / name / "clean.png").read_bytes() for name in ("one", "two"))
    assert one == two
    assert np.abs(clean(tmp_path / "one") - clean(tmp_path / "three")).mean() < 0.01


@pytest.mark.parametrize("asked", ["b.png", "1"])
def test_reference(run: Callable[..., Run], good: Path, tmp_path: Path, asked: str) -> None:
    result = run(good, "--out", tmp_path / "out", "--reference", asked)
    assert result.code == 0
    assert "aligned to b.png" in result.out
    assert json.loads((tmp_path / "out" / "homographies.json").read_text())["reference"] == "b.png"


@pytest.mark.parametrize(
    ("name", "least"), [("diar", 14), ("softmax", 30), ("median", 30), ("mean", 15)]
)
def test_aggregator(
    run: Callable[..., Run], good: Path, tmp_path: Path, name: str, least: float
) -> None:
    out = tmp_path / "out"
    assert run(good, "--out", out, "--aggregator", name, "--reference", "0").code == 0
    assert psnr(clean(out), photos.picture("poster", SIZE)) > least


@pytest.mark.parametrize("k", [0.0, -0.1])
def test_lens(run: Callable[..., Run], tmp_path: Path, k: float) -> None:
    """Bent photos come out straight, straight ones as they are; either is said."""
    image = photos.picture("poster", SIZE)
    H = [photos.homography(name, SIZE) for name in ("front", "left", "right")]
    views = [photos.view(image, h, noise=f"lens {t}", distortion=k) for t, h in enumerate(H)]
    folder, out = save(tmp_path / "bent", views), tmp_path / "out"
    result = run(folder, "--out", out, "--reference", "a.png", "--aggregator", "median", "--lens")
    assert result.code == 0
    words = "bends the corners in by" if k else "no bend can be told from none"
    assert words in result.err
    found = json.loads((out / "homographies.json").read_text())["distortion"]
    assert abs(found - k) < 0.02
    inner = slice(24, -24)  # of a barrel's corners nothing is left
    assert psnr(clean(out)[inner, inner], image[inner, inner]) > 27


def test_a_network_of_ones_own(run: Callable[..., Run], good: Path, tmp_path: Path) -> None:
    file, out = tmp_path / "mine.safetensors", tmp_path / "out"
    config = FaithfulDIARConfig(8, 1, 8, 4, 8, 1, 2)
    save_pretrained(FaithfulDIAR(config), file)
    assert run(good, "--out", out, "--aggregator", file, "--reference", "0").code == 0
    assert psnr(clean(out), photos.picture("poster", SIZE)) > 14
    assert str(file) in (out / "report.html").read_text(encoding="utf-8")


def test_weights_that_do_not_do(
    run: Callable[..., Run],
    good: Path,
    tmp_path: Path,
    program: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(program, "align_sequence", refuse_to_align)
    file = tmp_path / "mine.safetensors"
    arguments = (good, "--out", tmp_path / "out", "--aggregator", file)
    save_pretrained(DIAR(), file)
    assert_one_error(run(*arguments), str(file), "holds a DIAR", "weights of a FaithfulDIAR")
    file.write_bytes(file.read_bytes()[:1000])
    assert_one_error(run(*arguments), str(file))
    file.write_text("no weights")
    assert_one_error(run(*arguments), str(file))


def test_ground_truth_picture(run: Callable[..., Run], good: Path, tmp_path: Path) -> None:
    truth = tmp_path / "truth.png"
    write_image(truth, torch.from_numpy(photos.picture("poster", SIZE)).permute(2, 0, 1))
    arguments = (
        good,
        "--reference",
        "a.png",
        "--aggregator",
        "softmax",
        "--ground-truth",
        truth,
        "--out",
    )
    result = run(*arguments, tmp_path / "full")
    assert result.code == 0
    assert float(result.out.split("PSNR ")[1].split(" dB")[0]) > 30
    assert "PSNR against the original" in (tmp_path / "full" / "report.html").read_text("utf-8")
    shrunken = run(*arguments, tmp_path / "small", "--max-size", 128)
    assert read_image(tmp_path / "small" / "clean.png").size == (128, 128)
    assert float(shrunken.out.split("PSNR ")[1].split(" dB")[0]) > 25


def test_a_truth_that_does_not_fit_costs_no_result(
    run: Callable[..., Run], good: Path, tmp_path: Path
) -> None:
    write_image(tmp_path / "truth.png", torch.rand(3, 50, 60))
    result = run(good, "--out", tmp_path / "out", "--ground-truth", tmp_path / "truth.png")
    assert result.code == 0
    assert "not compared with the original: the ground truth has 60 x 50 pixels" in result.err
    assert "PSNR" not in result.out
    assert "not compared with the original" in (tmp_path / "out/report.html").read_text("utf-8")


def test_the_bundled_sequence_runs_without_arguments(
    run: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("--max-size", 160)  # the size only spares time
    assert result.code == 0
    assert "of 10 photos aligned to " in result.out
    told, summary = result.out.splitlines()
    assert "demo_sequence is a rendered sequence: the result is compared with its orig" in told
    assert ", PSNR " in summary
    assert (tmp_path / "diar_out" / "clean.png").is_file()


def test_a_rendered_sequence_brings_its_original(
    run: Callable[..., Run], good: Path, tmp_path: Path
) -> None:
    truth, _, H = photos.sequence(SIZE, 3)
    write_image(good / "label.png", torch.from_numpy(truth).permute(2, 0, 1))
    frames = [
        {"file": name, "size": [SIZE, SIZE], "homography_frame_label": h.tolist()}
        for name, h in zip(NAMES, H, strict=True)
    ]
    label = {"file": "label.png", "size": [SIZE, SIZE]}
    document = {"format": "diar_ops sequence", "version": 1, "label": label, "frames": frames}
    (good / "sequence.json").write_text(json.dumps(document))
    out = tmp_path / "out"
    result = run(good, "--out", out, "--reference", "a.png", "--aggregator", "softmax")
    assert result.code == 0
    told, summary = result.out.splitlines()
    assert told == f"{good} is a rendered sequence: the result is compared with its original"
    assert "3 of 3 photos aligned" in summary, "the label is no photo"
    assert float(summary.split("PSNR ")[1].split(" dB")[0]) > 30
    (good / "sequence.json").write_text(json.dumps({**document, "version": 2}))
    assert_one_error(run(good, "--out", tmp_path / "new"), "is version 2 of the format", "update")


def test_help_teaches(program: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        program.main(["--help"])
    assert done.value.code == 0
    text = capsys.readouterr().out
    for taught in (
        "--out",
        "--overwrite",
        "--reference",
        "--descriptor",
        "--aggregator",
        "--device",
        "--max-size",
        "--seed",
        "--ground-truth",
        "python examples/full_pipeline.py my_photos/",
        "diar",
        "softmax",
        "median",
        "mean",
        "examples/train.py",
        "clean.png",
        "report.html",
        "aligned/",
        "weights/",
        "homographies.json",
        "(default: ",
    ):
        assert taught in text


# --- every kind of photo ----------------------------------------------------------------------


def test_sixteen_bits_and_the_profile_are_kept(run: Callable[..., Run], tmp_path: Path) -> None:
    truth, views, _ = photos.sequence(SIZE, 3)
    for name, view in zip(NAMES, views, strict=True):
        deep = (photos.as_frame(view).int() * 257).to(torch.uint16)
        (tmp_path / "photos").mkdir(exist_ok=True)
        write_image(tmp_path / "photos" / name, deep, icc_profile=SRGB)
    out = tmp_path / "out"
    result = run(tmp_path / "photos", "--out", out, "--reference", "0", "--aggregator", "softmax")
    assert result.code == 0
    for path in (out / "clean.png", out / "aligned" / "b.png"):
        photo = read_image(path)
        assert photo.bit_depth == 16
        assert photo.icc_profile == SRGB
    levels = read_image(out / "clean.png").pixels.int().unique()
    assert len(levels) > 2000, "averages fall between the 256 levels of eight bits"
    assert psnr(clean(out), truth) > 30


def test_rotated_phone_photos_are_upright(run: Callable[..., Run], tmp_path: Path) -> None:
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


def test_grey_photos(run: Callable[..., Run], tmp_path: Path) -> None:
    _, views, _ = photos.sequence(SIZE, 3)
    folder = save(tmp_path / "photos", [v.mean(axis=-1).round().astype(np.uint8) for v in views])
    result = run(folder, "--out", tmp_path / "out", "--aggregator", "softmax")
    assert result.out.startswith("3 of 3 photos")
    image = clean(tmp_path / "out")
    assert np.ptp(image, axis=-1).max() <= 1 / 255


def test_transparent_pixels_are_not_used(run: Callable[..., Run], tmp_path: Path) -> None:
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


def test_sizes_may_differ(run: Callable[..., Run], tmp_path: Path) -> None:
    truth = photos.picture("poster", SIZE)
    shapes = [(SIZE, SIZE), (200, 150), (130, 180)]
    H = [photos.homography(n, SIZE, s) for n, s in zip(photos.CORNERS, shapes, strict=False)]
    views = [photos.view(truth, h, shape=s, noise="sizes") for h, s in zip(H, shapes, strict=True)]
    out = tmp_path / "out"
    result = run(save(tmp_path / "photos", views), "--out", out, "--reference", "a.png")
    assert result.out.startswith("3 of 3 photos")
    assert corners_off(out, dict(zip(NAMES, H, strict=True)), "a.png") < 0.5
    assert read_image(out / "aligned" / "b.png").size == (SIZE, SIZE)


def test_one_stem_in_two_formats(run: Callable[..., Run], tmp_path: Path) -> None:
    names = ("a.jpg", "a.png", "b.png")
    folder = save(tmp_path / "photos", photos.sequence(SIZE, 3)[1], names)
    assert run(folder, "--out", tmp_path / "out").code == 0
    written = sorted(p.name for p in (tmp_path / "out" / "aligned").iterdir())
    assert written == ["a.jpg.png", "a.png.png", "b.png"]


# --- bad photos among good ones ---------------------------------------------------------------


def test_broken_files_are_skipped(run: Callable[..., Run], good: Path, tmp_path: Path) -> None:
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


@pytest.mark.parametrize("kind", ["something else", "black", "white", "tiny"])
def test_a_photo_that_does_not_belong_is_left_out(
    run: Callable[..., Run], good: Path, tmp_path: Path, kind: str
) -> None:
    arguments = ("--reference", "a.png", "--aggregator", "softmax", "--out")
    assert run(good, *arguments, tmp_path / "without").code == 0
    stranger = {
        "something else": photos.view(photos.picture("other", SIZE), np.eye(3), noise="other"),
        "black": np.zeros((SIZE, SIZE, 3), np.uint8),
        "white": np.full((SIZE, SIZE, 3), 255, np.uint8),
        "tiny": (photos.picture("tiny", 16) * 255).astype(np.uint8),
    }[kind]
    save(good, [stranger], ("aa.png",))
    result = run(good, *arguments, tmp_path / "with")
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
    difference = np.abs(clean(tmp_path / "with") - clean(tmp_path / "without"))
    assert difference.mean() < 0.5 / 255


def test_copies_give_the_photo_back(run: Callable[..., Run], tmp_path: Path) -> None:
    view = photos.sequence(128, 1)[1][0]
    folder = save(tmp_path / "photos", [view] * 10, tuple(f"{i}.png" for i in range(10)))
    result = run(folder, "--out", tmp_path / "out", "--aggregator", "softmax")
    assert result.code == 0
    assert result.out.startswith("10 of 10 photos")
    # Each copy is placed to some thousandths of a pixel: hardly a value changes by rounding.
    assert np.abs(clean(tmp_path / "out") - view / 255).max() < 2.5 / 255


# --- nothing to work with ---------------------------------------------------------------------


def test_no_photos(run: Callable[..., Run], tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    out = ("--out", tmp_path / "out")
    assert_one_error(run(empty, *out), "no photos in the folder", str(empty))
    assert_one_error(run(tmp_path / "missing", *out), "missing does not exist")
    (empty / "a.jpg").write_text("no photo")
    assert_one_error(run(empty, *out), "none of the 1 files is a readable photo", "a.jpg")
    assert contents(tmp_path / "out") == {}


def test_one_photo_only(run: Callable[..., Run], good: Path, tmp_path: Path) -> None:
    result = run(good / "a.png", "--out", tmp_path / "out")
    assert_one_error(result, "one photo alone cannot be cleaned; give two or more")
    (good / "b.png").write_text("no photo")
    (good / "c.png").unlink()
    result = run(good, "--out", tmp_path / "out")
    assert_one_error(result, "one photo alone cannot be cleaned")
    assert result.err.startswith("skipped: ")


def test_nothing_aligns(run: Callable[..., Run], tmp_path: Path) -> None:
    views = [
        photos.view(photos.picture(name, SIZE), np.eye(3), noise=name)
        for name in ("poster", "other", "third")
    ]
    result = run(save(tmp_path / "photos", views), "--out", tmp_path / "out")
    assert_one_error(result, "no other photo could be aligned to ", "same flat thing")
    assert contents(tmp_path / "out") == {}


# --- what is asked for cannot be --------------------------------------------------------------


@pytest.mark.parametrize("asked", ["3", "-1", "d.png", "1.5"])
def test_reference_that_is_none(
    run: Callable[..., Run],
    good: Path,
    tmp_path: Path,
    program: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    asked: str,
) -> None:
    monkeypatch.setattr(program, "align_sequence", refuse_to_align)
    result = run(good, "--out", tmp_path / "out", f"--reference={asked}")
    assert_one_error(result, asked, "a file name or a number from 0 to 2")


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--descriptor", "missing.pth", "missing.pth"),
        ("--descriptor", "resnet19", "resnet19"),
        ("--aggregator", "best", "diar, softmax, median, mean or a file of weights, got 'best'"),
        ("--device", "nonsense", "--device: cannot compute on 'nonsense'"),
        ("--ground-truth", "missing.png", "missing.png does not exist"),
        ("--max-size", "15", "max_size >= 16"),
    ],
)
def test_refused_before_the_long_work(
    run: Callable[..., Run],
    good: Path,
    tmp_path: Path,
    program: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    option: str,
    value: str,
    words: str,
) -> None:
    monkeypatch.setattr(program, "align_sequence", refuse_to_align)
    assert_one_error(run(good, "--out", tmp_path / "out", option, value), words)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there(run: Callable[..., Run], good: Path, tmp_path: Path) -> None:
    result = run(good, "--out", tmp_path / "out", "--device", "cuda")
    assert_one_error(result, "--device: cannot compute on 'cuda'")
    assert not (tmp_path / "out").exists()


def test_an_unknown_option_value_names_the_known_ones(
    program: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in (["--max-size", "big"], ["--seed", "x"], ["--no"]):
        with pytest.raises(SystemExit) as done:
            program.main(arguments)
        assert done.value.code == 2
        assert capsys.readouterr().err.count("error: ") == 1


# --- the output folder ------------------------------------------------------------------------


def test_earlier_results_are_kept(
    run: Callable[..., Run],
    good: Path,
    tmp_path: Path,
    program: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "out"
    assert run(good, "--out", out).code == 0
    before = contents(out)
    with monkeypatch.context() as patch:
        patch.setattr(program, "align_sequence", refuse_to_align)
        assert_one_error(run(good, "--out", out), "already holds results", "overwriting")
    assert contents(out) == before
    (good / "c.png").unlink()
    assert run(good, "--out", out, "--overwrite").code == 0
    assert set(before) - set(contents(out)) == {"aligned/c.png", "weights/c.png"}


def test_a_folder_that_cannot_be(
    run: Callable[..., Run],
    good: Path,
    tmp_path: Path,
    program: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(program, "align_sequence", refuse_to_align)
    file = tmp_path / "file"
    file.write_text("mine")
    assert_one_error(run(good, "--out", file), "it is a file, not a folder")
    assert_one_error(run(good, "--out", file / "out"), "a part of the path is a file")

    def deny(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "touch", deny)
        result = run(good, "--out", tmp_path / "out")
    assert_one_error(result, "permission denied")
    assert file.read_text() == "mine"


def test_a_disk_that_fills_up(
    run: Callable[..., Run], good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The probe and the clean picture still fit; then the disk is full."""
    out = tmp_path / "out"
    assert run(good, "--out", out).code == 0
    before = contents(out)
    replace, written = os.replace, []

    def fill_up(source: Path, target: Path) -> None:
        if Path(target).parent.name == "aligned":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(Path(target).name)
        replace(source, target)

    monkeypatch.setattr(os, "replace", fill_up)
    result = run(good, "--out", out, "--overwrite", "--aggregator", "median")
    assert_one_error(result, "the disk is full", "aligned")
    assert "clean.png" in written
    after = contents(out)
    assert set(after) == set(before), "nothing lost, nothing half-written left behind"
    assert {name for name in after if after[name] != before[name]} == {"clean.png"}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 96 KiB; skip where mounting is not permitted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a small file system is not permitted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True, capture_output=True)


def test_a_disk_that_is_really_full(run: Callable[..., Run], good: Path, small_disk: Path) -> None:
    result = run(good, "--out", small_disk / "out")
    assert_one_error(result, "the disk is full")
    assert not [name for name in contents(small_disk) if Path(name).name.startswith(".")]
    for path in (small_disk / "out").rglob("*.png"):
        read_image(path)  # what is there is whole


# --- Ctrl-C -----------------------------------------------------------------------------------

INTERRUPTED = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("full_pipeline", sys.argv[1])
program = importlib.util.module_from_spec(spec)
spec.loader.exec_module(program)
align = program.align_sequence

def announced(*args, progress, **kwargs):
    def say(*state):
        print("ALIGNING", flush=True)
        progress(*state)
    return align(*args, progress=say, **kwargs)

program.align_sequence = announced
sys.exit(program.main(sys.argv[2:]))
"""


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_ctrl_c_in_the_middle(run: Callable[..., Run], good: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(good, "--out", out).code == 0
    before = contents(out)
    paths = f"{ROOT}{os.pathsep}{SCRIPT.parent}"
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, SCRIPT, good, "--out", out, "--overwrite"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths},
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ALIGNING\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert err == "stopped; files that were written are complete\n"
    assert contents(out) == before


def test_ctrl_c_while_writing(
    run: Callable[..., Run], good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, write = tmp_path / "out", results_module.write_image

    def interrupted(path: Path, *args: object, **options: Any) -> None:
        if path.parent.name == "weights":
            raise KeyboardInterrupt
        write(path, *args, **options)

    monkeypatch.setattr(results_module, "write_image", interrupted)
    result = run(good, "--out", out)
    assert result == Run(130, "", "stopped; files that were written are complete\n")
    assert set(contents(out)) == {"clean.png", "aligned/a.png"}
    for path in out.rglob("*.png"):
        read_image(path)


def test_no_memory(
    run: Callable[..., Run],
    good: Path,
    tmp_path: Path,
    program: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def exhausted(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(program, "align_sequence", exhausted)
    assert_one_error(run(good, "--out", tmp_path / "out"), "not enough memory", "--max-size")


def test_results_never_go_where_the_photos_are(run: Callable[..., Run], good: Path) -> None:
    """Not even when the photos are named one by one: they could be overwritten."""
    before = {path: path.read_bytes() for path in sorted(good.iterdir()) if path.is_file()}
    for arguments, out in (((good,), good), (tuple(before)[:3], good)):
        result = run(*arguments, "--out", out, "--overwrite")
        assert_one_error(result, "where the photos are", "--out")
    assert {path: path.read_bytes() for path in before} == before


def test_a_seed_beyond_64_bits_is_refused(
    run: Callable[..., Run], good: Path, tmp_path: Path
) -> None:
    assert_one_error(run(good, "--out", tmp_path / "out", "--seed", 10**25), "--seed", "64 bits")
