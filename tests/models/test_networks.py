"""What every restoration network promises, whatever it does between frames and picture."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diar_ops import DIAR, DeepResidualSets, DeepResidualSetsConfig, DIARConfig, DtypeError, OptionError, ShapeError
from diar_ops._types import WholeFrames
from tests.harness import assert_close, generator
from tests.models.restorers import NAN, every, network, orderless, overfit, sequence


@every
@pytest.mark.parametrize("shape", [(0, 2, 8, 8), (1, 1, 1, 1), (2, 3, 5, 9), (1, 11, 8, 16)])
def test_any_size_and_number_of_frames(name: str, shape: tuple[int, ...]) -> None:
    frames, valid = sequence("sizes", *shape)
    for mask in (None, valid):
        restored = network(name)(frames, mask)
        assert restored.image.shape == (shape[0], 3, *shape[2:])
        assert restored.image.dtype == torch.float64
        assert ((restored.image > 0) & (restored.image < 1)).all()
        assert restored.weights is None
        assert restored.gain is None


@orderless
def test_order_does_not_matter(name: str) -> None:
    built = network(name)

    @given(st.integers(1, 7), st.booleans(), st.integers(0, 10_000))
    def check(count: int, masked: bool, seed: int) -> None:
        frames, valid = sequence(f"order {seed}", 1, count, 6, 7)
        mask = valid if masked else None
        order = torch.randperm(count, generator=generator(f"permutation {seed}"))
        with torch.no_grad():
            first = built(frames, mask).image
            second = built(frames[:, order], None if mask is None else mask[:, order]).image
        assert_close(second, first, rtol=1e-10, atol=1e-12)

    check()


@every
@pytest.mark.parametrize("training", [False, True])
def test_batch_items_do_not_see_each_other(name: str, training: bool) -> None:
    frames, _ = sequence("isolation", 3, 2, 9, 8)
    built = network(name).train(training)
    before = built(frames).image
    alone = built(frames[1:2]).image
    frames[1, 1, 2, 4, 4] += 0.5
    change = (built(frames).image - before).abs().amax(dim=(1, 2, 3))
    assert change[1] > 1e-6
    assert change[0] == change[2] == 0
    assert_close(alone, before[1:2])


@every
@pytest.mark.parametrize("filler", [0.0, 1e30, NAN, torch.inf])
def test_invalid_pixels_change_nothing(name: str, filler: float) -> None:
    frames, valid = sequence("filler", 2, 3, 6, 7)
    built = network(name)
    expected = built(frames, valid).image
    spoiled = frames.masked_fill(~valid.expand_as(frames), filler)
    assert torch.equal(built(spoiled, valid).image, expected)


@orderless
def test_invalid_frames_change_nothing(name: str) -> None:
    frames, valid = sequence("invalid frames", 2, 3, 6, 7)
    built = network(name)
    expected = built(frames, valid).image
    more = torch.cat((frames, torch.full_like(frames, NAN)), dim=1)
    mask = torch.cat((valid, torch.zeros_like(valid)), dim=1)
    assert_close(built(more, mask).image, expected)
    assert_close(built(more, torch.ones_like(mask)).image, built(frames).image)


@every
def test_nan_counts_as_invalid(name: str) -> None:
    frames, valid = sequence("nan", 2, 3, 8, 8, share_valid=0.9)
    valid[0, :, :, 2, 3] = False
    built = network(name)
    expected = built(frames, valid).image
    assert expected[0, :, 2, 3].eq(0).all()
    spoiled = frames.clone()
    spoiled[:, :, 1].masked_fill_(~valid[:, :, 0], NAN)
    assert torch.equal(built(spoiled).image, expected)


@every
def test_the_mask_is_seen(name: str) -> None:
    """Mid-grey paint and a hole are not the same."""
    frames, valid = sequence("mask", 1, 2, 8, 8)
    frames = frames.masked_fill(~valid.expand_as(frames), 0.5)
    built = network(name)
    assert (built(frames, valid).image - built(frames).image).abs().max() > 1e-4


@every
def test_gradients_reach_everything(name: str) -> None:
    frames, valid = sequence("gradients", 2, 3, 16, 16)
    valid[0, :, :, 5, 5] = False
    frames = frames.masked_fill(~valid.expand_as(frames), NAN).requires_grad_()
    built = network(name).train()
    built(frames, valid).image[:, 0].square().sum().backward()
    for key, tensor in (("frames", frames), *built.named_parameters()):
        assert tensor.grad is not None, key
        assert tensor.grad.isfinite().all(), key
        assert tensor.grad.any(), key
    assert frames.grad is not None
    assert frames.grad.masked_select(~valid.expand_as(frames)).eq(0).all()


@every
def test_compiles_in_one_graph(name: str, compile_backend: str) -> None:
    torch.compiler.reset()
    built = network(name)
    frames, valid = sequence("compile", 2, 3, 6, 9)
    compiled = torch.compile(lambda f, v: built(f, v).image, fullgraph=True, backend=compile_backend)
    assert_close(compiled(frames, valid), built(frames, valid).image)


@every
def test_precision(name: str) -> None:
    """The parameters' dtype is computed in, the frames' dtype comes back."""
    frames, valid = sequence("precision", 1, 3, 8, 8)
    exact = network(name)(frames, valid).image
    single = network(name).float()
    assert_close(single(frames.float(), valid).image, exact, rtol=1e-4, atol=1e-5)
    half = single(frames.half(), valid).image
    assert half.dtype == torch.float16
    assert_close(half, exact, rtol=5e-3, atol=5e-3)
    halved = single.bfloat16()(frames.float(), valid).image
    assert halved.dtype == torch.float32
    assert_close(halved, exact, rtol=0.1, atol=0.1)


@every
def test_the_whole_is_ignored(name: str) -> None:
    frames, valid = sequence("whole", 1, 2, 8, 8)
    whole = WholeFrames(frames[..., :4, :4], valid[..., :4, :4], torch.tensor([[0, 0, 0.5, 0.5]]))
    built = network(name)
    assert torch.equal(built(frames, valid, whole=whole).image, built(frames, valid).image)


@pytest.mark.parametrize("config", [DeepResidualSetsConfig(), DIARConfig()])
def test_overfits_one_example(config: DeepResidualSetsConfig) -> None:
    """The default sizes start where they can learn: a spoiled picture is learnt in a few steps."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        built = DIAR(config) if isinstance(config, DIARConfig) else DeepResidualSets(config)
    losses = overfit(built, steps=60)
    assert losses[0] > 0.05
    assert losses[-1] < 0.01


def test_exceptions() -> None:
    built = network("sets")
    frames, valid = sequence("exceptions", 1, 2, 4, 4)
    with pytest.raises(ShapeError, match=r"frames must have shape \(B T 3 H W\)"):
        built(frames[0])
    with pytest.raises(ShapeError, match="valid must have shape"):
        built(frames, valid[:, :1])
    for empty in (frames[:, :0], frames[..., :0], frames[..., :0, :]):
        with pytest.raises(ShapeError, match=r"DIAR: .* at least one frame and one pixel"):
            network("softmax")(empty)
    with pytest.raises(DtypeError, match="floating point"):
        built(frames.byte())
    with pytest.raises(DtypeError, match="valid must be bool"):
        built(frames, valid.double())
    with pytest.raises(OptionError, match="a DIARConfig, got Deep"):
        DIAR(DeepResidualSetsConfig())  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="a DeepResidualSetsConfig, got 'small'"):
        DeepResidualSets("small")  # type: ignore[arg-type]


@pytest.mark.parametrize("config", [DeepResidualSetsConfig(), DIARConfig()])
def test_default_sizes_are_modest(config: DeepResidualSetsConfig) -> None:
    built = DIAR(config) if isinstance(config, DIARConfig) else DeepResidualSets(config)
    assert sum(p.numel() for p in built.parameters()) < 1_000_000
