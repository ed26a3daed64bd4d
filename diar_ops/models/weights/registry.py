"""The networks whose weight files say what they are."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import nn

from diar_ops.models.deep_sets import DeepResidualSets, DeepResidualSetsConfig
from diar_ops.models.diar import DIAR, DIARConfig
from diar_ops.models.dual_descriptor import DualDescriptor, DualDescriptorConfig
from diar_ops.models.faithful.config import FaithfulDIARConfig
from diar_ops.models.faithful.network import FaithfulDIAR


class NetworkEntry(NamedTuple):
    """A network that :func:`save_pretrained` writes and :func:`load_pretrained` reads.

    Attributes:
        network: The class; ``network(config)`` builds one and its ``config`` gives the config back.
        config: A frozen dataclass that validates itself, of numbers, words, ``None`` and tuples of
            such.
    """

    network: type[nn.Module]
    config: type[Any]


#: Networks that restore pictures, by the name of the class.
RESTORERS: dict[str, NetworkEntry] = {
    "DeepResidualSets": NetworkEntry(DeepResidualSets, DeepResidualSetsConfig),
    "DIAR": NetworkEntry(DIAR, DIARConfig),
    "FaithfulDIAR": NetworkEntry(FaithfulDIAR, FaithfulDIARConfig),
}
#: All, by the name that stands in the files, which is the name of the class.
NETWORKS: dict[str, NetworkEntry] = {**RESTORERS, "DualDescriptor": NetworkEntry(DualDescriptor, DualDescriptorConfig)}
