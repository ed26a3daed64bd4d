"""FaithfulDIAR: what every network promises."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diar_ops import DtypeError, OptionError, ShapeError
from diar_ops._types import Restored, WholeFrames
from diar_ops.models import WHOLE_SIZE, FaithfulDIAR, FaithfulDIARConfig, load_pretrained
from diar_ops.models.faithful.light import whole_view
from tests.harness import assert_close, generator
from tests.models.faithful.small import NAMES, NAN, SMALL, assert_same, known, network
from tests.models.restorers import sequence


@given(st.integers(1, 3), st.integers(1, 6), st.integers(1, 21), st.integers(1, 21), st.booleans())
@torch.no_grad()
def test_any_size_and_number_of_frames(batch: int, count: int, height: int, width: int, masked: bool) -> None:
    frames, valid = sequence("sizes", batch, count, height, width)
    restored = network()(frames, valid if masked else None)
    assert restored.image.shape == (batch, 3, height, width)
    assert restored.weights is not None
    assert restored.weights.shape == (batch, count, 1, height, width)
    assert restored.gain is not None
    assert restored.veil is not None
    assert restored.gain.shape == restored.veil.shape == (batch, count, 3, 16, 16)
    for tensor in restored:
        assert tensor is not None
        assert tensor.dtype == torch.float64
        assert tensor.isfinite().all()
    assert restored.image.min() >= 0
    assert restored.image.max() <= 1


def test_an_empty_batch() -> None:
    frames, valid = sequence("empty", 0, 2, 8, 9)
    restored = network()(frames, valid)
    assert restored.image.shape == (0, 3, 8, 9)
    assert restored.weights.shape == (0, 2, 1, 8, 9)
    assert restored.gain.shape == restored.veil.shape == (0, 2, 3, 16, 16)


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
    for restored, expected in (
        (built(more, mask), built(frames, valid)),
        (built(more, torch.ones_like(mask)), built(frames)),
        (built(more), built(frames)),
    ):
        assert not restored.weights[:, place].any()
        assert_same(Restored(restored.image, *(x[:, kept] for x in restored[1:])), expected)


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
    restored = network()(frames, valid)
    assert not restored.image[0].any()
    assert not restored.weights[0].any()
    assert all(x.isfinite().all() for x in restored)
    assert_same(Restored(*(x[1:] for x in restored)), network()(frames[1:], valid[1:]))


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


@pytest.mark.parametrize("part", [False, True])
def test_compiles_in_one_graph(compile_backend: str, part: bool) -> None:
    torch.compiler.reset()
    built = network()
    frames, valid = sequence("compile", 2, 3, 12, 9)
    whole = None
    if part:
        edges = torch.tensor([[0.1, 0.2, 0.7, 0.9]]).double().expand(2, 4)
        whole = whole_view(*known(frames, valid))._replace(window=edges)
    compiled = torch.compile(lambda f, v: tuple(built(f, v, whole=whole)), fullgraph=True, backend=compile_backend)
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
            restored = built(frames, valid, whole=whole._replace(window=edges))
    assert {x.dtype for x in restored} == {torch.float32}
    assert_close(restored.weights.sum(dim=1), valid.any(dim=1).float())
    for name, one, other in zip(NAMES, restored, exact, strict=True):
        assert (one - other).abs().mean() < 0.01, name


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
        (WholeFrames(whole.frames[:, :1], whole.valid[:, :1], whole.window), r"whole\.frames must have"),
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


def test_the_shipped_network_is_one() -> None:
    loaded = load_pretrained("diar")
    assert isinstance(loaded, FaithfulDIAR)
    frames, _ = sequence("shipped", 1, 3, WHOLE_SIZE, WHOLE_SIZE)
    with torch.no_grad():
        assert all(x.isfinite().all() for x in loaded(frames.float()))
