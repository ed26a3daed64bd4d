"""Data sets rendered with Blender Cycles, in processes of its own."""

from diar_ops.data.cycles.render import RenderedSet, render_dataset
from diar_ops.data.cycles.settings import DEVICES, RenderSettings
from diar_ops.data.cycles.sheet import write_contact_sheet
from diar_ops.data.cycles.texture import prepare_texture

__all__ = [
    "DEVICES",
    "RenderSettings",
    "RenderedSet",
    "prepare_texture",
    "render_dataset",
    "write_contact_sheet",
]
