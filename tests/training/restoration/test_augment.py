"""Changes go together, keep the truth, and happen as often as they are asked for."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from diar_ops import OptionError
from diar_ops.colour import srgb_to_linear
from diar_ops.training.camera import ideal_photos
from diar_ops.training.restoration.augment import AugmentRanges, bend, cover_partly, misalign, soften, take_photos, turn
from tests.harness import assert_close, generator

NONE = AugmentRanges(plain=1, albedo=0, permute=0, exact=1, jitter=0, misaligned=0, partial=0)


def smooth(T: int, side: int = 48) -> Tensor:
    """Return frames (T, 3, side, side) whose pixels hold x, y and the frame, in [0, 1]."""
    at = torch.arange(side) / side
    planes = (at.expand(side, side), at[:, None].expand(side, side), torch.zeros(side, side))
    frames = torch.stack(planes).repeat(T, 1, 1, 1)
    frames[:, 2] = (torch.arange(T) / T)[:, None, None]
    return frames


@pytest.mark.parametrize(
    "name", ["plain", "albedo", "permute", "exact", "misaligned", "partial", "phone", "bent", "foreign", "soft"]
)
def test_shares_are_shares(name: str) -> None:
    for value in (-0.1, 1.1):
        with pytest.raises(OptionError, match=name):
            replace(NONE, **{name: value})
    assert AugmentRanges(jitter=3.0).jitter == 3.0
    with pytest.raises(OptionError, match="jitter"):
        AugmentRanges(jitter=-1.0)


def test_label_and_frames_turn_alike() -> None:
    dice, label = generator("turn"), torch.rand(3, 6, 6, generator=generator("turn-label"))
    gains = torch.tensor([1.0, 0.5])[:, None, None, None]
    seen = set()
    for _ in range(200):
        frames, turned = turn(gains * label, label, replace(NONE, permute=0.5), dice)
        assert torch.equal(frames, gains * turned)
        seen.add(tuple(turned.flatten().tolist()))
    assert len(seen) > 40  # of 8 * 6


def test_only_square_pictures_are_transposed() -> None:
    label = torch.rand(3, 4, 6, generator=generator("oblong"))
    dice = generator("oblong-dice")
    for _ in range(10):
        assert turn(label[None], label, NONE, dice)[1].shape == label.shape


def test_a_darker_picture_is_as_much_darker_in_light_and_label() -> None:
    label = torch.rand(3, 8, 8, generator=generator("albedo"))
    light = srgb_to_linear(label)[None]
    factors = []
    for k in range(20):
        frames, darker = take_photos(light, label, replace(NONE, albedo=1), generator(f"dark-{k}"))
        factor = srgb_to_linear(darker) / srgb_to_linear(label)
        assert_close(factor, factor.mean().expand_as(factor), rtol=1e-3)
        assert_close(frames[0], darker, atol=0.5 / 255 + 1e-5, rtol=0)
        factors.append(factor.mean().item())
    assert 0.6 <= min(factors) < 0.7
    assert 0.9 < max(factors) <= 1


def test_half_of_the_photos_have_a_camera() -> None:
    light, label = torch.full((2, 3, 16, 16), 0.2), torch.full((3, 16, 16), 0.5)
    ideal = ideal_photos(light)
    ranges, plain = replace(NONE, plain=0.5), []
    for k in range(60):
        photos, _ = take_photos(light, label, ranges, generator(f"camera-{k}"))
        plain.append(torch.equal(photos, ideal))
    assert 15 < sum(plain) < 45


def test_frames_stay_where_they_are_when_they_shall() -> None:
    frames = smooth(3)
    warped = misalign(frames, NONE, generator("still"))
    assert torch.equal(warped.image, frames)
    assert warped.valid.all()


def test_jitter_moves_every_frame_by_less_than_pixels() -> None:
    frames, side = smooth(6), 48
    far = 0.0
    for k in range(10):
        warped = misalign(frames, replace(NONE, exact=0, jitter=1), generator(f"jitter-{k}"))
        offset = (warped.image - frames)[:, :2, 8:-8, 8:-8].abs() * side
        moved = offset.flatten(1).amax(dim=1)
        assert (moved > 0).all()
        assert moved.max() < 3.2
        far = max(far, moved.max().item())
        # Only the rim can lose its content.
        assert warped.valid[..., 4:-4, 4:-4].all()
        assert (warped.image[~warped.valid.expand_as(frames)] == 0).all()
    assert far > 0.8


def test_one_frame_of_five_may_be_far_off() -> None:
    frames, ranges = smooth(5), replace(NONE, misaligned=1)
    which = set()
    for k in range(30):
        warped = misalign(frames, ranges, generator(f"far-{k}"))
        off = ((warped.image - frames).abs().flatten(1).amax(dim=1) > 1 / 48).nonzero()
        assert len(off) == 1
        assert not warped.valid.all() or k
        which.add(int(off))
    assert which == set(range(5))
    assert torch.equal(misalign(frames[:4], ranges, generator("few")).image, frames[:4])


def test_parts_of_frames_are_covered_but_seldom_of_all() -> None:
    valid = torch.ones(4, 1, 32, 32, dtype=torch.bool)
    unseen, shares = 0, []
    for k in range(200):
        cut = cover_partly(valid, replace(NONE, partial=1), generator(f"part-{k}"))
        shares += [share for share in cut.float().flatten(1).mean(dim=1).tolist() if share < 1]
        unseen += int(not cut.any(dim=0).all())
    assert 200 < len(shares) < 400  # of 800
    assert min(shares) < 0.4
    assert max(shares) > 0.8
    assert 0 < unseen < 20
    assert torch.equal(cover_partly(valid, NONE, generator("all")), valid)


def test_covering_keeps_what_was_invalid() -> None:
    valid = torch.zeros(3, 1, 16, 16, dtype=torch.bool)
    assert not cover_partly(valid, replace(NONE, partial=1), generator("dark")).any()


def test_some_frames_are_soft_never_all() -> None:
    frames = torch.rand(4, 3, 32, 32, generator=generator("soft-frames"))
    counts = []
    for k in range(40):
        soft = soften(frames, replace(NONE, soft=1.0), generator(f"soft-{k}"))
        changed = (soft != frames).flatten(1).any(1)
        energy = soft.diff(dim=-1).square().mean((1, 2, 3)) / frames.diff(dim=-1).square().mean((1, 2, 3))
        assert torch.equal(energy < 0.8, changed)
        assert_close(soft.mean((2, 3)), frames.mean((2, 3)), atol=0.03)
        counts.append(int(changed.sum()))
    assert set(counts) == {1, 2, 3}
    assert torch.equal(soften(frames, NONE, generator("sharp")), frames)
    assert torch.equal(soften(frames[:1], replace(NONE, soft=1.0), generator("alone")), frames[:1])


def test_bends_are_smooth_and_bounded() -> None:
    frames = smooth(3)
    bent = bend(frames, replace(NONE, bent=1.0, bend=1.0), generator("bend"))
    inside = (..., slice(4, -4), slice(4, -4))
    shift = (bent - frames)[:, :2][inside] * 48  # the pixels hold where they are
    assert 0.05 < shift.std() < 1.0
    assert shift.abs().max() < 3
    assert shift.diff(dim=-1).abs().max() < 0.6
    assert_close(bent[:, 2][inside], frames[:, 2][inside], atol=1e-4)
    assert torch.equal(bend(frames, NONE, generator("flat")), frames)
    straight = misalign(frames, replace(NONE, bent=1.0), generator("exact, but bent"))
    assert straight.valid.all()
    assert not torch.equal(straight.image, frames)


def test_a_phone_develops_its_photos() -> None:
    light, label = torch.rand(2, 3, 32, 32, generator=generator("phone-light")), torch.zeros(3, 32, 32)
    ranges = replace(NONE, plain=0.0)
    plain, _ = take_photos(light, label, ranges, generator("phone"))
    phone, _ = take_photos(light, label, replace(ranges, phone=1.0), generator("phone"))
    assert phone.diff(dim=-1).square().mean() > plain.diff(dim=-1).square().mean()
