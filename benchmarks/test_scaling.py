"""How aggregates, networks, matching, alignment and the whole job grow with their input.

Each series grows one quantity (frames, pixels or descriptors) in geometric steps and leaves the
rest alone; ``scaling.py`` fits the exponents. One call on the smallest input loads what is loaded
once; inputs do not count as memory. On a busy machine ``--benchmark-timer=time.process_time`` and
``OMP_NUM_THREADS=1`` count the time of the processor instead of that of the clock.
Where CUDA is available, everything but the peers on the CPU is measured there, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from typing import Any, NamedTuple

import kornia
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, normalize

from benchmarks.scaling import point
from diar_ops import (
    DIAR,
    DeepResidualSets,
    EmbeddedMeanAggregate,
    FeatureMap,
    SwinAggregate,
    align_sequence,
    consensus_logits,
    intrinsic_aggregate,
    load_pretrained,
    match_dense,
    mean_aggregate,
    median_aggregate,
    photograph,
    reconstruct_sequence,
    render_planar_scene,
    rpca_aggregate,
    sample_planar_scene,
    softmax_aggregate,
)
from diar_ops.textures import TextureSource

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
#: Channels of the features that attention aggregates, and of the descriptors that are matched.
FEATURES, DESCRIPTOR = 64, 128
#: Cells in a row of the maps that are matched.
COLUMNS = 64


class Series(NamedTuple):
    """An operation on growing input.

    Attributes:
        op: Its name in the table.
        quantity: What grows, and what does not.
        sizes: How far; of ``pixels`` the sides.
        prepare: Makes the input of a size on a device; returns the call that is measured.
        rounds: Calls that are timed.
        devices: Where it can run.
        listed: Whether its points have a table of their own.
    """

    op: str
    quantity: str
    sizes: tuple[int, ...]
    prepare: Callable[[int, torch.device], Callable[[], object]]
    rounds: int = 5
    devices: tuple[str, ...] = ("cpu", "cuda")
    listed: bool = False

    def point(self, size: int, device: str) -> dict[str, Any]:
        """Return what makes the measurement of a size a point of this series."""
        square = self.quantity.startswith("pixels")
        return point(
            self.op,
            self.quantity,
            size**2 if square else size,
            device=device,
            label=f"{size}²" if square else f"{size}",
            listed=self.listed,
        )


#: Makes (1, T, C, side, side) from T and the side.
Input = Callable[[int, int], Tensor]


def spoiled(frames: int, side: int) -> Tensor:
    """Return a smooth picture under gains, with noise and a dark and a bright block per frame."""
    rng = torch.Generator().manual_seed(0)
    picture = interpolate(torch.rand(1, 3, 16, 16, generator=rng), (side, side), mode="bilinear")
    x = picture[:, None] * (0.6 + 0.6 * torch.rand(1, frames, 3, 1, 1, generator=rng))
    x += 0.01 * torch.randn(x.shape, generator=rng)
    corners = (side * 0.6 * torch.rand(frames, 4, generator=rng)).int().tolist()
    for t, (i, j, k, m) in enumerate(corners):
        x[0, t, :, i : i + side // 3, j : j + side // 4] *= 0.3
        x[0, t, :, k : k + side // 6, m : m + side // 3] = 1.0
    return x.clamp(0, 1)


def features(frames: int, side: int) -> Tensor:
    rng = torch.Generator().manual_seed(0)
    return torch.randn(1, frames, FEATURES, side, side, generator=rng)


def on_stack(
    op: str,
    load: Callable[[], Callable[[Tensor], object]],
    *,
    frames: tuple[int, ...] = (5, 10, 20, 40),
    side: int = 256,
    sides: tuple[int, ...] = (128, 256, 512, 1024),
    count: int = 10,
    made: Input = spoiled,
    **options: Any,
) -> Iterator[Series]:
    """Yield the growth of an operation on a stack of frames: with their number, with their size.

    Args:
        op: Its name.
        load: Returns the function, or the module, that is measured.
        frames: Growing numbers of frames of ``side`` pixels.
        side: See ``frames``.
        sides: Growing sides of ``count`` frames.
        count: See ``sides``.
        made: Makes the stack.
        options: Of :class:`Series`.
    """

    def prepare(stack: Tensor, device: torch.device) -> Callable[[], object]:
        function = load()
        if isinstance(function, nn.Module):
            function = function.eval().to(device)
        stack = stack.to(device)
        return lambda: function(stack)

    yield Series(op, f"frames of {side}²", frames, lambda n, d: prepare(made(n, side), d), **options)
    yield Series(op, f"pixels of {count} frames", sides, lambda n, d: prepare(made(count, n), d), **options)


def softmax_of_consensus(stack: Tensor) -> Tensor:
    return softmax_aggregate(stack, consensus_logits(stack))


def numpy_median(stack: Tensor) -> object:
    return np.median(stack.numpy(), axis=1)


AGGREGATES = {
    "mean_aggregate": mean_aggregate,
    "median_aggregate": median_aggregate,
    "numpy median": numpy_median,
    "softmax_aggregate of consensus_logits": softmax_of_consensus,
    "intrinsic_aggregate": intrinsic_aggregate,
    "rpca_aggregate": rpca_aggregate,
}
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    'load_pretrained("diar")': lambda: load_pretrained("diar"),
    "DIAR": DIAR,
    "DeepResidualSets": DeepResidualSets,
}


#: Where the sizes of :func:`on_stack` are too many for a slow one, or all fit into a cache.
OPTIONS: dict[str, dict[str, Any]] = {
    "mean_aggregate": {"frames": (20, 40, 80, 160), "sides": (512, 720, 1024, 1440)},
    "median_aggregate": {"frames": (10, 20, 40, 80)},
    "numpy median": {"frames": (10, 20, 40, 80), "rounds": 3, "devices": ("cpu",)},
    "intrinsic_aggregate": {"rounds": 3},
    "rpca_aggregate": {"side": 128, "sides": (64, 128, 256, 512), "rounds": 3},
}


def aggregates() -> Iterator[Series]:
    for op, function in AGGREGATES.items():
        yield from on_stack(op, lambda function=function: function, **OPTIONS.get(op, {}))
    for kind in (SwinAggregate, EmbeddedMeanAggregate):
        yield from on_stack(
            kind.__name__, lambda kind=kind: kind(FEATURES), made=features, rounds=3,
            frames=(4, 8, 16, 32), side=32, sides=(16, 32, 64, 128), count=8,
        )  # fmt: skip


def networks() -> Iterator[Series]:
    for op, load in NETWORKS.items():
        yield from on_stack(op, load, frames=(4, 8, 16, 32), side=128, sides=(64, 128, 256, 512), count=4, rounds=3)


@lru_cache(maxsize=1)
def descriptors(size: int) -> tuple[Tensor, Tensor]:
    """Return two sets (size, C) of unit length, noisy permutations of each other."""
    rng = torch.Generator().manual_seed(size)
    first = normalize(torch.randn(size, DESCRIPTOR, generator=rng), dim=1)
    noisy = first + 0.12 * torch.randn(first.shape, generator=rng)
    return first, normalize(noisy[torch.randperm(size, generator=rng)], dim=1)


def dense_match(size: int, device: torch.device) -> Callable[[], object]:
    maps = [FeatureMap(x.T.reshape(1, DESCRIPTOR, -1, COLUMNS).to(device), (8, 8)) for x in descriptors(size)]
    return lambda: match_dense(*maps)


def kornia_match(size: int, device: torch.device) -> Callable[[], object]:
    first, second = (x.to(device) for x in descriptors(size))
    return lambda: kornia.feature.match_mnn(first, second)


def matching() -> Iterator[Series]:
    for op, prepare in {"match_dense": dense_match, "kornia match_mnn": kornia_match}.items():
        yield Series(op, "descriptors", (2048, 4096, 8192, 16384), prepare, rounds=3)


@cache
def photos(count: int, side: int) -> Tensor:
    """Return (T, 3, side, side) uint8 photos of a poster or page, the first from straight ahead."""
    rng = torch.Generator().manual_seed(7)
    texture = TextureSource().sample(1, (min(side, 1024),) * 2, generator=rng)
    scene = sample_planar_scene(1, frames=count, size=(side, side), generator=rng)
    frames = photograph(render_planar_scene(texture, scene).radiance, generator=rng)[0]
    return (255 * frames).round().to(torch.uint8)


def alignment(frames: Tensor, device: torch.device) -> Callable[[], object]:
    return lambda: align_sequence(frames, reference=0, device=device)


def whole_job(frames: Tensor, device: torch.device) -> Callable[[], object]:
    network = load_pretrained("diar").to(device)

    def call() -> object:
        alignment = align_sequence(frames, reference=0, device=device)
        # A frame that is not aligned is turned and tried again: another job.
        assert alignment.success.all()
        return reconstruct_sequence(frames, alignment, aggregator=network)

    return call


def pipeline() -> Iterator[Series]:
    for op, make in {"align_sequence": alignment, "align_sequence and reconstruct_sequence": whole_job}.items():
        listed = make is whole_job
        sides = (256, 512, 1024, 2048) if listed else (256, 512, 1024)

        def of_frames(n: int, device: torch.device, make: Any = make) -> Callable[[], object]:
            return make(photos(16, 256)[:n], device)

        def of_pixels(n: int, device: torch.device, make: Any = make) -> Callable[[], object]:
            return make(photos(3, n), device)

        yield Series(op, "photos of 256²", (4, 8, 16), of_frames, rounds=1, listed=listed)
        yield Series(op, "pixels of 3 photos", sides, of_pixels, rounds=1, listed=listed)


SERIES = [*aggregates(), *networks(), *matching(), *pipeline()]
CASES = {
    f"{device}-{series.op}-{series.quantity}-{size}": (series, size, device)
    for device in DEVICES
    for series in SERIES
    if device in series.devices
    for size in series.sizes
}


@pytest.fixture
def bench_device(case: str) -> torch.device:
    """Return the device of the case, not that of ``--bench-device``."""
    return torch.device(CASES[case][2])


def call_of(series: Series, size: int, device: str) -> Callable[[], None]:
    function = series.prepare(size, torch.device(device))

    def call() -> None:
        function()  # the result goes at once, before the next call makes another
        if device == "cuda":
            torch.cuda.synchronize()

    return call


@cache
def warm_up(series: Series, device: str) -> None:
    """Load what is loaded once."""
    call_of(series, series.sizes[0], device)()


@pytest.mark.benchmark(group="scaling")
@pytest.mark.parametrize("case", CASES)
def test_scaling(benchmark: Any, peak_memory: Callable[..., float], case: str) -> None:
    series, size, device = CASES[case]
    benchmark.extra_info["growth"] = series.point(size, device)
    with torch.no_grad():
        warm_up(series, device)
        call = call_of(series, size, device)
        if series.rounds == 1:  # too slow to be called twice
            peak = peak_memory(benchmark.pedantic, call, rounds=1)
        else:  # later calls find the heap in pieces, which is not memory that they need
            peak = peak_memory(call)
            benchmark.pedantic(call, rounds=series.rounds)
        benchmark.extra_info["peak MiB"] = peak
