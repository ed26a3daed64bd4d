"""Procedural textures: typeset pages, posters, drawings, maps, facades, materials."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from diar_ops._checks import check_option, check_size
from diar_ops._seeds import fresh_generator
from diar_ops.textures._procedural.canvas import Image
from diar_ops.textures._procedural.drawings import drawing
from diar_ops.textures._procedural.facades import facade
from diar_ops.textures._procedural.forms import form
from diar_ops.textures._procedural.maps import map_sheet
from diar_ops.textures._procedural.materials import material
from diar_ops.textures._procedural.pages import page
from diar_ops.textures._procedural.patterns import gradient
from diar_ops.textures._procedural.posters import poster
from diar_ops.textures._procedural.rng import Rng

#: How each kind is drawn, and its share where no kind is requested.
_KINDS: dict[str, tuple[Callable[[Rng, tuple[int, int]], Image], float]] = {
    "page": (page, 0.26),
    "form": (form, 0.12),
    "poster": (poster, 0.2),
    "drawing": (drawing, 0.13),
    "map": (map_sheet, 0.08),
    "facade": (facade, 0.08),
    "gradient": (gradient, 0.05),
    "noise": (material, 0.08),
}
#: What :func:`procedural_texture` can draw.
TEXTURE_KINDS = tuple(_KINDS)


def procedural_texture(
    generator: torch.Generator | None = None, *, size: tuple[int, int] = (256, 256), kind: str | None = None
) -> Tensor:
    """Draw a picture that could hang on a wall or lie on a desk.

    Pages and forms are set in real fonts, with words that are frequent English ones or made up;
    posters carry large type over shapes; drawings are solids, landscapes, plants, plans; noise is
    marble, wood, stone, paper, cloth. Everything is drawn at twice the size and reduced.

    Args:
        generator: Source of randomness: one number of it seeds all choices. A fresh one, seeded by
            the operating system, if None.
        size: (height, width) in pixels. What a kind looks like scales with the shorter side, type
            not below what can be told apart.
        kind: One of :data:`TEXTURE_KINDS`; drawn at random if None, about half of them text.

    Returns:
        (3, H, W) float32 sRGB in [0, 1], on the CPU. The same state of the generator gives the
        same picture, with the same versions of NumPy, Pillow and OpenCV.

    Raises:
        OptionError: ``size`` or ``kind`` is not as stated.
        DiarError: The fonts are not installed; the message says how to get them.
    """
    check_size("procedural_texture", size)
    known = kind is None or kind in _KINDS
    check_option("procedural_texture", known, f"kind to be one of {', '.join(_KINDS)}", kind)
    generator = fresh_generator() if generator is None else generator
    seed = torch.randint(2**62, (), generator=generator, device=generator.device)
    rng = Rng(int(seed))
    quantile = rng.uniform(0, 1)
    if kind is None:
        edges = np.cumsum([share for _, share in _KINDS.values()])
        kind = TEXTURE_KINDS[min(int(np.searchsorted(edges, quantile)), len(_KINDS) - 1)]
    image = _KINDS[kind][0](rng, (int(size[0]), int(size[1])))
    planes = np.ascontiguousarray(np.moveaxis(image, 2, 0), dtype=np.float32)
    return torch.from_numpy(planes).clamp_(0, 1)
