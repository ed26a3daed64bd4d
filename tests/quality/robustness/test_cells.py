"""What is planned, whose methods they are, and how alignment is scored."""

from __future__ import annotations

import pytest
import torch

from benchmarks.quality.alignment.pairwise import Estimate
from benchmarks.quality.robustness.cells import align_exactly, resolve_compared, score_alignment, score_cell
from benchmarks.quality.robustness.degraded_photos import Photos, choose_pictures, render_degraded_photos
from benchmarks.quality.robustness.factors import FACTORS
from benchmarks.quality.robustness.level_plan import PICTURE_SCORES, plan_levels
from benchmarks.quality.scores import score_picture
from diar_ops import OptionError

SIDE = 64


def estimate_off_by(photos: Photos, pixels: list[float | None]) -> Estimate:
    """The true homographies, moved to the right; None: refused."""
    H = photos.homography_frame_label
    true = H[0] @ torch.linalg.inv(H)
    moved = torch.eye(3, dtype=torch.float64).repeat(len(pixels), 1, 1)
    moved[:, 0, 2] = torch.tensor([p or 0 for p in pixels])
    return Estimate(moved @ true, torch.tensor([p is not None for p in pixels]))


def test_scores_of_alignment() -> None:
    pictures = choose_pictures([], 0, (SIDE, SIDE))
    photos = render_degraded_photos("tilt", 0.0, 0, pictures, 6)
    result = estimate_off_by(photos, [9.0, 0.5, 2.0, 5.0, None, 0.0])
    # The reference does not count.
    assert score_alignment(photos, result) == {"below_1": 0.4, "below_3": 0.6}
    foreign = torch.tensor([False, False, True, True, False, False])
    scores = score_alignment(photos._replace(foreign=foreign), result)
    assert scores == {"below_1": 0.666667, "below_3": 0.666667, "accepted_foreign": 1.0}
    refused = estimate_off_by(photos, [0.0, 0.0, None, 5.0, None, 0.0])
    assert score_alignment(photos._replace(foreign=foreign), refused)["accepted_foreign"] == 0.5
    alone = score_alignment(photos._replace(foreign=torch.arange(6) > 0), result)
    assert alone == {"accepted_foreign": 0.8}


def test_plan() -> None:
    plan = plan_levels(["tilt", "noise", "tilt"], ["mean", "ours"], 2, 5)
    count = len(FACTORS["tilt"].levels) + len(FACTORS["noise"].levels)
    assert len(plan.keys) == len(set(plan.keys)) == 2 * 2 * count
    tasks = list(plan.missing(()))
    assert len(tasks) == 2 * count
    assert [t.source.sequence for t in tasks] == [0] * count + [1] * count, "every level early"
    rest = list(plan.missing([*tasks[0].keys, tasks[1].keys[0]]))
    assert len(rest) == 2 * count - 1
    assert rest[0].keys == tasks[1].keys[1:]
    assert not list(plan.missing(plan.keys))


@pytest.mark.parametrize(
    ("factors", "methods", "sequences", "frames", "words"),
    [
        (["tile"], ["mean"], 1, 5, "unknown factor tile: expected some of occluded, "),
        (["tilt"], ["mean"], 0, 5, "sequences must be 1 or more, got 0"),
        (["tilt"], ["mean"], 1, 1, "frames must be 2 or more, got 1"),
        (["tilt"], [], 1, 5, "nothing to do"),
    ],
)
def test_bad_plans(factors: list[str], methods: list[str], sequences: int, frames: int, words: str) -> None:
    with pytest.raises(OptionError, match=words):
        plan_levels(factors, methods, sequences, frames)


def test_methods_by_name() -> None:
    compared = resolve_compared(["mean", "median+exposure+aligned", "mean+aligned"], ["sift"])
    assert compared.names == ["mean", "median+exposure+aligned", "mean+aligned", "sift"]
    assert not compared.skipped
    with pytest.raises(OptionError, match="unknown method shift"):
        resolve_compared(["shift+aligned"], [])
    with pytest.raises(OptionError, match="unknown method mean"):
        resolve_compared(["mean"], ["mean"])


def test_pictures_of_frames_as_ours_lays_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Foreign frames count where they lie over the label, and not where ours refuses them."""
    plan = plan_levels(["foreign"], ["mean", "mean+aligned", "ours"], 1, 4)
    task = list(plan.missing(()))[-1]
    pictures = choose_pictures([], 0, (SIDE, SIDE))
    photos = render_degraded_photos("foreign", 0.5, 0, pictures, 4)
    compared = resolve_compared(["mean", "mean+aligned"], ["ours"])
    calls = []

    def align(frames: torch.Tensor) -> Estimate:
        assert torch.equal(frames, photos.frames)
        calls.append(1)
        return estimate_off_by(photos, [None if f else 0.0 for f in photos.foreign])

    ours = compared.ours._replace(align=align)
    compared = compared._replace(ours=ours, aligners={"ours": ours})
    rows = score_cell(task, compared, [], SIDE)
    assert len(calls) == 1, "frames are aligned once"
    assert {row.values["measured"] for row in rows} == {0.5}
    scores = {(row.method, row.values["score"]): row.values["value"] for row in rows}
    assert scores["ours", "below_1"] == 1
    assert scores["ours", "accepted_foreign"] == 0
    exact = align_exactly(photos)
    made = exact.frames.mean(dim=1)
    for name in PICTURE_SCORES:
        if bool(exact.valid.all()):
            assert scores["mean", name] == score_picture(made, exact.label, None)[name]
    assert scores["mean+aligned", "psnr_gain"] > scores["mean", "psnr_gain"] + 2
