"""Pictures to render: procedural ones, and crops of image files."""

from diar_ops.textures.procedural import TEXTURE_KINDS, procedural_texture
from diar_ops.textures.source import TextureSource

__all__ = ["TEXTURE_KINDS", "TextureSource", "procedural_texture"]
