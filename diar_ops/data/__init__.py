"""Image files and sequences: all file access of the library lives here."""

from diar_ops._files import atomic_path, write_image, write_text_atomic
from diar_ops._pixels import image_to_float
from diar_ops.colour import linear_to_srgb, srgb_to_linear
from diar_ops.data.contact_sheet import contact_sheet, mask_overlay
from diar_ops.data.dataset import SequenceDataset, SequenceItem
from diar_ops.data.flags import (
    FrameFlag,
    FrameShares,
    frame_shares,
    read_flags,
    read_mask,
    write_flags,
    write_mask,
)
from diar_ops.data.folder import atomic_folder, remove_stale_folders
from diar_ops.data.images import Photo, list_images, read_image
from diar_ops.data.rendered import (
    RenderedFrame,
    RenderedSequence,
    check_sequence_document,
    is_sequence,
    read_sequence,
)
from diar_ops.data.report import render_report
from diar_ops.data.results import (
    check_results_folder,
    homographies_document,
    output_names,
    write_results,
)
from diar_ops.data.scene.camera import CameraRanges
from diar_ops.data.scene.document import scene_from_document, scene_to_document
from diar_ops.data.scene.jpeg import JpegCompress, jpeg_compress
from diar_ops.data.scene.photograph import photograph
from diar_ops.data.scene.ranges import SceneRanges
from diar_ops.data.scene.render import RenderedScene, render_planar_scene
from diar_ops.data.scene.sample import sample_planar_scene, scene_homography
from diar_ops.data.scene.texture_source import TextureSource
from diar_ops.data.scene.textures import TEXTURE_KINDS, procedural_texture
from diar_ops.data.scene.types import PlanarScene
from diar_ops.data.sequence import (
    GroundTruth,
    find_photo,
    read_ground_truth,
    read_photos,
    score_against,
)
from diar_ops.data.sequence_document import (
    DATASET_FORMAT,
    DOCUMENT,
    LABEL,
    SEQUENCE_FORMAT,
    VERSION,
    FrameNames,
    format_document,
    frame_names,
    sequence_document,
)
from diar_ops.data.statistics import DatasetStatistics, dataset_statistics, statistics_table

__all__ = [
    "DATASET_FORMAT",
    "DOCUMENT",
    "LABEL",
    "SEQUENCE_FORMAT",
    "TEXTURE_KINDS",
    "VERSION",
    "CameraRanges",
    "DatasetStatistics",
    "FrameFlag",
    "FrameNames",
    "FrameShares",
    "GroundTruth",
    "JpegCompress",
    "Photo",
    "PlanarScene",
    "RenderedFrame",
    "RenderedScene",
    "RenderedSequence",
    "SceneRanges",
    "SequenceDataset",
    "SequenceItem",
    "TextureSource",
    "atomic_folder",
    "atomic_path",
    "check_results_folder",
    "check_sequence_document",
    "contact_sheet",
    "dataset_statistics",
    "find_photo",
    "format_document",
    "frame_names",
    "frame_shares",
    "homographies_document",
    "image_to_float",
    "is_sequence",
    "jpeg_compress",
    "linear_to_srgb",
    "list_images",
    "mask_overlay",
    "output_names",
    "photograph",
    "procedural_texture",
    "read_flags",
    "read_ground_truth",
    "read_image",
    "read_mask",
    "read_photos",
    "read_sequence",
    "remove_stale_folders",
    "render_planar_scene",
    "render_report",
    "sample_planar_scene",
    "scene_from_document",
    "scene_homography",
    "scene_to_document",
    "score_against",
    "sequence_document",
    "srgb_to_linear",
    "statistics_table",
    "write_flags",
    "write_image",
    "write_mask",
    "write_results",
    "write_text_atomic",
]
