"""The whole evaluation: sets in, tables and pictures out, and it goes on where it was."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.quality import reconstruction as reconstruction_module
from benchmarks.quality.methods import CLASSICAL
from benchmarks.quality.plan import Task
from benchmarks.quality.reconstruction import PERCEPTUAL, RECONSTRUCTION
from benchmarks.quality.rows import Row, read_rows
from tests.quality.test_lpips import write_lpips_files
from tests.results.test_report import Page
from tests.scripts import Runner, assert_one_error
from tests.sequences import write_dataset

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "tests" / "cycles" / "sample"
ONLY = ("--parts", "reconstruction", "--pictures", 0)
FAST = (*ONLY, "--methods", "mean", "median+exposure")


def rows_of(out: Path) -> list[Row]:
    return read_rows(out / "reconstruction" / "scores.csv", RECONSTRUCTION)


def table_of(out: Path) -> bytes:
    return (out / "reconstruction" / "scores.csv").read_bytes()


def test_the_bundled_sequences(run: Runner, tmp_path: Path) -> None:
    out = tmp_path / "out"
    methods = [name + end for name in CLASSICAL for end in ("", "+exposure")]
    sets = SAMPLE / "aligned", SAMPLE / "misaligned"
    done = run(*sets, "--out", out, *ONLY, "--methods", *methods, "--frames", 2, 4, 50)
    assert done.code == 0, done.err
    rows = rows_of(out)
    assert len(rows) == 2 * 2 * len(methods)
    rows = [r for r in rows if r.frames == 4]
    quality = {(r.set, r.method): r.values for r in rows}
    for name in ("aligned", "misaligned"):
        assert quality[name, "median"]["psnr"] > quality[name, "mean"]["psnr"]
        for row in (r for r in rows if r.set == name):
            assert row.frames == 4
            scores = row.values
            assert scores["psnr_gain"] >= scores["psnr"] - 0.1
            assert scores["rmse"] == pytest.approx(10 ** (-scores["psnr"] / 20), abs=1e-5)
            assert 12 < scores["psnr"] < 40, row
            assert 0.3 < scores["ssim"] < 1, row
    summary = (out / "reconstruction" / "summary.md").read_text(encoding="utf-8")
    assert "time" not in summary
    for name in methods:
        assert f"| {name} | 1 |" in summary
    for name in ("reconstruction_psnr", "reconstruction_rmse", "boxes_ssim"):
        with Image.open(out / f"{name}.png") as image:
            assert min(image.size) > 200
        assert (out / f"{name}.svg").read_bytes().lstrip().startswith(b"<?xml")
    assert not [p for p in out.iterdir() if p.name.startswith(".")], "nothing temporary stays"


@pytest.mark.usefixtures("no_plots")
def test_the_demo_sequence_is_a_set(run: Runner, demo_folder: Path, tmp_path: Path) -> None:
    done = run(demo_folder, "--out", tmp_path / "out", *FAST, "--frames", 3, 10)
    assert done.code == 0, done.err
    rows = rows_of(tmp_path / "out")
    assert {r.set for r in rows} == {"demo_sequence"}
    by = {(r.method, r.frames): r.values["psnr"] for r in rows}
    assert by["median+exposure", 10] > by["median+exposure", 3]
    assert by["median+exposure", 10] > by["mean", 10] + 1


def test_workers_change_nothing(run: Runner, small: Path, tmp_path: Path) -> None:
    names = ("scores.csv", "summary.md", "summary.csv", "comparisons.csv", "settings.json")
    files = ["boxes_psnr.svg", *(f"reconstruction/{name}" for name in names)]
    for workers in (1, 2):
        arguments = ("--methods", "mean", "rpca+exposure", "intrinsic", "--jitter", 1)
        out = tmp_path / str(workers)
        done = run(small, "--out", out, *ONLY, *arguments, "--workers", workers)
        assert done.code == 0, done.err
    for name in files:
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes(), name


@pytest.mark.usefixtures("no_plots")
def test_what_is_done_is_not_done_again(
    run: Runner, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, computed = tmp_path / "out", []
    original = reconstruction_module.score_sequence

    def score(task: Task[Path], **given: object) -> object:
        computed.extend(task.keys)
        return original(task, **given)

    monkeypatch.setattr(reconstruction_module, "score_sequence", score)
    assert run(small, "--out", out, *FAST, "--frames", 2, "--sequences", 2).code == 0
    assert len(computed) == 4
    first = table_of(out)
    computed.clear()
    assert run(small, "--out", out, *FAST, "--frames", 2, "--sequences", 2).code == 0
    assert computed == []
    assert table_of(out) == first
    # More frames, sequences and methods join; the summary is of all that is there.
    more = (*ONLY, "--methods", "median+exposure", "rpca", "--frames", 2, 4)
    done = run(small, "--out", out, *more)
    assert len(computed) == 3 * 4 - 2
    assert len(rows_of(out)) == 4 + len(computed)
    summary = (out / "reconstruction" / "summary.md").read_text(encoding="utf-8")
    assert "| mean | 2 |" in summary
    assert "| rpca | 3 |" in done.out
    assert "**small, 4 frames, n = 3 sequences**" in done.out
    assert "small, 2 frames" not in done.out, "the screen shows the most frames"
    computed.clear()
    assert run(small, "--out", out, *FAST, "--frames", 2, "--overwrite").code == 0
    assert len(computed) == len(rows_of(out)) == 6


@pytest.mark.usefixtures("no_plots")
def test_stopped_it_keeps_what_is_done(
    run: Runner, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, original, left = tmp_path / "out", reconstruction_module.score_sequence, [2]

    def score(task: Task[Path], **given: object) -> object:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return original(task, **given)

    monkeypatch.setattr(reconstruction_module, "score_sequence", score)
    stopped = run(small, "--out", out, *FAST)
    assert stopped.code == 130
    assert "the same command goes on" in stopped.err
    assert {r.sequence for r in rows_of(out)} == {"000000", "000001"}
    left[0] = 1
    assert run(small, "--out", out, *FAST).code == 0
    whole = tmp_path / "whole"
    left[0] = 3
    assert run(small, "--out", whole, *FAST).code == 0
    assert table_of(out) == table_of(whole)


@pytest.mark.usefixtures("no_plots")
def test_methods_are_compared_timed_and_shown(run: Runner, small: Path, weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = (
        small,
        "--out",
        out,
        *FAST,
        f"net={weights}",
        "--frames",
        2,
        3,
        "--timing",
        "--pictures",
        1,
        "--against",
        "mean",
    )
    done = run(*command)
    assert done.code == 0, done.err
    rows = {(r.sequence, r.frames, r.method): r.values["psnr"] for r in rows_of(out)}
    names = [f"{i:06d}" for i in range(3)]
    lead = [rows[n, 3, "net"] - rows[n, 3, "mean"] for n in names]
    assert f"| net | mean | 3 | {sum(lead) / 3:+.2f} [" in done.out
    with (out / "reconstruction" / "comparisons.csv").open(encoding="utf-8") as file:
        against = {(line["frames"], line["method"]): line for line in csv.DictReader(file)}
    assert int(against["3", "net"]["psnr_better"]) == sum(x > 0 for x in lead)
    with (out / "reconstruction" / "summary.csv").open(encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert len(table) == 6
    assert all(float(line["seconds"]) > 0 for line in table)
    pictures = {p.name for p in (out / "reconstruction" / "pictures").iterdir()}
    assert len(pictures) == 3 * 3
    assert "small_000001_3_net.png" in pictures
    page = Page((out / "report.html").read_text(encoding="utf-8"))
    assert "worst : small/" in page.text
    # Anew: pictures of other weights must not stay.
    assert run(*command[:-4], "--overwrite", "--pictures", 0).code == 0
    assert not (out / "reconstruction" / "pictures").exists()


@pytest.mark.usefixtures("no_plots")
def test_lpips_is_a_column_where_its_weights_are(run: Runner, tmp_path: Path) -> None:
    files = write_lpips_files(tmp_path)
    folder = write_dataset(tmp_path / "large", 2, kind="aligned", size=(64, 72))
    out = tmp_path / "out"
    command = (folder, "--out", out, *FAST, "--frames", 2, "--jitter", 3, "--lpips", *files)
    done = run(*command)
    assert done.code == 0, done.err
    assert "| RMSE | SSIM | LPIPS |" in done.out
    rows = read_rows(out / "reconstruction" / "scores.csv", PERCEPTUAL)
    assert all(row.values["lpips"] > 0 for row in rows)
    assert (out / "boxes_lpips.svg").is_file()
    assert_one_error(run(*command[:-3]), "other settings", "lpips")
    assert_one_error(run(*command[:-1], "nowhere.pth"), "cannot read nowhere.pth")
