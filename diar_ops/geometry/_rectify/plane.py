"""How a plane lies to the camera that sees it, from what homographies lead to its other views.

A plane whose unit axes are r1, r2 in the camera of the image is seen in view i through
``P = K_i^-1 H_i K``, with H_i from the image to the view and ``K = diag(f, f, 1)``. Axes that are
perpendicular and of one length stay so under a true camera, whatever its distance, so that

    (P r1)' (P r2) = 0,        |P r1| = |P r2|

for the true normal r3 and focal lengths: two equations per view (Triggs, Autocalibration from planar
scenes, ECCV 1998). As residuals: the cosine between the axes, and the log of the ratio of their lengths.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from diar_ops._pixels import constant
from diar_ops.geometry._matrix3 import invert
from diar_ops.geometry._operator import define_operator
from diar_ops.geometry._rectify.quads import unit_square_homography
from diar_ops.geometry._rectify.solve import KNOWN_FOCAL_SIGMA, UNKNOWN_FOCAL, UNKNOWN_FOCAL_SIGMA

#: Tilts (in degrees) and directions that the search begins from: two views of a plane leave two normals.
_TILTS, _DIRECTIONS = (15, 35, 55), 8
_SEARCH_STEPS, _STEPS = 12, 8
#: Keeps the normal equations solvable: radians by which a normal that nothing tells may be off.
_NORMAL_SIGMA = 1.0
#: No step is longer, in radians and in log of the focal length.
_LONGEST_STEP = 0.3
#: A second normal, by more than so many standard deviations from the first, is as good where its chi-squared is
#: within so much of the best.
_APART, _AS_GOOD = 3.0, 9.0
# Step of the numerical derivatives by the corners, in shares of the image's longest side.
_JITTER = 1e-4


class Plane(NamedTuple):
    """How a plane lies to the camera.

    Attributes:
        normal: (B, 3) unit vector away from the camera, z > 0.
        sigma: (B,) standard deviation of its direction, where it is largest, in radians.
        log_focal: (B,) of the image.
    """

    normal: Tensor
    sigma: Tensor
    log_focal: Tensor


def solve_plane(
    homography: Tensor, usable: Tensor, log_focal: Tensor, known: Tensor, sides: Tensor, sigma: float, shared: bool
) -> Plane:
    """Fit the plane's normal and the focal lengths to homographies from the image to its views.

    Gauss-Newton from several normals at once.

    Args:
        homography: (B, V, 3, 3), principal points at 0, the longest side 1.
        usable: (B, V) bool.
        log_focal: (B,) of the image; read where ``known``.
        known: (B,) bool.
        sides: (2,) width and height of a view, the longest 1.
        sigma: Standard deviation of the coordinates of a view's corners, in that unit.
        shared: Whether all views have one focal length.
    """
    arguments = (homography, usable, log_focal, known, sides, sigma, shared)
    return Plane(*(_operator(*arguments) if torch.compiler.is_compiling() else _solve_plane(*arguments)))


def _solve_plane(
    homography: Tensor, usable: Tensor, log_focal: Tensor, known: Tensor, sides: Tensor, sigma: float, shared: bool
) -> Plane:
    problem = _Problem(homography, usable, log_focal, known, sides, sigma, shared)
    with torch.no_grad():
        normal, focal = problem.starts()
        for _ in range(_SEARCH_STEPS):
            normal, focal, *_ = problem.step(normal, focal)
        _, _, cost, _ = problem.step(normal, focal)
        cost = torch.where(cost.isfinite() & (normal[..., 2] > 0), cost, torch.inf)
        best = cost.argmin(1, keepdim=True)
        others, other_cost = normal, cost
        normal, focal = (x.gather(1, best[..., None].expand(-1, -1, x.shape[-1])) for x in (normal, focal))
    # What the search began from does not matter to the solution, nor to its derivative.
    for _ in range(_STEPS):
        normal, focal, *_ = problem.step(normal, focal)
    _, _, cost, covariance = problem.step(normal, focal)
    freedom = (2 * usable.sum(-1) - 2 - (0 if shared else usable.sum(-1))).clamp_min(1)
    misfit = (cost[:, 0] / freedom).clamp_min(1)
    spread = covariance[:, 0, :2, :2]
    half, difference = (spread[:, 0, 0] + spread[:, 1, 1]) / 2, (spread[:, 0, 0] - spread[:, 1, 1]) / 2
    largest = half + (difference.square() + spread[:, 0, 1].square()).sqrt()
    told = (largest * misfit).clamp_min(0).sqrt()
    angle = torch.atan2(torch.linalg.cross(others, normal).norm(dim=-1), (others * normal).sum(-1))
    rival = (angle > _APART * told[:, None]) & (other_cost < cost + _AS_GOOD * misfit[:, None])
    doubt = torch.where(rival, angle, 0).amax(1)
    return Plane(normal[:, 0], torch.maximum(told, doubt).detach(), focal[:, 0, 0])


class _Problem:
    """The equations of all views, for S candidates at a time."""

    def __init__(
        self,
        homography: Tensor,
        usable: Tensor,
        log_focal: Tensor,
        known: Tensor,
        sides: Tensor,
        sigma: float,
        shared: bool,
    ) -> None:
        count = homography.shape[1]
        self.like: dict[str, Any] = {"dtype": homography.dtype, "device": homography.device}
        quad = constant([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]], **self.like) * sides
        moved = quad + _JITTER * torch.eye(8, **self.like).view(8, 4, 2)
        jitters = unit_square_homography(moved)[0] @ invert(unit_square_homography(quad)[0])
        # Homographies as found, and with each coordinate of a view's corners moved.
        self.views = torch.cat((homography[:, :, None], jitters @ homography[:, :, None]), 2)  # [B, V, 9, 3, 3]
        self.kept = usable.to(homography)
        self.sigma = sigma
        # Which of the F focal lengths is that of a view, (V, F), and of the image, (F,).
        self.own = torch.ones(count, 1, **self.like) if shared else torch.eye(count + 1, **self.like)[1:]
        self.image = torch.eye(self.own.shape[1], **self.like)[0]
        told = known[:, None] & self.image.bool()
        self.centre = torch.where(told, log_focal[:, None], UNKNOWN_FOCAL)
        scatter = UNKNOWN_FOCAL_SIGMA + (KNOWN_FOCAL_SIGMA - UNKNOWN_FOCAL_SIGMA) * told.to(homography)
        self.prior = torch.cat((torch.full_like(scatter[:, :1].expand(-1, 2), _NORMAL_SIGMA), scatter), 1) ** -2

    def starts(self) -> tuple[Tensor, Tensor]:
        """Return normals (B, S, 3) and log focal lengths (B, S, F) to begin from."""
        tilts = [(0.0, 0.0)] + [
            (math.radians(tilt), 2 * math.pi * i / _DIRECTIONS) for tilt in _TILTS for i in range(_DIRECTIONS)
        ]
        normals = [(math.sin(t) * math.cos(d), math.sin(t) * math.sin(d), math.cos(t)) for t, d in tilts]
        normal = constant(normals, **self.like)
        return normal.expand(len(self.kept), -1, -1), self.centre[:, None].expand(-1, len(normals), -1)

    def step(self, normal: Tensor, focal: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the next normals and focal lengths, and the chi-squared (B, S) and covariance of these."""
        axes = turn_to(normal)  # [B, S, 3, 3]
        scale = focal_scale(focal @ self.image)  # [B, S, 3]
        inverse = 1 / focal_scale(focal @ self.own.mT)  # [B, S, V, 3]
        # Rows of a view's rays, columns of the plane's axes: [B, S, V, 9, 3, 3].
        along = scale[..., None] * axes
        P = inverse[:, :, :, None, :, None] * (self.views[:, None] @ along[:, :, None, None])
        a, b, z = P.unbind(-1)
        residual = _residuals(a, b)  # [B, S, V, 9, 2]
        error = (residual[..., 1:, :] - residual[..., :1, :]) * (self.sigma / _JITTER)
        a, b, z, residual = a[..., 0, :], b[..., 0, :], z[..., 0, :], residual[..., 0, :]
        flat = constant([1.0, 1.0, 0.0], **self.like)
        # How the axes move: with the normal, about r1 and r2; with the focal length of the image, and of the view.
        bent = inverse[:, :, :, :, None] * (self.views[:, None, :, 0] @ (flat[:, None] * along)[:, :, None])
        moves = [(torch.zeros_like(a), z), (-z, torch.zeros_like(a)), bent.unbind(-1)[:2], (-flat * a, -flat * b)]
        normal1, normal2, image, own = (_slopes(a, b, da, db, residual[..., 0]) for da, db in moves)
        lengths = image[..., None] * self.image + own[..., None] * self.own[:, None]
        jacobian = torch.cat((normal1[..., None], normal2[..., None], lengths), -1)  # [B, S, V, 2, 2 + F]
        weight = torch.linalg.inv_ex(error.mT @ error).inverse * self.kept[:, None, :, None, None]
        weighted = jacobian.mT @ weight
        prior = self.prior[:, None]
        information = (weighted @ jacobian).sum(2) + torch.diag_embed(prior)
        pull = torch.cat(
            (torch.zeros_like(focal[..., :1]).expand(*focal.shape[:2], 2), self.centre[:, None] - focal), -1
        )
        right = pull * prior - (weighted @ residual[..., None]).sum(2)[..., 0]
        covariance = torch.linalg.inv_ex(information).inverse
        move = (covariance @ right[..., None])[..., 0].clamp(-_LONGEST_STEP, _LONGEST_STEP)
        chi = ((residual[..., None, :] @ weight @ residual[..., None])[..., 0, 0]).sum(2)
        chi = chi + (pull.square() * prior).sum(-1)
        turned = normal - move[..., :1] * axes[..., 1] + move[..., 1:2] * axes[..., 0]
        return turned / turned.norm(dim=-1, keepdim=True), focal + move[..., 2:], chi, covariance


def turn_to(normal: Tensor) -> Tensor:
    """Return the least rotation (..., 3, 3) that takes the optical axis to unit vectors (..., 3) with z > -1."""
    x, y, z = normal.unbind(-1)
    # Behind the camera there is nothing to be found; the search may pass there.
    share = 1 / (1 + z).clamp_min(1e-3)
    first = torch.stack((1 - share * x * x, -share * x * y, -x), -1)
    second = torch.stack((-share * x * y, 1 - share * y * y, -y), -1)
    return torch.stack((first, second, normal), -1)


def focal_scale(log_focal: Tensor) -> Tensor:
    """Return the diagonal (..., 3) of the calibration of a camera."""
    f = log_focal.exp()
    return torch.stack((f, f, torch.ones_like(f)), -1)


def _residuals(a: Tensor, b: Tensor) -> Tensor:
    aa, bb = a.square().sum(-1), b.square().sum(-1)
    return torch.stack(((a * b).sum(-1) * (aa * bb).rsqrt(), 0.5 * (aa / bb).log()), -1)


def _slopes(a: Tensor, b: Tensor, da: Tensor, db: Tensor, cosine: Tensor) -> Tensor:
    """Return how both residuals (..., 2) move where the axes do."""
    aa, bb = a.square().sum(-1), b.square().sum(-1)
    along_a, along_b = (a * da).sum(-1) / aa, (b * db).sum(-1) / bb
    across = ((da * b).sum(-1) + (a * db).sum(-1)) * (aa * bb).rsqrt()
    return torch.stack((across - cosine * (along_a + along_b), along_a - along_b), -1)


_operator = define_operator(
    "solve_plane",
    "Tensor homography, Tensor usable, Tensor log_focal, Tensor known, Tensor sides, float sigma, bool shared",
    len(Plane._fields),
    _solve_plane,
    lambda homography, *others: (
        homography.new_empty(homography.shape[0], 3),
        homography.new_empty(homography.shape[0]),
        homography.new_empty(homography.shape[0]),
    ),
)
