"""Shares and quantiles of the errors of all frames, with intervals over pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from benchmarks.quality.intervals import Mean, interval, resample
from benchmarks.quality.rows import Pictures, Row, group_by
from benchmarks.quality.scores import Measure
from benchmarks.quality.summaries import Measured, Summary, compare_pairs, summarise_rows

#: What methods are compared with by default.
AGAINST = "ours"
#: A frame that is called aligned and is off by more, in pixels, is a false accept.
FAR = 3.0

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
    exists = ~errors.isnan()
    return (exists & ~accepted).double().sum(1) / exists.sum(1)


def _false_accepts(errors: Tensor, accepted: Tensor) -> Tensor:
    return (accepted & (errors > FAR)).double().sum(1) / accepted.sum(1)


#: What is measured over all frames but the references. Shares below a limit are of all frames,
#: those that are refused count as infinitely far off; false accepts are a share of the frames
#: that are called aligned, NaN where none is.
MEASURES = {
    "below_1": Measure("< 1 px [%]", 1, 100),
    "below_3": Measure("< 3 px [%]", 1, 100),
    "below_5": Measure("< 5 px [%]", 1, 100),
    "median": Measure("median [px]"),
    "p95": Measure("95 % [px]"),
    "refused": Measure("refused [%]", 1, 100),
    "false_accepts": Measure("false accepts [%]", 1, 100),
}
#: How each of :data:`MEASURES` is computed.
STATISTICS: dict[str, Statistic] = {
    "below_1": _below(1),
    "below_3": _below(3),
    "below_5": _below(5),
    "median": _quantile(0.5),
    "p95": _quantile(0.95),
    "refused": _refused,
    "false_accepts": _false_accepts,
}
#: Which of :data:`MEASURES` are compared.
COMPARED = ("below_1", "below_3", "below_5", "median", "refused")


def summarise_alignment(rows: Iterable[Row], pictures: Pictures | None = None) -> list[Summary]:
    """Return one summary per set, number of frames and method, in order of appearance.

    Scores are :data:`MEASURES`, and ``seconds`` of the processor per frame. The 95 % intervals
    are those of a bootstrap over pictures (percentiles): the frames of one sequence, and the
    sequences of one picture, are no independent trials.
    """
    return summarise_rows(rows, _measure, pictures)


def _measure(rows: Sequence[Row], pictures: Sequence[str]) -> dict[str, Mean]:
    frames = _frames(rows, pictures)
    scores = {name: _estimate(STATISTICS[name], frames) for name in MEASURES}
    # The time is that of the whole sequence, in each of its rows.
    first = {row.sequence: (row, picture) for row, picture in zip(rows, pictures, strict=True)}
    seconds = [row.values["seconds"] / row.frames for row, _ in first.values()]
    times = _by_picture(seconds, [picture for _, picture in first.values()])
    scores["seconds"] = _estimate(lambda values, _: values.nanmean(1), (times, times > 0))
    return scores


def compare_aligners(
    rows: Iterable[Row], pictures: Pictures | None = None, against: str | None = None
) -> list[Summary]:
    """Compare methods of alignment by :func:`compare_pairs`, the best by frames within a pixel.

    The intervals are those of the difference: both methods are resampled together. Scores are
    :data:`COMPARED`, NaN where both are infinite; counts also say on how many frames the corner
    error is smaller (``better``) and larger (``worse``).
    """
    return compare_pairs(
        rows,
        against or AGAINST,
        lambda group: sum(row.values["corner_error"] < 1 for row in group),
        _measure_differences,
        pictures,
    )


def _measure_differences(ours: Sequence[Row], theirs: Sequence[Row], pictures: Sequence[str]) -> Measured:
    first, second = _frames(ours, pictures), _frames(theirs, pictures)
    counts = {"better": int((first[0] < second[0]).sum()), "worse": int((first[0] > second[0]).sum())}
    return {name: _estimate(STATISTICS[name], first, second) for name in COMPARED}, counts


def _frames(rows: Sequence[Row], pictures: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Return errors and whether frames are called aligned, both (pictures, frames of each).

    Pictures of fewer frames are padded: with errors of NaN, and frames that are not aligned.
    """
    errors = _by_picture([row.values["corner_error"] for row in rows], pictures)
    accepted = _by_picture([float(row.values["success"]) for row in rows], pictures)
    return errors, accepted > 0


def _by_picture(values: Sequence[float], pictures: Sequence[str]) -> Tensor:
    """Return the values of each picture, (pictures, most values of one) float64, else NaN."""
    groups = group_by(zip(values, pictures, strict=True), lambda pair: pair[1]).values()
    rows = [torch.tensor([value for value, _ in group], dtype=torch.float64) for group in groups]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=torch.nan)


def _estimate(statistic: Statistic, frames: tuple[Tensor, Tensor], others: tuple[Tensor, Tensor] | None = None) -> Mean:
    """Return a statistic of frames, with its interval by drawing pictures.

    Args:
        statistic: The statistic.
        frames: Errors and whether frames are called aligned, see :func:`_frames`.
        others: Those of another method, whose statistic is subtracted; the same pictures are
            drawn of both.
    """

    def of_pictures(drawn: Tensor) -> Tensor:
        values = [
            statistic(errors[drawn].flatten(1), accepted[drawn].flatten(1))
            for errors, accepted in (frames, *([others] if others else []))
        ]
        return values[0] - values[1] if others else values[0]

    count = len(frames[0])
    resampled = resample(of_pictures, count)
    value = float(of_pictures(torch.arange(count)[None]))
    return interval(value, resampled[~resampled.isnan()])
