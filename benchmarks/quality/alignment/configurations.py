"""The configurations of :func:`align_sequence` that are compared: the default and its ablations."""

from __future__ import annotations

import inspect
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor

from benchmarks.quality.alignment.pairwise import Align, Estimate
from diar_ops.matching import DenseDescriptor
from diar_ops.models import load_descriptor
from diar_ops.models.resnet import ResNetTrunk
from diar_ops.pipeline import AlignOptions, align_sequence, chain_pairs


@dataclass(frozen=True)
class Configuration:
    """One way to call :func:`align_sequence`.

    Attributes:
        words: What it does, or what it takes away from the default.
        options: Of :func:`align_sequence`.
        resnet: Whether ResNet-18's stage 2 is the descriptor of the coarse matches.
        descriptor: Name of the descriptor of the coarse matches, for :func:`load_descriptor`;
            ``None`` for the default.
        chained: Take the chain of verified pairs as the result, before anything is refined. The
            time is that of the whole.
    """

    words: str
    options: AlignOptions = field(default_factory=AlignOptions)
    resnet: bool = False
    descriptor: str | None = None
    chained: bool = False


#: By name. An ablation of a new option is one more line.
CONFIGURATIONS: dict[str, Configuration] = {
    "ours": Configuration("align_sequence with its defaults"),
    "ours-one-scale": Configuration("without the pyramid", AlignOptions(scales=(1.0,))),
    "ours-not-joint": Configuration("without joint adjustment", AlignOptions(joint=False)),
    "ours-unrefined": Configuration("without refinement: the verified pairs alone", chained=True),
    "ours-resnet18": Configuration("coarse matches by ResNet-18, stage 2", resnet=True),
    "ours-dual": Configuration("coarse matches by the trained descriptor", descriptor="dual"),
}


def align_configured(configuration: Configuration, trunk: ResNetTrunk | None = None) -> Align:
    """Return a function that aligns frames this way.

    Args:
        configuration: How.
        trunk: ResNet-18, where the configuration asks for it.
    """
    options: dict[str, Any] = {"options": configuration.options}
    if configuration.resnet:
        assert trunk is not None
        options["descriptor"] = DenseDescriptor(trunk, stages=2).eval()
    if configuration.descriptor is not None:
        options["descriptor"] = load_descriptor(configuration.descriptor)

    def align(frames: Tensor) -> Estimate:
        alignment = align_sequence(frames, reference=0, **options)
        if not configuration.chained:
            return Estimate(alignment.homography_reference_frame, alignment.success)
        return Estimate.from_chain(chain_pairs(alignment.pairs, len(frames), 0), len(frames))

    return align


def configured_settings(configuration: Configuration) -> str:
    """Return all options of :func:`align_sequence` as they are used, in words."""
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(align_sequence).parameters.items()
        if parameter.default is not inspect.Parameter.empty and name != "options"
    }
    used = {**defaults, **asdict(configuration.options), "reference": 0}
    words = [f"{name}={value}" for name, value in sorted(used.items())]
    words += ["resnet18"] if configuration.resnet else []
    words += [f"descriptor={configuration.descriptor}"] if configuration.descriptor else []
    words += ["chained"] if configuration.chained else []
    return ", ".join(words)
