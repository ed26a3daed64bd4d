"""More rays through the pixels on edges."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops.scene._render.frames import RenderFrames
from diar_ops.scene._render.groups import PackedRows, pack_rows, unravel
from diar_ops.scene._render.plane_shading import PlaneShading
from diar_ops.scene._render.plane_view import PlaneView, is_on_picture, plane_radiance, project_to_plane, ray_from_eye
from diar_ops.scene._render.tiles import ROW, TILE

#: Rays through a pixel on an edge, and where they pass on a board of 8 x 8 fields: eight rooks, whose
#: rows in columns 0 to 7 are the octal digits from the last to the first. Arithmetic in place of a
#: table, which would have to be copied to the device.
SAMPLES, EDGE_RAYS = 8, 0o51374062


class EdgePixels(NamedTuple):
    """Pixels on edges.

    Attributes:
        frame: (n,) of each.
        row: (n,) within the frame.
        column: (n,)
        packed: The pixels in rows (R, ROW / 8).
    """

    frame: Tensor
    row: Tensor
    column: Tensor
    packed: PackedRows


def find_edges(surface: Tensor) -> EdgePixels | None:
    """Find pixels whose neighbours show another surface in images (F, h, w), if there are any.

    Waits for the device once.
    """
    edge = torch.zeros_like(surface, dtype=torch.bool)
    for a, b in ((edge, surface), (edge.mT, surface.mT)):
        differs = b[:, 1:] != b[:, :-1]
        a[:, 1:] |= differs
        a[:, :-1] |= differs
    count = len(surface)
    frame = torch.arange(count, dtype=torch.int32, device=surface.device)[:, None, None]
    packed = pack_rows(torch.where(edge, frame, count), count, ROW // SAMPLES)
    if packed is None:
        return None
    image, row, column = unravel(packed.item, surface.shape)
    return EdgePixels(image, row, column, packed)


def view_edges(
    rows: RenderFrames, pictures: Tensor, plane: PlaneView, edges: EdgePixels, size: tuple[int, int]
) -> PlaneView:
    """Return the plane behind more rays through pixels on edges: rows (R, 1, ROW) as frames.

    Args:
        rows: The frame of each of the rows.
        pictures: As in :func:`view_plane`.
        plane: What it returned.
        edges: The pixels.
        size: (height, width) of the frames.
    """
    packed, samples, dtype = edges.packed, SAMPLES, plane.x.dtype
    row, column = edges.row, edges.column
    number = torch.arange(samples, device=plane.x.device)
    column_of, row_of = number.to(dtype), (EDGE_RAYS >> 3 * number & 7).to(dtype)
    u = (column.to(dtype) - (size[1] - 1) / 2)[packed.at][..., None] + (column_of - 3.5) / 8
    v = (row.to(dtype) - (size[0] - 1) / 2)[packed.at][..., None] + (row_of - 3.5) / 8
    x, y = project_to_plane(rows, u.flatten(1)[:, None], v.flatten(1)[:, None])
    # Light changes little within a pixel: take that of its centre.
    centre = edge_centres(edges, size)
    shading = PlaneShading(*(f.movedim(1, 2)[packed.frame[:, None], centre].movedim(2, 1) for f in plane.shading))
    inside = is_on_picture(rows, x, y)
    starts = packed.starts[:: (len(packed.starts) - 1) // len(pictures)]
    radiance = plane_radiance(rows, pictures, starts, [(x, y)], inside, shading)
    return PlaneView(
        x, y, ray_from_eye(rows, x, y), inside, shading, radiance.reshape(*radiance.shape[:2], *x.shape[1:])
    )


def edge_centres(edges: EdgePixels, size: tuple[int, int]) -> Tensor:
    """Return for each ray (R, ROW) of :func:`view_edges` which of a frame's, in tiles, is its pixel's centre."""
    tile = edges.row // TILE * -(-size[1] // TILE) + edges.column // TILE
    centre = tile * ROW + edges.row % TILE * TILE + edges.column % TILE
    return centre[edges.packed.at].repeat_interleave(SAMPLES, dim=-1)
