"""Trace rays from the cameras: the plane, objects in front of it, mirrors and glass."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops.scene._render.edges import EDGE_RAYS, EdgePixels, find_edges, view_edges
from diar_ops.scene._render.frames import RenderFrames
from diar_ops.scene._render.hits import Hits, find_hits
from diar_ops.scene._render.object_shading import ObjectShading, shade_objects
from diar_ops.scene._render.plane_view import PixelRays, PlaneView, view_plane
from diar_ops.scene._render.secondary import add_secondary_rays
from diar_ops.scene._render.tiles import untile
from diar_ops.scene.flags import HIGHLIGHT, SHADOW


class TracedFrames(NamedTuple):
    """What frames show.

    Attributes:
        radiance: (F, 3, h, w).
        visible: (F, 1, h, w) bool, the picture is there, covered or not.
        occluded: As ``visible``, an object is in front of the plane.
        shadow: As ``visible``, see :class:`FrameFlag`.
        highlight: As ``visible``.
    """

    radiance: Tensor
    visible: Tensor
    occluded: Tensor
    shadow: Tensor
    highlight: Tensor


def trace(frames: RenderFrames, pictures: Tensor, rays: PixelRays, size: tuple[int, int], points: int) -> TracedFrames:
    """Trace rays through all pixels of frames, and more through those whose neighbours show another surface.

    Args:
        frames: The frames.
        pictures: (S, 3, H, W) linear, each for an equal number of frames one after the other.
        rays: Through the pixels.
        size: (height, width) of the frames.
        points: See :func:`search_beams`.
    """
    plane = view_plane(frames, pictures, rays, points)
    hits = find_hits(frames, plane)
    surface = _front_surface(plane.inside, hits)
    edges = find_edges(untile(surface, size)[:, 0])
    fine, fine_hits = None, None
    if edges is not None:
        rows = frames.select(edges.packed.frame)
        fine = view_edges(rows, pictures, plane, edges, size)
        fine_hits = find_hits(rows, fine, edges.packed.frame)

    everything = hits if fine_hits is None else fine_hits if hits is None else hits.join(fine_hits)
    radiance = plane.radiance
    if everything is not None:
        mean = radiance.flatten(2).nanmean(-1)
        shading = add_secondary_rays(frames, pictures, everything, shade_objects(frames, everything, mean))
        count = 0 if hits is None else len(hits.frame)
        radiance = _composite(radiance, hits, shading.select(slice(0, count)))
        if fine is not None:
            fine = fine._replace(radiance=_composite(fine.radiance, fine_hits, shading.select(slice(count, None))))
    radiance, occluded, visible = (untile(field, size) for field in (radiance, surface > 1, plane.inside))
    if edges is not None and fine is not None:
        radiance, occluded = _put_edges(radiance, occluded, edges, fine, _front_surface(fine.inside, fine_hits) > 1)
    clear = visible & ~occluded
    shadow = (plane.shading.shadowing[:, 0] > 1 - SHADOW).reshape(plane.x.shape)
    highlight = (plane.shading.specular.mean(1) > HIGHLIGHT).reshape(plane.x.shape)
    return TracedFrames(radiance, visible, occluded, untile(shadow, size) & clear, untile(highlight, size) & clear)


def _front_surface(inside: Tensor, hits: Hits | None) -> Tensor:
    """Return which surface (F, R, N) int32 is in front: 0 or 1 is the plane."""
    surface = inside.to(torch.int32)
    if hits is None:
        return surface
    code = 2 + 4 * hits.slot[:, None].to(torch.int32) + hits.face
    for index in hits.ranks:
        if len(index):
            place = hits.place[0][index], hits.place[1][index]
            surface[place] = torch.where(hits.hit[index], code[index], surface[place])
    return surface


def _composite(radiance: Tensor, hits: Hits | None, shading: ObjectShading) -> Tensor:
    """Put objects over the plane's radiance (F, 3, R, N), from the farthest to the nearest."""
    if hits is None:
        return radiance
    channels = torch.arange(3, device=radiance.device)
    for index in hits.ranks:
        if len(index):
            pixels = (hits.place[0][index, None], channels, hits.place[1][index, None])
            under = radiance[pixels]
            over = shading.radiance[index] + shading.transmittance[index] * under
            radiance = radiance.index_put(pixels, torch.where(hits.hit[index, None], over, under))
    return radiance


def _put_edges(
    radiance: Tensor, occluded: Tensor, edges: EdgePixels, fine: PlaneView, hidden: Tensor
) -> tuple[Tensor, Tensor]:
    """Replace pixels on edges of images (F, 3 or 1, h, w) by what their rays see."""
    samples, position = len(EDGE_RAYS), edges.packed.position
    mean = fine.radiance.reshape(len(hidden), 3, -1, samples).mean(-1).movedim(1, 2).flatten(0, 1)[position]
    pixels = (edges.frame, edges.row, edges.column)
    radiance = radiance.movedim(1, 3).index_put(pixels, mean).movedim(3, 1)
    # A pixel is covered if any of its rays is; then nothing is said about the picture's light.
    covered = hidden.reshape(len(hidden), -1, samples).any(-1).flatten()[position]
    images = occluded[:, 0]
    return radiance, images.index_put(pixels, images[pixels] | covered)[:, None]
