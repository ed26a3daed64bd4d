"""What every restoration network promises, whatever it does between frames and picture."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from diar_ops import (
    DIAR,
    DeepResidualSets,
    DeepResidualSetsConfig,
    DIARConfig,
    DtypeError,
    OptionError,
    ShapeError,
)
from diar_ops._types import Whole
from tests.harness import assert_close, generator

NAN = float("nan")
SIZES = {"channels": (6, 8, 12), "blocks": (1, 0, 1)}
ORDERLESS = {
    "sets": DeepResidualSetsConfig(**SIZES),
    "softmax": DIARConfig(**SIZES),
    "embedded mean": DIARConfig(**SIZES, aggregation="embedded_mean", depth=1, heads=2),
    "mean": DIARConfig(**SIZES, aggregation="mean"),
}
CONFIGS = {
    **ORDERLESS,
    "two frames a window": DIARConfig(**SIZES, window=(2, 2, 3), temporal_bias=True),
    "stride 8": DeepResidualSetsConfig((4, 4, 6, 8), (0, 0, 0, 1), (0, 1, 0, 0)),
}

every = pytest.mark.parametrize("name", CONFIGS)
orderless = pytest.mark.parametrize("name", ORDERLESS)


def network(name: str) -> DeepResidualSets:
    """A small network whose parameters are random throughout, in float64."""
    config = CONFIGS[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        built = DIAR(config) if isinstance(config, DIARConfig) else DeepResidualSets(config)
    rng = generator(f"parameters of {name}")
    built = built.double()
    with torch.no_grad():
        for parameter in built.parameters():
            noise = torch.randn(parameter.shape, generator=rng, dtype=torch.float64)
            parameter += 0.1 * noise
    return built.eval()


def sequence(name: str, *shape: int, share_valid: float = 0.6) -> tuple[Tensor, Tensor]:
    """Frames (B, T, 3, H, W) and a mask, in which frame 0 is valid everywhere."""
    batch, count, height, width = shape
    rng = generator(name)
    frames = torch.rand(batch, count, 3, height, width, generator=rng, dtype=torch.float64)
    valid = torch.rand(batch, count, 1, height, width, generator=rng) < share_valid
    valid[:, 0] = True
    return frames, valid


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


@every
def test_padding_stays_out_of_sight(name: str) -> None:
    """A size that the stride does not divide gives what the frames padded by hand give."""
    frames, valid = sequence("padding", 1, 3, 8, 8)
    small = [x[..., :5, :6] for x in (frames, valid)]
    by_hand = [
        torch.cat((x, x[..., -1:].expand(*x.shape[:-1], 2)), dim=-1)
        for x in (torch.cat((x, *[x[..., -1:, :]] * 3), dim=-2) for x in small)
    ]
    built = network(name)
    assert_close(built(*small).image, built(*by_hand).image[..., :5, :6])


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


@pytest.mark.parametrize("order", [[0, 2, 1, 3], [1, 0]])
def test_a_temporal_window_sees_the_order(order: list[int]) -> None:
    """Which frames share a window, and, where the attention knows the time, in which order."""
    frames, _ = sequence("order in windows", 1, len(order), 8, 8)
    built = network("two frames a window")
    assert (built(frames[:, order]).image - built(frames).image).abs().max() > 1e-6


@pytest.mark.parametrize("name", ["softmax", "embedded mean"])
def test_oracle_aggregation(name: str) -> None:
    """The paper's formulas over the embeddings x and what the attention makes of them, y."""
    built = network(name)
    assert isinstance(built, DIAR)
    assert built.attention is not None
    frames, _ = sequence("aggregation", 2, 3, 8, 12)
    planes = torch.cat((frames - 0.5, torch.ones_like(frames[:, :, :1])), dim=2)
    x = torch.stack([built.encoder(planes[:, t]) for t in range(3)], dim=1)
    y = x
    for block in built.attention.get_submodule("blocks").children():
        y = block(y)
    merged = (y.softmax(dim=1) * x).sum(dim=1) if name == "softmax" else y.mean(dim=1)
    assert_close(built(frames).image, built.decoder(merged).sigmoid())


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


def test_frames_are_encoded_by_themselves() -> None:
    built = network("softmax")
    frames, _ = sequence("encoder", 4, 3, 8, 8)
    planes = torch.cat((frames, torch.ones_like(frames[:, :, :1])), dim=2).flatten(0, 1)
    before = built.encoder(planes)
    planes[5] += 0.5
    change = (built.encoder(planes) - before).abs().amax(dim=(1, 2, 3))
    assert change[5] > 0
    assert change.count_nonzero() == 1


def test_pixels_see_no_farther_than_the_convolutions_reach() -> None:
    """Without a norm over the frame, what is far away changes nothing: not even a little."""
    frames, _ = sequence("reach", 1, 2, 4, 400)
    built = network("sets")
    before = built(frames).image
    frames[..., 0] += 0.5
    change = (built(frames).image - before).abs().amax(dim=(0, 1, 2))
    assert change[:4].min() > 0
    assert change[200:].max() == 0


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


@pytest.mark.parametrize("at", [(4, 4), (5, 7), (7, 6)])
def test_a_token_counts_if_a_pixel_of_its_patch_does(at: tuple[int, int]) -> None:
    """Of a frame with a single valid pixel, exactly the token over that pixel is averaged."""
    built = network("sets")
    frames, valid = sequence("token", 1, 2, 12, 12)
    valid[:, 1] = False
    valid[0, 1, 0, at[0], at[1]] = True
    seen: list[Tensor] = []
    built.decoder.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    built(frames, valid)
    built(frames[:, :1], valid[:, :1])
    change = (seen[0] - seen[1]).abs().amax(dim=(0, 1))
    assert change[1, 1] > 0
    assert change.count_nonzero() == 1


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
    compiled = torch.compile(
        lambda f, v: built(f, v).image, fullgraph=True, backend=compile_backend
    )
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
    whole = Whole(frames[..., :4, :4], valid[..., :4, :4], torch.tensor([[0, 0, 0.5, 0.5]]))
    built = network(name)
    assert torch.equal(built(frames, valid, whole=whole).image, built(frames, valid).image)


@pytest.mark.parametrize("config", [DeepResidualSetsConfig(), DIARConfig()])
def test_overfits_one_example(config: DeepResidualSetsConfig) -> None:
    """The default sizes start where they can learn: a spoiled picture is learnt in a few steps."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        built = DIAR(config) if isinstance(config, DIARConfig) else DeepResidualSets(config)
    rows, columns = torch.meshgrid(torch.arange(24), torch.arange(24), indexing="ij")
    label = torch.stack((rows / 24, columns / 24, (rows // 6 + columns // 6) % 2))[None]
    frames = (label[:, None] * torch.tensor([0.4, 0.8, 1.0]).view(1, 3, 1, 1, 1)).clone()
    frames[:, 1, :, 5:15, 5:15] = 0
    optimiser = torch.optim.Adam(built.parameters(), lr=3e-3)
    losses = []
    for _ in range(60):
        optimiser.zero_grad()
        loss = (built(frames).image - label).square().mean()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
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


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("channels", (), "channels to be a tuple of 1 to 6"),
        ("channels", [24, 48, 64], "channels to be a tuple of 1 to 6"),
        ("channels", (24, 0, 64), "channels to be a tuple of 1 to 6"),
        ("channels", (1,) * 7, "channels to be a tuple of 1 to 6"),
        ("blocks", (1, 1), "blocks to be a tuple of 3"),
        ("blocks", (1, -1, 1), "blocks to be a tuple of 3"),
        ("decoder_blocks", (1, True, 1), "decoder_blocks to be a tuple of 3"),
        ("aggregation", "median", "an aggregation among"),
        ("aggregation", ["mean"], "an aggregation among"),
        ("window", (None, 4), "a window"),
        ("window", (2, 0, 4), "a window"),
        ("window", 4, "a window"),
        ("depth", 0, "a positive depth"),
        ("heads", 5, "heads that divide 64 channels"),
        ("heads", 0, "heads that divide 64 channels"),
        ("mlp_ratio", NAN, "a positive mlp_ratio"),
        ("mlp_ratio", "2", "a positive mlp_ratio"),
        ("temporal_bias", 1, "temporal_bias to be True or False"),
        ("temporal_bias", True, "a window of a number of frames"),
    ],
)
def test_configs_validate_themselves(field: str, value: object, expected: str) -> None:
    with pytest.raises(OptionError, match=f"DIARConfig: expected {expected}"):
        DIARConfig(**{field: value})  # type: ignore[arg-type]


def test_config_comes_back() -> None:
    config = DIARConfig(window=(5, 4, 4), aggregation="embedded_mean")
    assert DIAR(config).config == config
    assert DIAR().config == DIARConfig()
    assert "window=(5, 4, 4)" in repr(DIAR(config))
    assert [DeepResidualSetsConfig((8,) * n, (1,) * n, (1,) * n).stride for n in (1, 3, 4)] == [
        1, 4, 8,
    ]  # fmt: skip


def test_checkpoint_saves_memory_and_changes_nothing() -> None:
    torch.manual_seed(0)
    config = CONFIGS["softmax"]
    assert isinstance(config, DIARConfig)
    plain = DIAR(config).double()
    lean = DIAR(config, checkpoint=True).double()
    lean.load_state_dict(plain.state_dict())
    frames, valid = sequence("checkpoint", 1, 3, 8, 8)
    gradients: list[list[Tensor | None]] = []
    kept: list[int] = []
    for built in (plain, lean):
        sizes: list[int] = []

        def pack(tensor: Tensor, sizes: list[int] = sizes) -> Tensor:
            sizes.append(tensor.nbytes)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            loss = built(frames, valid).image.square().sum()
        kept.append(sum(sizes))
        loss.backward()
        gradients.append([p.grad for p in built.parameters()])
    assert kept[1] < kept[0]
    for one, other in zip(*gradients, strict=True):
        assert one is not None
        assert_close(other, one)


@pytest.mark.parametrize("config", [DeepResidualSetsConfig(), DIARConfig()])
def test_default_sizes_are_modest(config: DeepResidualSetsConfig) -> None:
    built = DIAR(config) if isinstance(config, DIARConfig) else DeepResidualSets(config)
    assert sum(p.numel() for p in built.parameters()) < 1_000_000
