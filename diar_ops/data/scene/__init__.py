"""Planar scenes: one flat picture, cameras, lights and things around it."""

from diar_ops.colour import linear_to_srgb, srgb_to_linear
from diar_ops.data.scene.camera import CameraRanges
from diar_ops.data.scene.document import scene_from_document, scene_to_document
from diar_ops.data.scene.jpeg import JpegCompress, jpeg_compress
from diar_ops.data.scene.photograph import photograph
from diar_ops.data.scene.ranges import SceneRanges
from diar_ops.data.scene.render import RenderedScene, render_planar_scene
from diar_ops.data.scene.sample import picture_plane, sample_planar_scene, scene_homography
from diar_ops.data.scene.texture_source import TextureSource
from diar_ops.data.scene.textures import TEXTURE_KINDS, procedural_texture
from diar_ops.data.scene.types import (
    Finish,
    LightKind,
    Lights,
    ObjectKind,
    Objects,
    PictureMaterial,
    PlanarScene,
)

__all__ = [
    "TEXTURE_KINDS",
    "CameraRanges",
    "Finish",
    "JpegCompress",
    "LightKind",
    "Lights",
    "ObjectKind",
    "Objects",
    "PictureMaterial",
    "PlanarScene",
    "RenderedScene",
    "SceneRanges",
    "TextureSource",
    "jpeg_compress",
    "linear_to_srgb",
    "photograph",
    "picture_plane",
    "procedural_texture",
    "render_planar_scene",
    "sample_planar_scene",
    "scene_from_document",
    "scene_homography",
    "scene_to_document",
    "srgb_to_linear",
]
