"""Networks and their weights."""

from diar_ops.models.descriptor import load_descriptor
from diar_ops.models.resnet import ResNetTrunk
from diar_ops.models.weights import load_pretrained

__all__ = [
    "ResNetTrunk",
    "load_descriptor",
    "load_pretrained",
]
