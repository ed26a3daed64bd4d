"""What is not quite flat: smooth displacements of each frame against the reference."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from diar_ops._pixels import fit_size, image_size, resize_matrix
from diar_ops._types import Reason, RefinedGrid
from diar_ops.geometry import refine_grid, refine_homography, warp_homography
from diar_ops.pipeline._align.contest import contest
from diar_ops.pipeline._align.graph import is_plausible
from diar_ops.pipeline._align.place import Placement
from diar_ops.pipeline._align.refine import ELEMENTS_PER_PIXEL, RELIABILITY_BOUNDS, is_reliable
from diar_ops.pipeline._align.rivals import Look, look_at
from diar_ops.pipeline._batches import batches
from diar_ops.pipeline._frames import Frame, Progress, WorkingCopies, WorkingCopy
from diar_ops.pipeline._warp import resize_grid
from diar_ops.pipeline.options import AlignOptions

#: Whether :func:`align_sequence` looks for bends.
BENDS = ("auto", "none")
#: Cells along the longer side of the reference, and least cells along a side.
_CELLS, _LEAST_CELLS = 16, 4
#: Of a frame that agrees only under its grid: the least reliability of the grid.
_LEAST_RELIABILITY = 0.95


def bend_frames(
    placement: Placement,
    frames: Sequence[Frame],
    reference: int,
    *,
    options: AlignOptions,
    device: torch.device,
    progress: Progress,
) -> tuple[Placement, Tensor | None]:
    """Find the grids of all frames against the reference, which stays as it is.

    The picture has the reference's shape: whatever else the grids were measured against would move
    it out of its own frame, and with it homographies, overlaps and labels that refer to it.

    A frame whose pixels do not agree under its homography joins the others if those of the copies
    that the grid has moved do, by the same bounds.

    Args:
        placement: Of all frames that a path of pairs leads to the reference.
        frames: All frames.
        reference: The reference frame.
        options: ``refinement_size``, of the copies.
        device: Where to compute.
        progress: Called with the progress of the step.

    Returns:
        The placement, and :attr:`Alignment.grid`.
    """
    others = sorted(placement.refined)
    if not others:
        return placement, None
    lens, homography = placement.adjusted.lens, placement.adjusted.homography.clone()
    copies = WorkingCopies(frames, options.refinement_size, device, lens.distortion)
    target = _Target(copies[reference], image_size(frames[reference].image), options.refinement_size)
    refined = dict(placement.refined)
    grids: Tensor | None = None
    keys = [copies.kind(t) for t in others]
    elements = [ELEMENTS_PER_PIXEL * 2 * copies.pixels(t) for t in others]
    done = 0
    for group in batches(keys, elements, device):
        members = [others[i] for i in group]
        start = [homography[t] if refined[t].success else refined[t].homography_reference_frame for t in members]
        found = target.refine([copies[t] for t in members], start)
        for item, t in enumerate(members):
            grid = found.grid[item]
            if not refined[t].success:
                bent = refined[t].reason == Reason.PIXELS_DISAGREE and is_plausible(start[item], lens.sizes[t])
                if not (bent and target.agrees(copies[t], start[item], found, item)):
                    continue
                refined[t] = refined[t]._replace(success=True)
                homography[t] = start[item]
            if bool(found.success[item]):
                grids = torch.zeros(len(frames), *grid.shape, dtype=torch.float32) if grids is None else grids
                grids[t] = resize_grid(grid.cpu(), target.small, target.size)
        done += len(members)
        progress("looking for bends", done, len(others))
    adjusted = placement.adjusted._replace(homography=homography)
    return placement._replace(refined=refined, adjusted=adjusted), grids


class _Target:
    """The reference, reduced to the size at which frames are compared with it.

    Args:
        copy: Of the reference; through a lens it may show more than its frame.
        size: (height, width) of the reference.
        longest: Longest side of the copies.
    """

    def __init__(self, copy: WorkingCopy, size: tuple[int, int], longest: int) -> None:
        self.size, self.small = size, fit_size(size, longest)
        self.homography_small_reference = resize_matrix(size, self.small)
        self.image, self.valid = copy.image, copy.valid
        H = self.homography_small_reference @ torch.linalg.inv(copy.homography_copy_frame)
        if copy.size != self.small:
            self.image, self.valid = warp_homography(copy.image, H[None].to(copy.image), copy.valid, size=self.small)
        longer = max(size)
        rows, columns = (max(_LEAST_CELLS, round(_CELLS * side / longer)) for side in size)
        self.cells = (rows, columns)

    def refine(self, copies: Sequence[WorkingCopy], homographies: Sequence[Tensor]) -> RefinedGrid:
        """Return the grids of copies of one kind from ``homography_reference_frame`` of each."""
        images = torch.cat([copy.image for copy in copies])
        masks = [copy.valid for copy in copies if copy.valid is not None]
        H = torch.stack([self._homography(*pair) for pair in zip(copies, homographies, strict=True)])
        valid = torch.cat(masks) if masks else None
        return refine_grid(images, self.image, H.to(images), valid, self.valid, cells=self.cells)

    def agrees(self, copy: WorkingCopy, homography: Tensor, found: RefinedGrid, item: int) -> bool:
        """Return whether the pixels of a copy agree under its grid, as they must under a homography."""
        if not bool(found.success[item]) or float(found.reliability[item]) < _LEAST_RELIABILITY:
            return False
        H = self._homography(copy, homography)[None].to(copy.image)
        grid = found.grid[item : item + 1].to(copy.image)
        moved = warp_homography(copy.image, H, copy.valid, size=self.small, grid=grid)
        eye = torch.eye(3, dtype=torch.float64, device=moved.image.device)[None]
        left = refine_homography(moved.image, self.image, eye, moved.valid, self.valid, levels=1, max_iterations=0)
        if not is_reliable(left, max(self.small), RELIABILITY_BOUNDS[:1]):
            return False
        # A grid bends one text a little towards another: there, too, its place must win.
        unbent = WorkingCopy(moved.image, moved.valid, eye[0].cpu())
        return contest(unbent, self.look, eye[0].cpu(), lambda homography: None).reason == Reason.OK

    @cached_property
    def look(self) -> Look:
        """What photos that are laid over the reference are compared with."""
        return look_at(WorkingCopy(self.image, self.valid, self.homography_small_reference))

    def _homography(self, copy: WorkingCopy, homography_reference_frame: Tensor) -> Tensor:
        H: Tensor = torch.linalg.inv(copy.homography_copy_frame)
        return self.homography_small_reference @ homography_reference_frame @ H
