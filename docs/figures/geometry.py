"""The figures of ops/geometry.md, from what its code has made."""

from __future__ import annotations

from typing import Any

import torch
from draw import BLUE, GREEN, GREY, ORANGE, RED, canvas, lines, show, tiles
from matplotlib.figure import Figure
from torch import Tensor


def transform_points(page: dict[str, Any]) -> Figure:
    """Draw the lines of the grid that lie in front of the camera."""
    figure, (axes, *_) = canvas(1, width=4.4, aspect=0.75)
    points, valid = page["seen"].points.view(17, 17, 2), page["seen"].valid.view(17, 17)
    points = points.masked_fill(~valid[..., None], torch.nan)
    for line in (*points, *points.transpose(0, 1)):
        axes.plot(*line.mT, color=BLUE, linewidth=1)
    axes.set(xlim=(0, 319), ylim=(239, 0), aspect="equal", xlabel="x", ylabel="y")
    return figure


def homography_dlt(page: dict[str, Any]) -> Figure:
    """Plot the error against the number of correspondences."""
    figure, (axes, *_) = canvas(1, width=4.4, aspect=0.6)
    axes.loglog(page["counts"], page["errors"], "o-", color=BLUE)
    axes.set(xlabel="correspondences", ylabel="corner error, pixels")
    return figure


def ransac_homography(page: dict[str, Any]) -> Figure:
    """Join the matches, coloured by the estimate's verdict."""
    matches, keep = page["matches"], slice(None, None, 2)
    colours = [GREEN if i else RED for i in page["estimate"].inliers[0, keep].tolist()]
    small = [(p[0, keep] + 0.5) / 2 - 0.5 for p in (matches.points0, matches.points1)]
    return lines(page["frames"][0, :, ::2, ::2], page["frames"][5, :, ::2, ::2], *small, colours)


def warp_homography(page: dict[str, Any]) -> Figure:
    """Show the frame, the reference, the frame in its view, the mask."""
    frames, warped = page["frames"], page["warped"]
    images = [i[..., ::2, ::2] for i in (frames[5], frames[0], warped.image[0], warped.valid[0].float())]
    return tiles(images, ["frame", "reference", "the frame from there", "valid"])


def local_contrast(page: dict[str, Any]) -> Figure:
    """Show both photos above their contrast."""
    spot = (..., slice(100, 300), slice(150, 350))
    figure, axes = canvas(4)
    show(axes[0], page["frames"][0][spot], "reference")
    show(axes[1], page["warped"].image[0][spot], "frame")
    for place, contrast in zip(axes[2:], (page["contrast0"], page["contrast5"]), strict=True):
        show(place, contrast[0][spot], "local contrast", vmin=-2.5, vmax=2.5, cmap="gray")
    return figure


def checkerboard(image0: Tensor, image1: Tensor, cell: int = 50) -> Tensor:
    """Take the squares of one image and of another by turns."""
    y, x = (torch.arange(n) // cell for n in image0.shape[-2:])
    return torch.where((y[:, None] + x) % 2 == 0, image0, image1)


def refine_homography(page: dict[str, Any]) -> Figure:
    """Show the reference and the frame as a checkerboard, before and after."""
    warp, frames = page["warp_homography"], page["frames"]
    spot = (..., slice(100, 400), slice(100, 400))
    boards = [
        checkerboard(frames[0], warp(frames[5:6], h, size=(512, 512)).image[0])[spot]
        for h in (page["rough"], page["refined"].homography)
    ]
    return tiles(boards, [f"{page[when].item():.1g} pixels off" for when in ("before", "after")])


def refine_grid(page: dict[str, Any]) -> Figure:
    """Show both differences, and the length of the displacements."""
    before = (page["picture"] - page["bent"].image).abs().mean(1)[0]
    after = (page["again"].image - page["bent"].image).abs().mean(1)[0]
    figure, axes = canvas(4)
    show(axes[0], page["bent"].image[0], "bent")
    show(axes[1], before, "difference before", vmax=0.2)
    show(axes[2], after, "difference after", vmax=0.2)
    show(axes[3], page["found"].grid[0, 0], "displacement to the right")
    return figure


def bundle_adjust_homographies(page: dict[str, Any]) -> Figure:
    """Compare the errors of the frames."""
    figure, (axes, *_) = canvas(1, width=4.4, aspect=0.6)
    frames = torch.arange(1, 6)
    axes.bar(frames - 0.18, page["chain_error"][1:], 0.36, color=ORANGE, label="one after the other")
    axes.bar(frames + 0.18, page["joint_error"][1:], 0.36, color=BLUE, label="jointly")
    axes.set(xlabel="frame", ylabel="corner error, pixels")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return figure


def distort_points(page: dict[str, Any]) -> Figure:
    """Draw both grids."""
    figure, (axes, *_) = canvas(1, width=4.4, aspect=0.75)
    grids = ((page["straight"], GREY), (page["barrel"].points.view_as(page["straight"]), BLUE))
    for grid, colour in grids:
        for line in (*grid, *grid.transpose(0, 1)):
            axes.plot(*line.mT, color=colour, linewidth=1)
    axes.set(ylim=(490, -10), aspect="equal")
    return figure


def corner_error(page: dict[str, Any]) -> Figure:
    """Draw the image's outline in place and under the homography."""
    figure, (axes, *_) = canvas(1, width=4.4, aspect=0.75)
    corners = torch.tensor([[0.0, 0.0], [639.0, 0.0], [639.0, 479.0], [0.0, 479.0], [0.0, 0.0]])
    moved = page["transform_points"](corners, page["tilt"]).points
    axes.plot(*corners.mT, color=GREY)
    axes.plot(*moved.mT, color=BLUE)
    for start, end in zip(corners[:4], moved[:4], strict=True):
        axes.plot(*torch.stack([start, end]).mT, color=ORANGE)
    title = f"corners {page['pixels_apart']:.1f} pixels apart in the mean, matrices {page['as_matrices']:.1f}"
    axes.set(ylim=(560, -40), aspect="equal", title=title)
    return figure


def frontal_homography(page: dict[str, Any]) -> Figure:
    """Draw a square of the plane as the image and its views see it, and as it is found."""
    figure, axes = canvas(4, width=8.4, aspect=0.75)
    tile, transform = page["tile"], page["transform_points"]
    found = page["frontal"]
    seen = [transform(tile, H).points for H in (page["tilted"], *page["turned"])]
    titles = ("image", "a view", "another", f"frontal, from {found.tilt.rad2deg().item():.0f}°")
    for place, corners, title in zip(
        axes, (*seen, transform(seen[0], found.homography[0]).points), titles, strict=True
    ):
        place.plot(*torch.cat([corners, corners[:1]]).mT, "o-", color=BLUE)
        place.set(aspect="equal", title=title)
        place.invert_yaxis()
    return figure


def rectify_homography(page: dict[str, Any]) -> Figure:
    """Draw the rectangle as it is seen, and as it is found."""
    figure, axes = canvas(2, width=5.6, aspect=0.75)
    seen, found = page["corners"][0], page["rectified"]
    frontal = page["transform_points"](seen, found.homography[0]).points
    for place, corners, title in (
        (axes[0], seen, "seen"),
        (axes[1], frontal, f"proportion {found.proportion.item():.2f} ± {found.proportion_sigma.item() * 100:.1g} %"),
    ):
        place.plot(*torch.cat([corners, corners[:1]]).mT, "o-", color=BLUE)
        place.set(aspect="equal", title=title)
        place.invert_yaxis()
    return figure
