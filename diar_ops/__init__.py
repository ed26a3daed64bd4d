"""Align and reconstruct a flat picture from several spoiled photos.

Every public name is importable from here; :data:`__all__` lists them.
"""

from diar_ops._errors import (
    DeviceError,
    DiarError,
    DtypeError,
    ImageError,
    OptionError,
    OutputError,
    RenderError,
    ShapeError,
    WeightsError,
)
from diar_ops._types import (
    Alignment,
    FeatureMap,
    HomographyEstimate,
    Matches,
    PairMatches,
    Reason,
    Reconstruction,
    Warped,
)
from diar_ops.aggregate import (
    ConsensusLogits,
    ExposureGain,
    MeanAggregate,
    MedianAggregate,
    SoftmaxAggregate,
    consensus_logits,
    exposure_gain,
    mean_aggregate,
    median_aggregate,
    softmax_aggregate,
)
from diar_ops.data import (
    JpegCompress,
    RenderedScene,
    jpeg_compress,
    photograph,
    render_planar_scene,
    sample_planar_scene,
)
from diar_ops.geometry import (
    RansacHomography,
    TransformedPoints,
    WarpHomography,
    corner_error,
    homography_distance,
    homography_dlt,
    homography_from_camera,
    normalize_homography,
    ransac_homography,
    transform_points,
    warp_homography,
)
from diar_ops.matching import (
    DenseDescriptor,
    DenseSIFT,
    ImagePyramid,
    MatchDense,
    MatchLocal,
    MatchPyramid,
    MutualNearest,
    NearestPairs,
    PyramidLevel,
    cosine_similarity,
    dense_descriptors,
    dense_sift,
    image_pyramid,
    level_features,
    match_dense,
    match_local,
    match_pyramid,
    mutual_nearest,
)
from diar_ops.metrics import (
    psnr,
    rmse,
    ssim,
)
from diar_ops.models import (
    ResNetTrunk,
    load_descriptor,
    load_pretrained,
)
from diar_ops.pipeline import align_sequence, reconstruct_sequence

__version__ = "0.1.0"

__all__ = [  # noqa: RUF022 - grouped by purpose
    # shared ground
    "Alignment",
    "DeviceError",
    "DiarError",
    "DtypeError",
    "FeatureMap",
    "HomographyEstimate",
    "ImageError",
    "Matches",
    "OptionError",
    "OutputError",
    "PairMatches",
    "Reason",
    "Reconstruction",
    "RenderError",
    "ShapeError",
    "Warped",
    "WeightsError",
    # matching
    "cosine_similarity",
    "image_pyramid",
    "ImagePyramid",
    "PyramidLevel",
    "level_features",
    "mutual_nearest",
    "MutualNearest",
    "NearestPairs",
    "match_dense",
    "MatchDense",
    "match_local",
    "MatchLocal",
    "match_pyramid",
    "MatchPyramid",
    "dense_descriptors",
    "DenseDescriptor",
    "dense_sift",
    "DenseSIFT",
    # geometry
    "homography_dlt",
    "ransac_homography",
    "RansacHomography",
    "TransformedPoints",
    "corner_error",
    "homography_distance",
    "homography_from_camera",
    "normalize_homography",
    "transform_points",
    "WarpHomography",
    "warp_homography",
    # data
    "jpeg_compress",
    "JpegCompress",
    "photograph",
    "RenderedScene",
    "render_planar_scene",
    "sample_planar_scene",
    # models
    "load_descriptor",
    "load_pretrained",
    "ResNetTrunk",
    # aggregate
    "consensus_logits",
    "ConsensusLogits",
    "exposure_gain",
    "ExposureGain",
    "MeanAggregate",
    "MedianAggregate",
    "SoftmaxAggregate",
    "mean_aggregate",
    "median_aggregate",
    "softmax_aggregate",
    # pipeline
    "align_sequence",
    "reconstruct_sequence",
    # metrics
    "psnr",
    "rmse",
    "ssim",
]
