"""FaithfulDIAR: what every network promises, and a picture that is explained by its weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from diar_ops import DtypeError, OptionError, ShapeError
from diar_ops._types import Restored, Whole
from diar_ops.models import (
    WHOLE_SIZE,
    FaithfulDIAR,
    FaithfulDIARConfig,
    compensate,
    load_pretrained,
    save_pretrained,
)
from diar_ops.models.faithful.bounds import (
    MOST_CORRECTION,
    MOST_DETAIL,
    MOST_HAZE,
    MOST_LIGHT,
    USUAL_HAZE,
)
from diar_ops.models.faithful.light import whole_view
from tests.harness import assert_close, generator
from tests.models.test_networks import sequence

NAN = float("nan")
SMALL = FaithfulDIARConfig(
    whole_channels=8, whole_blocks=2, common_channels=8, context_channels=4, channels=8, blocks=2,
    heads=2, window=(None, 2, 2),
)  # fmt: skip
NAMES = ("image", "weights", "gain", "veil")


def network(config: FaithfulDIARConfig = SMALL, noise: float = 0.15) -> FaithfulDIAR:
    """A small network whose parameters are random throughout, in float64."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        built = FaithfulDIAR(config).double()
    rng = generator("parameters of a faithful network")
    with torch.no_grad():
        for parameter in built.parameters():
            parameter += noise * torch.randn(parameter.shape, generator=rng, dtype=torch.float64)
    return built.eval()


def known(frames: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Frames that are 0 where they are not valid, as the parts of the network want them."""
    return torch.where(valid, frames, 0), valid


def assert_same(one: Restored, other: Restored, **tolerance: float) -> None:
    for name in NAMES:
        assert_close(getattr(one, name), getattr(other, name), **tolerance)


@given(st.integers(1, 3), st.integers(1, 6), st.integers(1, 21), st.integers(1, 21), st.booleans())
@torch.no_grad()
def test_any_size_and_number_of_frames(
    batch: int, count: int, height: int, width: int, masked: bool
) -> None:
    frames, valid = sequence("sizes", batch, count, height, width)
    found = network()(frames, valid if masked else None)
    assert found.image.shape == (batch, 3, height, width)
    assert found.weights is not None
    assert found.weights.shape == (batch, count, 1, height, width)
    assert found.gain is not None
    assert found.veil is not None
    assert found.gain.shape == found.veil.shape == (batch, count, 3, 16, 16)
    for tensor in found:
        assert tensor is not None
        assert tensor.dtype == torch.float64
        assert tensor.isfinite().all()
    assert found.image.min() >= 0
    assert found.image.max() <= 1


def test_an_empty_batch() -> None:
    frames, valid = sequence("empty", 0, 2, 8, 9)
    found = network()(frames, valid)
    assert found.image.shape == (0, 3, 8, 9)
    assert found.weights.shape == (0, 2, 1, 8, 9)
    assert found.gain.shape == found.veil.shape == (0, 2, 3, 16, 16)


def test_order_does_not_matter() -> None:
    built = network()

    @given(st.integers(1, 7), st.booleans(), st.integers(0, 10_000))
    def check(count: int, masked: bool, seed: int) -> None:
        frames, valid = sequence(f"order {seed}", 1, count, 11, 18)
        mask = valid if masked else None
        order = torch.randperm(count, generator=generator(f"permutation {seed}"))
        with torch.no_grad():
            first = built(frames, mask)
            second = built(frames[:, order], None if mask is None else mask[:, order])
        moved = Restored(first.image, *(x[:, order] for x in first[1:]))
        assert_same(second, moved, rtol=1e-9, atol=1e-11)

    check()


def test_a_temporal_window_sees_the_order() -> None:
    built = network(FaithfulDIARConfig(**{**vars(SMALL), "window": (2, 2, 2)}))
    frames, _ = sequence("order in windows", 1, 4, 16, 16)
    change = built(frames[:, [0, 2, 1, 3]]).image - built(frames).image
    assert change.abs().max() > 1e-6


@pytest.mark.parametrize("training", [False, True])
def test_batch_items_do_not_see_each_other(training: bool) -> None:
    frames, _ = sequence("isolation", 3, 2, 17, 12)
    built = network().train(training)
    before = built(frames)
    assert_same(built(frames[1:2]), Restored(*(x[1:2] for x in before)))
    frames[1, 1, 2, 4, 4] += 0.5
    for name, one, other in zip(NAMES, built(frames), before, strict=True):
        change = (one - other).abs().flatten(1).amax(dim=1)
        assert change[1] > 1e-9, name
        assert change[0] == change[2] == 0, name


@pytest.mark.parametrize("filler", [0.0, 1e30, -1e30, NAN, torch.inf])
def test_invalid_pixels_change_nothing(filler: float) -> None:
    frames, valid = sequence("filler", 2, 3, 9, 14)
    valid[1, 0, :, 2:5, 3:9] = False
    built = network()
    expected = built(frames, valid)
    spoiled = frames.masked_fill(~valid.expand_as(frames), filler)
    for one, other in zip(built(spoiled, valid), expected, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("place", [0, 1, 3])
def test_invalid_frames_change_nothing(place: int) -> None:
    """A frame that shows nothing: by its mask or by its values, wherever it stands."""
    frames, valid = sequence("invalid frames", 2, 3, 9, 14)
    built = network()
    kept = [t for t in range(4) if t != place]
    more, mask = frames.new_full((2, 4, 3, 9, 14), NAN), valid.new_zeros(2, 4, 1, 9, 14)
    more[:, kept], mask[:, kept] = frames, valid
    for found, expected in (
        (built(more, mask), built(frames, valid)),
        (built(more, torch.ones_like(mask)), built(frames)),
        (built(more), built(frames)),
    ):
        assert not found.weights[:, place].any()
        assert_same(Restored(found.image, *(x[:, kept] for x in found[1:])), expected)


def test_nan_counts_as_invalid() -> None:
    frames, valid = sequence("nan", 2, 3, 9, 8, share_valid=0.8)
    valid[0, :, :, 2, 3] = False
    built = network()
    spoiled = frames.clone()
    spoiled[:, :, 1].masked_fill_(~valid[:, :, 0], NAN)  # one channel is enough
    for one, other in zip(built(spoiled), built(frames, valid), strict=True):
        assert torch.equal(one, other)


def test_nothing_valid_at_all() -> None:
    frames, valid = sequence("nothing", 2, 2, 9, 8)
    valid[0] = False
    found = network()(frames, valid)
    assert not found.image[0].any()
    assert not found.weights[0].any()
    assert all(x.isfinite().all() for x in found)
    assert_same(Restored(*(x[1:] for x in found)), network()(frames[1:], valid[1:]))


def test_the_mask_is_seen() -> None:
    """Black paint and a hole are not the same."""
    frames, valid = sequence("mask", 1, 2, 8, 8)
    frames, valid = known(frames, valid)
    assert (network()(frames, valid).image - network()(frames).image).abs().max() > 1e-3


def test_values_below_zero_are_no_catastrophe() -> None:
    """Sharpened frames undershoot; a logarithm must not make that the end of the picture."""
    frames, _ = sequence("undershoot", 1, 2, 8, 8)
    frames[0, 0, :, 3, 3] = -0.2
    assert all(x.isfinite().all() for x in network()(frames))


def test_weights_are_convex() -> None:
    frames, valid = sequence("convex", 2, 4, 19, 13, share_valid=0.4)
    valid[:, 0] = torch.rand(2, 1, 19, 13, generator=generator("holes")) < 0.5
    found = network()(frames, valid)
    shown = valid.any(dim=1)
    assert not shown.all()
    assert found.weights.min() >= 0
    assert_close(found.weights.sum(dim=1), shown.double())
    assert not found.weights[~valid].any()
    assert not found.image[~shown.expand_as(found.image)].any()
    assert found.image.min() >= 0
    assert found.image.max() <= 1
    spread = found.weights.amax(dim=1) - found.weights.amin(dim=1)
    assert spread.max() > 0.2, "weights that are all equal would prove little"


def by_hand(values: Tensor, gain: Tensor, veil: Tensor) -> Tensor:
    """Multiply light and take a veil off it, but leave no less than black."""
    light = ((values + 0.055) / 1.055 * gain.exp()) ** 2.4 - veil
    return 1.055 * light.clamp_min((0.055 / 1.055) ** 2.4) ** (1 / 2.4) - 0.055


def stretched(x: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(x, (height, width), mode="bilinear", align_corners=False)


@pytest.mark.parametrize("size", [(1, 1), (8, 16), (11, 21)])
@torch.no_grad()
def test_the_picture_by_hand(size: tuple[int, int]) -> None:
    """From weights, gain, veil, detail and correction, pixel by pixel."""
    frames, valid = known(*sequence("by hand", 2, 3, *size))
    valid[1, :, :, 0, 0] = False
    frames, valid = known(frames, valid)
    built = network()
    found = built(frames, valid)
    light = built.estimate_light(*whole_view(frames, valid)[:2])
    evidence = built.score_pixels(frames, valid, light)
    assert torch.equal(found.gain, light.gain)
    assert torch.equal(found.veil, light.veil)
    height, width = size
    padded = [8 * -(-n // 8) for n in size]
    for item in range(2):
        gain, veil = stretched(light.gain[item], *size), stretched(light.veil[item], *size)
        detail = stretched(evidence.detail[item], *padded)[..., :height, :width]
        correction = stretched(evidence.correction[item : item + 1], *padded)[0]
        for y in range(height):
            for x in range(width):
                total, mean = torch.zeros(2, 3, dtype=torch.float64)
                for t in range(3):
                    if not valid[item, t, 0, y, x]:
                        continue
                    share = evidence.score[item, t, 0, y, x].exp()
                    more, less = detail[t, :, y, x].split(3)
                    pixel = by_hand(
                        frames[item, t, :, y, x], gain[t, :, y, x] + more, veil[t, :, y, x] + less
                    )
                    total, mean = total + share, mean + share * pixel
                if not total.any():
                    assert not found.image[item, :, y, x].any()
                    continue
                for t in range(3):
                    share = evidence.score[item, t, 0, y, x].exp() / total[0]
                    share = share * valid[item, t, 0, y, x]
                    assert_close(found.weights[item, t, 0, y, x], share)
                picture = by_hand(mean / total, *correction[:, y, x].split(3))
                assert_close(found.image[item, :, y, x], picture.clamp(0, 1))


def test_fields_are_bounded() -> None:
    """Whatever the parameters: what is not a weight can shade, and no more than so much."""
    frames, valid = known(*sequence("bounds", 2, 3, 16, 24))
    wild = network(noise=3)
    light = wild.estimate_light(*whole_view(frames, valid)[:2])
    evidence = wild.score_pixels(frames, valid, light)
    assert evidence.detail.shape == (2, 3, 6, 2, 3)
    assert evidence.correction.shape == (2, 6, 2, 3)
    pairs = (
        ((light.gain, light.veil), MOST_LIGHT),
        (evidence.detail.chunk(2, dim=2), MOST_DETAIL),
        (evidence.correction.chunk(2, dim=1), MOST_CORRECTION),
    )
    for both, bounds in pairs:
        for values, most in zip(both, bounds, strict=True):
            assert 0.9 * most < values.abs().max() <= most


def default() -> FaithfulDIAR:
    """The network of default sizes, as training starts from it."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return FaithfulDIAR()


def lit_alike() -> tuple[Tensor, Tensor]:
    """A picture (1, 3, H, W) and five frames of it that differ in brightness alone."""
    colours, _ = sequence("start", 1, 1, 32, 32)
    picture = (0.2 + 0.3 * colours[:, 0]).float()
    factors = torch.tensor([-0.25, -0.1, 0.0, 0.1, 0.25]).view(1, 5, 1, 1, 1)
    return picture, (picture[:, None] + 0.055) * factors.exp() - 0.055


@torch.no_grad()
def test_the_start_is_what_frames_of_equal_brightness_agree_on() -> None:
    built, (picture, frames) = default(), lit_alike()
    spoiled = frames.clone()
    places = [(slice(4, 12), slice(4, 12)), (slice(16, 24), slice(8, 20))]
    for t, value, (rows, columns) in zip((1, 4), (1.0, 0.02), places, strict=True):
        spoiled[:, t, :, rows, columns] = value
    first, found = built(frames), built(spoiled)
    assert_close(first.weights, torch.full_like(first.weights, 1 / 5), atol=0.05)
    for t, (rows, columns) in zip((1, 4), places, strict=True):
        assert found.weights[:, t, :, rows, columns].mean() < 0.02
        assert found.weights[:, t, :, rows, columns].max() < 0.2
    # A first guess at common light and haze and small random fields lie on it.
    assert (first.image - picture).abs().mean() < 0.15
    # Without them it is the picture itself, with what lies on some frames and without.
    for layer in (built.light, built.shared, built.detail, built.correction, built.haze):
        layer.weight.zero_()
    built.haze.bias.fill_(-50)
    for values in built.common_light.tell[-1].parameters():
        values.zero_()
    assert (built(frames).image - picture).abs().max() < 0.003
    off = (built(spoiled).image - picture).abs()
    plain = (spoiled.mean(dim=1) - picture).abs()
    rows, columns = places[0]  # the glare; what to make of the dark spot, light must learn
    assert off[..., rows, columns].mean() < 0.5 * plain[..., rows, columns].mean()


@torch.no_grad()
def test_the_start_takes_the_usual_veil_off_but_little_of_black() -> None:
    built, (_, frames) = default(), lit_alike()
    for layer in (built.light, built.shared, built.haze):
        layer.weight.zero_()
    for values in built.common_light.tell[-1].parameters():
        values.zero_()
    found = built(frames)
    assert found.gain is not None
    assert found.veil is not None
    lit = ((frames + 0.055) / 1.055 * found.gain[..., :1, :1].exp()) ** 2.4
    most = MOST_HAZE * lit.amin((3, 4), keepdim=True)
    usual = most * USUAL_HAZE / (most.square() + USUAL_HAZE**2).sqrt()
    assert_close(found.veil, usual.expand_as(found.veil), rtol=0.02)
    # Four black pixels say that there is none.
    frames[..., 4:6, 6:8] = 0
    common = found.gain.mean((1, 3, 4), keepdim=True)
    black = MOST_HAZE * (0.055 / 1.055 * common.exp()) ** 2.4
    assert (built(frames).veil <= 1.2 * black).all()


@torch.no_grad()
def test_frames_alone_cannot_change_the_brightness_of_the_picture() -> None:
    """What each frame says of its own light is taken relative to what all say."""
    built, (_, frames) = default(), lit_alike()
    before = built(frames)
    built.light.bias.view(6, 4)[:3] += 0.4
    after = built(frames)
    assert before.gain is not None
    assert after.gain is not None
    assert_close(after.gain, before.gain, atol=1e-5)


def test_the_size() -> None:
    assert 1_000_000 < sum(p.numel() for p in default().parameters()) < 1_700_000


@pytest.mark.parametrize("box", [(0, 0, 16, 24), (8, 16, 24, 40), (3, 5, 14, 22)])
def test_a_part_is_in_the_light_of_the_whole(box: tuple[int, int, int, int]) -> None:
    frames, valid = known(*sequence("part", 2, 3, 24, 40))
    whole = whole_view(frames, valid)
    built = network()
    top, left, bottom, right = box
    cut = (..., slice(top, bottom), slice(left, right))
    edges = torch.tensor([box]).double() / torch.tensor([24, 40, 24, 40])
    edges = edges.expand(2, 4)
    expected = built(frames, valid)
    found = built(frames[cut], valid[cut], whole=whole._replace(window=edges))
    assert torch.equal(found.gain, expected.gain)
    assert torch.equal(found.veil, expected.veil)
    lit = compensate(frames[cut], found.gain, found.veil, edges)
    assert_close(lit, compensate(frames, expected.gain, expected.veil)[cut])


@pytest.mark.parametrize("side", [192, 188])
def test_a_part_is_worked_on_as_in_the_whole_but_for_its_rim(side: int) -> None:
    """From 64 pixels off its edges, two stages of windows of 16 pixels see nothing of them."""
    frames, valid = known(*sequence("rim", 1, 2, side, side))
    built = network()
    with torch.no_grad():
        expected = built(frames, valid)
        edges = torch.tensor([[32, 32, side, side]]).double() / side
        part = (..., slice(32, None), slice(32, None))
        whole = whole_view(frames, valid)._replace(window=edges)
        found = built(frames[part], valid[part], whole=whole)
    assert_close(found.image[..., 64:, 64:], expected.image[..., 96:, 96:])
    assert_close(found.weights[..., 64:, 64:], expected.weights[..., 96:, 96:])


@pytest.mark.parametrize("filler", [1e30, NAN])
def test_small_copies_may_hold_anything_where_they_are_not_valid(filler: float) -> None:
    frames, valid = known(*sequence("copies", 1, 2, 70, 66))
    whole = whole_view(frames, valid)
    assert not whole.valid.all()
    spoiled = whole.frames.masked_fill(~whole.valid.expand_as(whole.frames), filler)
    built = network()
    for one, other in zip(
        built(frames, valid, whole=whole._replace(frames=spoiled)),
        built(frames, valid, whole=whole),
        strict=True,
    ):
        assert torch.equal(one, other)


def test_gradients_reach_everything() -> None:
    frames, valid = sequence("gradients", 2, 3, 24, 24)
    valid[0, :, :, 5, 5] = False
    frames = frames.masked_fill(~valid.expand_as(frames), NAN).requires_grad_()
    built = network().train()
    built(frames, valid).image[:, 0].square().sum().backward()
    for key, tensor in (("frames", frames), *built.named_parameters()):
        assert tensor.grad is not None, key
        assert tensor.grad.isfinite().all(), key
        if key in ("judge.bias", "say.bias"):
            # The first is the same for all frames, which a softmax over them does not see.
            assert tensor.grad[0].abs() < 1e-10, key
            assert (tensor.grad[1:].abs() > 1e-10).all(), key
        else:
            assert tensor.grad.abs().max() > 1e-10, key
    assert frames.grad is not None
    assert frames.grad.masked_select(~valid.expand_as(frames)).eq(0).all()


def test_a_picture_beyond_white_can_come_back() -> None:
    frames = torch.full((1, 2, 3, 8, 8), 0.99, dtype=torch.float64).requires_grad_()
    built = network(noise=0)
    with torch.no_grad():
        built.correction.bias[:3] = 2
    image = built(frames).image
    assert (image == 1).all()
    image.sum().backward()
    assert built.correction.bias.grad is not None
    assert (built.correction.bias.grad[:3] > 0).all()  # more light
    assert (built.correction.bias.grad[3:] < 0).all()  # less taken off


@pytest.mark.parametrize("part", [False, True])
def test_compiles_in_one_graph(compile_backend: str, part: bool) -> None:
    torch.compiler.reset()
    built = network()
    frames, valid = sequence("compile", 2, 3, 12, 9)
    whole = None
    if part:
        edges = torch.tensor([[0.1, 0.2, 0.7, 0.9]]).double().expand(2, 4)
        whole = whole_view(*known(frames, valid))._replace(window=edges)
    compiled = torch.compile(
        lambda f, v: tuple(built(f, v, whole=whole)), fullgraph=True, backend=compile_backend
    )
    assert_same(Restored(*compiled(frames, valid)), built(frames, valid, whole=whole))


def test_precision() -> None:
    """The parameters' dtype is computed in, the frames' dtype comes back."""
    frames, valid = sequence("precision", 1, 3, 12, 16)
    exact = network()(frames, valid)
    single = network().float()
    assert_same(single(frames.float(), valid), exact, rtol=1e-4, atol=1e-4)
    half = single(frames.half(), valid)
    assert {x.dtype for x in half} == {torch.float16}
    assert_same(half, exact, rtol=1e-2, atol=1e-2)
    halved = single.bfloat16()(frames.float(), valid)
    assert {x.dtype for x in halved} == {torch.float32}
    assert_close(halved.image, exact.image, rtol=0.1, atol=0.1)


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_autocast_costs_the_picture_little(half: torch.dtype) -> None:
    """What networks say is rounded; places, sums and pixels are not."""
    frames, valid = known(*(sequence("autocast", 2, 3, 48, 72)))
    frames = frames.float()
    whole = whole_view(frames, valid)
    edges = torch.tensor([[0.11, 0.32, 0.55, 0.91]]).expand(2, 4)
    built = network().float()
    with torch.no_grad():
        exact = built(frames, valid, whole=whole._replace(window=edges))
        with torch.autocast("cpu", half):
            found = built(frames, valid, whole=whole._replace(window=edges))
    assert {x.dtype for x in found} == {torch.float32}
    assert_close(found.weights.sum(dim=1), valid.any(dim=1).float())
    for name, one, other in zip(NAMES, found, exact, strict=True):
        assert (one - other).abs().mean() < 0.01, name


def test_overfits_one_example() -> None:
    """The default sizes start where they can learn: a spoiled picture is learnt in a few steps."""
    built = default()
    rows, columns = torch.meshgrid(torch.arange(24), torch.arange(24), indexing="ij")
    label = torch.stack((rows / 24, columns / 24, (rows // 6 + columns // 6) % 2))[None]
    frames = (label[:, None] * torch.tensor([0.4, 0.8, 1.0]).view(1, 3, 1, 1, 1)).clone()
    frames[:, 1, :, 5:15, 5:15] = 0
    optimiser = torch.optim.Adam(built.parameters(), lr=3e-3)
    losses = []
    for _ in range(25):
        optimiser.zero_grad()
        loss = (built(frames).image - label).square().mean()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[0] > 0.01
    assert losses[-1] < losses[0] / 4


def test_exceptions() -> None:
    built = network()
    frames, valid = sequence("exceptions", 1, 2, 4, 4)
    with pytest.raises(ShapeError, match=r"frames must have shape \(B T 3 H W\)"):
        built(frames[0])
    with pytest.raises(ShapeError, match="valid must have shape"):
        built(frames, valid[:, :1])
    for empty in (frames[:, :0], frames[..., :0], frames[..., :0, :]):
        with pytest.raises(ShapeError, match=r"FaithfulDIAR: .* at least one frame and one pixel"):
            built(empty)
    with pytest.raises(DtypeError, match="floating point"):
        built(frames.byte())
    with pytest.raises(DtypeError, match="valid must be bool"):
        built(frames, valid.double())
    whole = whole_view(frames, valid)
    for wrong, match in (
        (Whole(whole.frames[:, :1], whole.valid[:, :1], whole.window), r"whole\.frames must have"),
        (whole._replace(window=whole.window[:, :3]), r"whole\.window must have shape"),
        (whole._replace(frames=whole.frames[..., ::2, ::2]), r"\(B T 3 64 64\)"),
        (whole._replace(valid=whole.valid[..., :32]), r"\(B T 1 64 64\)"),
    ):
        with pytest.raises(ShapeError, match=match):
            built(frames, valid, whole=wrong)
    with pytest.raises(DtypeError, match=r"whole\.valid must be bool"):
        built(frames, valid, whole=whole._replace(valid=whole.valid.double()))
    with pytest.raises(OptionError, match="a FaithfulDIARConfig, got 'small'"):
        FaithfulDIAR("small")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("whole_channels", 0, "a positive integer"),
        ("whole_blocks", True, "a positive integer"),
        ("context_channels", 1.5, "a positive integer"),
        ("channels", -8, "a positive integer"),
        ("blocks", None, "a positive integer"),
        ("heads", "4", "a positive integer"),
        ("common_channels", 0, "a positive integer"),
        ("channels", 63, "an even number"),
        ("channels", 66, "a number that 4 heads divide"),
        ("whole_channels", 98, "a number that 4 heads divide"),
        ("window", 4, "(frames or None, rows, columns)"),
        ("window", [None, 4, 4], "(frames or None, rows, columns)"),
        ("window", (None, 4), "(frames or None, rows, columns)"),
        ("window", (2, 0, 4), "(frames or None, rows, columns)"),
        ("window", (2, None, 4), "(frames or None, rows, columns)"),
        ("window", (True, 4, 4), "(frames or None, rows, columns)"),
    ],
)
def test_config_validates_itself(field: str, value: Any, expected: str) -> None:
    with pytest.raises(OptionError) as error:
        FaithfulDIARConfig(**{field: value})
    assert f"FaithfulDIARConfig.{field}: expected {expected}" in str(error.value)


@pytest.mark.parametrize("window", [(None, 2, 2), (3, 2, 4)])
def test_a_file_gives_the_network_back(tmp_path: Any, window: tuple[int | None, int, int]) -> None:
    config = FaithfulDIARConfig(**{**vars(SMALL), "window": window})
    built = network(config).float()
    save_pretrained(built, tmp_path / "net.safetensors")
    loaded = load_pretrained(tmp_path / "net.safetensors")
    assert isinstance(loaded, FaithfulDIAR)
    assert loaded.config == config
    frames, valid = sequence("file", 1, 2, 9, 9)
    for one, other in zip(loaded(frames.float(), valid), built(frames.float(), valid), strict=True):
        assert torch.equal(one, other)


def test_the_shipped_network_is_one() -> None:
    loaded = load_pretrained("diar")
    assert isinstance(loaded, FaithfulDIAR)
    frames, _ = sequence("shipped", 1, 3, WHOLE_SIZE, WHOLE_SIZE)
    with torch.no_grad():
        assert all(x.isfinite().all() for x in loaded(frames.float()))
