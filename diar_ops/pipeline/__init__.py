"""The ops composed: align a sequence of frames, reconstruct the clean picture. No file access."""

from diar_ops.pipeline._align.adjust import AdjustedFrames, adjust_frames
from diar_ops.pipeline._align.bends import BENDS
from diar_ops.pipeline._align.graph import chain_pairs, chain_to_reference, choose_reference, is_plausible
from diar_ops.pipeline._align.judge import judge_frames
from diar_ops.pipeline._align.match import Descriptor, PairMatcher, describe_images
from diar_ops.pipeline._align.place import Placement
from diar_ops.pipeline._align.refine import RefinedFrame
from diar_ops.pipeline._align.tie_points import TiePoints
from diar_ops.pipeline._align.verify import verify_pairs
from diar_ops.pipeline._lens import Lens
from diar_ops.pipeline._warp import grid_displacement, resize_grid, warp_frame
from diar_ops.pipeline.aggregators import AGGREGATORS, Aggregator, Consensus, TiledNetwork
from diar_ops.pipeline.align import align_sequence
from diar_ops.pipeline.canvas import Mosaic, mosaic_canvas
from diar_ops.pipeline.options import AlignOptions
from diar_ops.pipeline.outline import Outline, find_outline
from diar_ops.pipeline.reconstruct import aligned_frames, reconstruct_sequence
from diar_ops.pipeline.rectify import RectifiedCanvas, frontal_view, rectified_canvas
from diar_ops.pipeline.settle import SettleFrames, settle_frames
from diar_ops.pipeline.steps import find_bends, frame_sharpness, match_pairs, place_frames

__all__ = [
    "AGGREGATORS",
    "BENDS",
    "AdjustedFrames",
    "Aggregator",
    "AlignOptions",
    "Consensus",
    "Descriptor",
    "Lens",
    "Mosaic",
    "Outline",
    "PairMatcher",
    "Placement",
    "RectifiedCanvas",
    "RefinedFrame",
    "SettleFrames",
    "TiePoints",
    "TiledNetwork",
    "adjust_frames",
    "align_sequence",
    "aligned_frames",
    "chain_pairs",
    "chain_to_reference",
    "choose_reference",
    "describe_images",
    "find_bends",
    "find_outline",
    "frame_sharpness",
    "frontal_view",
    "grid_displacement",
    "is_plausible",
    "judge_frames",
    "match_pairs",
    "mosaic_canvas",
    "place_frames",
    "reconstruct_sequence",
    "rectified_canvas",
    "resize_grid",
    "settle_frames",
    "verify_pairs",
    "warp_frame",
]
