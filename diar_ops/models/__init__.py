"""Networks and their weights."""

from diar_ops._types import Restored, WholeFrames
from diar_ops.models.deep_sets import DeepResidualSets, DeepResidualSetsConfig
from diar_ops.models.diar import DIAR, DIARConfig
from diar_ops.models.dual_descriptor import DualDescriptor, DualDescriptorConfig
from diar_ops.models.faithful.common_light import GRID
from diar_ops.models.faithful.config import FaithfulDIARConfig
from diar_ops.models.faithful.estimates import Evidence, Light
from diar_ops.models.faithful.light import WHOLE_SIZE, compensate, sample_field
from diar_ops.models.faithful.network import FaithfulDIAR
from diar_ops.models.resnet import ResNetTrunk
from diar_ops.models.weights.load import load_descriptor, load_pretrained, save_pretrained

__all__ = [
    "DIAR",
    "GRID",
    "WHOLE_SIZE",
    "DIARConfig",
    "DeepResidualSets",
    "DeepResidualSetsConfig",
    "DualDescriptor",
    "DualDescriptorConfig",
    "Evidence",
    "FaithfulDIAR",
    "FaithfulDIARConfig",
    "Light",
    "ResNetTrunk",
    "Restored",
    "WholeFrames",
    "compensate",
    "load_descriptor",
    "load_pretrained",
    "sample_field",
    "save_pretrained",
]
