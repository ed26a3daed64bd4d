"""The descriptors that can be asked for by name."""

from __future__ import annotations

import torch

from diar_ops._errors import WeightsError
from diar_ops.matching import DenseDescriptor, DenseSIFT
from diar_ops.models.dual_descriptor import DualDescriptor
from diar_ops.models.resnet import ResNetTrunk
from diar_ops.models.weights import load_pretrained

__all__ = ["load_descriptor"]


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
