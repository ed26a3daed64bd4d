"""Homographies: estimation, errors, warping."""

from diar_ops.geometry.camera import homography_from_camera
from diar_ops.geometry.corner import corner_error
from diar_ops.geometry.distance import homography_distance
from diar_ops.geometry.normalize import normalize_homography
from diar_ops.geometry.transform import TransformedPoints, transform_points

__all__ = [
    "TransformedPoints",
    "corner_error",
    "homography_distance",
    "homography_from_camera",
    "normalize_homography",
    "transform_points",
]
