"""What is not quite flat: smooth displacements of each frame against the reference."""

from __future__ import annotations

import math
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
from diar_ops.pipeline._align.shapes import common_shapes, predict_grids
from diar_ops.pipeline._batches import batches
from diar_ops.pipeline._frames import Frame, Progress, WorkingCopies, WorkingCopy
from diar_ops.pipeline._warp import resize_grid
from diar_ops.pipeline.options import AlignOptions

#: Whether :func:`align_sequence` looks for bends.
BENDS = ("auto", "none")
#: Cells along the longer side of the reference, and least cells along a side.
_CELLS, _LEAST_CELLS = 16, 4
#: Rounds in which all frames are looked at jointly; how much smoother what their shapes do not
#: explain is; and by how much less of the texture may agree with shapes: of the frame's own noise.
_JOINT_ROUNDS, _JOINT_SMOOTHNESS, _AGREEMENT_NOISE = 2, 10.0, 0.02
#: If the grids of so large a share of the frames end somewhere, the scene is deep, and those that do
#: not end are bounded by this share of the diagonal.
_DEEP, _LONGEST = 0.5, 0.021
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

    First each frame for itself; then jointly: what all grids have in common says how each goes on
    where its frame is covered, glares or has no texture, and what of it is noise.

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
    start = [homography[t] if refined[t].success else refined[t].homography_reference_frame for t in others]
    found = _find_grids(target, copies, others, start, progress)
    grids: Tensor | None = None
    for item, t in enumerate(others):
        if not refined[t].success:
            bent = refined[t].reason == Reason.PIXELS_DISAGREE and is_plausible(start[item], lens.sizes[t])
            if not (bent and target.agrees(copies[t], start[item], found, item)):
                continue
            refined[t] = refined[t]._replace(success=True)
            homography[t] = start[item]
        if bool(found.success[item]):
            grid = found.grid[item]
            grids = torch.zeros(len(frames), *grid.shape, dtype=torch.float32) if grids is None else grids
            grids[t] = resize_grid(grid, target.small, target.size)
    adjusted = placement.adjusted._replace(homography=homography)
    return placement._replace(refined=refined, adjusted=adjusted), grids


def _find_grids(
    target: _Target, copies: WorkingCopies, others: Sequence[int], start: Sequence[Tensor], progress: Progress
) -> RefinedGrid:
    """Return the grids of frames ``others``, on the CPU: of each for itself, then of all jointly."""
    device = target.image.device
    keys = [copies.kind(t) for t in others]
    elements = [ELEMENTS_PER_PIXEL * 2 * copies.pixels(t) for t in others]
    groups = [list(group) for group in batches(keys, elements, device)]
    order = torch.tensor([item for group in groups for item in group]).argsort()
    count = (1 + _JOINT_ROUNDS) * len(others)

    def search(before: int, grids: Tensor | None = None, shapes: Tensor | None = None) -> RefinedGrid:
        parts, done = [], before
        for group in groups:
            members = [copies[others[item]] for item in group]
            own = None if grids is None else grids[group]
            part = target.refine(members, [start[item] for item in group], own, shapes)
            parts.append(RefinedGrid(*(x.cpu() for x in part)))
            done += len(group)
            progress("looking for bends", done, count)
        return RefinedGrid(*(torch.cat(field)[order] for field in zip(*parts, strict=True)))

    found = search(0)
    ending = _ends(found)
    deep = bool(ending.any()) and float(ending[found.success].double().mean()) >= _DEEP
    for number in range(1, 1 + _JOINT_ROUNDS):
        shapes = common_shapes(found)
        if shapes is None:
            break
        joint = search(number * len(others), predict_grids(found, shapes), shapes)
        better = joint.success & ~(found.success & (joint.agreement < found.agreement - _AGREEMENT_NOISE))
        if deep:
            # What shapes say of a frame runs on into what stands beside the picture.
            better = better & (_ends(joint) | ~_ends(found))
        pairs = zip(found, joint, strict=True)
        found = RefinedGrid(*(torch.where(better.reshape(-1, *(1,) * (x.ndim - 1)), y, x) for x, y in pairs))
    if deep:
        within = found.grid.norm(dim=1).flatten(1).amax(1) <= _LONGEST * math.hypot(*target.small)
        kept = found.success & (within | _ends(found))
        found = found._replace(success=kept, grid=torch.where(kept[:, None, None, None], found.grid, 0))
    progress("looking for bends", count, count)
    return found


def _ends(found: RefinedGrid) -> Tensor:
    """Return (T,) bool, the grids that end somewhere: there they are exactly zero."""
    return found.success & (found.grid == 0).all(1).flatten(1).any(1)


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

    def refine(
        self,
        copies: Sequence[WorkingCopy],
        homographies: Sequence[Tensor],
        start: Tensor | None = None,
        shapes: Tensor | None = None,
    ) -> RefinedGrid:
        """Return the grids of copies of one kind from ``homography_reference_frame`` of each.

        Args:
            copies: B of them.
            homographies: Of each.
            start: (B, 2, rows + 3, columns + 3) grids to begin with.
            shapes: (R, rows + 3, columns + 3) of which they are combinations.
        """
        images = torch.cat([copy.image for copy in copies])
        masks = [copy.valid for copy in copies if copy.valid is not None]
        H = torch.stack([self._homography(*pair) for pair in zip(copies, homographies, strict=True)])
        valid = torch.cat(masks) if masks else None
        return refine_grid(
            images,
            self.image,
            H.to(images),
            valid,
            self.valid,
            cells=self.cells,
            smoothness=1.0 if shapes is None else _JOINT_SMOOTHNESS,
            start=None if start is None else start.to(images),
            shapes=None if shapes is None else shapes.to(images),
        )

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
