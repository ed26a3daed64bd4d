"""Data sets rendered with Blender Cycles, in processes of its own."""

from diar_ops.data.cycles.render import RenderedSet, render_dataset
from diar_ops.data.cycles.settings import RenderSettings

__all__ = ["RenderSettings", "RenderedSet", "render_dataset"]
