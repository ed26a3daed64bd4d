"""The whole program: a folder of photos in, one clean picture out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from diar_ops import DualDescriptor, FaithfulDIAR, FaithfulDIARConfig, save_pretrained
from diar_ops._files import write_image
from diar_ops.data import read_image
from diar_ops.pipeline import AGGREGATORS
from tests import photos
from tests.examples.full_pipeline.runs import NAMES, SIZE, clean, contents, corners_off, psnr, save
from tests.scripts import Runner, assert_one_error

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / "examples" / "full_pipeline.py"


def test_a_stranger_runs_it(good: Path, tmp_path: Path) -> None:
    """As a program of its own: all outputs are there, right, and the summary says where."""
    out = tmp_path / "out"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    options = ["--out", out, "--reference", "a.png", "--aggregator", "consensus"]
    done = subprocess.run(
        [sys.executable, SCRIPT, good, *options], capture_output=True, text=True, env=environment, check=False
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


def test_the_same_seed_gives_the_same_bytes(run: Runner, good: Path, tmp_path: Path) -> None:
    for name, seed in (("one", 3), ("two", 3), ("three", 4)):
        result = run(good, "--out", tmp_path / name, "--seed", seed, "--aggregator", "consensus")
        assert result.code == 0
    one, two = ((tmp_path / name / "clean.png").read_bytes() for name in ("one", "two"))
    assert one == two
    assert np.abs(clean(tmp_path / "one") - clean(tmp_path / "three")).mean() < 0.01


@pytest.mark.parametrize("reference", ["b.png", "1"])
def test_reference(run: Runner, good: Path, tmp_path: Path, reference: str) -> None:
    result = run(good, "--out", tmp_path / "out", "--reference", reference)
    assert result.code == 0
    assert "aligned to b.png" in result.out
    assert json.loads((tmp_path / "out" / "homographies.json").read_text())["reference"] == "b.png"


@pytest.mark.parametrize(
    ("name", "least"), [("diar", 14), ("consensus", 30), ("median", 30), ("mean", 15), ("rpca", 15)]
)
def test_aggregator(run: Runner, good: Path, tmp_path: Path, name: str, least: float) -> None:
    out = tmp_path / "out"
    assert run(good, "--out", out, "--aggregator", name, "--reference", "0").code == 0
    assert psnr(clean(out), photos.picture("poster", SIZE)) > least
    told = name not in ("rpca",)
    assert (out / "weights").is_dir() == told
    assert ("does not tell how much" in (out / "report.html").read_text(encoding="utf-8")) != told


@pytest.mark.parametrize("k", [0.0, -0.1])
def test_lens(run: Runner, tmp_path: Path, k: float) -> None:
    """Bent photos come out straight, straight ones as they are; either is said."""
    image = photos.picture("poster", SIZE)
    H = [photos.homography(name, SIZE) for name in ("front", "left", "right")]
    views = [photos.view(image, h, noise=f"lens {t}", distortion=k) for t, h in enumerate(H)]
    folder, out = save(tmp_path / "bent", views), tmp_path / "out"
    result = run(folder, "--out", out, "--reference", "a.png", "--aggregator", "median", "--lens")
    assert result.code == 0
    words = "bends the corners in by" if k else "no bend can be told from none"
    assert words in result.err
    distortion = json.loads((out / "homographies.json").read_text())["distortion"]
    assert abs(distortion - k) < 0.02
    inner = slice(24, -24)  # of a barrel's corners nothing is left
    assert psnr(clean(out)[inner, inner], image[inner, inner]) > 27


def test_a_network_of_ones_own(run: Runner, good: Path, tmp_path: Path) -> None:
    file, out = tmp_path / "mine.safetensors", tmp_path / "out"
    config = FaithfulDIARConfig(8, 1, 8, 4, 8, 1, 2)
    save_pretrained(FaithfulDIAR(config), file)
    assert run(good, "--out", out, "--aggregator", file, "--reference", "0").code == 0
    assert psnr(clean(out), photos.picture("poster", SIZE)) > 14
    assert str(file) in (out / "report.html").read_text(encoding="utf-8")


@pytest.mark.usefixtures("no_long_work")
def test_weights_that_do_not_do(run: Runner, good: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.safetensors"
    arguments = (good, "--out", tmp_path / "out", "--aggregator", file)
    save_pretrained(DualDescriptor(), file)
    assert_one_error(run(*arguments), str(file), "holds a DualDescriptor", "DeepResidualSets, DIAR, FaithfulDIAR")
    file.write_bytes(file.read_bytes()[:1000])
    assert_one_error(run(*arguments), str(file))
    file.write_text("no weights")
    assert_one_error(run(*arguments), str(file))


def test_ground_truth_picture(run: Runner, good: Path, tmp_path: Path) -> None:
    truth = tmp_path / "truth.png"
    write_image(truth, torch.from_numpy(photos.picture("poster", SIZE)).permute(2, 0, 1))
    options = ("--reference", "a.png", "--aggregator", "consensus", "--ground-truth", truth)
    arguments = (good, *options, "--out")
    result = run(*arguments, tmp_path / "full")
    assert result.code == 0
    assert float(result.out.split("PSNR ")[1].split(" dB")[0]) > 30
    assert "PSNR against the original" in (tmp_path / "full" / "report.html").read_text("utf-8")
    shrunken = run(*arguments, tmp_path / "small", "--max-size", 128)
    assert read_image(tmp_path / "small" / "clean.png").size == (128, 128)
    assert float(shrunken.out.split("PSNR ")[1].split(" dB")[0]) > 25


def test_a_truth_that_does_not_fit_costs_no_result(run: Runner, good: Path, tmp_path: Path) -> None:
    write_image(tmp_path / "truth.png", torch.rand(3, 50, 60))
    result = run(good, "--out", tmp_path / "out", "--ground-truth", tmp_path / "truth.png")
    assert result.code == 0
    assert "not compared with the original: the ground truth has 60 x 50 pixels" in result.err
    assert "PSNR" not in result.out
    assert "not compared with the original" in (tmp_path / "out/report.html").read_text("utf-8")


def test_the_bundled_sequence_runs_without_arguments(
    run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("--max-size", 160)  # the size only spares time
    assert result.code == 0
    assert "of 10 photos aligned to " in result.out
    info, summary = result.out.splitlines()
    assert "demo_sequence is a rendered sequence: the result is compared with its orig" in info
    assert ", PSNR " in summary
    assert (tmp_path / "diar_out" / "clean.png").is_file()


def test_a_rendered_sequence_brings_its_original(run: Runner, good: Path, tmp_path: Path) -> None:
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
    result = run(good, "--out", out, "--reference", "a.png", "--aggregator", "consensus")
    assert result.code == 0
    info, summary = result.out.splitlines()
    assert info == f"{good} is a rendered sequence: the result is compared with its original"
    assert "3 of 3 photos aligned" in summary, "the label is no photo"
    assert float(summary.split("PSNR ")[1].split(" dB")[0]) > 30
    (good / "sequence.json").write_text(json.dumps({**document, "version": 3}))
    assert_one_error(run(good, "--out", tmp_path / "new"), "is version 3 of the format", "update")


def test_help_teaches(program: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        program.main(["--help"])
    assert done.value.code == 0
    text = capsys.readouterr().out
    options = "out overwrite reference descriptor aggregator device max-size seed ground-truth"
    values = " ".join(("diar", *AGGREGATORS, "examples/train.py"))
    files = "clean.png report.html aligned/ weights/ homographies.json"
    assert all(f"--{option}" in text for option in options.split())
    for taught in (*values.split(), *files.split(), "python examples/full_pipeline.py my_photos/"):
        assert taught in text
    assert "(default: " in text
