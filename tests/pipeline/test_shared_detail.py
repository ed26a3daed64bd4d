"""Blurred frames never make the picture softer than the sharp ones alone."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import scipy.ndimage
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from diar_ops import Alignment, reconstruct_sequence, relative_sharpness, ssim
from diar_ops.pipeline import AGGREGATORS, reconstruct
from diar_ops.pipeline._sharpness import SharedDetail, share_detail, survey_sharpness
from diar_ops.pipeline._warp import AlignedSequence
from tests.harness import assert_close, generator

SIZE = (96, 128)
NAMES = ["diar", *AGGREGATORS]


def blur(image: Tensor, sigma: float) -> Tensor:
    return torch.from_numpy(scipy.ndimage.gaussian_filter(image.numpy(), (0, sigma, sigma), mode="mirror"))


def picture(seed: int) -> Tensor:
    """Noise of all octaves in float32, (3, H, W) in [0.1, 0.9]."""
    draw = generator(f"shared detail {seed}")
    layers = [blur(torch.rand(3, *SIZE, generator=draw) - 0.5, s) * (s + 0.5) for s in (0.6, 1.5, 4, 10)]
    image = torch.stack(layers).sum(dim=0)
    return 0.1 + 0.8 * (image - image.min()) / (image.max() - image.min())


def photos_of(image: Tensor, sigmas: Sequence[float], seed: int) -> Tensor:
    """Photos (T, 3, H, W) with blur, exposure, noise and a card in front of each."""
    draw = generator(f"photos of {seed}")
    taken = []
    for sigma in sigmas:
        card = image.clone()
        top, left = (int(torch.randint(0, n - 24, (), generator=draw)) for n in SIZE)
        card[:, top : top + 24, left : left + 24] = torch.rand(3, 1, 1, generator=draw)
        seen = blur(card, sigma) if sigma > 0 else card
        gain = 0.85 + 0.3 * torch.rand((), generator=draw)
        taken.append((gain * seen + 0.004 * torch.randn(seen.shape, generator=draw)).clamp(0, 1))
    return torch.stack(taken)


def aligned(count: int) -> Alignment:
    return Alignment.from_homographies(torch.eye(3).repeat(count, 1, 1), [SIZE] * count)


def sequence(frames: Tensor) -> AlignedSequence:
    count = len(frames)
    return AlignedSequence(list(frames), [None] * count, aligned(count), list(range(count)), torch.device("cpu"))


def restored(frames: Tensor, name: str) -> Tensor:
    return reconstruct_sequence(frames, aligned(len(frames)), aggregator=name).image[None]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sigma", [1.5, 3.0])
def test_blurred_photos_do_not_soften(name: str, sigma: float) -> None:
    image = picture(0)
    frames = photos_of(image, [0.0] * 4 + [sigma] * 4, 0)
    alone, together = restored(frames[:4], name), restored(frames, name)
    assert ssim(together, image[None]) > ssim(alone, image[None]) - 0.01
    assert relative_sharpness(together, frames[None, :4]) > 0.93 * relative_sharpness(alone, frames[None, :4])


@settings(max_examples=6)
@given(st.integers(1, 8), st.floats(1.5, 4), st.integers(0, 1000))
def test_property_any_number_of_blurred_ones(count: int, sigma: float, seed: int) -> None:
    image = picture(seed)
    frames = photos_of(image, [sigma] * count + [0.0] * (10 - count), seed)
    alone, together = restored(frames[count:], "consensus"), restored(frames, "consensus")
    assert ssim(together, image[None]) > ssim(alone, image[None]) - 0.01


def test_equally_sharp_frames_stay_as_they_are() -> None:
    frames = photos_of(picture(1), [0.0] * 5, 1)
    gain = torch.ones(5, 3)
    untouched = sequence(frames)
    assert share_detail(untouched, gain) is untouched
    assert share_detail(sequence(frames[:1]), gain[:1]) is not None


def test_frames_that_share_nothing_stay_as_they_are() -> None:
    frames = torch.rand(4, 3, *SIZE, generator=generator("nothing in common"))
    untouched = sequence(frames)
    assert share_detail(untouched, torch.ones(4, 3)) is untouched


def test_transfer_follows_the_blur() -> None:
    """Against what a Gaussian leaves of each octave of this picture, measured on it alone."""
    image = picture(2)
    sigmas = [0.0, 0.0, 0.0, 1.0, 2.0]
    frames = torch.stack([blur(image, s) if s > 0 else image for s in sigmas])
    noise = 0.01 * torch.randn(frames.shape, generator=generator("transfer noise"))
    transfer = survey_sharpness(sequence((frames + noise).clamp(0, 1)), torch.ones(5, 3)).transfer.mean(dim=(2, 3))
    assert_close(transfer[:, :3], torch.ones_like(transfer[:, :3]), atol=0.05)
    assert (transfer[:, 4] <= transfer[:, 3] + 0.02).all()
    assert transfer[0, 3] < 0.6
    assert transfer[0, 4] < 0.3
    assert (transfer[1:] >= transfer[:-1] - 1e-6).all()


def test_light_is_no_blur() -> None:
    image = picture(3)
    ramp = torch.linspace(0.4, 1.0, SIZE[1])
    frames = torch.stack([image, image, image * ramp, 0.3 + 0.6 * image])
    transfer = survey_sharpness(sequence(frames), torch.ones(4, 3)).transfer
    assert transfer.min() > 0.75


def test_windows_do_not_show() -> None:
    image = picture(4)
    frames = photos_of(image, [0.0] * 3 + [2.0] * 3, 4)
    shared = share_detail(sequence(frames), torch.ones(6, 3))
    assert isinstance(shared, SharedDetail)
    whole, _ = shared.warp((0, 0, *SIZE))
    part, valid = shared.warp((20, 33, 41, 50))
    assert valid.all()
    assert_close(part, whole[..., 20:61, 33:83], atol=2e-3)


def test_squares_with_their_margins_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    photos = photos_of(picture(5), (0, 2, 0, 0), 5)
    whole = reconstruct_sequence(photos, aligned(4), aggregator="mean")
    monkeypatch.setattr(reconstruct, "_SQUARE_PIXELS", 1)  # as small as the margin lets them be
    steps: list[tuple[str, int, int]] = []
    squares = reconstruct_sequence(photos, aligned(4), aggregator="mean", progress=lambda *step: steps.append(step))
    assert steps == [("putting together", done, 4) for done in (1, 2, 3, 4)]
    assert torch.equal(squares.coverage, whole.coverage)
    assert_close(squares.image, whole.image, atol=2e-3)
    assert (squares.image - whole.image).abs().mean() < 1e-5


def test_what_no_frame_lacks_is_not_filled() -> None:
    soft = share_detail(sequence(photos_of(picture(6), (0, 2, 0), 6)), torch.ones(3, 3))
    assert isinstance(soft, SharedDetail)
    everywhere = [(0, size - 1) for size in SIZE]
    assert soft.sharpness.is_filled(*everywhere)
    sharp = soft.sharpness._replace(transfer=torch.ones_like(soft.sharpness.transfer))
    assert not sharp.is_filled(*everywhere)


def test_a_blurred_frame_that_is_alone_is_kept() -> None:
    """Where no sharp frame shows the picture, the blurred one does."""
    image = picture(5)
    frames = photos_of(image, [0.0] * 3 + [2.0] * 2, 5)
    valid = [torch.ones(1, *SIZE, dtype=torch.bool) for _ in range(5)]
    for mask in valid[:3]:
        mask[..., :40] = False
    found = reconstruct_sequence(frames, aligned(5), aggregator="consensus", valid=valid)
    assert (found.coverage[..., :40] == 2).all()
    soft = blur(image, 2.0)
    assert (found.image - soft)[..., :30].abs().mean() < 0.1
