"""Scores of pictures have known values."""

from __future__ import annotations

import math

import pytest
import torch

from benchmarks.quality.reconstruction import PERCEPTUAL, RECONSTRUCTION
from benchmarks.quality.rows import KEY_COLUMNS
from benchmarks.quality.scores import SCORES, score_picture
from tests.harness import generator


def test_known_scores() -> None:
    label = torch.rand(1, 3, 24, 24, generator=generator("label")) * 0.4 + 0.2
    scores = score_picture(label + 0.1, label, None)
    assert list(scores) == [*SCORES][:-1] == [*RECONSTRUCTION.columns][len(KEY_COLUMNS) :]
    assert [*PERCEPTUAL.columns] == [*RECONSTRUCTION.columns, "lpips"]
    assert scores["psnr"] == pytest.approx(20, abs=1e-3)
    assert scores["rmse"] == pytest.approx(0.1, abs=1e-6)
    exact = score_picture(label, label, None)
    assert exact["psnr"] == math.inf
    assert exact["ssim"] == pytest.approx(1)
    darker = score_picture(label * torch.tensor([0.5, 0.7, 0.9]).view(1, 3, 1, 1), label, None)
    assert darker["psnr_gain"] > 100 > darker["psnr"]


def test_only_what_is_shown_counts_and_values_are_clipped() -> None:
    label = torch.ones(1, 3, 24, 24)
    picture, shown = label * 1.5, torch.ones(1, 1, 24, 24, dtype=torch.bool)
    picture[..., :4], shown[..., :4] = 0, False
    assert score_picture(picture, label, shown)["rmse"] == 0
    assert score_picture(picture, label, None)["rmse"] > 0.3
