"""The planar scene: one flat picture, cameras, lights and objects around it, rendered in torch."""

from diar_ops.scene.bends import bend_size, scene_displacement, scene_surface
from diar_ops.scene.camera import CameraRanges
from diar_ops.scene.document import scene_from_document, scene_to_document
from diar_ops.scene.flags import FrameFlag, FrameShares, frame_shares
from diar_ops.scene.jpeg import JpegCompress, jpeg_compress
from diar_ops.scene.photograph import photograph
from diar_ops.scene.plane import picture_plane, scene_homography
from diar_ops.scene.ranges import BendRanges, SceneRanges
from diar_ops.scene.render import RenderedScene, render_planar_scene
from diar_ops.scene.sample import sample_planar_scene
from diar_ops.scene.types import (
    BendKind,
    Bends,
    Environment,
    Finish,
    LightKind,
    Lights,
    ObjectKind,
    Objects,
    Pane,
    PictureMaterial,
    PlanarScene,
)

__all__ = [
    "BendKind",
    "BendRanges",
    "Bends",
    "CameraRanges",
    "Environment",
    "Finish",
    "FrameFlag",
    "FrameShares",
    "JpegCompress",
    "LightKind",
    "Lights",
    "ObjectKind",
    "Objects",
    "Pane",
    "PictureMaterial",
    "PlanarScene",
    "RenderedScene",
    "SceneRanges",
    "bend_size",
    "frame_shares",
    "jpeg_compress",
    "photograph",
    "picture_plane",
    "render_planar_scene",
    "sample_planar_scene",
    "scene_displacement",
    "scene_from_document",
    "scene_homography",
    "scene_surface",
    "scene_to_document",
]
