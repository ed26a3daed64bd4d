"""reconstruct_sequence: the picture is what the frames agree on, and its weights say how."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from diar_ops import Alignment, DiarError, DtypeError, OptionError, ShapeError, psnr, reconstruct_sequence
from diar_ops.pipeline import AGGREGATORS, aligned_frames
from diar_ops.pipeline import reconstruct as module
from tests import photos
from tests.harness import Call, OpTests, assert_close, tensors_of

SIZE = 96
#: Those that work pixel by pixel; what a network adds to them: test_reconstruct_network.py.
LOCAL = ("mean", "median", "consensus")


def scene(count: int = 4, **options: Any) -> tuple[Tensor, list[Tensor], Alignment]:
    """The picture (3, SIZE, SIZE), ``count`` spoiled photos of it, and their exact alignment."""
    image, views, H = photos.sequence(SIZE, count)
    alignment = photos.exact_alignment(H, (SIZE, SIZE), **options)
    return photos.as_frame(image).float(), [photos.as_frame(v) for v in views], alignment


def distance(image: Tensor, picture: Tensor) -> float:
    return float(psnr(image[None], picture[None])[0])


class TestReconstructSequence(OpTests):
    op = "reconstruct_sequence"
    exempt = {
        "gradcheck": "clamps, medians over pixels and integer photos: the ops within are checked",
        "half": "its picture is float32 whatever the photos are",
        "compile": "crops each photo to what a strip needs, by values; the ops within it compile",
        "dynamic": "walks through photos of any number and sizes; the ops within it compile",
        "export": "walks through photos of any number and sizes; the ops within it export",
        "vmap": "takes photos of one sequence, of any sizes, and crops them by values",
        "gpu": "gives the picture on the CPU; compared with the CPU in test_devices.py",
    }

    def call(self, device: torch.device, dtype: torch.dtype) -> Call:
        _, frames, alignment = scene()
        return Call((torch.stack(frames).to(device, dtype) / 255, alignment), {})

    def test_smoke(self, device: torch.device, dtype: torch.dtype) -> None:
        """Whatever the frames' dtype: float32, in range, finite."""
        args, kwargs = self.call(torch.device("cpu"), dtype)
        reconstruction = reconstruct_sequence(*args, **kwargs)
        assert reconstruction.image.shape == (3, SIZE, SIZE)
        assert reconstruction.coverage.shape == (1, SIZE, SIZE)
        assert reconstruction.weights.shape == (4, 1, SIZE, SIZE)
        assert reconstruction.gain.shape == (4, 3)
        assert reconstruction.coverage.dtype == torch.int64
        for tensor in (reconstruction.image, reconstruction.weights, reconstruction.gain):
            assert tensor.dtype == torch.float32
            assert tensor.isfinite().all()
        assert reconstruction.image.min() >= 0
        assert reconstruction.image.max() <= 1

    def test_exception(self) -> None:
        _, frames, alignment = scene()
        with pytest.raises(ShapeError, match=r"alignment\.homography_reference_frame must have shape"):
            reconstruct_sequence(frames[:2], alignment)
        with pytest.raises(ShapeError, match=r"frames\[1\] must have shape \(3 H W\)"):
            reconstruct_sequence([frames[0], frames[1][0], *frames[2:]], alignment)
        with pytest.raises(DtypeError, match=r"frames\[0\] must be floating point"):
            reconstruct_sequence([f.long() for f in frames], alignment)
        with pytest.raises(OptionError, match=r"diar, .*, a network or a callable, got 'best'"):
            reconstruct_sequence(frames, alignment, aggregator="best")
        with pytest.raises(OptionError, match="valid to be 4 masks, got 1"):
            reconstruct_sequence(frames, alignment, valid=[None])
        with pytest.raises(DtypeError, match=r"valid\[0\] must be bool"):
            reconstruct_sequence(frames, alignment, valid=[torch.ones(1, SIZE, SIZE)] * 4)
        with pytest.raises(DiarError, match="no frame is aligned"):
            reconstruct_sequence(frames, alignment._replace(success=alignment.success & False))

    @pytest.mark.parametrize("aggregator", LOCAL)
    def test_cardinality_one_frame_is_itself(self, aggregator: str) -> None:
        _, frames, alignment = scene(1)
        reconstruction = reconstruct_sequence(frames, alignment, aggregator=aggregator)
        assert_close(reconstruction.image, frames[0].float() / 255)
        assert (reconstruction.coverage == 1).all()
        assert_close(reconstruction.weights, torch.ones(1, 1, SIZE, SIZE))
        assert (reconstruction.gain == 1).all()

    @pytest.mark.parametrize("aggregator", LOCAL)
    def test_cardinality_copies_are_the_photo(self, aggregator: str) -> None:
        _, frames, _ = scene(1)
        alignment = photos.exact_alignment(np.stack([np.eye(3)] * 10), (SIZE, SIZE))
        reconstruction = reconstruct_sequence(frames * 10, alignment, aggregator=aggregator)
        assert_close(reconstruction.image, frames[0].float() / 255)

    @pytest.mark.parametrize(("aggregator", "least"), [("consensus", 35), ("median", 35), ("mean", 17)])
    @pytest.mark.parametrize("compensate", [True, False])
    def test_oracle_the_picture(self, aggregator: str, least: float, compensate: bool) -> None:
        """A robust aggregate of compensated photos comes out without the discs."""
        picture, frames, alignment = scene()
        reconstruction = reconstruct_sequence(frames, alignment, aggregator=aggregator, compensate=compensate)
        alone = distance(frames[0].float() / 255, picture)
        if compensate:
            assert distance(reconstruction.image, picture) > max(least, alone if aggregator != "mean" else 0)
        else:
            assert (reconstruction.gain == 1).all()
            compensated = reconstruct_sequence(frames, alignment, aggregator=aggregator)
            assert distance(reconstruction.image, picture) < distance(compensated.image, picture)

    def test_oracle_exposure(self) -> None:
        """The gains undo the exposures 1, 0.75, 1.2, 1 that the photos were taken with."""
        _, frames, alignment = scene()
        gain = reconstruct_sequence(frames, alignment, aggregator="consensus").gain
        exposure = torch.tensor([1, 0.75, 1.2, 1])[:, None].expand(4, 3)
        assert_close(gain * exposure, torch.ones(4, 3), rtol=0.02)

    def test_oracle_another_reference(self) -> None:
        """From an oblique view the picture is that view, cleaned."""
        _, frames, alignment = scene(reference=1)
        reconstruction = reconstruct_sequence(frames, alignment, aggregator="consensus")
        image, _, H = photos.sequence(SIZE)
        wanted = photos.as_frame(photos.view(image, H[1])).float() / 255
        inside = reconstruction.coverage == 4
        assert inside.float().mean() > 0.7
        assert float(psnr(reconstruction.image[None], wanted[None], inside[None])[0]) > 32

    @pytest.mark.parametrize("aggregator", LOCAL)
    def test_property_weights_explain_the_picture(self, aggregator: str) -> None:
        _, frames, alignment = scene(success=[True, True, False, True])
        reconstruction = reconstruct_sequence(frames, alignment, aggregator=aggregator, compensate=False)
        covered = reconstruction.coverage > 0
        assert_close(reconstruction.weights.sum(dim=0)[covered], torch.ones(int(covered.sum())))
        assert reconstruction.weights.min() >= 0
        assert not reconstruction.weights[2].any(), "a frame that was left out has no share"
        assert reconstruction.coverage.max() == 3
        if aggregator == "median":
            return  # chooses per channel; one weight per pixel only says how often
        laid = {t: image for t, image, _ in aligned_frames(frames, alignment)}
        mixed = sum(reconstruction.weights[t] * image for t, image in laid.items())
        assert_close(mixed.clamp(0, 1), reconstruction.image, atol=1e-4)

    @pytest.mark.parametrize("pixels", [1, SIZE * 4 * 7, SIZE * 4 * 50])
    def test_property_strips_do_not_show(self, monkeypatch: pytest.MonkeyPatch, pixels: int) -> None:
        _, frames, alignment = scene()
        whole = reconstruct_sequence(frames, alignment, aggregator="consensus")
        monkeypatch.setattr(module, "_STRIP_PIXELS", pixels)
        steps: list[tuple[str, int, int]] = []
        strips = reconstruct_sequence(frames, alignment, aggregator="consensus", progress=lambda *s: steps.append(s))
        assert {name for name, _, _ in steps} == {"putting together"}
        rows = [tuple(numbers) for _, *numbers in steps]
        assert len(rows) == -(-SIZE // max(1, -(-pixels // (SIZE * 4)))) > 1
        assert rows[-1] == (len(rows), len(rows))
        assert torch.equal(strips.coverage, whole.coverage)
        # Sub-pixel positions are rounded relative to each strip, in float32.
        assert (strips.image - whole.image).abs().max() < 1e-3
        assert (strips.image - whole.image).abs().mean() < 1e-5

    def test_property_dtypes_agree(self) -> None:
        _, frames, alignment = scene()
        straight = reconstruct_sequence(frames, alignment, aggregator="consensus")
        for same in (
            [(f.int() * 257).to(torch.uint16) for f in frames],
            [f.float() / 255 for f in frames],
            [f.double() / 255 for f in frames],
        ):
            reconstruction = reconstruct_sequence(same, alignment, aggregator="consensus")
            assert_close(reconstruction.image, straight.image, atol=1e-4)

    @pytest.mark.parametrize("aggregator", ["diar", *AGGREGATORS])
    def test_property_what_is_left_out_has_no_influence(self, aggregator: str) -> None:
        _, frames, alignment = scene(success=[True, True, False, True])
        reconstruction = reconstruct_sequence(frames, alignment, aggregator=aggregator)
        noise = torch.randint(0, 256, frames[2].shape, generator=torch.Generator().manual_seed(3))
        changed = [*frames[:2], noise.to(torch.uint8), frames[3]]
        other = reconstruct_sequence(changed, alignment, aggregator=aggregator)
        for one, two in zip(tensors_of(reconstruction), tensors_of(other), strict=True):
            assert torch.equal(one, two)

    @pytest.mark.parametrize("aggregator", ["diar", *AGGREGATORS])
    def test_nan_pixels_stay_out(self, aggregator: str) -> None:
        _, frames, alignment = scene()
        clean = [f.float() / 255 for f in frames]
        spoiled = [f.clone() for f in clean]
        spoiled[1][:, 20:30, 20:30] = float("nan")
        reconstruction = reconstruct_sequence(spoiled, alignment, aggregator=aggregator)
        for tensor in tensors_of(reconstruction):
            assert tensor.isfinite().all()
        if aggregator not in LOCAL:
            return  # a network judges the light of frames from all they show, as rpca and intrinsic do
        far = torch.ones(SIZE, SIZE, dtype=torch.bool)
        far[:60, :60] = False
        before = reconstruct_sequence(clean, alignment, aggregator=aggregator)
        assert (reconstruction.image - before.image)[:, far].abs().max() < 0.02  # by the gain alone


def test_masked_pixels_have_no_weight() -> None:
    picture, frames, alignment = scene()
    mask = torch.ones(1, SIZE, SIZE, dtype=torch.bool)
    mask[:, :, : SIZE // 2] = False
    reconstruction = reconstruct_sequence(frames, alignment, aggregator="consensus", valid=[mask, None, None, None])
    assert not reconstruction.weights[0, :, :, : SIZE // 2 - 1].any()
    assert reconstruction.coverage[:, 40:50, : SIZE // 2 - 1].max() == 3
    assert distance(reconstruction.image, picture) > 30


@pytest.mark.parametrize("aggregator", ["diar", *AGGREGATORS])
def test_what_no_frame_shows_is_black_and_uncovered(aggregator: str) -> None:
    _, frames, alignment = scene(1)
    mask = torch.ones(1, SIZE, SIZE, dtype=torch.bool)
    mask[:, :10] = False
    reconstruction = reconstruct_sequence(frames, alignment, aggregator=aggregator, valid=[mask])
    assert not reconstruction.coverage[:, :10].any()
    assert not reconstruction.image[:, :10].any()
    assert reconstruction.weights is None or not reconstruction.weights[:, :, :10].any()


def test_an_aggregator_of_ones_own() -> None:
    _, frames, alignment = scene()

    def first(features: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        assert features.shape[:3] == (1, 4, 3)
        assert valid.shape[:3] == (1, 4, 1)
        weights = torch.zeros_like(valid, dtype=features.dtype)
        weights[:, 0] = 1
        return features[:, 0], weights

    reconstruction = reconstruct_sequence(frames, alignment, aggregator=first, compensate=False)
    assert_close(reconstruction.image, frames[0].float() / 255)


def test_aligned_frames_yield_the_frames_that_were_aligned() -> None:
    _, frames, alignment = scene(success=[True, False, True, True])
    seen: list[tuple[int, int]] = []
    result = list(aligned_frames(frames, alignment, progress=lambda *s: seen.append(s)))
    assert [t for t, _, _ in result] == [0, 2, 3]
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert_close(result[0][1], frames[0].float() / 255)
    assert result[0][2].all()
    for _, image, valid in result:
        assert image.shape == (3, SIZE, SIZE)
        assert valid.shape == (1, SIZE, SIZE)
        assert valid.dtype == torch.bool
        assert not image[:, ~valid[0]].any()


def test_shares_of_many_large_photos_take_half_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    _, frames, alignment = scene()
    exact = reconstruct_sequence(frames, alignment, aggregator="consensus")
    monkeypatch.setattr(module, "_LARGE_WEIGHTS", 4 * SIZE * SIZE)
    half = reconstruct_sequence(frames, alignment, aggregator="consensus")
    assert half.weights.dtype == torch.float16
    assert torch.equal(half.image, exact.image)
    assert_close(half.weights.float(), exact.weights, atol=1e-3)
