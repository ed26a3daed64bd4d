"""Shares and quantiles over all frames, and how sure they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from benchmarks.quality.alignment.score import AlignmentRow
from benchmarks.quality.rows import Pictures
from benchmarks.quality.summary import Mean, picture_of_sequence, resamples, rival, with_interval

__all__ = [
    "AGAINST",
    "COMPARED",
    "FAR",
    "MEASURES",
    "AlignmentComparison",
    "AlignmentSummary",
    "compare_aligners",
    "summarise_alignment",
]

#: What methods are compared with by default.
AGAINST = "ours"

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
        pictures: How many different pictures they show.
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
    pictures: int
    scored: int
    figures: dict[str, Mean]
    seconds: Mean


class AlignmentComparison(NamedTuple):
    """A method beside another, on the frames of the sequences that both have been scored on.

    Attributes:
        against: The other.
        sequences: How many they share.
        pictures: How many different pictures these show.
        scored: Frames of all of them, without the references.
        better: On how many frames this one's corner error is smaller.
        worse: On how many it is larger.
        figures: Difference of each of :data:`COMPARED`, this one minus the other. NaN where both
            are infinite.
    """

    set: str
    frames: int
    method: str
    against: str
    sequences: int
    pictures: int
    scored: int
    better: int
    worse: int
    figures: dict[str, Mean]


#: Which of :data:`MEASURES` are compared.
COMPARED = ("below_1", "below_3", "below_5", "median", "refused")

#: Rows of a set, a number of frames and a method, by sequence.
_Sequences: TypeAlias = dict[str, list[AlignmentRow]]


def summarise_alignment(
    rows: Iterable[AlignmentRow], pictures: Pictures | None = None
) -> list[AlignmentSummary]:
    """Return one summary per set, number of frames and method, in order of appearance.

    The 95 % intervals are those of a bootstrap over pictures (percentiles): the frames of one
    sequence, and the sequences of one picture, are no independent trials.
    """
    summaries = []
    for (name, frames), methods in _grouped(rows).items():
        for method, sequences in methods.items():
            errors, accepted, shown = _stacked(sequences, pictures or {})
            figures = {
                measure: _with_interval(statistic, errors, accepted)
                for measure, (_, statistic) in MEASURES.items()
            }
            times = {s: [of[0].seconds / frames] for s, of in sequences.items()}
            seconds = _padded(_by_picture(times, shown), float("nan"))
            time = _with_interval(lambda values, _: values.nanmean(1), seconds, seconds > 0)
            scored = int((~errors.isnan()).sum())
            summaries.append(
                AlignmentSummary(
                    name, frames, method, len(sequences), len(errors), scored, figures, time
                )
            )
    return summaries


def compare_aligners(
    rows: Iterable[AlignmentRow], pictures: Pictures | None = None, against: str | None = None
) -> list[AlignmentComparison]:
    """Compare each method with one, and that one with the best of the others.

    Per set and number of frames, in order of appearance. The intervals are those of the
    difference: both methods are resampled together.

    Args:
        rows: Results.
        pictures: What sequences show.
        against: The one; where it has no results, every method is compared with the best of the
            others: the one with the most frames within a pixel. None: :data:`AGAINST`.
    """
    found = []
    for methods in _grouped(rows).values():
        for method, of in methods.items():
            other = rival(method, list(methods), against or AGAINST) or _best(methods, method)
            shared = [s for s in of if other and s in methods[other]]
            if other and shared:
                ours, theirs = ({s: methods[m][s] for s in shared} for m in (method, other))
                found.append(_compare(ours, theirs, pictures or {}))
    return found


def _best(methods: Mapping[str, _Sequences], method: str) -> str | None:
    """Return the other method with the most frames within a pixel, of the sequences of both."""
    within = {
        other: sum(r.corner_error < 1 for s in methods[method] if s in of for r in of[s])
        for other, of in methods.items()
        if other != method and of.keys() & methods[method].keys()
    }
    return max(within, key=within.__getitem__) if within else None


def _compare(ours: _Sequences, theirs: _Sequences, pictures: Pictures) -> AlignmentComparison:
    row, other = next(iter(ours.values()))[0], next(iter(theirs.values()))[0].method
    errors, accepted, _ = _stacked(ours, pictures)
    errors1, accepted1, _ = _stacked(theirs, pictures)

    def difference(statistic: Statistic) -> Mean:
        # Side by side, so that a resampling draws the same pictures of both.
        half = errors.shape[1]

        def apart(both: Tensor, called: Tensor) -> Tensor:
            both, called = (x.view(len(x), -1, 2, half) for x in (both, called))
            this, that = (
                statistic(both[:, :, i].flatten(1), called[:, :, i].flatten(1)) for i in (0, 1)
            )
            return this - that

        return _with_interval(
            apart, torch.cat([errors, errors1], 1), torch.cat([accepted, accepted1], 1)
        )

    return AlignmentComparison(
        row.set,
        row.frames,
        row.method,
        other,
        len(ours),
        len(errors),
        int((~errors.isnan()).sum()),
        int((errors < errors1).sum()),
        int((errors > errors1).sum()),
        {measure: difference(MEASURES[measure][1]) for measure in COMPARED},
    )


def _grouped(rows: Iterable[AlignmentRow]) -> dict[tuple[str, int], dict[str, _Sequences]]:
    groups: dict[tuple[str, int], dict[str, _Sequences]] = {}
    for row in rows:
        methods = groups.setdefault((row.set, row.frames), {})
        methods.setdefault(row.method, {}).setdefault(row.sequence, []).append(row)
    return groups


def _stacked(sequences: _Sequences, pictures: Pictures) -> tuple[Tensor, Tensor, dict[str, str]]:
    """Return errors and whether frames are called aligned, both (pictures, frames of each).

    And which picture each sequence shows.
    """
    shown = {s: picture_of_sequence(pictures, of[0].set, s) for s, of in sequences.items()}
    errors = {s: [r.corner_error for r in of] for s, of in sequences.items()}
    accepted = {s: [float(r.success) for r in of] for s, of in sequences.items()}
    return (
        _padded(_by_picture(errors, shown), float("nan")),
        _padded(_by_picture(accepted, shown), 0) > 0,
        shown,
    )


def _by_picture(
    values: Mapping[str, Sequence[float]], shown: Mapping[str, str]
) -> list[list[float]]:
    """Return the values of all sequences of a picture, picture by picture."""
    groups: dict[str, list[float]] = {}
    for sequence, of in values.items():
        groups.setdefault(shown[sequence], []).extend(of)
    return list(groups.values())


def _padded(values: Sequence[Sequence[float]], padding: float) -> Tensor:
    longest = max(map(len, values))
    return torch.tensor(
        [[*row, *[padding] * (longest - len(row))] for row in values], dtype=torch.float64
    )


def _with_interval(statistic: Statistic, errors: Tensor, accepted: Tensor) -> Mean:
    """Return a statistic of (P, F) frames, and its interval by drawing pictures."""
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
    return with_interval(value, drawn)
