"""The descriptors that can be asked for by name."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from diar_ops._checks import check_option
from diar_ops._errors import WeightsError
from diar_ops.matching import DenseDescriptor, DenseSIFT
from diar_ops.models.dual_descriptor import DualDescriptor
from diar_ops.models.resnet import ResNetTrunk
from diar_ops.models.weights import load_pretrained

__all__ = ["load_descriptor", "load_refinement"]


def load_descriptor(
    name_or_path: str = "sift", *, device: torch.device | str = "cpu"
) -> DenseDescriptor:
    """Load a dense descriptor for :func:`align_sequence`.

    Args:
        name_or_path: ``"sift"`` for dense SIFT every 8 pixels, which needs no weights; ``"dual"``
            for the coarse stage of the :class:`DualDescriptor` that comes with the package, or the
            path of another one; or a ResNet that :func:`load_pretrained` takes, for its second
            stage. (The paper uses the third, whose cells are 16 pixels apart: too coarse to verify
            a pair by.)
        device: Where it shall run.

    Returns:
        The descriptor, in eval mode.

    Raises:
        WeightsError: The weights are missing, do not fit, or are of another network.
    """
    if name_or_path == "sift":
        descriptor = DenseDescriptor(DenseSIFT(stride=8))
    else:
        trunk = load_pretrained(name_or_path)
        if isinstance(trunk, DualDescriptor):
            descriptor = DenseDescriptor(trunk, stages="coarse")
        elif isinstance(trunk, ResNetTrunk):
            descriptor = DenseDescriptor(trunk, stages=2)
        else:
            raise WeightsError(
                f"load_descriptor: expected 'sift' or the weights of a DualDescriptor or a ResNet, "
                f"got {name_or_path!r}, which holds a {type(trunk).__name__}"
            )
    return descriptor.to(device).eval()


def load_refinement(
    name_or_path: str = "sift", *, device: torch.device | str = "cpu"
) -> Callable[[int], DenseDescriptor]:
    """Load the descriptors of the ``refinement`` of :func:`align_sequence`.

    Dense SIFT is the more exact, the trained ones are faster (``docs/networks.md`` says how much).

    Args:
        name_or_path: ``"sift"`` for dense SIFT; ``"dual"`` for the fine stages of the
            :class:`DualDescriptor` that comes with the package; or the path of another one.
        device: Where they shall run.

    Returns:
        Maps a stride in pixels to the descriptor of cells so far apart, in eval mode: SIFT of any
        stride; the ``middle`` and ``fine`` stages of 4 and 2, an :class:`OptionError` otherwise.

    Raises:
        WeightsError: The weights are missing, do not fit, or are of another network.
    """
    if name_or_path == "sift":
        return lambda stride: DenseDescriptor(DenseSIFT(stride=stride)).to(device).eval()
    trunk: nn.Module = load_pretrained(name_or_path)
    if not isinstance(trunk, DualDescriptor):
        raise WeightsError(
            f"load_refinement: expected 'sift' or the weights of a DualDescriptor, got "
            f"{name_or_path!r}, which holds a {type(trunk).__name__}"
        )
    trunk = trunk.to(device).eval()
    stages = {trunk.stride[stage]: stage for stage in ("middle", "fine")}

    def of_stride(stride: int) -> DenseDescriptor:
        check_option("load_refinement", stride in stages, f"a stride among {list(stages)}", stride)
        return DenseDescriptor(trunk, stages=stages[stride]).eval()

    return of_stride
