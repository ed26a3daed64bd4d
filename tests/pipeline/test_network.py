"""A network on photos of any size: tiles, evidence that is put together, pictures from it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from diar_ops import Alignment, DeepResidualSets, FaithfulDIAR, OptionError, reconstruct_sequence
from diar_ops._types import Reconstruction, Restored
from diar_ops.models import Evidence, Light, sample_field
from diar_ops.models.faithful import tiles as tiling
from diar_ops.models.faithful.light import repeat_window, whole_view
from diar_ops.models.faithful.tiles import (
    HALO,
    STEP,
    Warper,
    compose_window,
    gather_evidence,
    gather_light,
    tiles,
)
from diar_ops.pipeline import reconstruct as module
from tests import photos
from tests.harness import assert_close, generator, tensors_of
from tests.models.faithful import test_network as models

SIZE = 96
#: Of log factors and veils per token.
SPREADS = [0.1] * 3 + [0.01] * 3
ROOT = Path(__file__).resolve().parents[2]


def network() -> FaithfulDIAR:
    return models.network().float()


def stack(name: str, count: int, *size: int) -> tuple[Tensor, Tensor]:
    """Smooth frames (1, T, 3, H, W) and a mask: what neighbours of a tile look like matters."""
    rng = generator(name)
    coarse = torch.rand(count, 3, 5, 6, generator=rng)
    frames = torch.nn.functional.interpolate(coarse, size, mode="bilinear")[None]
    valid = torch.rand(1, count, 1, 4, 4, generator=rng) < 0.7
    valid[:, 0] = True
    valid = torch.nn.functional.interpolate(valid[0].float(), size)[None] > 0.5
    return frames * valid, valid


def cutter(frames: Tensor, valid: Tensor) -> Warper:
    """A warper of frames that lie exactly on the reference."""

    def warp(window: tuple[int, int, int, int]) -> tuple[Tensor, Tensor]:
        top, left, height, width = window
        cut = (..., slice(top, top + height), slice(left, left + width))
        return frames[cut], valid[cut]

    return warp


def by_hand(values: Tensor, gain: Tensor, veil: Tensor) -> Tensor:
    """Multiply light and take a veil off it, but leave no less than black."""
    light = ((values + 0.055) / 1.055 * gain.exp()) ** 2.4 - veil
    return 1.055 * light.clamp_min((0.055 / 1.055) ** 2.4) ** (1 / 2.4) - 0.055


def silent(done: int, total: int) -> None:
    assert 1 <= done <= total


def scene(count: int = 4, **options: Any) -> tuple[list[Tensor], Alignment]:
    """``count`` spoiled photos of a picture, and their exact alignment."""
    _, views, H = photos.sequence(SIZE, count)
    return [photos.as_frame(v) for v in views], photos.exact_alignment(H, (SIZE, SIZE), **options)


def on_each_other(frames: list[Tensor]) -> Alignment:
    """The alignment of frames that are all seen from the same place."""
    size = (frames[0].shape[1], frames[0].shape[2])
    return photos.exact_alignment(np.stack([np.eye(3)] * len(frames)), size)


# --- tiles --------------------------------------------------------------------------------------


@given(st.integers(1, 900), st.integers(1, 900), st.integers(1, 60), st.integers(1, 3_000_000))
def test_cores_tile_the_picture(height: int, width: int, frames: int, pixels: int) -> None:
    cut = tiles((height, width), frames, pixels)
    seen = torch.zeros(height, width, dtype=torch.int64)
    for (top, left, bottom, right), around in cut:
        seen[top:bottom, left:right] += 1
        assert top % STEP == left % STEP == 0
        assert around[0] % STEP == around[1] % STEP == 0
        assert (
            around
            == (
                max(0, top - HALO),
                max(0, left - HALO),
                min(height, bottom + HALO),
                min(width, right + HALO),
            )
            or len(cut) == 1
        )
    assert (seen == 1).all()
    largest = max((b - t) * (r - l_) for _, (t, l_, b, r) in cut)
    # A tile of one step and its halos is the least there is.
    assert largest * frames <= max(pixels, frames * (STEP + 2 * HALO) ** 2)
    if height * width * frames <= pixels:
        assert len(cut) == 1


@given(st.integers(1, 700), st.integers(1, 700), st.integers(1, 1_000_000), st.sampled_from([1, 8]))
def test_shares_of_tiles_fall_to_their_ends(
    height: int, width: int, pixels: int, stride: int
) -> None:
    """Everywhere something, everything where there is one tile only, and never a jump."""
    size = (-(-height // stride), -(-width // stride))
    total, most = torch.zeros(size), torch.zeros(size)
    for tile in tiles((height, width), 3, pixels):
        top, left, bottom, right = tile.around
        share = tiling._ramps(tile, (height, width), stride)
        place = (
            slice(top // stride, -(-bottom // stride)),
            slice(left // stride, -(-right // stride)),
        )
        assert share.shape == total[place].shape
        total[place] += share
        most[place] = torch.maximum(most[place], share)
        if top > 0:
            assert share[0].max() <= 1e-3
        if right < width:
            assert share[:, -1].max() <= 1e-3
    assert most.min() > 0
    # The two halves of a ramp are one; the short last tiles of a picture add to that.
    assert total.min() > 0.998


# --- evidence -----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(64, 96), (61, 99)])
@torch.no_grad()
def test_one_tile_is_the_whole(size: tuple[int, int]) -> None:
    frames, valid = stack("one tile", 3, *size)
    built = network()
    light = gather_light(
        built, [cutter(frames[:, t : t + 1], valid[:, t : t + 1]) for t in range(3)], size, silent
    )
    whole = built.estimate_light(*whole_view(frames, valid)[:2])
    for one, other in zip(light, whole, strict=True):
        assert torch.equal(one, other)
    steps: list[tuple[int, int]] = []
    found = gather_evidence(built, cutter(frames, valid), light, size, lambda *s: steps.append(s))
    assert steps == [(1, 1)]
    everything = repeat_window(frames, [0.0, 0.0, 1.0, 1.0])
    for one, other in zip(found, built.score_pixels(frames, valid, light, everything), strict=True):
        assert torch.equal(one, other)
    picture, weights = compose_window(built, frames, valid, light, found, (0, 0, *size), size)
    expected = built(frames, valid)
    assert_close(picture, expected.image)
    assert_close(weights, expected.weights)


@pytest.mark.parametrize("size", [(256, 320), (250, 331)])
@torch.no_grad()
def test_tiles_do_not_show(size: tuple[int, int]) -> None:
    """Windows of attention are the same ones; what lies beyond a halo of two stages is not seen."""
    frames, valid = stack("tiles", 2, *size)
    built = network()
    light = built.estimate_light(*whole_view(frames, valid)[:2])
    whole = gather_evidence(built, cutter(frames, valid), light, size, silent)
    steps: list[tuple[int, int]] = []
    tiled = gather_evidence(
        built, cutter(frames, valid), light, size, lambda *s: steps.append(s), pixels=1
    )
    count = len(tiles(size, 2, 1))
    assert steps == [(n + 1, count) for n in range(count)]
    assert count > 15
    for one, other in zip(tiled, whole, strict=True):
        # Within its halo a tile counts for little where it sees its own end.
        assert (one - other).abs().max() < 0.03 * other.abs().max()
        assert (one - other).abs().mean() < 0.002 * other.abs().mean()


@given(
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.data(),
)
def test_enlarging_is_sampling(
    cells: tuple[int, int], size: tuple[int, int], data: st.DataObject
) -> None:
    field = torch.randn(1, 3, 1, *cells, generator=generator("enlarge"))
    height, width = size
    h, w = data.draw(st.integers(1, height)), data.draw(st.integers(1, width))
    top, left = data.draw(st.integers(0, height - h)), data.draw(st.integers(0, width - w))
    share = [top / height, left / width, (top + h) / height, (left + w) / width]
    expected = sample_field(field, (h, w), torch.tensor([share]))
    assert_close(tiling._enlarge(field, share, (h, w)), expected, atol=1e-4)


@pytest.mark.parametrize("copy", [(24, 40), (21, 37)])
@torch.no_grad()
def test_windows_of_the_full_picture_from_evidence_on_a_copy(copy: tuple[int, int]) -> None:
    """Every window is a crop of the picture that is composed in one piece, by hand."""
    full = (50, 83)
    frames, valid = stack("full", 3, *full)
    built, rng = network(), generator("evidence")
    tokens = [-(-n // 8) for n in copy]
    light = Light(
        torch.randn(1, 3, 3, 16, 16, generator=rng) * 0.1,
        torch.rand(1, 3, 3, 16, 16, generator=rng) * 0.05,
        torch.zeros(1, 3, 4, 8, 8),
    )
    evidence = Evidence(
        torch.randn(1, 3, 1, *copy, generator=rng),
        torch.randn(1, 3, 6, *tokens, generator=rng) * torch.tensor(SPREADS)[:, None, None],
        torch.randn(1, 6, *tokens, generator=rng) * torch.tensor(SPREADS)[:, None, None],
    )

    def stretch(x: Tensor, padded: bool = False) -> Tensor:
        """Over the full picture, beside which the last tokens may reach."""
        if not padded:
            return torch.nn.functional.interpolate(x, full, mode="bilinear")
        reach = [8 * t * n / c for t, n, c in zip(tokens, full, copy, strict=True)]
        y, x_ = (((torch.arange(n) + 0.5) / r * 2 - 1) for n, r in zip(full, reach, strict=True))
        grid = torch.stack(torch.meshgrid(y, x_, indexing="ij")[::-1], dim=-1)
        return torch.nn.functional.grid_sample(
            x, grid.expand(len(x), -1, -1, -1), padding_mode="border", align_corners=False
        )

    detail = stretch(evidence.detail[0], padded=True)
    correction = stretch(evidence.correction, padded=True)[0]
    lit = by_hand(
        frames[0], stretch(light.gain[0]) + detail[:, :3], stretch(light.veil[0]) + detail[:, 3:]
    )
    score = stretch(evidence.score[0]).masked_fill(~valid[0], -torch.inf)
    share = score.softmax(dim=0)
    picture = by_hand((share * lit).sum(dim=0), correction[:3], correction[3:])
    for window in ((0, 0, 50, 83), (13, 0, 14, 83), (7, 21, 50, 22), (30, 40, 47, 83)):
        top, left, bottom, right = window
        cut = (..., slice(top, bottom), slice(left, right))
        found, weights = compose_window(
            built, frames[cut], valid[cut], light, evidence, window, full
        )
        assert_close(weights[0], share[cut], atol=1e-4)
        assert_close(found[0], picture[cut].clamp(0, 1), atol=1e-4)


# --- reconstruct_sequence ---------------------------------------------------------------------


def restored(built: FaithfulDIAR, frames: list[Tensor]) -> Restored:
    with torch.no_grad():
        return built(torch.stack(frames)[None].float() / 255)


@pytest.mark.parametrize("shape", [(96, 96), (75, 110)])
def test_photos_that_lie_on_each_other_are_the_networks_frames(shape: tuple[int, int]) -> None:
    rng = generator("photos")
    frames = [
        torch.randint(0, 256, (3, *shape), generator=rng, dtype=torch.uint8) for _ in range(3)
    ]
    built = network()
    found = reconstruct_sequence(frames, on_each_other(frames), aggregator=built)
    expected = restored(built, frames)
    # Logits of noise are large, and near black a step of light is many of the value.
    assert_close(found.image, expected.image[0], atol=3e-4)
    assert_close(found.weights, expected.weights[0], atol=3e-4)
    assert expected.gain is not None
    assert_close(found.gain, (2.4 * expected.gain[0].mean(dim=(2, 3))).exp())
    assert (found.coverage == 3).all()


def test_photos_larger_than_the_working_copy() -> None:
    """Weights, smooth as the copy's, are applied to every pixel of the photos."""
    frames, alignment = scene()
    built = network()
    exact = reconstruct_sequence(frames, alignment, aggregator=built)
    found = reconstruct_sequence(frames, alignment, aggregator=built, working_size=64)
    assert found.image.shape == (3, SIZE, SIZE)
    assert torch.equal(found.coverage, exact.coverage)
    covered = found.coverage > 0
    assert_close(found.weights.sum(dim=0)[covered], torch.ones(int(covered.sum())))
    # A random network takes veils off, and near black a step of light is many of the value.
    assert 0 < (found.image - exact.image).abs().mean() < 0.03
    assert_close(found.gain, exact.gain, rtol=0.05)


def test_weights_explain_the_picture() -> None:
    """With light, detail and correction silenced, it is their sum over the aligned photos."""
    frames, alignment = scene(success=[True, True, False, True])
    built = network()
    with torch.no_grad():
        for layer in (built.detail, built.correction):
            layer.weight.zero_()
            layer.bias.zero_()
    light: list[Light] = []
    judge = built.estimate_light

    def dark(small: Tensor, valid: Tensor) -> Light:
        light.append(judge(small, valid))
        return light[0]._replace(gain=light[0].gain * 0, veil=light[0].veil * 0)

    built.estimate_light = dark  # type: ignore[method-assign]
    found = reconstruct_sequence(frames, alignment, aggregator=built)
    assert len(light) == 1
    assert light[0].gain.shape[1] == 3
    assert not found.weights[2].any(), "a frame that was left out has no share"
    assert (found.gain == 1).all()
    laid = {t: image for t, image, _ in module.aligned_frames(frames, alignment)}
    mixed = sum(found.weights[t] * image for t, image in laid.items())
    assert_close(mixed, found.image, atol=1e-4)


def test_what_is_left_out_has_no_influence() -> None:
    frames, alignment = scene(success=[True, True, False, True])
    built = network()
    found = reconstruct_sequence(frames, alignment, aggregator=built)
    assert (found.gain[2] == 1).all()
    noise = torch.randint(0, 256, frames[2].shape, generator=generator("left out"))
    other = [*frames[:2], noise.to(torch.uint8), frames[3]]
    for one, two in zip(
        tensors_of(found),
        tensors_of(reconstruct_sequence(other, alignment, aggregator=built)),
        strict=True,
    ):
        assert torch.equal(one, two)


@pytest.mark.parametrize("working_size", [1024, 64])
def test_masked_pixels_have_no_weight_and_no_influence(working_size: int) -> None:
    frames, alignment = scene()
    mask = torch.ones(1, SIZE, SIZE, dtype=torch.bool)
    mask[:, :, : SIZE // 2] = False
    masks = [mask, None, None, None]
    painted = frames[0].masked_fill(~mask, 255)

    def run(first: Tensor) -> Reconstruction:
        return reconstruct_sequence(
            [first, *frames[1:]],
            alignment,
            aggregator=network(),
            valid=masks,
            working_size=working_size,
        )

    found = run(frames[0])
    assert not found.weights[0, :, :, : SIZE // 2 - 1].any()
    assert found.coverage[:, 40:50, : SIZE // 2 - 1].max() == 3
    for one, two in zip(tensors_of(found), tensors_of(run(painted)), strict=True):
        assert (one.double() - two).abs().max() < (1e-6 if working_size > SIZE else 0.05)


def test_what_no_photo_shows_is_black() -> None:
    frames, alignment = scene(1)
    mask = torch.ones(1, SIZE, SIZE, dtype=torch.bool)
    mask[:, :10] = False
    found = reconstruct_sequence(frames, alignment, aggregator=network(), valid=[mask])
    for tensor in (found.coverage, found.image, found.weights):
        assert not tensor[..., :10, :].any()
        assert tensor[..., 12:, :].any()


@pytest.mark.parametrize("pixels", [1, SIZE * 4 * 7])
def test_strips_do_not_show(monkeypatch: pytest.MonkeyPatch, pixels: int) -> None:
    frames, alignment = scene()
    built = network()
    whole = reconstruct_sequence(frames, alignment, aggregator=built, working_size=80)
    monkeypatch.setattr(module, "_STRIP_PIXELS", pixels)
    steps: list[tuple[str, int, int]] = []
    strips = reconstruct_sequence(
        frames, alignment, aggregator=built, working_size=80, progress=lambda *s: steps.append(s)
    )
    assert list(dict.fromkeys(name for name, _, _ in steps)) == [
        "judging light",
        "weighing",
        "putting together",
    ]
    for name in ("judging light", "weighing", "putting together"):
        done = [(n, total) for step, n, total in steps if step == name]
        assert done == sorted(done)
        assert done[-1][0] == done[-1][1]
    assert torch.equal(strips.coverage, whole.coverage)
    assert torch.equal(strips.gain, whole.gain)
    # Sub-pixel positions are rounded relative to each strip, in float32.
    for one, two in ((strips.image, whole.image), (strips.weights, whole.weights)):
        assert (one - two).abs().max() < 1e-3
        assert (one - two).abs().mean() < 1e-5


def test_dtypes_agree() -> None:
    frames, alignment = scene()
    built = network()
    straight = reconstruct_sequence(frames, alignment, aggregator=built)
    for same in (
        [(f.int() * 257).to(torch.uint16) for f in frames],
        [f.double() / 255 for f in frames],
    ):
        found = reconstruct_sequence(same, alignment, aggregator=built)
        assert_close(found.image, straight.image, atol=1e-4)
    exact = reconstruct_sequence(frames, alignment, aggregator=models.network())
    assert exact.image.dtype == exact.weights.dtype == torch.float32
    assert_close(exact.image, straight.image, atol=1e-3)


def test_the_network_is_left_as_it_was() -> None:
    frames, alignment = scene(2)
    built = network().train()
    reconstruct_sequence(frames, alignment, aggregator=built)
    assert built.training
    assert all(p.grad is None and p.requires_grad for p in built.parameters())


def test_networks_that_know_no_weights_are_refused() -> None:
    frames, alignment = scene(2)
    for wrong in (DeepResidualSets(), 3):
        with pytest.raises(OptionError, match=r"knows the weights .* such as a FaithfulDIAR, got"):
            reconstruct_sequence(frames, alignment, aggregator=wrong)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="working_size >= 64, got 63"):
        reconstruct_sequence(frames, alignment, aggregator=network(), working_size=63)


MANY = """
import resource, numpy as np, torch
from diar_ops import FaithfulDIAR, FaithfulDIARConfig, reconstruct_sequence
from tests.photos import exact_alignment
torch.set_num_threads(1)
frames = [torch.zeros(3, 1200, 1600, dtype=torch.uint8) for _ in range(10)]
alignment = exact_alignment(np.stack([np.eye(3)] * 10), (1200, 1600))
config = FaithfulDIARConfig(8, 1, 8, 4, 8, 1, 2)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = reconstruct_sequence(frames, alignment, aggregator=FaithfulDIAR(config), working_size=512)
assert found.image.shape == (3, 1200, 1600)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux only")
def test_memory_is_bounded() -> None:
    """Beside the photos: weights and picture, and what a strip needs."""
    done = subprocess.run(
        [sys.executable, "-c", MANY], cwd=ROOT, capture_output=True, text=True, check=True
    )
    results = 1200 * 1600 * (10 * 4 + 3 * 4 + 8)
    strip = 200 * module._STRIP_PIXELS
    assert 1024 * int(done.stdout) < results + strip + 200e6
