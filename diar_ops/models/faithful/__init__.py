"""FaithfulDIAR: pictures restored as weighted means of the photos' own pixels."""

from diar_ops.models.faithful.common_light import GRID
from diar_ops.models.faithful.light import WHOLE_SIZE, compensate, sample_field
from diar_ops.models.faithful.network import Evidence, FaithfulDIAR, FaithfulDIARConfig, Light

__all__ = [
    "GRID",
    "WHOLE_SIZE",
    "Evidence",
    "FaithfulDIAR",
    "FaithfulDIARConfig",
    "Light",
    "compensate",
    "sample_field",
]
