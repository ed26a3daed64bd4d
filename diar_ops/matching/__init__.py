"""Dense descriptors and their correspondences."""

from diar_ops.matching.cell_offset import measure_cell_offset
from diar_ops.matching.cosine_similarity import cosine_similarity
from diar_ops.matching.dense_descriptors import DenseDescriptor, Trunk, dense_descriptors, dense_stages
from diar_ops.matching.dense_sift import DenseSIFT, dense_sift
from diar_ops.matching.image_pyramid import ImagePyramid, PyramidLevel, image_pyramid, level_features
from diar_ops.matching.match_dense import MatchDense, match_dense
from diar_ops.matching.match_local import MatchLocal, match_local
from diar_ops.matching.match_pyramid import MatchPyramid, match_pyramid
from diar_ops.matching.mutual_nearest import MutualNearest, NearestPairs, mutual_nearest

__all__ = [
    "DenseDescriptor",
    "DenseSIFT",
    "ImagePyramid",
    "MatchDense",
    "MatchLocal",
    "MatchPyramid",
    "MutualNearest",
    "NearestPairs",
    "PyramidLevel",
    "Trunk",
    "cosine_similarity",
    "dense_descriptors",
    "dense_sift",
    "dense_stages",
    "image_pyramid",
    "level_features",
    "match_dense",
    "match_local",
    "match_pyramid",
    "measure_cell_offset",
    "mutual_nearest",
]
