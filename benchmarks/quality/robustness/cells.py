"""Score all methods on the photos of one sequence at one level of a factor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.quality.aligned import AlignedFrames, warp_to_label
from benchmarks.quality.alignment.aligners import resolve_aligners
from benchmarks.quality.alignment.pairwise import Aligner, Estimate
from benchmarks.quality.methods import DEFAULT_METHODS, Method, resolve_methods
from benchmarks.quality.plan import Task
from benchmarks.quality.robustness.degraded_photos import Photos, choose_pictures, render_degraded_photos
from benchmarks.quality.robustness.level_plan import PICTURE_SCORES, Cell
from benchmarks.quality.rows import Row
from benchmarks.quality.scores import score_picture
from diar_ops._errors import OptionError
from diar_ops.geometry import corner_error

#: Behind the name of a method of reconstruction: of frames that :func:`align_sequence` aligned to
#: the first one, not of frames that lie where they belong.
ALIGNED = "+aligned"
#: What calls :func:`align_sequence`.
OURS = "ours"
#: The methods of reconstruction and of alignment that are compared by default.
COMPARED_METHODS = (*DEFAULT_METHODS, *(m + ALIGNED for m in ("median+exposure", "diar")))
COMPARED_ALIGNERS = (OURS, "sift")


class Compared(NamedTuple):
    """Methods by their names.

    Attributes:
        restorers: What makes pictures; those with :data:`ALIGNED` behind their names of frames
            that ``ours`` aligned.
        aligners: What aligns frames.
        ours: What aligns frames for the former.
        skipped: One sentence for each that is left out.
    """

    restorers: dict[str, Method]
    aligners: dict[str, Aligner]
    ours: Aligner
    skipped: list[str]

    @property
    def names(self) -> list[str]:
        """Of all methods, in their order."""
        return [*self.restorers, *self.aligners]


def resolve_compared(restorers: Sequence[str], aligners: Sequence[str]) -> Compared:
    """Return the methods that names stand for.

    Args:
        restorers: As :func:`resolve_methods` takes them, also with :data:`ALIGNED` behind.
        aligners: As :func:`resolve_aligners` takes them; may be none.

    Raises:
        OptionError: A name is unknown, or two methods are called the same.
        WeightsError: A file is missing, damaged, or holds something else.
    """
    by_name: dict[str, Method] = {}
    for end in ("", ALIGNED):
        words = [w.removesuffix(ALIGNED) for w in restorers if w.endswith(ALIGNED) == bool(end)]
        if words:
            by_name.update((method.name + end, method) for method in resolve_methods(words))
    selected, skipped = resolve_aligners(aligners) if aligners else ([], [])
    both = by_name.keys() & {aligner.name for aligner in selected}
    if both:
        raise OptionError(f"two methods are called {min(both)}; call one of them otherwise")
    (ours,), _ = resolve_aligners([OURS])
    return Compared(by_name, {a.name: a for a in selected}, ours, skipped)


def begin_robustness(
    restorers: Sequence[str], aligners: Sequence[str], textures: Sequence[str], side: int
) -> Callable[[Task[Cell]], list[Row]]:
    """Build the function that scores one task, in the process that calls it.

    Args:
        restorers: As :func:`resolve_compared` takes them.
        aligners: The same.
        textures: Folders of images; procedural pictures without any.
        side: Of the frames, in pixels.
    """
    compared = resolve_compared(restorers, aligners)
    return partial(score_cell, compared=compared, textures=textures, side=side)


def score_cell(task: Task[Cell], compared: Compared, textures: Sequence[str], side: int) -> list[Row]:
    """Compute the results of a sequence at a level, in the order of its keys."""
    cell = task.source
    pictures = choose_pictures(textures, cell.sequence, (side, side))
    photos = render_degraded_photos(cell.factor, cell.level, cell.sequence, pictures, cell.frames)
    measured = round(photos.measured, 6)
    exact = align_exactly(photos)
    estimates: dict[str, Estimate] = {}

    def estimate(aligner: Aligner) -> Estimate:
        if aligner.name not in estimates:
            estimates[aligner.name] = aligner.align(photos.frames)
        return estimates[aligner.name]

    rows = []
    for key in task.keys:
        if key.method in compared.restorers:
            self_aligned = key.method.endswith(ALIGNED)
            aligned = _align_by(photos, estimate(compared.ours)) if self_aligned else exact
            picture = compared.restorers[key.method].restore(aligned.frames, aligned.valid)
            scores = score_picture(picture, aligned.label, exact.covered, scores=PICTURE_SCORES)
        else:
            scores = score_alignment(photos, estimate(compared.aligners[key.method]))
        values = {"factor": cell.factor, "level": cell.level, "measured": measured}
        rows += [Row(*key, {**values, "score": n, "value": v}) for n, v in scores.items()]
    return rows


def align_exactly(photos: Photos) -> AlignedFrames:
    """Warp all frames to the label by their exact homographies, foreign ones too."""
    H = torch.linalg.inv(photos.homography_frame_label)
    return warp_to_label(photos.frames, H, photos.label, torch.ones_like(photos.foreign))


def _align_by(photos: Photos, estimate: Estimate) -> AlignedFrames:
    to_label = torch.linalg.inv(photos.homography_frame_label[0])
    H = to_label @ estimate.homography_reference_frame
    return warp_to_label(photos.frames, H, photos.label, estimate.success)


def score_alignment(photos: Photos, estimate: Estimate) -> dict[str, float]:
    """Return the :data:`ALIGNMENT_SCORES` of an estimate, those that there are frames for."""
    H = photos.homography_frame_label
    true = H[0] @ torch.linalg.inv(H)
    size = (int(photos.frames.shape[-2]), int(photos.frames.shape[-1]))
    errors = corner_error(estimate.homography_reference_frame, true, size=size)
    errors = torch.where(estimate.success, errors, torch.inf)
    ours = ~photos.foreign
    ours[0] = False
    scores = {}
    if ours.any():
        scores["below_1"] = _share(errors[ours] < 1)
        scores["below_3"] = _share(errors[ours] < 3)
    if photos.foreign.any():
        scores["accepted_foreign"] = _share(estimate.success[photos.foreign])
    return scores


def _share(mask: Tensor) -> float:
    return round(float(mask.double().mean()), 6)
