"""The ops composed: align a sequence of frames, reconstruct the clean picture. No file access."""

from diar_ops.pipeline._align.graph import chain_pairs, chain_to_reference
from diar_ops.pipeline._align.pairs import Descriptor
from diar_ops.pipeline._warp import warp_frame
from diar_ops.pipeline.aggregators import AGGREGATORS, Aggregator, Consensus, TiledNetwork
from diar_ops.pipeline.align import align_sequence
from diar_ops.pipeline.options import AlignOptions
from diar_ops.pipeline.reconstruct import aligned_frames, reconstruct_sequence
from diar_ops.pipeline.settle import SettleFrames, settle_frames

__all__ = [
    "AGGREGATORS",
    "Aggregator",
    "AlignOptions",
    "Consensus",
    "Descriptor",
    "SettleFrames",
    "TiledNetwork",
    "align_sequence",
    "aligned_frames",
    "chain_pairs",
    "chain_to_reference",
    "reconstruct_sequence",
    "settle_frames",
    "warp_frame",
]
