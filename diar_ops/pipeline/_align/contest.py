"""Judge the place of a photo on its anchor against the second best, at full size."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from diar_ops._types import Reason
from diar_ops.geometry import corner_error
from diar_ops.pipeline._align.rivals import (
    SAME_PLACE,
    Look,
    Rival,
    detail_kept,
    find_rivals,
    lead,
    likeness,
    look_through,
)
from diar_ops.pipeline._frames import WorkingCopy

#: A rival must lose by so many standard deviations.
LEAST_LEAD = 4.0
#: A rival so much like the place itself is refined before it is asked: under perspective, what
#: repeats itself does not repeat by the same shift everywhere.
NEARLY_ALIKE = 0.6
#: Corners of letters or brushwork must be alike by this share of how much lines are.
LEAST_DETAIL = 0.82
#: So many of the likeliest are refined, at most.
_REFINED_RIVALS = 3
#: A photo that is less like its anchor than this, as a correlation, is also asked whether it lies there turned
#: by quarters: of a page, the border alone may agree.
LEAST_LIKENESS = 0.5


class Contest(NamedTuple):
    """The outcome for a place.

    Attributes:
        reason: OK if it wins, PIXELS_DISAGREE if the photo shows something else there, AMBIGUOUS if
            another place is about as good.
        better: (3, 3) homography of a place that wins against it, ``None`` if there is none.
    """

    reason: Reason
    better: Tensor | None = None


def contest(copy: WorkingCopy, anchor: Look, homography: Tensor, refine: Callable[[Tensor], Tensor | None]) -> Contest:
    """Ask whether a photo lies where it does for what both show, and nowhere else.

    On copies of the largest size: where noise hides their detail, all blocks together still speak
    for the right place; where they hold another text, or another window of a row, they do not.

    Args:
        copy: The working copy of the photo.
        anchor: Its anchor's copy.
        homography: (3, 3) float64 ``homography_anchor_copy`` in pixels of the copies.
        refine: Refines such a homography; ``None`` where the pixels do not agree.
    """
    size = (int(anchor.grey.shape[-2]), int(anchor.grey.shape[-1]))
    photo = look_through(copy, homography, size)
    scores: list[tuple[float, Tensor]] = []
    weak = False
    for asked, rival in enumerate(find_rivals(photo, anchor)):
        near = max(abs(rival.x), abs(rival.y)) < 2 * SAME_PLACE
        alike = rival.likeness >= NEARLY_ALIKE and not near and asked < _REFINED_RIVALS
        other = refine(_moved(homography, rival)) if alike else None
        if other is not None and float(corner_error(other[None], homography[None], size=copy.size)) >= SAME_PLACE:
            scores.append((lead(photo, look_through(copy, other, size), anchor), other))
        else:
            weak = weak or rival.lead < LEAST_LEAD
    if likeness(photo, anchor) < LEAST_LIKENESS:
        turned = (refine(turn) for turn in _quarter_turns(homography, photo, anchor))
        scores += [(lead(photo, look_through(copy, H, size), anchor), H) for H in turned if H is not None]
    if scores:
        # Of several wrong places none may win against another: the right one does.
        score, other = min(scores, key=lambda scored: scored[0])
        if score < LEAST_LEAD:
            return Contest(Reason.AMBIGUOUS, other if score <= -LEAST_LEAD else None)
    if weak or detail_kept(photo, anchor) < LEAST_DETAIL:
        return Contest(Reason.PIXELS_DISAGREE)
    return Contest(Reason.OK)


def _quarter_turns(homography: Tensor, photo: Look, anchor: Look) -> list[Tensor]:
    """Return the homographies of a photo that is turned where it lies, around the middle of what it shows."""
    weight = (photo.contrast.abs() * photo.known * anchor.known)[0, 0].to(homography)
    total = weight.sum().clamp_min(1e-12)
    y, x = (torch.arange(n, dtype=homography.dtype) for n in weight.shape)
    middle = torch.eye(3, dtype=homography.dtype)
    middle[0, 2], middle[1, 2] = (weight.sum(0) * x).sum() / total, (weight.sum(1) * y).sum() / total
    quarter = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]], dtype=homography.dtype)
    turns = [torch.linalg.matrix_power(quarter, k) for k in (1, 2, 3)]
    return [middle @ turn @ torch.linalg.inv(middle) @ homography for turn in turns]


def _moved(homography: Tensor, rival: Rival) -> Tensor:
    """Return the homography of a rival's place: content moves by its shift."""
    shift = torch.eye(3, dtype=homography.dtype)
    shift[0, 2], shift[1, 2] = rival.x, rival.y
    return shift @ homography
