"""The frontal view of a plane, from its views alone."""

from __future__ import annotations

import torch
from torch import Tensor

from diar_ops._checks import check_floating, check_shapes, check_size, full_precision, widest_dtype
from diar_ops._module import OpModule
from diar_ops._pixels import constant
from diar_ops._types import FrontalView, Reason
from diar_ops.geometry._matrix3 import invert
from diar_ops.geometry._rectify.plane import focal_scale, solve_plane, turn_to
from diar_ops.geometry._rectify.views import around, check_sigma, image_centre, known_focal


@full_precision
def frontal_homography(
    homography_view_image: Tensor,
    focal: Tensor | None = None,
    *,
    size: tuple[int, int],
    principal_point: Tensor | None = None,
    view_sigma: float = 0.3,
    shared_focal: bool = False,
) -> FrontalView:
    """Find the homography that shows a plane frontally, from how other views see it.

    Nothing needs to be known of what is on the plane: cameras have square pixels and no skew, so
    that perpendicular lengths of one size on the plane stay so in each view, two equations per
    view for the plane's normal and the focal lengths (Triggs, Autocalibration from planar scenes,
    ECCV 1998; Malis & Cipolla, Camera self-calibration from unknown planar structures, PAMI 2002).
    Views in the direction of the image, from elsewhere, tell nothing; it takes some that are
    turned or tilted. From one other view two normals may remain; ``sigma`` says so. Up to three
    views of unknown focal lengths give no more equations than unknowns: then nothing contradicts
    a wrong normal, and ``sigma`` may be too small. Where the
    corners of a rectangle are known, :func:`rectify_homography` is surer.

    Args:
        homography_view_image: (B, V, 3, 3) of other views, view ~ H @ image, in pixels; floating
            point. Pixels of a view are counted such that its principal point is that of the image;
            of another size or a part of a photo, shift it first. Those that are not finite are
            left out.
        focal: Optional (B,) focal length of the image in pixels, to some 3 %; NaN where unknown:
            then it is held, softly, to what photos have, 0.5 to 1.65 of the longest side in two of
            three.
        size: (height, width) of the image, and of its views.
        principal_point: Optional (B, 2), (x, y) in pixels; by default the middle of the image.
        view_sigma: Standard deviation with which homographies place a view's corners, in pixels.
        shared_focal: Whether all views have the focal length of the image.

    Returns:
        :class:`FrontalView` in the dtype of the homographies. Differentiable with respect to
        homographies, focal lengths and principal points. An item without success
        (``NOT_FINITE``: no view is usable, or the search ended nowhere) holds the identity.

    Raises:
        ShapeError, DtypeError, DeviceError: The tensors do not fit together.
        OptionError: An option is out of range.

    Example:
        >>> K = torch.tensor([[800.0, 0.0, 319.5], [0.0, 800.0, 239.5], [0.0, 0.0, 1.0]])
        >>> def camera(c, s, axis):  # turned about x or y, at a distance of 6
        ...     turn = torch.eye(3)
        ...     i, j = (1, 2) if axis == "x" else (0, 2)
        ...     turn[i, i], turn[j, j], turn[i, j], turn[j, i] = c, c, s, -s
        ...     return homography_from_camera(K, turn, torch.tensor([0.0, 0.0, 6.0]))
        >>> image = camera(0.8776, 0.4794, "y")  # tilted by 28.6 degrees
        >>> views = torch.stack([camera(0.9801, 0.1987, "x"), camera(0.9553, -0.2955, "y")])
        >>> views = (views @ image.inverse())[None]
        >>> found = frontal_homography(views, torch.tensor([800.0]), size=(480, 640))
        >>> found.tilt.rad2deg().round()
        tensor([29.])
    """
    op = "frontal_homography"
    check_shapes(
        op,
        homography_view_image=(homography_view_image, "B V 3 3"),
        focal=(focal, "? B"),
        principal_point=(principal_point, "? B 2"),
    )
    check_floating(op, homography_view_image=homography_view_image, focal=focal, principal_point=principal_point)
    height, width = check_size(op, size)
    check_sigma(op, "view_sigma", view_sigma)
    dtype, device = widest_dtype(homography_view_image.device), homography_view_image.device
    longest = max(height, width)
    batch = homography_view_image.shape[0]
    centre = image_centre(principal_point, batch, size, dtype, device)
    usable = homography_view_image.isfinite().all(-1).all(-1)
    eye = torch.eye(3, dtype=dtype, device=device)
    H = torch.where(usable[..., None, None], homography_view_image.to(dtype), eye)
    H = around(H, centre, longest)
    usable = usable & (torch.linalg.det(H.detach()).abs() > torch.finfo(dtype).tiny)
    H = torch.where(usable[..., None, None], H, eye)
    log_focal, known = known_focal(focal, centre[:, 0], longest)
    sides = constant([width / longest, height / longest], dtype=dtype, device=device)
    found = solve_plane(H, usable, log_focal, known, sides, view_sigma / longest, shared_focal)

    normal, sigma = found.normal, found.sigma
    success = usable.any(-1) & found.log_focal.isfinite() & sigma.isfinite() & (normal[:, 2] > 0.05)
    normal = torch.where(success[:, None], normal, eye[2])
    log_length = torch.where(success, found.log_focal, 0)
    frontal = _recentred(normal, log_length)
    # Back to pixels of the image, around whose principal point nothing moves.
    to_unit = torch.cat((eye[:2] - centre[..., None] * eye[2], longest * eye[2:].expand(batch, 1, 3)), 1)
    homography = invert(to_unit) @ frontal @ to_unit
    homography = homography / torch.linalg.det(homography).abs().pow(1 / 3)[:, None, None]
    result = homography_view_image.dtype
    tilt = torch.atan2(normal[:, :2].norm(dim=-1), normal[:, 2])
    return FrontalView(
        homography=torch.where(success[:, None, None], homography, eye).to(result),
        tilt=tilt.detach().to(result),
        sigma=torch.where(success, sigma, torch.inf).to(result),
        focal=torch.where(success, log_length.exp() * longest, 0).to(result),
        success=success,
        reason=torch.where(success, int(Reason.OK), int(Reason.NOT_FINITE)),
    )


def _recentred(normal: Tensor, log_focal: Tensor) -> Tensor:
    """Return frontal ~ H @ image around the principal point, which stays where it is and as large as it is."""
    f = focal_scale(log_focal)
    turned = f[:, :, None] * turn_to(normal).mT / f[:, None]
    w = turned[:, 2, 2]
    scale = w.pow(1.5)  # areas at the principal point grow by w^-3
    linear = scale[:, None, None] * (turned[:, :2] - (turned[:, :2, 2] / w[:, None])[..., None] * turned[:, 2:])
    return torch.cat((linear, turned[:, 2:]), 1)


class FrontalHomography(OpModule):
    """Find the frontal view of a plane. See :func:`frontal_homography`."""

    def __init__(self, *, size: tuple[int, int], view_sigma: float = 0.3, shared_focal: bool = False) -> None:
        super().__init__()
        self.size = check_size("FrontalHomography", size)
        check_sigma("FrontalHomography", "view_sigma", view_sigma)
        self.view_sigma = view_sigma
        self.shared_focal = shared_focal

    def forward(
        self, homography_view_image: Tensor, focal: Tensor | None = None, *, principal_point: Tensor | None = None
    ) -> FrontalView:
        """Find the frontal view. See :func:`frontal_homography`."""
        return frontal_homography(
            homography_view_image,
            focal,
            size=self.size,
            principal_point=principal_point,
            view_sigma=self.view_sigma,
            shared_focal=self.shared_focal,
        )
