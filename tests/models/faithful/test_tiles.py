"""The faithful network in tiles: they cover the picture, and no seam is left between them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from diar_ops import FaithfulDIAR
from diar_ops.models import Evidence, Light, sample_field
from diar_ops.models.faithful import tiles as tiling
from diar_ops.models.faithful.light import repeat_window, whole_view
from diar_ops.models.faithful.tiles import HALO, STEP, Warper, compose_window, gather_evidence, gather_light, tiles
from tests.harness import assert_close, generator
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
            around == (max(0, top - HALO), max(0, left - HALO), min(height, bottom + HALO), min(width, right + HALO))
            or len(cut) == 1
        )
    assert (seen == 1).all()
    largest = max((b - t) * (r - l_) for _, (t, l_, b, r) in cut)
    # A tile of one step and its halos is the least there is.
    assert largest * frames <= max(pixels, frames * (STEP + 2 * HALO) ** 2)
    if height * width * frames <= pixels:
        assert len(cut) == 1


@given(st.integers(1, 700), st.integers(1, 700), st.integers(1, 1_000_000), st.sampled_from([1, 8]))
def test_shares_of_tiles_fall_to_their_ends(height: int, width: int, pixels: int, stride: int) -> None:
    """Everywhere something, everything where there is one tile only, and never a jump."""
    size = (-(-height // stride), -(-width // stride))
    total, most = torch.zeros(size), torch.zeros(size)
    for tile in tiles((height, width), 3, pixels):
        top, left, bottom, right = tile.around
        share = tiling._ramps(tile, (height, width), stride)
        place = (slice(top // stride, -(-bottom // stride)), slice(left // stride, -(-right // stride)))
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
    light = gather_light(built, [cutter(frames[:, t : t + 1], valid[:, t : t + 1]) for t in range(3)], size, silent)
    whole = built.estimate_light(*whole_view(frames, valid)[:2])
    for one, other in zip(light, whole, strict=True):
        assert torch.equal(one, other)
    steps: list[tuple[int, int]] = []
    result = gather_evidence(built, cutter(frames, valid), light, size, lambda *s: steps.append(s))
    assert steps == [(1, 1)]
    everything = repeat_window(frames, [0.0, 0.0, 1.0, 1.0])
    for one, other in zip(result, built.score_pixels(frames, valid, light, everything), strict=True):
        assert torch.equal(one, other)
    picture, weights = compose_window(built, frames, valid, light, result, (0, 0, *size), size)
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
    tiled = gather_evidence(built, cutter(frames, valid), light, size, lambda *s: steps.append(s), pixels=1)
    count = len(tiles(size, 2, 1))
    assert steps == [(n + 1, count) for n in range(count)]
    assert count > 15
    for one, other in zip(tiled, whole, strict=True):
        # Within its halo a tile counts for little where it sees its own end.
        assert (one - other).abs().max() < 0.03 * other.abs().max()
        assert (one - other).abs().mean() < 0.002 * other.abs().mean()


@given(st.tuples(st.integers(1, 12), st.integers(1, 12)), st.tuples(st.integers(1, 40), st.integers(1, 40)), st.data())
def test_enlarging_is_sampling(cells: tuple[int, int], size: tuple[int, int], data: st.DataObject) -> None:
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
    lit = by_hand(frames[0], stretch(light.gain[0]) + detail[:, :3], stretch(light.veil[0]) + detail[:, 3:])
    score = stretch(evidence.score[0]).masked_fill(~valid[0], -torch.inf)
    share = score.softmax(dim=0)
    picture = by_hand((share * lit).sum(dim=0), correction[:3], correction[3:])
    for window in ((0, 0, 50, 83), (13, 0, 14, 83), (7, 21, 50, 22), (30, 40, 47, 83)):
        top, left, bottom, right = window
        cut = (..., slice(top, bottom), slice(left, right))
        result, weights = compose_window(built, frames[cut], valid[cut], light, evidence, window, full)
        assert_close(weights[0], share[cut], atol=1e-4)
        assert_close(result[0], picture[cut].clamp(0, 1), atol=1e-4)
