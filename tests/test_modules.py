"""What every public Module answers: hooks, replaced layers, copies, files, threads, workers."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.utils.data import DataLoader, Dataset

import diar_ops
from diar_ops import FeatureMap
from tests.harness import assert_close, generator
from tests.modes import assert_identical, tensors_of

SIZES: dict[str, Any] = {"channels": (4, 8), "blocks": (1, 1), "decoder_blocks": (0, 1)}


def noise(name: str, *shape: int) -> Tensor:
    return torch.rand(*shape, generator=generator(name), dtype=torch.float32)


def sequence() -> tuple[Tensor, ...]:
    return (noise("modules frames", 2, 3, 3, 18, 21),)


def feature_maps() -> tuple[Any, ...]:
    maps = (noise(f"modules map {i}", 1, 8, 6, 7) for i in range(2))
    return tuple(FeatureMap(nn.functional.normalize(m - 0.5, dim=1), (4.0, 4.0), (1.5, 1.5)) for m in maps)


def views() -> tuple[Tensor, ...]:
    return (noise("modules image", 1, 3, 48, 56), noise("modules other", 1, 3, 48, 56), torch.eye(3)[None])


def bundle() -> tuple[Tensor, ...]:
    points = 60 * noise("modules points", 1, 1, 20, 2)
    return (
        torch.tensor([[[0, 1]]]),
        points,
        points + 0.1 * noise("modules errors", 1, 1, 20, 2),
        torch.eye(3).expand(1, 2, 3, 3),
        torch.tensor([[[64, 64], [64, 64]]]),
    )


def points() -> tuple[Tensor, ...]:
    source = 60 * noise("modules points", 1, 40, 2)
    return source, source + 1


def vary(built: nn.Module) -> nn.Module:
    """Give every parameter a part in the output: some start as zeros."""
    with torch.no_grad():
        for name, parameter in built.named_parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator(name)))
    return built.eval()


#: How to build each public Module, and what to call it with. A second one of a kind has a suffix.
MODULES: dict[str, tuple[Callable[[], nn.Module], Callable[[], tuple[Any, ...]]]] = {
    "SwinBlock": (lambda: diar_ops.SwinBlock(4, window=(None, 2, 2), heads=2, shift=True), lambda: (swin_input(),)),
    "SwinAggregate": (lambda: diar_ops.SwinAggregate(4, window=(None, 2, 2), heads=2), lambda: (swin_input(),)),
    "EmbeddedMeanAggregate": (
        lambda: diar_ops.EmbeddedMeanAggregate(4, window=(None, 2, 2), heads=2),
        lambda: (swin_input(),),
    ),
    "DeepResidualSets": (lambda: diar_ops.DeepResidualSets(diar_ops.DeepResidualSetsConfig(**SIZES)), sequence),
    "DIAR": (lambda: diar_ops.DIAR(diar_ops.DIARConfig(**SIZES)), sequence),
    "DIAR of embedded means": (
        lambda: diar_ops.DIAR(diar_ops.DIARConfig(**SIZES, aggregation="embedded_mean")),
        sequence,
    ),
    "FaithfulDIAR": (
        lambda: diar_ops.FaithfulDIAR(diar_ops.FaithfulDIARConfig(8, 1, 8, 4, 8, 1, 2, window=(None, 2, 2))),
        sequence,
    ),
    "DualDescriptor": (
        lambda: diar_ops.DualDescriptor(diar_ops.DualDescriptorConfig((4, 8, 8, 8), (0, 1, 0), 8, 4, 6)),
        lambda: (noise("modules images", 2, 3, 40, 36),),
    ),
    "ResNetTrunk": (diar_ops.ResNetTrunk, lambda: (noise("modules images", 1, 3, 40, 36),)),
    "ResNetTrunk of bottlenecks": (
        lambda: diar_ops.ResNetTrunk("resnet50"),
        lambda: (noise("modules images", 1, 3, 40, 36),),
    ),
    "DenseDescriptor": (
        lambda: diar_ops.DenseDescriptor(diar_ops.ResNetTrunk(), stages=2),
        lambda: (noise("modules images", 1, 3, 40, 36),),
    ),
    "ImagePyramid": (diar_ops.ImagePyramid, lambda: (noise("modules images", 1, 3, 40, 36),)),
    "DenseSIFT": (diar_ops.DenseSIFT, lambda: (noise("modules images", 1, 1, 40, 36),)),
    "MutualNearest": (diar_ops.MutualNearest, lambda: tuple(noise(f"modules {i}", 1, 9, 8) for i in range(2))),
    "MatchDense": (diar_ops.MatchDense, feature_maps),
    "MatchLocal": (diar_ops.MatchLocal, feature_maps),
    "MatchPyramid": (diar_ops.MatchPyramid, lambda: tuple([m] for m in feature_maps())),
    "RansacHomography": (diar_ops.RansacHomography, points),
    "FrontalHomography": (
        lambda: diar_ops.FrontalHomography(size=(48, 56)),
        lambda: (torch.tensor([[[[1.0, 0.1, 2.0], [0.1, 0.9, -1.0], [1e-3, 2e-3, 1.0]]]]),),
    ),
    "RectifyHomography": (
        lambda: diar_ops.RectifyHomography(size=(48, 56)),
        lambda: (torch.tensor([[[5.0, 4.0], [50.0, 8.0], [44.0, 40.0], [9.0, 36.0]]]),),
    ),
    "RefineHomography": (lambda: diar_ops.RefineHomography(levels=1, max_iterations=2), views),
    "RefineGrid": (lambda: diar_ops.RefineGrid(cells=(2, 2)), views),
    "BundleAdjustHomographies": (lambda: diar_ops.BundleAdjustHomographies(max_iterations=3), bundle),
    "LocalContrast": (diar_ops.LocalContrast, lambda: (noise("modules image", 1, 1, 20, 24),)),
    "WarpHomography": (diar_ops.WarpHomography, lambda: (views()[0], views()[2])),
    "JpegCompress": (diar_ops.JpegCompress, lambda: (noise("modules image", 1, 3, 16, 24),)),
    "ConsensusLogits": (diar_ops.ConsensusLogits, sequence),
    "ExposureGain": (diar_ops.ExposureGain, sequence),
    "MeanAggregate": (diar_ops.MeanAggregate, sequence),
    "MedianAggregate": (diar_ops.MedianAggregate, sequence),
    "IntrinsicAggregate": (diar_ops.IntrinsicAggregate, sequence),
    "SoftMinimumAggregate": (diar_ops.SoftMinimumAggregate, sequence),
    "RPCAAggregate": (lambda: diar_ops.RPCAAggregate(max_iterations=4), sequence),
    "SoftmaxAggregate": (diar_ops.SoftmaxAggregate, lambda: (*sequence(), noise("modules logits", 2, 3, 1, 18, 21))),
    "SettleFrames": (diar_ops.SettleFrames, sequence),
}
#: Those with parameters, which are in layers of their own but for a position bias.
LEARNED = [name for name in MODULES if name.startswith(("Swin", "Emb", "Deep", "DIAR", "Faith", "Dual", "ResNet"))]
#: Those with linear layers.
LINEAR = [name for name in LEARNED if name.startswith(("Swin", "Emb", "DIAR", "Faith"))]

every = pytest.mark.parametrize("name", MODULES)
learned = pytest.mark.parametrize("name", LEARNED)
linear = pytest.mark.parametrize("name", LINEAR)


def swin_input() -> Tensor:
    return noise("modules features", 2, 3, 4, 5, 7) - 0.5


def made(name: str) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        return vary(MODULES[name][0]())


def apply(built: nn.Module, name: str) -> list[Tensor]:
    return outputs(built, MODULES[name][1]())


def outputs(built: nn.Module, inputs: tuple[Any, ...]) -> list[Tensor]:
    with torch.no_grad():
        out = built(*inputs)
    return tensors_of(list(out.values()) if isinstance(out, dict) else out)


def test_the_table_is_complete() -> None:
    public = {n for n in diar_ops.__all__ if inspect.isclass(getattr(diar_ops, n))}
    assert {n for n in public if issubclass(getattr(diar_ops, n), nn.Module)} == {n.split(" ")[0] for n in MODULES}


@learned
def test_every_child_with_parameters_is_called(name: str) -> None:
    """Forward hooks, backward hooks and whatever else hangs on a call reaches every layer."""
    built, fired = made(name), Counter[str]()
    children = [
        n for n, m in built.named_modules() if any(True for _ in m.parameters()) and type(m) is not nn.ModuleList
    ]
    for child in children:
        built.get_submodule(child).register_forward_hook(lambda *_, child=child: fired.update([child]))
    apply(built, name)
    assert set(fired) == set(children)


@linear
def test_linear_layers_can_be_replaced(name: str) -> None:
    """A layer around a layer, as LoRA puts it, has its effect, and trains."""
    built = made(name)
    before = apply(built, name)
    layers = [n for n, m in built.named_modules() if isinstance(m, nn.Linear)]
    for path in layers:
        parent, _, leaf = path.rpartition(".")
        built.get_submodule(parent).register_module(leaf, Adapter(built.get_submodule(path)))
    assert_identical(apply(built, name), before)  # an adapter starts as nothing
    nudged: nn.Module
    for path in layers:
        nudged = built.get_submodule(path).down
        with torch.no_grad():
            nudged.weight.add_(0.2)
        assert any(not torch.equal(a, b) for a, b in zip(apply(built, name), before, strict=True)), path
        with torch.no_grad():
            nudged.weight.sub_(0.2)
    out = tensors_of(built(*MODULES[name][1]()))[0]
    out.square().sum().backward()
    for path in layers:
        grad = built.get_submodule(path).down.weight.grad
        assert grad is not None, path
        assert grad.isfinite().all()


class Adapter(nn.Module):
    """Adds a narrow layer beside a layer; knows neither ``weight`` nor ``bias``."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        assert isinstance(layer, nn.Linear)
        self.layer = layer
        self.up = nn.Linear(layer.in_features, 1, bias=False)
        self.down = nn.Linear(1, layer.out_features, bias=False)
        nn.init.ones_(self.up.weight)
        nn.init.zeros_(self.down.weight)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(x) + self.down(self.up(x).square())
        return out


@linear
def test_weight_norm(name: str) -> None:
    built = made(name)
    before = apply(built, name)
    layers = [m for m in built.modules() if isinstance(m, nn.Linear)]
    for layer in layers:
        if layer.weight.norm(dim=1).min() > 0:
            parametrizations.weight_norm(layer)
    for a, b in zip(apply(built, name), before, strict=True):
        assert_close(a, b, rtol=1e-3, atol=1e-4)
    with torch.no_grad():
        for layer in layers:
            layer.parametrizations.weight.original0.mul_(1.5)
    assert any((a - b).abs().max() > 1e-4 for a, b in zip(apply(built, name), before, strict=True))


@linear
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_dynamic_quantisation(name: str) -> None:
    built = made(name)
    exact = apply(built, name)
    quantised = torch.ao.quantization.quantize_dynamic(built, {nn.Linear}, dtype=torch.qint8)
    assert not any(type(m) is nn.Linear for m in quantised.modules())
    rounded = apply(quantised, name)
    assert any(not torch.equal(a, b) for a, b in zip(rounded, exact, strict=True))
    for a, b in zip(rounded, exact, strict=True):
        assert (a - b).abs().mean() < 0.05 * (1 + b.abs().mean())


@pytest.mark.parametrize("name", [n for n in LEARNED if MODULES[n][1] is sequence or "Dual" in n or "ResNet" in n])
def test_networks_compute_in_the_dtype_of_their_parameters(name: str) -> None:
    """Any floating-point input goes in, and its dtype comes out, whatever the parameters are in."""
    inputs = MODULES[name][1]()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        start = MODULES[name][0]().eval()  # as it is: signals of varied weights leave float16
    exact = [x / x.abs().max() for x in outputs(copy.deepcopy(start).double(), tuple(x.double() for x in inputs))]
    #: Largest error over the largest value: rounding of the input, weights and every layer.
    bounds = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 0.03, torch.bfloat16: 0.2}
    for weights in bounds:
        built = copy.deepcopy(start).to(weights)
        for given in bounds:
            results = outputs(built, tuple(x.to(given) for x in inputs))
            bound = max(bounds[weights], bounds[given])
            for a, e in zip(results, exact, strict=True):
                assert a.dtype == given
                assert_close(a.double() / a.double().abs().max(), e, rtol=0, atol=bound)
    with pytest.raises(diar_ops.DtypeError, match="floating point"):
        built(inputs[0].mul(255).byte())


@every
@pytest.mark.parametrize("copier", ["deepcopy", "pickle"])
def test_copies_do_the_same(name: str, copier: str) -> None:
    built = made(name)
    other = copy.deepcopy(built) if copier == "deepcopy" else pickle.loads(pickle.dumps(built))
    assert repr(other) == repr(built)
    assert_identical(apply(other, name), apply(built, name))
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    assert all(p.ne(0).any() for p in built.parameters()), "a copy shares no memory"


@learned
def test_a_state_dict_is_the_whole_state(name: str) -> None:
    built = made(name)
    other = MODULES[name][0]().eval()
    other.load_state_dict(built.state_dict())
    assert_identical(apply(other, name), apply(built, name))


@every
def test_threads_do_not_disturb_each_other(name: str) -> None:
    built = made(name)
    expected = apply(built, name)
    with ThreadPoolExecutor(4) as pool:
        for result in pool.map(lambda _: apply(built, name), range(8)):
            for a, b in zip(result, expected, strict=True):
                assert_close(a.nan_to_num(), b.nan_to_num())


class Applied(Dataset[list[Tensor]]):
    """A module applied where a worker loads data."""

    def __init__(self, names: list[str]) -> None:
        self.modules = {name: made(name) for name in names}

    def __len__(self) -> int:
        return len(self.modules)

    def __getitem__(self, index: int) -> list[Tensor]:
        name = list(self.modules)[index]
        return apply(self.modules[name], name)


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_of_a_data_loader(start: str) -> None:
    """One loader for all: a process that is spawned costs seconds."""
    names = list(MODULES)
    loader = DataLoader(Applied(names), batch_size=None, num_workers=1, multiprocessing_context=start)
    for name, result in zip(names, loader, strict=True):
        for a, b in zip(result, apply(made(name), name), strict=True):
            assert_close(a.nan_to_num(), b.nan_to_num())
