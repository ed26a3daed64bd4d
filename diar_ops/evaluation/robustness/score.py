"""Score all methods on spoiled photos."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from diar_ops.evaluation.aligned import Aligned, lay_frames
from diar_ops.evaluation.alignment import Aligner, Estimate
from diar_ops.evaluation.robustness.methods import ALIGNED, Compared, find_compared
from diar_ops.evaluation.robustness.photos import Photos, choose_pictures, take_photos
from diar_ops.evaluation.robustness.plan import RobustnessTask
from diar_ops.evaluation.robustness.rows import PICTURE_SCORES, RobustnessRow
from diar_ops.evaluation.scores import score_picture
from diar_ops.geometry import corner_error

__all__ = ["begin_robustness", "exactly_laid", "score_alignment", "score_cell"]


def begin_robustness(
    restorers: Sequence[str], aligners: Sequence[str], textures: Sequence[str], side: int
) -> Callable[[RobustnessTask], list[RobustnessRow]]:
    """Return the work of :func:`run_tasks`.

    Args:
        restorers: As :func:`find_compared` takes them.
        aligners: The same.
        textures: Folders of images; procedural pictures without any.
        side: Of the frames, in pixels.
    """
    compared = find_compared(restorers, aligners)
    return partial(score_cell, compared=compared, textures=textures, side=side)


def score_cell(
    task: RobustnessTask, compared: Compared, textures: Sequence[str], side: int
) -> list[RobustnessRow]:
    """Compute the results of a sequence at a level, in the order in which they are wanted."""
    pictures = choose_pictures(textures, task.sequence, (side, side))
    photos = take_photos(task.factor, task.level, task.sequence, pictures, task.frames)
    exact = exactly_laid(photos)
    estimates: dict[str, Estimate] = {}

    def estimate(aligner: Aligner) -> Estimate:
        if aligner.name not in estimates:
            estimates[aligner.name] = aligner.align(photos.frames)
        return estimates[aligner.name]

    rows = []
    for key in task.wanted:
        if key.method in compared.restorers:
            self_aligned = key.method.endswith(ALIGNED)
            laid = _laid_by(photos, estimate(compared.ours)) if self_aligned else exact
            picture = compared.restorers[key.method].restore(laid.frames, laid.valid)
            scores = score_picture(picture, laid.label, exact.shown, scores=PICTURE_SCORES)
        else:
            scores = score_alignment(photos, estimate(compared.aligners[key.method]))
        rows += [
            RobustnessRow(
                task.factor, task.level, key.sequence, key.frames, key.method,
                round(photos.measured, 6), name, value,
            )
            for name, value in scores.items()
        ]  # fmt: skip
    return rows


def exactly_laid(photos: Photos) -> Aligned:
    """Lay all frames over the label by their exact homographies, foreign ones too."""
    H = torch.linalg.inv(photos.homography_frame_label)
    return lay_frames(photos.frames, H, photos.label, torch.ones_like(photos.foreign))


def _laid_by(photos: Photos, found: Estimate) -> Aligned:
    to_label = torch.linalg.inv(photos.homography_frame_label[0])
    H = to_label @ found.homography_reference_frame
    return lay_frames(photos.frames, H, photos.label, found.success)


def score_alignment(photos: Photos, found: Estimate) -> dict[str, float]:
    """Return the :data:`ALIGNMENT_SCORES` of an estimate, those that there are frames for."""
    H = photos.homography_frame_label
    true = H[0] @ torch.linalg.inv(H)
    size = (int(photos.frames.shape[-2]), int(photos.frames.shape[-1]))
    errors = corner_error(found.homography_reference_frame, true, size=size)
    errors = torch.where(found.success, errors, torch.inf)
    ours = ~photos.foreign
    ours[0] = False
    scores = {}
    if ours.any():
        scores["below_1"] = _share(errors[ours] < 1)
        scores["below_3"] = _share(errors[ours] < 3)
    if photos.foreign.any():
        scores["accepted_foreign"] = _share(found.success[photos.foreign])
    return scores


def _share(mask: Tensor) -> float:
    return round(float(mask.double().mean()), 6)
