"""evaluate.py as a whole: all parts of one command, and the report of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.quality.alignment.views import write_views
from tests.quality.test_training_curves import write_run
from tests.results.test_report import Page
from tests.scripts import Runner
from tests.sequences import write_dataset


@pytest.fixture(scope="module")
def spread(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set whose frames are to be aligned, two of whose three sequences show one picture."""
    folder = tmp_path_factory.mktemp("sets") / "spread"
    for index in range(3):
        document = write_views(folder / f"{index:06d}") / "sequence.json"
        text = document.read_text(encoding="utf-8")
        document.write_text(text.replace("000001.jpg", "000000.jpg"), encoding="utf-8")
    return folder


def test_one_command_measures_all(run: Runner, spread: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    still = write_dataset(tmp_path / "still", 2, kind="aligned")
    out, training = tmp_path / "out", write_run(tmp_path / "softmax", (20, 21))
    command = (
        spread,
        still,
        "--out",
        out,
        "--methods",
        "mean",
        "median",
        "--aligners",
        "ours",
        "sift",
        "--curves",
        training,
        "--frames",
        1,
        2,
        3,
    )
    done = run(*command)
    assert done.code == 0, done.err
    assert done.err == ("still: left out of self-aligned and alignment, since all frames lie over their label\n")
    for part in ("reconstruction", "self-aligned", "alignment"):
        for name in ("settings.json", "sequences.json", "summary.md", "comparisons.csv"):
            assert (out / part / name).is_file(), (part, name)
    assert "still" not in (out / "self-aligned" / "scores.csv").read_text(encoding="utf-8")
    figures = {p.stem for p in out.glob("*.svg")}
    assert (
        figures
        == {p.stem for p in out.glob("*.png")}
        == {
            *(
                f"{part}_{score}"
                for part in ("reconstruction", "self-aligned", "boxes")
                for score in ("psnr", "psnr_gain", "rmse", "ssim")
            ),
            "corner_error",
            "distance",
            "cumulative",
            "training",
        }
    )
    html = (out / "report.html").read_text(encoding="utf-8")
    page = Page(html)
    for words in (
        "spread, 3 frames, n = 3 sequences of 2 pictures",
        "spread, 3 frames each, n = 3 sequences of 2 pictures, 6 frames without the references",
        "What own alignment costs",
        "Runs of training",
        "python examples/evaluate.py",
        "median : spread/",
    ):
        assert words in page.text, words
    # Complete in itself: nothing is loaded from anywhere.
    links = [a.get("src") or a.get("href") or "" for _, a in page.tags if "src" in a or "href" in a]
    assert links
    assert all(link.startswith(("data:image/", "#")) for link in links)
    assert "://" not in re.sub(r'src="data:[^"]*"', "", html)
    # Three of the alignment's six frames and of the sequences, of two aligners and methods each.
    assert len([link for link in links if link.startswith("data:image/jpeg")]) == 2 * (3 + 2 + 3 + 3)
    # Other parts stay in the report.
    tables = {path: path.read_bytes() for path in out.glob("*/*.csv")}
    again = run(spread, "--out", out, "--parts", "alignment", "--aligners", "ours", "--frames", 3)
    assert again.code == 0, again.err
    assert {path: path.read_bytes() for path in out.glob("*/*.csv")} == tables
    text = Page((out / "report.html").read_text(encoding="utf-8")).text
    assert "What own alignment costs" in text
    assert "Runs of training" not in text


@pytest.mark.usefixtures("no_plots")
def test_self_aligned_results_do_not_depend_on_what_else_is_wanted(run: Runner, spread: Path, tmp_path: Path) -> None:
    parts = ("--parts", "self-aligned", "--pictures", 0, "--methods", "mean", "--sequences", 1)
    for name, numbers in (("once", ((2, 3),)), ("twice", ((3,), (2,)))):
        for frames in numbers:
            done = run(spread, "--out", tmp_path / name, *parts, "--frames", *frames)
            assert done.code == 0, done.err
    once, twice = (tmp_path / n / "self-aligned" / "scores.csv" for n in ("once", "twice"))
    assert once.read_bytes() == twice.read_bytes()


@pytest.mark.usefixtures("no_plots")
def test_a_single_frame_is_not_aligned(run: Runner, spread: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = (spread, "--out", out, "--methods", "mean", "--pictures", 0, "--frames", 1)
    done = run(*command)
    assert done.code == 0, done.err
    assert done.err == "alignment is left out: one frame is laid over none\n"
    assert sorted(p.name for p in out.iterdir() if p.is_dir()) == ["reconstruction", "self-aligned"]
    asked = run(*command, "--parts", "alignment")
    assert asked.code == 1
    assert "frames must be 2 or more" in asked.err
