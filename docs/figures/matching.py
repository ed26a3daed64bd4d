"""The figures of ops/matching.md, from what its code has made."""

from __future__ import annotations

from typing import Any

import torch
from draw import BLUE, GREEN, ORANGE, RED, canvas, components, lines, pixels, show, tiles
from matplotlib.figure import Figure


def image_pyramid(page: dict[str, Any]) -> Figure:
    """Show the levels at their sizes, and the cells of the last one on each."""
    figure, axes = canvas(3, aspect=1.0)
    placed = page["placed"]
    for place, level in zip(axes, page["levels"], strict=True):
        show(place, level.image[0], f"scale {level.scale[0]:g}")
        centres = (torch.arange(8.0) * s + o for s, o in zip(placed.stride, placed.offset, strict=True))
        x, y = torch.meshgrid(*centres, indexing="xy")
        place.scatter((x + 0.5) * level.scale[0] - 0.5, (y + 0.5) * level.scale[1] - 0.5, s=6, color=ORANGE)
        place.set(xlim=(-0.5, 255.5), ylim=(255.5, -0.5))
    return figure


def dense_descriptors(page: dict[str, Any]) -> Figure:
    """Show the main components of SIFT and of the stages."""
    maps = {"dense SIFT": page["sift"], **page["stages"]}
    return tiles(
        [page["image0"][0], *(components(m.descriptors[0]) for m in maps.values())],
        ["image", *(f"{name}, stride {m.stride[0]:g}" for name, m in maps.items())],
    )


def cosine_similarity(page: dict[str, Any]) -> Figure:
    """Mark one cell, and colour the other image's cells by their similarity to it."""
    described = page["described0"]
    columns = described.descriptors.shape[-1]
    column, row = ((page["matches"].points0[0, 0] - described.offset[0]) / described.stride[0]).round().long().tolist()
    cell = row * columns + column
    similarity = page["similarity"][0, cell].unflatten(0, page["described1"].descriptors.shape[-2:])
    figure, axes = canvas(3)
    best = divmod(int(similarity.argmax()), columns)
    for place, image, (i, j) in ((axes[0], page["image0"], (row, column)), (axes[1], page["image1"], best)):
        show(place, image[0])
        x, y = (k * s + o for k, s, o in zip((j, i), described.stride, described.offset, strict=True))
        place.scatter([x], [y], s=120, facecolors="none", edgecolors=ORANGE, linewidths=2)
    show(axes[2], similarity, vmin=0.2)
    return figure


def mutual_nearest(page: dict[str, Any]) -> Figure:
    """Mark the pairs in the matrix of similarities."""
    figure, axes = canvas(1, width=3.4)
    unit0, unit1 = (torch.nn.functional.normalize(page[n][0], dim=1) for n in ("few0", "few1"))
    axes[0].imshow(pixels(unit0 @ unit1.mT), vmin=0)
    chosen = page["pairs"].valid[0]
    index1 = page["pairs"].index1[0]
    axes[0].scatter(index1[chosen], chosen.nonzero()[:, 0], s=40, facecolors="none", edgecolors=ORANGE, linewidths=1.5)
    axes[0].set(xlabel="descriptors 1", ylabel="descriptors 0")
    return figure


def match_dense(page: dict[str, Any]) -> Figure:
    """Join the matches, coloured by whether they are right."""
    matches = page["matches"]
    true = page["transform_points"](matches.points0, page["true_1_0"]).points
    right = ((matches.points1 - true).norm(dim=-1) < 8)[0]
    colours = [GREEN if r else RED for r in right.tolist()]
    return lines(page["image0"][0], page["image1"][0], matches.points0[0], matches.points1[0], colours)


def match_pyramid(page: dict[str, Any]) -> Figure:
    """Join the matches of the near photo."""
    zoomed = page["zoomed"]
    right = ((zoomed.points1 - page["place"]).norm(dim=-1) < 4)[0]
    colours = [GREEN if r else RED for r in right.tolist()]
    return lines(page["near"][0], page["image1"][0], zoomed.points0[0], zoomed.points1[0], colours)


def match_local(page: dict[str, Any]) -> Figure:
    """Draw each cell's displacement."""
    local = page["local"]
    keep = local.valid[0] & (torch.arange(local.valid.shape[1]) % 3 == 0)
    start, move = local.points0[0, keep], (local.points1 - local.points0)[0, keep]
    figure, axes = canvas(2)
    show(axes[0], page["turned"].image[0], "turned by 3 degrees")
    show(axes[1], page["image0"][0], "what the cells find")
    axes[1].quiver(*start.mT, *move.mT, angles="xy", scale_units="xy", scale=1, color=BLUE, width=0.003)
    return figure
