"""Networks and their weights."""

from diar_ops.models.deep_sets import DeepResidualSets, DeepResidualSetsConfig
from diar_ops.models.descriptor import load_descriptor
from diar_ops.models.diar import DIAR, DIARConfig
from diar_ops.models.resnet import ResNetTrunk
from diar_ops.models.weights import load_pretrained, save_pretrained

__all__ = [
    "DIAR",
    "DIARConfig",
    "DeepResidualSets",
    "DeepResidualSetsConfig",
    "ResNetTrunk",
    "load_descriptor",
    "load_pretrained",
    "save_pretrained",
]
