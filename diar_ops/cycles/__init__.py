"""Sets of sequences rendered with Blender Cycles, in processes of their own."""

from diar_ops._errors import RenderError
from diar_ops.cycles.contact_sheet import contact_sheet, mask_overlay, write_contact_sheet
from diar_ops.cycles.render import RenderedSet, render_dataset
from diar_ops.cycles.settings import DEVICES, RenderSettings
from diar_ops.cycles.statistics import DatasetStatistics, dataset_statistics, statistics_table
from diar_ops.cycles.texture import prepare_texture

__all__ = [
    "DEVICES",
    "DatasetStatistics",
    "RenderError",
    "RenderSettings",
    "RenderedSet",
    "contact_sheet",
    "dataset_statistics",
    "mask_overlay",
    "prepare_texture",
    "render_dataset",
    "statistics_table",
    "write_contact_sheet",
]
