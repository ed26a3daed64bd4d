"""The animation of the aligned frames: what is aligned stands still, what is not jumps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from diar_ops import Reconstruction, transform_points, undistort_points
from diar_ops.results._flicker import flicker
from diar_ops.results._run import FinishedRun
from tests.harness import generator
from tests.results.finished_run import decoded, sequence


@pytest.mark.parametrize("k", [0.0, -0.08])
def test_aligned_stills_stand_still(k: float) -> None:
    """Photos that show one picture from elsewhere, turned, shifted, bent, become the picture."""
    height, width = 480, 600
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)

    def picture(x: Any, y: Any) -> Any:
        waves = (np.sin(x / 9) * np.cos(y / 7), np.sin((x + y) / 11), np.cos((x - 2 * y) / 13))
        return np.stack([0.5 + 0.3 * wave for wave in waves])

    turned = np.array([[0.9, -0.2, 71.3], [0.21, 0.95, -30.6], [1e-5, -2e-5, 1.0]])
    pixels = torch.from_numpy(np.stack((x.ravel(), y.ravel()), axis=1))
    bend = torch.tensor(k, dtype=torch.float64)
    straight = undistort_points(pixels, bend, size=(height, width)).points
    places = [straight, transform_points(straight, torch.from_numpy(turned)).points]
    data = sequence(2)
    data["frames"] = [torch.from_numpy(picture(*place.T.reshape(2, height, width).numpy())).float() for place in places]
    data["alignment"] = data["alignment"]._replace(
        homography_reference_frame=torch.from_numpy(np.stack((np.eye(3), turned))), size=(height, width), distortion=k
    )
    data["reconstruction"] = Reconstruction(
        torch.from_numpy(picture(x, y)).float(),
        torch.full((1, height, width), 2),
        torch.full((2, 1, height, width), 0.5),
        torch.ones(2, 3),
    )
    shown = flicker(FinishedRun(**data))
    assert shown is not None
    assert [still.name for still in shown.stills] == ["photo_0.jpg", "photo_1.jpg", ""]
    assert shown.size == (height, width)
    assert shown.detail == 160
    whole = np.stack([decoded(still.whole) for still in shown.stills])
    detail = np.stack([decoded(still.detail) for still in shown.stills])
    assert whole.shape == (3, height, width, 3)
    assert detail.shape == (3, 160, 160, 3)
    # Grey is where the turned photo shows nothing; elsewhere all three are one picture.
    empty = (np.abs(whole[1] - 0.5) < 0.02).all(axis=-1)
    assert 0.05 < empty.mean() < 0.5
    assert np.abs(whole[1] - whole[0])[~empty].mean() < 0.02
    assert np.abs(detail - detail[2]).mean() < 0.02
    for quarter, (left, top, across, down) in enumerate(shown.spots):
        assert (across, down) == pytest.approx((100 * 80 / width, 100 * 80 / height))
        assert left // 50 == (left + across - 1e-6) // 50 == quarter % 2
        assert top // 50 == (top + down - 1e-6) // 50 == quarter // 2
    # three pixels off, and it jumps
    moved = data["alignment"].homography_reference_frame.clone()
    moved[1, :2] += 3.0 * moved[1, 2]
    off = data["alignment"]._replace(homography_reference_frame=moved)
    shown = flicker(FinishedRun(**{**data, "alignment": off}))
    assert shown is not None
    detail = np.stack([decoded(still.detail) for still in shown.stills])
    assert np.abs(detail[1] - detail[0]).mean() > 0.05
    assert np.abs(detail[2] - detail[0]).mean() < 0.02


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (3, 2), (40, 3), (5, 2000)])
def test_tiny_pictures_flicker_too(size: tuple[int, int]) -> None:
    data = sequence(2)
    alignment = data["alignment"]._replace(size=size)
    reconstruction = Reconstruction(
        torch.rand(3, *size, generator=generator("tiny")),
        torch.zeros(1, *size, dtype=torch.int64),
        torch.zeros(2, 1, *size),
        torch.ones(2, 3),
    )
    shown = flicker(FinishedRun(data["frames"], data["names"], alignment, reconstruction))
    assert shown is not None
    assert len(shown.stills) == 3
    assert decoded(shown.stills[1].detail).shape[0] == shown.detail
    for left, top, across, down in shown.spots:
        assert 0 <= left <= 100 - across + 1e-9
        assert 0 <= top <= 100 - down + 1e-9
