"""Render planar scenes in torch: the world of the Cycles renderer, at the speed of training."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from diar_ops._checks import (
    check_floating,
    check_has_values,
    check_option,
    check_shapes,
    eager,
    full_precision,
    is_integer,
    solve_dtype,
)
from diar_ops.colour import linear_to_srgb, srgb_to_linear
from diar_ops.scene._render.frames import move, prepare_frames
from diar_ops.scene._render.plane_view import TAPS
from diar_ops.scene._render.tiles import tile_rays
from diar_ops.scene._render.trace import trace
from diar_ops.scene._scene_checks import check_scene
from diar_ops.scene.bends import scene_displacement
from diar_ops.scene.plane import scene_homography
from diar_ops.scene.types import PlanarScene

#: Rays of one chunk: what stays in a processor's cache, and what keeps a GPU busy.
CHUNK = {"cpu": 2**17, "cuda": 2**22}
#: What is smooth is computed at nodes, this far apart at most: in pixels, and in picture sides.
NODE_SPACING = (4.0, 0.04)


class RenderedScene(NamedTuple):
    """Rendered frames of B sequences, in linear light.

    Attributes:
        radiance: (B, T, 3, h, w) linear R, G, B; not clipped, white paper in label light is 1.
        label: (B, 3, h, w) sRGB, the picture in even white light.
        homography_frame_label: (B, T, 3, 3) float64, frame ~ H @ label.
        visible: (B, T, 1, h, w) bool, the pixel looks at the picture, whatever is in front.
        occluded: (B, T, 1, h, w) bool, something is in front of the picture's plane.
        shadow: (B, T, 1, h, w) bool, the picture is seen and gets less than three quarters of
            the light that could fall on it.
        highlight: (B, T, 1, h, w) bool, the picture is seen and reflects a radiance above 0.1.
        displacement_frame_label: (B, T, 2, h, w) float64, where the frame shows a pixel of the
            label is H @ label plus this many pixels; see ``scene_displacement``. Zero, and a view
            of one number, where the scene has no bends.
    """

    radiance: Tensor
    label: Tensor
    homography_frame_label: Tensor
    visible: Tensor
    occluded: Tensor
    shadow: Tensor
    highlight: Tensor
    displacement_frame_label: Tensor


@eager
@full_precision
def render_planar_scene(texture: Tensor, scene: PlanarScene, *, shadow_detail: int = 4) -> RenderedScene:
    """Render pictures in planar scenes.

    The world is that of :class:`PlanarScene`, with its radiometry, and so that of the Cycles
    renderer: pinhole cameras; a diffuse picture with a GGX lobe, with a varnish or without;
    spheres, spots and squares of light whose distance, size and shape show in brightness, in soft
    shadows and in highlights; objects that hide the picture, cast shadows on it and occlude
    surrounding light; mirrors and glass that show the picture; panes and gloss coats before it that
    mirror an :class:`Environment`. A closed form or a quadrature
    stands where Cycles draws samples, so there is no noise, and nothing is random. Left out:
    interreflection of objects, shadows on objects, objects in mirrors and in glass.

    A bent picture (``scene.bends``) is met by each ray where its surface is; its slope counts for
    lights and highlights. Its shadows, and what things keep off it, are those of the plane below;
    mirrors and glass show it flat, and it casts no shadow on itself or on the wall, which goes
    on at the height of the picture's edge.

    Frames are rendered by the same matrices that are returned as ground truth: a pixel is the
    mean of the picture over its square.

    Args:
        texture: (B, 3, H, W) sRGB in [0, 1], floating point, of any size: the pictures. What is
            finer than half a pixel of the frames is averaged first.
        scene: Of B sequences; what :func:`sample_planar_scene` or ``scene_from_document`` made.
        shadow_detail: A light counts as up to this many squared parts, where it looks larger
            than an object that hides it. More is smoother and slower.

    Returns:
        The :class:`RenderedScene`, on the device of ``texture``; radiance and label in its dtype.
        Computed in at least float32. Differentiable with respect to ``texture`` and to lights,
        colours, ambient and environment of the scene; masks and edges of things and cards are not.
        NaN in a texture stays in its sequence, at the pixels that show it. Which rays meet what
        decides about sizes: compiled code calls the renderer as it is
        (``torch.compiler.disable``), it cannot be
        exported, and ``vmap`` refuses it (it takes batches). A GPU is waited for eight times, and
        seven times for each further chunk of frames, with panes once more for each.

    Raises:
        ShapeError: ``texture`` is not (B, 3, H, W) with the B of the scene, or the scene does not
            fit together.
        DtypeError: ``texture`` is not floating point, or the scene is not float64.
        OptionError: ``texture`` has no pixels, the scene holds NaN or infinity, or
            ``shadow_detail`` is not 1 to 8.

    Source: see ``_render/microfacet.py`` and ``_render/primitives.py`` for the closed forms.

    Example:
        >>> generator, size = torch.Generator().manual_seed(0), (24, 32)
        >>> scene = sample_planar_scene(frames=2, size=size, picture_size=size, generator=generator)
        >>> rendered = render_planar_scene(torch.rand(1, 3, 48, 64, generator=generator), scene)
        >>> rendered.radiance.shape, rendered.label.shape
        (torch.Size([1, 2, 3, 24, 32]), torch.Size([1, 3, 24, 32]))
        >>> rendered.homography_frame_label[0, 0].round(decimals=2)  # frame 0 sees just the picture
        tensor([[1., 0., 0.],
                [0., 1., 0.],
                [0., 0., 1.]], dtype=torch.float64)
    """
    op = "render_planar_scene"
    check_shapes(op, texture=(texture, "B 3 H W"))
    check_floating(op, texture=texture)
    check_has_values(op, texture=texture)
    check_option(op, min(texture.shape[-2:]) > 0, "a texture with pixels", list(texture.shape))
    check_scene(op, scene, batch=len(texture))
    fits = is_integer(shadow_detail) and 1 <= shadow_detail <= 8
    check_option(op, fits, "shadow_detail from 1 to 8", shadow_detail)

    batch, frames = scene.K.shape[:2]
    dtype, device = solve_dtype(texture.dtype), texture.device
    H = scene_homography(scene)
    prepared = prepare_frames(scene, H, dtype, device)
    used_slots = prepared.used_slots()
    linear = _prefilter(srgb_to_linear(texture.to(dtype)), scene.size)
    rays = tile_rays(scene.size, min(NODE_SPACING[0], NODE_SPACING[1] * max(scene.size)), dtype, device)
    limit = max(1, CHUNK.get(device.type, CHUNK["cuda"]) // rays.u.numel())
    channels = (3, 1, 1, 1, 1)
    parts = [
        [texture.new_empty((0, count, *scene.size), dtype=torch.bool if i else dtype)]
        for i, count in enumerate(channels)
    ]
    for start, stop in _chunks(batch, frames, limit):
        chunk = prepared.chunk(start, stop, used_slots)
        pictures = linear[start // frames : (stop - 1) // frames + 1]
        for part, image in zip(parts, trace(chunk, pictures, rays, scene.size, shadow_detail), strict=True):
            part.append(image)
    radiance, *masks = (
        torch.cat(part).reshape(batch, frames, count, *scene.size) for part, count in zip(parts, channels, strict=True)
    )
    displacement = scene_displacement(scene)
    if scene.bends is None:  # one zero, on a GPU too
        displacement = torch.zeros((), dtype=H.dtype, device=device).expand_as(displacement)
    else:
        displacement = move(displacement, device)
    return RenderedScene(
        radiance.to(texture.dtype),
        linear_to_srgb(_render_label(linear, scene.size)).to(texture.dtype),
        H.to(device),
        *(*masks, displacement),
    )


def _chunks(batch: int, frames: int, limit: int) -> list[tuple[int, int]]:
    """Cut B T frames into chunks of about ``limit``: whole sequences, or equal parts of one."""
    total = batch * frames
    if total == 0:
        return []
    if limit >= frames:
        step = limit // frames * frames
        return [(i, min(i + step, total)) for i in range(0, total, step)]
    count = -(-frames // limit)
    cuts = [frames * i // count for i in range(count + 1)]
    pairs = list(pairwise(cuts))
    return [(b * frames + i, b * frames + j) for b in range(batch) for i, j in pairs]


def _prefilter(linear: Tensor, size: tuple[int, int]) -> Tensor:
    """Average a picture down to about twice the size of the frames, as dense as the taps."""
    target = [min(have, 2 * want) for have, want in zip(linear.shape[-2:], size, strict=True)]
    if list(linear.shape[-2:]) == target or len(linear) == 0:
        return linear
    # Not mode="area": its cells are whole texels, so that their centres are off by parts of one.
    return F.interpolate(linear, size=target, mode="bilinear", antialias=True)


def _render_label(linear: Tensor, size: tuple[int, int]) -> Tensor:
    """Return what an aligned camera sees in uniform light, by the taps of a pixel."""
    if len(linear) == 0:
        return linear.new_empty(0, 3, *size)
    # Positions of pixel centres from -1 to 1, as grid_sample counts them.
    y, x = ((2 * torch.arange(n, dtype=linear.dtype, device=linear.device) + 1) / n - 1 for n in size)
    total = torch.zeros((), dtype=linear.dtype, device=linear.device)
    for j in TAPS:
        for i in TAPS:
            rows, columns = torch.meshgrid(y + 2 * j / size[0], x + 2 * i / size[1], indexing="ij")
            grid = torch.stack((columns, rows), dim=-1).expand(len(linear), -1, -1, -1)
            value = F.grid_sample(linear, grid, padding_mode="border", align_corners=False)
            total = total + value
    return total / len(TAPS) ** 2
