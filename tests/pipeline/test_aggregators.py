"""Every aggregator fits the seam of the pipeline, and what does not fit is told what is expected."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from diar_ops import (
    DIAR,
    DeepResidualSets,
    DeviceError,
    DiarError,
    DtypeError,
    EmbeddedMeanAggregate,
    FaithfulDIAR,
    FaithfulDIARConfig,
    IntrinsicAggregate,
    MeanAggregate,
    MedianAggregate,
    OptionError,
    RPCAAggregate,
    ShapeError,
    SoftmaxAggregate,
    SoftMinimumAggregate,
    SwinAggregate,
    consensus_logits,
    embedded_mean_aggregate,
    intrinsic_aggregate,
    mean_aggregate,
    median_aggregate,
    reconstruct_sequence,
    rpca_aggregate,
    soft_minimum_aggregate,
    softmax_aggregate,
    swin_aggregate,
)
from diar_ops.pipeline import AGGREGATORS, Consensus
from diar_ops.pipeline import reconstruct as module
from diar_ops.pipeline.aggregators import consensus
from tests.harness import assert_close
from tests.pipeline.test_reconstruct import SIZE, scene


def swin(**options: Any) -> SwinAggregate:
    torch.manual_seed(0)
    return SwinAggregate(3, depth=1, heads=1, **options)


def embedded_mean() -> EmbeddedMeanAggregate:
    torch.manual_seed(0)
    return EmbeddedMeanAggregate(3, depth=1, heads=1)


def softmax_of_consensus(features: Tensor, valid: Tensor) -> Tensor:
    return softmax_aggregate(features, consensus_logits(features, valid), valid)


#: Each of the library's aggregators, as function and as Module, with whether it tells the weights.
FUNCTIONS: dict[str, tuple[Callable[..., Any], bool]] = {
    "mean": (mean_aggregate, True),
    "median": (median_aggregate, True),
    "consensus": (consensus, True),
    "soft_minimum": (soft_minimum_aggregate, True),
    "rpca": (rpca_aggregate, False),
    "intrinsic": (intrinsic_aggregate, False),
    "softmax": (softmax_of_consensus, False),
    "swin": (partial(swin_aggregate, params=swin().state_dict(), heads=1), True),
    "embedded_mean": (partial(embedded_mean_aggregate, params=embedded_mean().state_dict(), heads=1), False),
}
MODULES: dict[str, tuple[nn.Module, bool]] = {
    "mean": (MeanAggregate(), False),
    "mean with weights": (MeanAggregate(return_weights=True), True),
    "median": (MedianAggregate(return_weights=True), True),
    "consensus": (Consensus(return_weights=True), True),
    "soft_minimum": (SoftMinimumAggregate(return_weights=True), True),
    "rpca": (RPCAAggregate(), False),
    "intrinsic": (IntrinsicAggregate(), False),
    "swin": (swin(), False),
    "swin with weights": (swin(return_weights=True), True),
    "embedded_mean": (embedded_mean(), False),
    "DeepResidualSets": (DeepResidualSets(), False),
    "DIAR": (DIAR(), False),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_fits(name: str) -> None:
    aggregator, tells = FUNCTIONS[name]
    check_fits(aggregator, tells=tells)


@pytest.mark.parametrize("name", MODULES)
def test_every_module_fits(name: str) -> None:
    aggregator, tells = MODULES[name]
    check_fits(aggregator.eval(), tells=tells)


def check_fits(aggregator: Callable[..., Any], *, tells: bool) -> None:
    _, frames, alignment = scene(3)
    found = reconstruct_sequence(frames, alignment, aggregator=aggregator)
    assert found.image.shape == (3, SIZE, SIZE)
    assert found.image.isfinite().all()
    assert (found.weights is not None) == tells
    if found.weights is not None:
        assert_close(found.weights.sum(dim=0), (found.coverage > 0).float())


@pytest.mark.parametrize("name", AGGREGATORS)
def test_a_name_is_its_function(name: str) -> None:
    _, frames, alignment = scene(3)
    by_name = reconstruct_sequence(frames, alignment, aggregator=name)
    function = reconstruct_sequence(frames, alignment, aggregator=AGGREGATORS[name])
    assert torch.equal(by_name.image, function.image)


def small_network() -> FaithfulDIAR:
    torch.manual_seed(1)
    return FaithfulDIAR(FaithfulDIARConfig(8, 1, 8, 4, 8, 1, 2)).eval()


@pytest.mark.parametrize("wrap", [AveragedModel, partial(torch.compile, backend="eager")])
@pytest.mark.parametrize("build", [small_network, MeanAggregate, lambda: DIAR().eval()])
def test_wrapped_networks(wrap: Callable[..., Any], build: Callable[[], nn.Module]) -> None:
    _, frames, alignment = scene(2)
    torch.manual_seed(2)
    inner = build()
    expected = reconstruct_sequence(frames, alignment, aggregator=inner)
    found = reconstruct_sequence(frames, alignment, aggregator=wrap(inner))
    assert_close(found.image, expected.image, atol=1e-6)
    assert (found.weights is None) == (expected.weights is None)


def test_a_compiled_function_is_the_function() -> None:
    _, frames, alignment = scene(2)
    compiled = torch.compile(mean_aggregate, backend="eager")
    found = reconstruct_sequence(frames, alignment, aggregator=compiled)
    assert_close(found.image, reconstruct_sequence(frames, alignment, aggregator="mean").image)
    assert found.weights is not None


class Blur(nn.Module):
    """The mean over frames, and over the rows around each."""

    def __init__(self, reach: float | None) -> None:
        super().__init__()
        self.heights: list[int] = []
        if reach is not None:
            self.reach = reach

    def forward(self, frames: Tensor, valid: Tensor) -> Tensor:
        self.heights.append(frames.shape[-2])
        return nn.functional.avg_pool2d(frames.mean(dim=1), (11, 1), 1, (5, 0))


def test_strips_overlap_as_far_as_an_aggregator_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    _, frames, alignment = scene(4)
    whole = reconstruct_sequence(frames, alignment, aggregator=Blur(None))
    monkeypatch.setattr(module, "_STRIP_PIXELS", SIZE * 4 * 12)
    for reach, same in ((5, True), (None, True), (0, False)):
        blur = Blur(reach)
        found = reconstruct_sequence(frames, alignment, aggregator=blur)
        assert (float((found.image - whole.image).abs().max()) < 1e-3) == same
        assert blur.heights == [SIZE] if reach is None else len(blur.heights) == SIZE // 12


@pytest.mark.parametrize("name", ["rpca", "intrinsic"])
def test_what_needs_the_whole_gets_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, frames, alignment = scene(4)
    whole = reconstruct_sequence(frames, alignment, aggregator=name)
    monkeypatch.setattr(module, "_STRIP_PIXELS", SIZE * 4 * 12)
    assert torch.equal(reconstruct_sequence(frames, alignment, aggregator=name).image, whole.image)


def returns(change: Callable[[Tensor, Tensor], Any]) -> Callable[[Tensor, Tensor], Any]:
    def wrong(features: Tensor, valid: Tensor) -> Any:
        return change(*mean_aggregate(features, valid, return_weights=True))

    return wrong


@pytest.mark.parametrize(
    ("aggregator", "error", "words"),
    [
        (softmax_aggregate, OptionError, r"called with \(features, valid\), got softmax_aggregate\(features.*logits"),
        (SoftmaxAggregate(), OptionError, r"SoftmaxAggregate.*missing a required argument: 'logits'.*lambda"),
        (swin_aggregate, OptionError, "missing a required argument: 'params'"),
        (RPCAAggregate(return_low_rank=True), OptionError, r"sum over the frames is 1 .* returns the picture alone"),
        (returns(lambda x, w: (x, 7 * w)), OptionError, r"weights from 2.33 to 2.33 and sums from 7 to 7"),
        (returns(lambda x, w: (x, w * torch.nan)), OptionError, "weights in .0, 1."),
        (returns(lambda x, w: x * torch.nan), OptionError, "wrong to return a picture that is finite"),
        (returns(lambda x, w: x[..., 1:]), ShapeError, r"a picture of shape \[1, 3, 96, 96\] like its input, got"),
        (returns(lambda x, w: (x, w[:, 1:])), ShapeError, r"weights of shape .* got \[1, 2, 1, 96, 96\]"),
        (returns(lambda x, w: x.double()), DtypeError, "in torch.float32 like its input, got torch.float64"),
        (returns(lambda x, w: x.to("meta")), DeviceError, "on cpu like its input, got it on meta"),
        (returns(lambda x, w: {"image": x}), DtypeError, "got dict; it returns the picture"),
        (returns(lambda x, w: (x, w, w)), DtypeError, "got tuple; it returns the picture"),
        (3, OptionError, "a name, a network or a callable .*, got 'int'"),
    ],
)
def test_what_does_not_fit_is_told_what_is_expected(aggregator: Any, error: type[DiarError], words: str) -> None:
    _, frames, alignment = scene(3)
    with pytest.raises(error, match=words):
        reconstruct_sequence(frames, alignment, aggregator=aggregator)


def test_a_reach_is_a_number() -> None:
    _, frames, alignment = scene(2)
    with pytest.raises(OptionError, match="reach of the aggregator to be a number of pixels, got 'all'"):
        reconstruct_sequence(frames, alignment, aggregator=Blur("all"))  # type: ignore[arg-type]
