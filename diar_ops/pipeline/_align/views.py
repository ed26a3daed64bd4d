"""Copies of frames as they would look from elsewhere: foreshortened, turned, of other sizes."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from diar_ops._pixels import image_gradient
from diar_ops.geometry import local_contrast, warp_homography
from diar_ops.pipeline._frames import WorkingCopy

#: Longest side of the copies by which the foreshortening is estimated, in pixels.
_SHAPE_SIZE = 256
#: Rounds of that, each on the view that the one before gives; and of its fixed-point iteration.
_ROUNDS, _STEPS = 3, 10
#: Gradient of the local contrast below which a pixel has no direction.
_LEAST_GRADIENT = 0.05
#: Views are foreshortened by this factor at most: what a tilt of 83 degrees does.
_MOST_FORESHORTENING = 8.0


def affine_view(copy: WorkingCopy, linear: Tensor) -> WorkingCopy:
    """Return a copy seen through an affine map: view ~ [linear | shift] @ copy.

    All of the copy is in the view; each of its pixels is the mean over its footprint in the copy.

    Args:
        copy: The copy.
        linear: (2, 2) float64, regular.
    """
    height, width = copy.size
    corners = torch.tensor([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], dtype=torch.float64)
    mapped = corners @ linear.mT
    low, high = mapped.amin(0), mapped.amax(0)
    columns, rows = (high - low).ceil().long().add(1).tolist()
    homography = torch.eye(3, dtype=torch.float64)
    homography[:2, :2], homography[:2, 2] = linear, -low
    warped = warp_homography(copy.image, homography[None].to(copy.image), copy.valid, size=(rows, columns))
    return WorkingCopy(warped.image, warped.valid, homography @ copy.homography_copy_frame)


def rotation(angle: float) -> Tensor:
    """Return the (2, 2) rotation by ``angle`` radians, float64."""
    c, s = math.cos(angle), math.sin(angle)
    return torch.tensor([[c, -s], [s, c]], dtype=torch.float64)


def upright_shape(copy: WorkingCopy) -> Tensor:
    """Return the (2, 2) map under which a copy's gradients have no preferred direction.

    A picture seen from the side has its gradients along the direction in which it is foreshortened.
    Two photos of one picture, each foreshortened until its gradients point everywhere alike, differ
    by little but a rotation and a scale, whatever sides they were taken from: tilted by 50 to 75
    degrees against each other, nine pairs of ten are left with less than 60. That saves trying the
    foreshortenings one by one, as ASIFT does.

    The shape of the gradients' distribution is Tyler's estimate, which no lamp nor edge dominates:
    all gradients count the same. It is taken of the local contrast, which light does not change,
    and again on the view that it gives, since blur and pixels are round in the copy as it is.

    Args:
        copy: The copy.

    Returns:
        (2, 2) float64, symmetric, its larger eigenvalue 1: it foreshortens in one direction.

    Source: Lindeberg and Garding, Shape-adapted smoothing in estimation of 3-D shape cues from
    affine deformations of local 2-D brightness structure (Image and Vision Computing 1997); Tyler,
    A distribution-free M-estimator of multivariate scatter (Annals of Statistics 1987).
    """
    shrink = min(1.0, _SHAPE_SIZE / max(copy.size))
    small = affine_view(copy, shrink * torch.eye(2, dtype=torch.float64))
    small = replace(small, image=small.image.mean(1, keepdim=True))
    shape, view = torch.eye(2, dtype=torch.float64), small
    for _ in range(_ROUNDS):
        shape = _foreshorten(_gradient_shape(view) @ shape)
        view = affine_view(small, shape)
    return shape


def _foreshorten(linear: Tensor) -> Tensor:
    """Return the symmetric map that foreshortens as ``linear`` does, its larger eigenvalue 1."""
    _, stretch, directions = torch.linalg.svd(linear)
    stretch = (stretch / stretch[0]).clamp_min(1 / _MOST_FORESHORTENING)
    foreshorten: Tensor = directions.mT @ torch.diag(stretch) @ directions
    return foreshorten


def _gradient_shape(view: WorkingCopy) -> Tensor:
    """Return the (2, 2) map after which the gradients of a view point everywhere alike; det = 1."""
    contrast, known = local_contrast(view.image, view.valid)
    dx, dy = image_gradient(torch.where(known, contrast, 0.0))
    inside = torch.nn.functional.max_pool2d((~known).float(), 3, 1, 1) == 0
    gradients = torch.stack([dx[inside], dy[inside]], -1).double()
    gradients = gradients[gradients.norm(dim=-1) > _LEAST_GRADIENT].cpu()
    shape = torch.eye(2, dtype=torch.float64)
    if len(gradients) < 100:
        return shape
    for _ in range(_STEPS):
        distance = torch.einsum("ni,ij,nj->n", gradients, torch.linalg.inv(shape), gradients)
        shape = 2 * (gradients.mT / distance) @ gradients / len(gradients)
        # Gradients all along one line have no shape.
        shape = shape + 1e-3 * torch.diag(shape).mean() * torch.eye(2, dtype=torch.float64)
    shape = shape / torch.linalg.det(shape).sqrt()
    values, directions = torch.linalg.eigh(shape)
    root: Tensor = directions @ torch.diag(values.sqrt()) @ directions.mT
    return root
