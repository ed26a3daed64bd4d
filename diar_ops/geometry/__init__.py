"""Homographies: estimation, errors, warping."""

from diar_ops.geometry.bundle import BundleAdjustHomographies, bundle_adjust_homographies
from diar_ops.geometry.camera import homography_from_camera
from diar_ops.geometry.contrast import LocalContrast, local_contrast
from diar_ops.geometry.corner import corner_error
from diar_ops.geometry.distance import homography_distance
from diar_ops.geometry.distortion import distort_points, undistort_points
from diar_ops.geometry.dlt import homography_dlt
from diar_ops.geometry.frontal import FrontalHomography, frontal_homography
from diar_ops.geometry.normalize import normalize_homography
from diar_ops.geometry.ransac import RansacHomography, ransac_homography
from diar_ops.geometry.rectify import RectifyHomography, rectify_homography
from diar_ops.geometry.refine import RefineHomography, refine_homography
from diar_ops.geometry.refine_grid import RefineGrid, refine_grid
from diar_ops.geometry.transform import TransformedPoints, transform_points
from diar_ops.geometry.warp import WarpHomography, warp_homography

__all__ = [
    "BundleAdjustHomographies",
    "FrontalHomography",
    "LocalContrast",
    "RansacHomography",
    "RectifyHomography",
    "RefineGrid",
    "RefineHomography",
    "TransformedPoints",
    "WarpHomography",
    "bundle_adjust_homographies",
    "corner_error",
    "distort_points",
    "frontal_homography",
    "homography_distance",
    "homography_dlt",
    "homography_from_camera",
    "local_contrast",
    "normalize_homography",
    "ransac_homography",
    "rectify_homography",
    "refine_grid",
    "refine_homography",
    "transform_points",
    "undistort_points",
    "warp_homography",
]
