"""Homographies: estimation, errors, warping."""

from diar_ops.geometry.camera import homography_from_camera
from diar_ops.geometry.corner import corner_error
from diar_ops.geometry.distance import homography_distance
from diar_ops.geometry.dlt import homography_dlt
from diar_ops.geometry.normalize import normalize_homography
from diar_ops.geometry.ransac import RansacHomography, ransac_homography
from diar_ops.geometry.transform import TransformedPoints, transform_points
from diar_ops.geometry.warp import WarpHomography, warp_homography

__all__ = [
    "RansacHomography",
    "TransformedPoints",
    "WarpHomography",
    "corner_error",
    "homography_distance",
    "homography_dlt",
    "homography_from_camera",
    "normalize_homography",
    "ransac_homography",
    "transform_points",
    "warp_homography",
]
