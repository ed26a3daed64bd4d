"""Trace rays from the cameras: the plane, objects in front of it, mirrors and glass."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops.scene._render.edges import SAMPLES, EdgePixels, edge_centres, find_edges, view_edges
from diar_ops.scene._render.frames import RenderFrames
from diar_ops.scene._render.hits import Hits, find_hits
from diar_ops.scene._render.object_shading import ObjectShading, shade_objects
from diar_ops.scene._render.pane import PaneView, view_pane
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
    pane = None if frames.pane is None else view_pane(frames.pane, frames.eye, plane.ray, frames.pixel)
    hits = find_hits(frames, plane)
    surface = _front_surface(plane.inside, hits)
    edges = find_edges(untile(surface, size)[:, 0])
    fine, fine_hits = None, None
    if edges is not None:
        rows = frames.select(edges.packed.frame)
        fine = view_edges(rows, pictures, plane, edges, size)
        if pane is not None:
            fine = fine._replace(radiance=_cover_edges(fine.radiance, pane, edges, size))
        fine_hits = find_hits(rows, fine, edges.packed.frame)

    everything = hits if fine_hits is None else fine_hits if hits is None else hits.join(fine_hits)
    radiance = plane.radiance if pane is None else plane.radiance * pane.share + pane.added
    if everything is not None:
        mean = plane.radiance.flatten(2).nanmean(-1)
        shading = add_secondary_rays(frames, pictures, everything, shade_objects(frames, everything, mean))
        count = 0 if hits is None else len(hits.frame)
        radiance = _composite(radiance, hits, shading.select(slice(0, count)))
        if fine is not None:
            fine = fine._replace(radiance=_composite(fine.radiance, fine_hits, shading.select(slice(count, None))))
    radiance, occluded, visible = (untile(field, size) for field in (radiance, surface > 1, plane.inside))
    if edges is not None and fine is not None:
        radiance, occluded = _put_edges(radiance, occluded, edges, fine, _is_hidden(fine.inside, fine_hits))
    clear = visible & ~occluded
    shadow = (plane.shading.shadowing[:, 0] > 1 - SHADOW).reshape(plane.x.shape)
    specular = plane.shading.specular.mean(1).reshape(plane.x.shape)
    if pane is not None:
        specular = specular * pane.share.mean(1) + pane.added.mean(1)
    highlight = specular > HIGHLIGHT
    return TracedFrames(radiance, visible, occluded, untile(shadow, size) & clear, untile(highlight, size) & clear)


def _cover_edges(radiance: Tensor, pane: PaneView, edges: EdgePixels, size: tuple[int, int]) -> Tensor:
    """Put a pane over more rays (R, 3, 1, N) through pixels on edges: the same for all of a pixel."""
    index = edges.packed.frame[:, None], edge_centres(edges, size)
    share, added = (f.flatten(2).movedim(1, 2)[index].movedim(2, 1)[:, :, None] for f in pane)
    return radiance * share + added


def _front_surface(inside: Tensor, hits: Hits | None) -> Tensor:
    """Return which surface (F, R, N) int32 is in front: 0 or 1 is the plane."""
    surface = inside.to(torch.int32)
    if hits is None:
        return surface
    place, hit = _by_rank(hits), hits.hit[hits.order]
    code = (2 + 4 * hits.slot[:, None].to(torch.int32) + hits.face)[hits.order]
    for rank in hits.ranks:
        rows = place[0][rank], place[1][rank]
        surface[rows] = torch.where(hit[rank], code[rank], surface[rows])
    return surface


def _by_rank(hits: Hits) -> tuple[Tensor, Tensor]:
    return hits.place[0][hits.order], hits.place[1][hits.order]


def _is_hidden(inside: Tensor, hits: Hits | None) -> Tensor:
    """Return whether (F, R, N) something is in front of the plane."""
    count = torch.zeros_like(inside, dtype=torch.int32)
    if hits is not None:
        count = count.index_put(hits.place, hits.hit.to(count.dtype), accumulate=True)
    return count > 0


def _composite(radiance: Tensor, hits: Hits | None, shading: ObjectShading) -> Tensor:
    """Put objects over the plane's radiance (F, 3, R, N), from the farthest to the nearest."""
    if hits is None:
        return radiance
    channels = torch.arange(3, device=radiance.device)
    (frame, row), order = _by_rank(hits), hits.order
    front, share, hit = shading.radiance[order], shading.transmittance[order], hits.hit[order, None]
    # No row may be written twice at once: one rank after the other.
    for rank in hits.ranks:
        pixels = (frame[rank, None], channels, row[rank, None])
        under = radiance[pixels]
        over = torch.where(hit[rank], front[rank] + share[rank] * under, under)
        radiance = radiance.index_put(pixels, over)
    return radiance


def _put_edges(
    radiance: Tensor, occluded: Tensor, edges: EdgePixels, fine: PlaneView, hidden: Tensor
) -> tuple[Tensor, Tensor]:
    """Replace pixels on edges of images (F, 3 or 1, h, w) by what their rays see."""
    samples, position = SAMPLES, edges.packed.position
    mean = fine.radiance.reshape(len(hidden), 3, -1, samples).mean(-1).movedim(1, 2).flatten(0, 1)[position]
    pixels = (edges.frame, edges.row, edges.column)
    radiance = radiance.movedim(1, 3).index_put(pixels, mean).movedim(3, 1)
    # A pixel is covered if any of its rays is; then nothing is said about the picture's light.
    covered = hidden.reshape(len(hidden), -1, samples).any(-1).flatten()[position]
    images = occluded[:, 0]
    return radiance, images.index_put(pixels, images[pixels] | covered)[:, None]
