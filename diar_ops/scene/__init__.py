"""The planar scene: one flat picture, cameras, lights and objects around it, rendered in torch."""

from diar_ops.scene.camera import CameraRanges
from diar_ops.scene.document import scene_from_document, scene_to_document
from diar_ops.scene.flags import FrameFlag, FrameShares, frame_shares
from diar_ops.scene.jpeg import JpegCompress, jpeg_compress
from diar_ops.scene.photograph import photograph
from diar_ops.scene.plane import picture_plane, scene_homography
from diar_ops.scene.ranges import SceneRanges
from diar_ops.scene.render import RenderedScene, render_planar_scene
from diar_ops.scene.sample import sample_planar_scene
from diar_ops.scene.types import Finish, LightKind, Lights, ObjectKind, Objects, PictureMaterial, PlanarScene

__all__ = [
    "CameraRanges",
    "Finish",
    "FrameFlag",
    "FrameShares",
    "JpegCompress",
    "LightKind",
    "Lights",
    "ObjectKind",
    "Objects",
    "PictureMaterial",
    "PlanarScene",
    "RenderedScene",
    "SceneRanges",
    "frame_shares",
    "jpeg_compress",
    "photograph",
    "picture_plane",
    "render_planar_scene",
    "sample_planar_scene",
    "scene_from_document",
    "scene_homography",
    "scene_to_document",
]
