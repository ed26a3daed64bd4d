"""align_sequence: exact where photos agree, honest where they do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from diar_ops import (
    Alignment,
    DeviceError,
    DtypeError,
    OptionError,
    Reason,
    ShapeError,
    align_sequence,
    corner_error,
    load_descriptor,
)
from diar_ops.data import read_photos
from diar_ops.pipeline import reconstruct_sequence
from diar_ops.results import read_ground_truth, score_against
from tests import photos
from tests.harness import Call, OpTests, assert_close, tensors_of

SIZE = 160
EYE = torch.eye(3, dtype=torch.float64)


def frames(count: int = 3, size: int = SIZE) -> tuple[list[Tensor], np.ndarray]:
    """Spoiled photos (3, size, size) uint8 and frame ~ H @ picture."""
    _, views, H = photos.sequence(size, count)
    return [photos.as_frame(v) for v in views], H


def errors(found: Alignment, H: np.ndarray, size: int = SIZE) -> Tensor:
    """Mean corner errors in pixels of the reference."""
    exact = torch.from_numpy(H[found.reference] @ np.linalg.inv(H))
    return corner_error(found.homography_reference_frame[: len(H)], exact, size=(size, size))


class TestAlignSequence(OpTests):
    op = "align_sequence"
    infinite = "the spread of the reference, which no point places, is NaN"
    exempt = {
        "gradcheck": "which points agree is a discrete choice; its homographies carry no gradient",
        "half": "its homographies are float64 whatever the photos are",
        "compile": "walks a graph whose shape depends on the photos; the ops within it compile",
        "dynamic": "walks through photos of any number and sizes; the ops within it compile",
        "export": "walks through photos of any number and sizes; the ops within it export",
        "vmap": "takes photos of one sequence, of any sizes, and crops them by values",
        "gpu": "steers by values; compared with the CPU, and its kernels counted, in test_devices.py",
    }

    def call(self, device: torch.device, dtype: torch.dtype) -> Call:
        stack = torch.stack(frames()[0]).to(device, dtype) / 255
        return Call((stack,), {"reference": 0})

    def test_smoke(self, device: torch.device, dtype: torch.dtype) -> None:
        """Whatever the frames' device and dtype: on the CPU, homographies in float64."""
        args, kwargs = self.call(device, dtype)
        alignment = align_sequence(*args, **kwargs)
        assert alignment.homography_reference_frame.dtype == torch.float64
        assert alignment.success.dtype == torch.bool
        assert alignment.reason.dtype == alignment.inliers.dtype == torch.int64
        assert alignment.overlap.dtype == torch.float32
        assert (alignment.reference, alignment.size) == (0, (SIZE, SIZE))
        assert alignment.spread[1:].isfinite().all()
        assert alignment.spread[0].isnan().all(), "the reference is placed by no point"
        for tensor in tensors_of(alignment._replace(spread=alignment.spread[1:])):
            assert tensor.device.type == "cpu"
            assert not tensor.is_floating_point() or tensor.isfinite().all()

    def test_exception(self) -> None:
        good = torch.zeros(2, 3, 40, 40)
        with pytest.raises(ShapeError, match=r"frames must have shape \(T 3 H W\)"):
            align_sequence(good[:, :1])
        with pytest.raises(ShapeError, match=r"frames\[1\] must have shape \(3 H W\)"):
            align_sequence([good[0], good[1, :2]])
        with pytest.raises(ShapeError, match=r"frames\[0\] holds no pixel"):
            align_sequence([torch.zeros(3, 0, 4)])
        with pytest.raises(DtypeError, match=r"frames\[0\] must be a torch.Tensor"):
            align_sequence([np.zeros((3, 4, 4))])
        with pytest.raises(DtypeError, match=r"floating point in .* uint8 or uint16, got .*int64"):
            align_sequence(good.long())
        with pytest.raises(OptionError, match="at least one frame"):
            align_sequence([])
        with pytest.raises(OptionError, match="valid to be 2 masks, got 1"):
            align_sequence(good, valid=[None])
        with pytest.raises(ShapeError, match=r"valid\[1\] must have shape \(1 H W\)"):
            align_sequence(good, valid=[None, torch.ones(1, 40, 39, dtype=torch.bool)])
        with pytest.raises(DtypeError, match=r"valid\[0\] must be bool"):
            align_sequence(good, valid=[torch.ones(1, 40, 40), None])
        for reference in (2, -1, "first", 0.0):
            with pytest.raises(OptionError, match='"auto" or a frame from 0 to 1'):
                align_sequence(good, reference=reference)
        with pytest.raises(DeviceError, match="cannot compute on 'nonsense'"):
            align_sequence(good, device="nonsense")

    def test_cardinality_one_frame(self) -> None:
        alignment = align_sequence(frames()[0][:1])
        assert torch.equal(alignment.homography_reference_frame, EYE[None])
        assert alignment.success.tolist() == [True]
        assert alignment.reason.tolist() == [Reason.OK]
        assert alignment.overlap.tolist() == [1]
        assert len(alignment.pairs.frames) == 0

    def test_cardinality_list_and_tensor_agree(self) -> None:
        given = frames()[0]
        for one, other in zip(
            tensors_of(align_sequence(given)), tensors_of(align_sequence(torch.stack(given))), strict=True
        ):
            assert torch.equal(one.nan_to_num(), other.nan_to_num())

    @pytest.mark.parametrize("reference", [0, 1, 2])
    def test_oracle_known_homographies(self, reference: int) -> None:
        given, H = frames()
        alignment = align_sequence(given, reference=reference)
        assert alignment.reference == reference
        assert alignment.success.all()
        assert alignment.reason.tolist() == [Reason.OK] * 3
        assert torch.equal(alignment.homography_reference_frame[reference], EYE)
        assert errors(alignment, H).max() < 0.3
        assert (alignment.inliers >= 30).all()
        assert float(alignment.overlap[reference]) == 1
        assert ((alignment.overlap > 0.7) & (alignment.overlap <= 1)).all()

    @pytest.mark.parametrize("order", [[0, 1, 2, 3], [2, 0, 3, 1], [3, 2, 1, 0]])
    def test_oracle_auto_takes_the_frontal_photo(self, order: list[int]) -> None:
        """Photo 0 is frontal, the others are taken from the left, the right and below."""
        corners = [
            ((0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.2, 0.8)),
            ((0.1, 0.2), (0.85, 0.1), (0.85, 0.9), (0.1, 0.8)),
            ((0.15, 0.1), (0.9, 0.2), (0.9, 0.8), (0.15, 0.9)),
            ((0.2, 0.15), (0.8, 0.15), (0.9, 0.9), (0.1, 0.9)),
        ]
        H = np.stack([photos.homography(corners[t], SIZE) for t in order])
        image = photos.picture("poster", SIZE)
        given = [photos.as_frame(photos.view(image, h, noise="frontal")) for h in H]
        alignment = align_sequence(given)
        assert alignment.reference == order.index(0)
        assert alignment.success.all()
        # The corners lie well outside the picture, where errors are extrapolated.
        assert errors(alignment, H).max() < 1

    def test_oracle_sizes_may_differ(self) -> None:
        image = photos.picture("poster", 200)
        H = np.stack([photos.homography("front", 200, (150, 170)), photos.homography("left", 200, (180, 140))])
        given = [
            photos.as_frame(photos.view(image, h, shape=shape))
            for h, shape in zip(H, [(150, 170), (180, 140)], strict=True)
        ]
        alignment = align_sequence(given, reference=0)
        assert alignment.success.all()
        assert alignment.size == (150, 170)
        exact = torch.from_numpy(H[0] @ np.linalg.inv(H[1]))
        assert corner_error(alignment.homography_reference_frame[1], exact, size=(180, 140)) < 0.3

    def test_property_order_does_not_matter(self) -> None:
        """Which random samples RANSAC draws depends on the order, by less than 0.1 px."""
        given, _ = frames(4)
        order = [2, 0, 3, 1]
        straight = align_sequence(given, reference=1)
        shuffled = align_sequence([given[t] for t in order], reference=order.index(1))
        assert torch.equal(shuffled.success, straight.success[order])
        between = corner_error(
            shuffled.homography_reference_frame, straight.homography_reference_frame[order], size=(SIZE, SIZE)
        )
        assert between.max() < 0.1
        assert_close(shuffled.overlap, straight.overlap[order], atol=2e-3)

    def test_property_dtypes_agree(self) -> None:
        given, H = frames()
        straight = align_sequence(given, reference=0)
        for same in (
            [(g.int() * 257).to(torch.uint16) for g in given],
            [g.float() / 255 for g in given],
            [g.double() / 255 for g in given],
            [given[0], given[1].double() / 255, (given[2].int() * 257).to(torch.uint16)],
        ):
            alignment = align_sequence(same, reference=0)
            # The last bit of a pixel may decide a tie between matches.
            assert errors(alignment, H).max() < 0.3
            assert (alignment.inliers - straight.inliers).abs().max() <= 3

    def test_property_seeded(self) -> None:
        given, _ = frames()
        before = torch.get_rng_state()
        runs = [align_sequence(given, generator=torch.Generator().manual_seed(seed)) for seed in (5, 5, 6)]
        assert torch.equal(before, torch.get_rng_state()), "the global generator stays untouched"
        for one, other in zip(tensors_of(runs[0]), tensors_of(runs[1]), strict=True):
            assert torch.equal(one.nan_to_num(), other.nan_to_num())
        between = corner_error(
            runs[0].homography_reference_frame, runs[2].homography_reference_frame, size=(SIZE, SIZE)
        )
        assert between.max() < 0.1

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_nan_frame_is_left_out_alone(self, value: float) -> None:
        given, H = frames()
        given = [g.float() / 255 for g in given]
        broken = given[1].clone()
        broken[0, 5, 5] = value
        alignment = align_sequence([*given, broken], reference=0)
        assert alignment.success.tolist() == [True, True, True, False]
        assert alignment.reason.tolist() == [Reason.OK] * 3 + [Reason.NOT_FINITE]
        assert torch.equal(alignment.homography_reference_frame[3], EYE)
        assert errors(alignment, H).max() < 0.3

    def test_nan_everywhere_never_raises(self) -> None:
        alignment = align_sequence(torch.full((2, 3, 64, 64), float("nan")))
        assert not alignment.success.any()
        assert alignment.reason.tolist() == [Reason.NOT_FINITE] * 2
        assert alignment.homography_reference_frame.isfinite().all()


# --- masks, progress --------------------------------------------------------------------------


def test_masked_pixels_take_no_part() -> None:
    """Half of a frame shows another picture; masked, it gives no match and spoils nothing."""
    given, H = frames()
    other = photos.as_frame(photos.view(photos.picture("other", SIZE), np.eye(3)))
    mixed = given[1].clone()
    mixed[:, :, : SIZE // 2] = other[:, :, : SIZE // 2]
    mask = torch.ones(1, SIZE, SIZE, dtype=torch.bool)
    mask[:, :, : SIZE // 2] = False
    alignment = align_sequence([given[0], mixed, other], reference=0, valid=[None, mask, None])
    assert alignment.success.tolist() == [True, True, False]
    # The corners of the masked half are extrapolated.
    assert errors(alignment, H[:2]).max() < 1
    matches = alignment.pairs.matches
    for pair, (i, j) in enumerate(alignment.pairs.frames.tolist()):
        for frame, points in ((i, matches.points0), (j, matches.points1)):
            if frame == 1:
                # A cell's centre is half a window inside, up to the sub-pixel fit.
                assert (points[pair][matches.valid[pair]][:, 0] > SIZE / 2 - 4).all()


def test_nothing_valid_means_too_few() -> None:
    given, _ = frames()
    none = torch.zeros(1, SIZE, SIZE, dtype=torch.bool)
    alignment = align_sequence(given, reference=0, valid=[None, none, None])
    assert alignment.success.tolist() == [True, False, True]
    assert alignment.reason[1] == Reason.TOO_FEW


def test_progress_ends_where_it_said() -> None:
    seen: dict[str, list[tuple[int, int]]] = {}

    def progress(step: str, done: int, total: int) -> None:
        seen.setdefault(step, []).append((done, total))

    align_sequence(frames()[0], progress=progress)
    steps = ["describing photos", "matching pairs", "refining", "adjusting jointly"]
    assert list(seen) == steps
    for states in seen.values():
        assert [done for done, _ in states] == list(range(1, states[-1][1] + 1))


def test_the_trained_descriptor_aligns() -> None:
    given, H = frames(3, 256)
    alignment = align_sequence(given, reference=0, descriptor=load_descriptor("dual"))
    assert alignment.success.all()
    assert errors(alignment, H, 256).max() < 0.2


# --- the bundled sequence ---------------------------------------------------------------------


@pytest.mark.slow
def test_the_bundled_sequence_is_aligned(demo_folder: Path) -> None:
    """Ten rendered views at half size: every one aligned, to well below half a pixel."""
    given, skipped = read_photos(demo_folder, max_size=256)
    assert skipped == []
    alignment = align_sequence([p.pixels for p in given], reference=0)
    assert alignment.success.all()
    truth = read_ground_truth(demo_folder)
    result = reconstruct_sequence([p.pixels for p in given], alignment)
    scores: dict[str, Any] = score_against(truth, given, alignment, result)
    assert np.mean(scores["corner_error"][1:]) < 0.5
    assert len(scores["corner_error"]) == 10
    # Each of the photos alone is below 20 dB.
    assert scores["psnr_gain"] > 25
