"""The descriptors that can be asked for by name."""

from __future__ import annotations

import torch

from diar_ops._errors import WeightsError
from diar_ops.matching import DenseDescriptor, DenseSIFT
from diar_ops.models.resnet import ResNetTrunk
from diar_ops.models.weights import load_pretrained

__all__ = ["load_descriptor"]


def load_descriptor(
    name_or_path: str = "sift", *, device: torch.device | str = "cpu"
) -> DenseDescriptor:
    """Load a dense descriptor for :func:`align_sequence`.

    Args:
        name_or_path: ``"sift"`` for dense SIFT every 8 pixels, which needs no weights; or a ResNet
            that :func:`load_pretrained` takes, for its second stage. (The paper uses the third,
            whose cells are 16 pixels apart: too coarse to verify a pair by.)
        device: Where it shall run.

    Returns:
        The descriptor, in eval mode.

    Raises:
        WeightsError: The weights are missing, do not fit, or are no ResNet's.
    """
    if name_or_path == "sift":
        descriptor = DenseDescriptor(DenseSIFT(stride=8))
    else:
        trunk = load_pretrained(name_or_path)
        if not isinstance(trunk, ResNetTrunk):
            raise WeightsError(
                f"load_descriptor: expected 'sift' or the weights of a ResNet, got "
                f"{name_or_path!r}, which holds a {type(trunk).__name__}"
            )
        descriptor = DenseDescriptor(trunk, stages=2)
    return descriptor.to(device).eval()
