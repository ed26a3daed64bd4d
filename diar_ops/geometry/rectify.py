"""The frontal view of a rectangle, with its true proportions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from diar_ops._checks import check_floating, check_shapes, check_size, full_precision, widest_dtype
from diar_ops._module import OpModule
from diar_ops._types import ProportionSource, Reason, Rectification
from diar_ops.geometry._matrix3 import invert
from diar_ops.geometry._rectify.quads import unit_square_homography
from diar_ops.geometry._rectify.solve import solve_proportion
from diar_ops.geometry._rectify.views import around, check_sigma, image_centre, known_focal

# By so much less certain has the proportion to be without a source for that source to be named.
_TELLING = 1.4
# Step of the numerical derivatives by the corners, in shares of the image's longest side.
_JITTER = 1e-4
# Logarithm of what no picture is, so many times as long as wide.
_MOST_LOG_PROPORTION = 7.0


@full_precision
def rectify_homography(
    corners: Tensor,
    homography_view_image: Tensor | None = None,
    focal: Tensor | None = None,
    *,
    size: tuple[int, int],
    principal_point: Tensor | None = None,
    corner_sigma: float = 0.5,
    shared_focal: bool = False,
) -> Rectification:
    """Find the homography that shows a rectangle frontally, with its true proportions.

    Cameras have square pixels and no skew. Under such a camera, the sides of the rectangle are
    perpendicular and their lengths have one ratio, two equations per view for the proportion and
    the focal length (Zhang & He, Whiteboard scanning and image enhancement, Digital Signal
    Processing 17, 2007). All views of the same plane, each with a focal length of its own or all
    with one, are solved together by least squares (Triggs, Autocalibration from planar scenes, ECCV
    1998; Malis & Cipolla, Camera self-calibration from unknown planar structures, PAMI 2002), each
    equation weighted by its certainty: a frontal view tells the proportion whatever its focal
    length, a tilted one needs it. Focal lengths that nobody gives are held, softly, to what
    photos have: from 0.5 to 1.65 of the longest side in two of three.

    Args:
        corners: (B, 4, 2) corners (x, y) in pixels of the image, around the rectangle from what
            shall be its top-left one; floating point.
        homography_view_image: Optional (B, V, 3, 3) of other views, view ~ H @ image, in pixels.
            Pixels of a view are counted such that its principal point is that of the image; of
            another size or a part of a photo, shift it first. Those that are not finite, or see the
            corners across the horizon, are left out.
        focal: Optional (B,) focal length of the image in pixels, to some 3 %; NaN where unknown.
        size: (height, width) of the image.
        principal_point: Optional (B, 2), (x, y) in pixels; by default the middle of the image.
        corner_sigma: Standard deviation of the corners' coordinates, in pixels.
        shared_focal: Whether all views have the focal length of the image.

    Returns:
        :class:`Rectification` in the dtype of ``corners``. Differentiable with respect to
        corners, homographies, focal lengths and principal points. An item without success holds
        the identity, with the reason ``COLLINEAR`` where the corners are not those of a convex
        quadrilateral, else ``NOT_FINITE``: they, or what the solver made of them, are no numbers.

    Raises:
        ShapeError, DtypeError, DeviceError: The tensors do not fit together.
        OptionError: An option is out of range.

    Example:
        >>> K = torch.tensor([[800.0, 0.0, 319.5], [0.0, 800.0, 239.5], [0.0, 0.0, 1.0]])
        >>> c, s = 0.8776, 0.4794  # tilted by 29 degrees
        >>> R = torch.tensor([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])
        >>> H = homography_from_camera(K, R, torch.tensor([-1.2, -1.0, 6.0]))
        >>> picture = torch.tensor([[0.0, 0.0], [3.0, 0.0], [3.0, 2.0], [0.0, 2.0]])
        >>> found = rectify_homography(
        ...     transform_points(picture, H).points[None],
        ...     focal=torch.tensor([800.0]),
        ...     size=(480, 640),
        ... )
        >>> found.proportion.round(decimals=3)
        tensor([1.5000])
    """
    op = "rectify_homography"
    check_shapes(
        op,
        corners=(corners, "B 4 2"),
        homography_view_image=(homography_view_image, "? B V 3 3"),
        focal=(focal, "? B"),
        principal_point=(principal_point, "? B 2"),
    )
    check_floating(
        op, corners=corners, homography_view_image=homography_view_image, focal=focal, principal_point=principal_point
    )
    height, width = check_size(op, size)
    check_sigma(op, "corner_sigma", corner_sigma)
    dtype = widest_dtype(corners.device)
    longest = max(height, width)
    finite = corners.isfinite().all(-1).all(-1)
    points = torch.where(finite[:, None, None], corners, 0).to(dtype)
    like: dict[str, Any] = {"dtype": dtype, "device": corners.device}
    centre = image_centre(principal_point, points.shape[0], size, dtype, corners.device)
    G, convex = unit_square_homography(points)

    # Seen from the principal point, the longest side being 1.
    quad = (points - centre[:, None]) / longest
    jitter = _JITTER * torch.cat((torch.eye(8, **like), -torch.eye(8, **like))).reshape(16, 4, 2)
    moved = quad[:, None] + jitter
    views, usable = quad[:, None], (finite & convex)[:, None]
    moved_views = moved[:, :, None]
    if homography_view_image is not None:
        H = around(homography_view_image.to(dtype), centre, longest)
        seen, fits = _map_quads(quad[:, None], H)
        views, usable = torch.cat((views, seen), 1), torch.cat((usable, fits & usable), 1)
        moved_views = torch.cat((moved_views, _map_quads(moved[:, :, None], H[:, None])[0]), 2)
    log_focal, known = known_focal(focal, quad[:, 0, 0], longest)
    found = solve_proportion(
        views, moved_views, usable, log_focal, known, corner_sigma / longest / _JITTER, shared_focal
    )

    solved = found.sigma.isfinite() & found.log_proportion.isfinite() & found.log_focal.isfinite()
    solved = solved & (found.log_proportion.abs() < _MOST_LOG_PROPORTION)
    success = finite & convex & solved
    proportion = torch.where(success, found.log_proportion, 0).exp()
    sides = (points.roll(-1, -2) - points).norm(dim=-1)  # top, right, bottom, left
    tall = torch.maximum(sides[:, 1::2].amax(-1), sides[:, ::2].amax(-1) / proportion)
    extent = torch.stack((tall, tall * proportion), -1)
    homography = _frontal(G, extent)
    identity = torch.eye(3, **like)
    result = corners.dtype
    source = torch.full_like(found.sigma, ProportionSource.CORNERS, dtype=torch.int64)
    source = torch.where(found.sigma_unknown > _TELLING * found.sigma_alone, int(ProportionSource.FOCAL), source)
    source = torch.where(found.sigma_alone > _TELLING * found.sigma, int(ProportionSource.VIEWS), source)
    reason = torch.where(finite & ~convex, int(Reason.COLLINEAR), int(Reason.NOT_FINITE))
    return Rectification(
        homography=torch.where(success[:, None, None], homography, identity).to(result),
        size=torch.where(success[:, None], extent, 0).to(result),
        proportion=torch.where(success, proportion, 1).to(result),
        proportion_sigma=torch.where(success, found.sigma, torch.inf).detach().to(result),
        focal=torch.where(success, found.log_focal.exp() * longest, 0).to(result),
        source=source,
        success=success,
        reason=torch.where(success, int(Reason.OK), reason),
    )


class RectifyHomography(OpModule):
    """Find the frontal view of a rectangle. See :func:`rectify_homography`."""

    def __init__(self, *, size: tuple[int, int], corner_sigma: float = 0.5, shared_focal: bool = False) -> None:
        super().__init__()
        self.size = check_size("RectifyHomography", size)
        check_sigma("RectifyHomography", "corner_sigma", corner_sigma)
        self.corner_sigma = corner_sigma
        self.shared_focal = shared_focal

    def forward(
        self,
        corners: Tensor,
        homography_view_image: Tensor | None = None,
        focal: Tensor | None = None,
        *,
        principal_point: Tensor | None = None,
    ) -> Rectification:
        """Find the frontal view. See :func:`rectify_homography`."""
        return rectify_homography(
            corners,
            homography_view_image,
            focal,
            size=self.size,
            principal_point=principal_point,
            corner_sigma=self.corner_sigma,
            shared_focal=self.shared_focal,
        )


def _map_quads(quads: Tensor, homography: Tensor) -> tuple[Tensor, Tensor]:
    """Return quads (..., 4, 2) through (..., 3, 3), and whether each is a convex one in front of the camera."""
    finite = homography.isfinite().all(-1).all(-1)
    homography = torch.where(
        finite[..., None, None], homography, torch.eye(3, dtype=homography.dtype, device=homography.device)
    )
    mapped = quads @ homography[..., :2].mT + homography[..., 2][..., None, :]
    w = mapped[..., 2:]
    ahead = finite & ((w > 0).all(-1).all(-1) | (w < 0).all(-1).all(-1))
    points = mapped[..., :2] / torch.where(w == 0, 1, w)
    points = torch.where(ahead[..., None, None], points, quads)
    return points, ahead & unit_square_homography(points)[1]


def _frontal(homography_image_square: Tensor, extent: Tensor) -> Tensor:
    """Return image to rectified pixels: the unit square spans (height, width) = ``extent`` from (-0.5, -0.5)."""
    inverse = invert(homography_image_square)
    scaled = inverse[:, :2] * extent.flip(-1)[..., None] - 0.5 * inverse[:, 2:]
    frontal = torch.cat((scaled, inverse[:, 2:]), 1)
    scaled_to_unit: Tensor = frontal / torch.linalg.det(frontal).abs().pow(1 / 3)[:, None, None]
    return scaled_to_unit
