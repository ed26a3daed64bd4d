"""settle_frames: what is off by a pixel or two falls into place."""

from __future__ import annotations

from functools import lru_cache

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from benchmarks.quality.aligned import random_homography
from diar_ops import (
    DtypeError,
    OptionError,
    ShapeError,
    corner_error,
    reconstruct_sequence,
    settle_frames,
    ssim,
    warp_homography,
)
from tests import photos
from tests.harness import Call, OpTests, generator

SIZE = 160
EYE = torch.eye(3, dtype=torch.float64)


def jittered(pixels: float, count: int = 6, name: str = "jitter") -> tuple[Tensor, Tensor]:
    """Frames (1, T, 3, SIZE, SIZE) of one picture off their place, and frame ~ H @ picture; copies."""
    frames, H = _jittered(pixels, count, name)
    return frames.clone(), H.clone()


@lru_cache(maxsize=8)
def _jittered(pixels: float, count: int, name: str) -> tuple[Tensor, Tensor]:
    seeded = generator(name)
    image = photos.picture("settled", SIZE)
    H = torch.stack([random_homography(pixels, (SIZE, SIZE), seeded) for _ in range(count)])
    views = [
        photos.view(image, h.numpy(), gain=0.6 + 0.08 * t, noise=f"settle {t}", occluder=(30 + 20 * t, 50, 18))
        for t, h in enumerate(H)
    ]
    frames = torch.stack([photos.as_frame(v) for v in views]).double() / 255
    return frames[None], H[None]


def scatter(H: Tensor) -> Tensor:
    """Mean corner distance of (T, 3, 3) from their mean."""
    H = H / H[:, 2:, 2:]
    return corner_error(H, H.mean(0), size=(SIZE, SIZE)).mean()


class TestSettleFrames(OpTests):
    op = "settle_frames"
    module = "SettleFrames"
    exempt = {"gradcheck": "which frames move is a discrete choice; its result has no gradient"}
    waits = 4  # refinement looks every eighth step whether all stand still
    half_result = torch.float64  # homographies move pixels by less than half precision tells

    def call(self, device: torch.device, dtype: torch.dtype) -> Call:
        frames, _ = jittered(1.0, 4, "settle call")
        return Call((frames.to(device, dtype),), {"longest": 80})

    def test_smoke(self, device: torch.device, dtype: torch.dtype) -> None:
        args, kwargs = self.call(device, dtype)
        H = settle_frames(*args, **kwargs)
        assert H.dtype == torch.float64
        assert H.isfinite().all()
        assert H.device.type == device.type

    def test_exception(self) -> None:
        frames = torch.rand(1, 4, 3, 64, 64)
        with pytest.raises(ShapeError, match="frames must have shape"):
            settle_frames(frames[0])
        with pytest.raises(ShapeError, match="valid must have shape"):
            settle_frames(frames, frames[:, :2, :1] > 0)
        with pytest.raises(DtypeError, match="frames must be floating point"):
            settle_frames(frames.byte())
        with pytest.raises(DtypeError, match="valid must be bool"):
            settle_frames(frames, frames[:, :, :1])
        with pytest.raises(OptionError, match="longest >= 64"):
            settle_frames(frames, longest=63)

    @pytest.mark.parametrize(
        "shape", [(0, 4, 3, 64, 64), (1, 0, 3, 64, 64), (2, 1, 1, 64, 64), (1, 2, 3, 64, 64), (1, 5, 3, 9, 64)]
    )
    def test_cardinality_nothing_to_compare(self, shape: tuple[int, ...]) -> None:
        assert torch.equal(settle_frames(torch.rand(shape)), EYE.repeat(*shape[:2], 1, 1))

    def test_cardinality_items_do_not_depend_on_each_other(self) -> None:
        one, two = jittered(1.0, 4, "settle one")[0], jittered(2.0, 4, "settle two")[0]
        both = settle_frames(torch.cat((one, two)))
        torch.testing.assert_close(both[1:], settle_frames(two), rtol=0, atol=1e-6)

    @pytest.mark.parametrize("pixels", [1.0, 2.0])
    def test_oracle_known_jitter(self, pixels: float) -> None:
        frames, H = jittered(pixels)
        settled = settle_frames(frames) @ H
        assert scatter(H[0]) > 0.6 * pixels
        assert scatter(settled[0]) < 0.2
        # Nobody knows where the picture was: at the mean of what was given.
        middle = settled[0].mean(0) / settled[0].mean(0)[2, 2]
        given = (H[0] / H[0, :, 2:, 2:]).mean(0)
        assert corner_error(middle, given, size=(SIZE, SIZE)) < 0.3

    def test_oracle_a_frame_far_off_is_left_alone(self) -> None:
        frames, H = jittered(1.0)
        shift = EYE.clone()
        shift[0, 2] = 50
        frames[0, 2] = warp_homography(frames[0, 2:3], shift[None]).image[0]
        result = settle_frames(frames)
        assert torch.equal(result[0, 2], EYE)
        keep = [0, 1, 3, 4, 5]
        assert scatter((result @ H)[0, keep]) < 0.25

    @given(count=st.integers(3, 6), seed=st.integers(0, 9))
    def test_property_aligned_frames_stay(self, count: int, seed: int) -> None:
        frames, _ = jittered(0.0, count, f"still {seed}")
        assert torch.equal(settle_frames(frames), EYE.repeat(1, count, 1, 1))

    def test_property_light_does_not_matter(self) -> None:
        frames, _ = jittered(1.5)
        darker = 0.5 * frames + 0.1
        off = corner_error(settle_frames(frames), settle_frames(darker), size=(SIZE, SIZE))
        assert off.max() < 0.1

    def test_nan_pixels_are_unknown(self) -> None:
        frames, H = jittered(1.0)
        frames[0, 1, :, 20:60, 30:90] = torch.nan
        frames[0, 3] = torch.nan
        result = settle_frames(frames)
        assert torch.equal(result[0, 3], EYE)
        assert scatter((result @ H)[0, [0, 1, 2, 4, 5]]) < 0.25


def test_reconstruction_settles_on_request() -> None:
    frames, _ = jittered(2.0)
    alignment = photos.exact_alignment(EYE.repeat(6, 1, 1).numpy(), (SIZE, SIZE))
    clean = torch.from_numpy(photos.picture("settled", SIZE)).permute(2, 0, 1).float()

    def likeness(settle: bool) -> float:
        reconstruction = reconstruct_sequence(frames[0].float(), alignment, aggregator="mean", settle=settle)
        inner = (..., slice(8, -8), slice(8, -8))
        return float(ssim(reconstruction.image[None][inner], clean[None][inner]))

    # Not by contrast: frames that lie beside each other lend each other their detail.
    assert likeness(True) > likeness(False) + 0.02
