"""Shares and quantiles over all frames, and how sure they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from diar_ops.evaluation.alignment.rows import AlignmentRow
from diar_ops.evaluation.summary import Mean, resamples

__all__ = ["FAR", "MEASURES", "AlignmentSummary", "summarise_alignment"]

#: A frame that is called aligned and is off by more, in pixels, is a false accept.
FAR = 3.0
#: Resamplings that are worked on at a time: what bounds the memory.
_CHUNK = 250

#: Maps errors (R, N) in pixels, NaN where there is no frame, and whether frames are called aligned
#: (R, N) to (R,).
Statistic: TypeAlias = Callable[[Tensor, Tensor], Tensor]


def _below(limit: float) -> Statistic:
    return lambda errors, _: (errors < limit).double().sum(1) / (~errors.isnan()).sum(1)


def _quantile(q: float) -> Statistic:
    def quantile(errors: Tensor, _: Tensor) -> Tensor:
        ordered = errors.sort(dim=1).values  # NaN last
        place = q * ((~errors.isnan()).sum(1, keepdim=True) - 1).double()
        low = ordered.gather(1, place.floor().long()).squeeze(1)
        high = ordered.gather(1, place.ceil().long()).squeeze(1)
        part = (place - place.floor()).squeeze(1)
        # Nothing lies between a number and infinity.
        between = torch.where(high.isinf(), high, low + part * (high - low))
        return torch.where(part == 0, low, between)

    return quantile


def _refused(errors: Tensor, accepted: Tensor) -> Tensor:
    there = ~errors.isnan()
    return (there & ~accepted).double().sum(1) / there.sum(1)


def _false_accepts(errors: Tensor, accepted: Tensor) -> Tensor:
    return (accepted & (errors > FAR)).double().sum(1) / accepted.sum(1)


#: What is measured over all frames but the references: its words and how.
MEASURES: dict[str, tuple[str, Statistic]] = {
    "below_1": ("< 1 px [%]", _below(1)),
    "below_3": ("< 3 px [%]", _below(3)),
    "below_5": ("< 5 px [%]", _below(5)),
    "median": ("median [px]", _quantile(0.5)),
    "p95": ("95 % [px]", _quantile(0.95)),
    "refused": ("refused [%]", _refused),
    "false_accepts": ("false accepts [%]", _false_accepts),
}


class AlignmentSummary(NamedTuple):
    """How well a method aligns the sequences of a set.

    Attributes:
        set: The set.
        frames: How many frames of each sequence were aligned together.
        method: The method.
        sequences: How many there are.
        scored: Frames of all of them, without the references.
        figures: By name, see :data:`MEASURES`; shares in [0, 1]. Shares below a limit are of all
            frames, those that are refused count as infinitely far off. False accepts are a share
            of the frames that are called aligned, NaN where none is.
        seconds: Processor time of a sequence, divided by its frames.
    """

    set: str
    frames: int
    method: str
    sequences: int
    scored: int
    figures: dict[str, Mean]
    seconds: Mean


def summarise_alignment(rows: Iterable[AlignmentRow]) -> list[AlignmentSummary]:
    """Return one summary per set, number of frames and method, in order of appearance.

    The 95 % intervals are those of a bootstrap over sequences (percentiles): the frames of one
    sequence share their picture and are no independent trials.
    """
    groups: dict[tuple[str, int, str], dict[str, list[AlignmentRow]]] = {}
    for row in rows:
        group = groups.setdefault((row.set, row.frames, row.method), {})
        group.setdefault(row.sequence, []).append(row)
    return [_summary(*key, list(group.values())) for key, group in groups.items()]


def _summary(
    name: str, frames: int, method: str, sequences: Sequence[Sequence[AlignmentRow]]
) -> AlignmentSummary:
    errors = _padded([[r.corner_error for r in rows] for rows in sequences], float("nan"))
    accepted = _padded([[r.success for r in rows] for rows in sequences], 0) > 0
    seconds = torch.tensor([[rows[0].seconds / frames] for rows in sequences]).double()
    figures = {
        measure: _with_interval(statistic, errors, accepted)
        for measure, (_, statistic) in MEASURES.items()
    }
    time = _with_interval(lambda values, _: values.mean(1), seconds, seconds > 0)
    scored = int((~errors.isnan()).sum())
    return AlignmentSummary(name, frames, method, len(sequences), scored, figures, time)


def _padded(values: Sequence[Sequence[float]], padding: float) -> Tensor:
    longest = max(map(len, values))
    return torch.tensor(
        [[*row, *[padding] * (longest - len(row))] for row in values], dtype=torch.float64
    )


def _with_interval(statistic: Statistic, errors: Tensor, accepted: Tensor) -> Mean:
    """Return a statistic of (S, F) frames, and its interval by drawing sequences."""
    value = float(statistic(errors.flatten()[None], accepted.flatten()[None]))
    if len(errors) == 1:
        return Mean(value, float("nan"), float("nan"))
    drawn = torch.cat(
        [
            statistic(errors[index].flatten(1), accepted[index].flatten(1))
            for index in torch.split(resamples(len(errors)), _CHUNK)
        ]
    )
    drawn = drawn[~drawn.isnan()]
    if not len(drawn):
        return Mean(value, float("nan"), float("nan"))
    ends = drawn.quantile(drawn.new_tensor([0.025, 0.975]), interpolation="nearest")
    return Mean(value, float(ends[0]), float(ends[1]))
