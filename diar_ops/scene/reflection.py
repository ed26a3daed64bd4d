"""What a pane of glass reflects, and how sharply: the same for both renderers."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from diar_ops.scene.types import GLASS_INDEX, Environment, Pane

#: Blur of less than this many texels is left out: interpolation between them blurs more.
LEAST_BLUR = 0.3


def dielectric_reflectance(cosine: Tensor) -> Tensor:
    """Return Fresnel's reflectance of unpolarised light by one face of glass.

    Args:
        cosine: Of the angle to the face's normal, outside the glass; in [0, 1].

    Source: Cook and Torrance 1982, of Fresnel's equations.
    """
    c = cosine
    g = (c * c + (GLASS_INDEX**2 - 1)).sqrt()
    across = (g - c) / (g + c)
    ratio = (c * (g + c) - 1) / (c * (g - c) + 1)
    return 0.5 * across * across * (1 + ratio * ratio)


def blur_environment(pane: Pane, environment: Environment) -> Tensor:
    """Return the images (B, E, 4, h, w) of cards as a pane shows them, blurred by its roughness.

    The weights of a Gaussian at the texels' centres are made to sum to 1, also at the borders.
    """
    image = environment.image
    if environment.centre.shape[1] == 0:
        return image
    front = F.pad(-pane.distance[:, None], (2, 0))[:, None, None]
    spread = pane.blur[:, None] * (environment.centre - front).norm(dim=-1).mean(1)  # [B, E]
    for side, dim in ((environment.right, -1), (environment.down, -2)):
        count = image.shape[dim]
        deviation = spread * count / (2 * side.norm(dim=-1).mean(1)).clamp_min(1e-12)
        index = (deviation > LEAST_BLUR).nonzero(as_tuple=True)
        if len(index[0]):
            place = torch.arange(count, dtype=image.dtype, device=image.device)
            offset = (place[:, None] - place) / deviation[index].to(image.dtype)[:, None, None]
            weight = (-0.5 * offset * offset).exp()
            weight = (weight / weight.sum(-1, keepdim=True))[:, None]
            blurred = image[index] @ weight.mT if dim == -1 else weight @ image[index]
            image = image.index_put(index, blurred)
    return image
