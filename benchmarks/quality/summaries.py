"""Summaries of methods per set, and comparisons of two, sequence by sequence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeAlias

from benchmarks.quality.intervals import Mean, mean_of
from benchmarks.quality.rows import Pictures, Row, column, count_pictures, group_by, picture_of
from benchmarks.quality.scores import SCORES


class Summary(NamedTuple):
    """Statistics of a method on a set, or of its differences from another method there.

    Attributes:
        set: Name of the set.
        frames: How many frames of each sequence were used.
        method: Name of the method.
        counts: ``sequences``; ``pictures``, how many different ones they show; ``scored``, how
            many rows there are; and in comparisons how often the method is better.
        scores: Statistics by name; of comparisons the differences, the method minus the other.
        against: Name of the other method; empty where none is compared.
    """

    set: str
    frames: int
    method: str
    counts: dict[str, int]
    scores: dict[str, Mean]
    against: str = ""

    @property
    def size(self) -> tuple[int, int]:
        """The numbers of (sequences, pictures)."""
        return self.counts["sequences"], self.counts["pictures"]


#: Statistics by name, and further counts.
Measured: TypeAlias = tuple[dict[str, Mean], dict[str, int]]


def summarise_rows(
    rows: Iterable[Row],
    measure: Callable[[Sequence[Row], Sequence[str]], dict[str, Mean]],
    pictures: Pictures | None = None,
) -> list[Summary]:
    """Return one summary per set, number of frames and method, in order of appearance.

    Args:
        rows: Results.
        measure: Maps rows and the pictures that they show to statistics.
        pictures: Which picture each sequence shows.
    """
    return [
        Summary(*place, _count(group, pictures), measure(group, [picture_of(r, pictures) for r in group]))
        for place, group in group_by(rows, lambda row: (row.set, row.frames, row.method)).items()
    ]


def compare_pairs(
    rows: Iterable[Row],
    against: str,
    quality: Callable[[Sequence[Row]], float],
    measure: Callable[[Sequence[Row], Sequence[Row], Sequence[str]], Measured],
    pictures: Pictures | None = None,
) -> list[Summary]:
    """Compare each method with one, and that one with the best of the others.

    Per set and number of frames, in order of appearance, on the sequences that both methods have.

    Args:
        rows: Results.
        against: The one; where it has no results, every method is compared with the best of the
            others.
        quality: Maps rows to a number that is larger for better ones.
        measure: Maps the rows of two methods, pair by pair, and the pictures that they show, to
            statistics of their differences and counts.
        pictures: Which picture each sequence shows.
    """
    comparisons = []
    for group in group_by(rows, lambda row: (row.set, row.frames)).values():
        methods = {
            method: group_by(results, lambda row: row.sequence)
            for method, results in group_by(group, lambda row: row.method).items()
        }
        for method, sequences in methods.items():
            # Of each other method its rows of the sequences that both have.
            others = {
                name: [row for s in sequences if s in results for row in results[s]]
                for name, results in methods.items()
                if name != method
            }
            shared = {name: results for name, results in others.items() if results}
            best = max(shared, key=lambda name: quality(shared[name]), default="")
            other = against if against in others else best
            if other in shared:
                ours = [row for s in sequences if s in methods[other] for row in sequences[s]]
                comparisons.append(_compare(ours, shared[other], other, measure, pictures))
    return comparisons


def _compare(
    ours: Sequence[Row],
    theirs: Sequence[Row],
    against: str,
    measure: Callable[[Sequence[Row], Sequence[Row], Sequence[str]], Measured],
    pictures: Pictures | None,
) -> Summary:
    scores, counts = measure(ours, theirs, [picture_of(row, pictures) for row in ours])
    row = ours[0]
    return Summary(row.set, row.frames, row.method, {**_count(ours, pictures), **counts}, scores, against)


def _count(rows: Sequence[Row], pictures: Pictures | None) -> dict[str, int]:
    sequences, shown = count_pictures(rows, pictures)
    return {"sequences": sequences, "pictures": shown, "scored": len(rows)}


#: What methods of reconstruction are compared with by default.
AGAINST = "diar"


def summarise(rows: Iterable[Row], pictures: Pictures | None = None) -> list[Summary]:
    """Return the mean :data:`SCORES` of each set, number of frames and method."""
    return summarise_rows(
        rows, lambda group, shown: {s: mean_of(column(group, s), shown) for s in scores_of(group)}, pictures
    )


def scores_of(rows: Sequence[Row]) -> list[str]:
    """Return which :data:`SCORES` all rows have."""
    return [score for score in SCORES if rows and all(score in row.values for row in rows)]


def compare_methods(rows: Iterable[Row], pictures: Pictures | None = None, against: str | None = None) -> list[Summary]:
    """Compare methods of reconstruction by :func:`compare_pairs`, the best by mean PSNR."""
    return compare_pairs(
        rows, against or AGAINST, lambda group: float(column(group, "psnr").mean()), _score_differences, pictures
    )


def compare_alignments(exact: Iterable[Row], own: Iterable[Row], pictures: Pictures | None = None) -> list[Summary]:
    """Return what each method loses on self-aligned frames, against its own result on exact ones.

    Args:
        exact: Results on frames that are warped to the label by their exact homographies.
        own: Results on frames that the pipeline aligned itself.
        pictures: Which picture each sequence shows.
    """
    references = {row.key: row for row in exact}
    shared = [row for row in own if row.key in references]
    return [
        _compare(group, [references[row.key] for row in group], "exact", _score_differences, pictures)
        for group in group_by(shared, lambda row: (row.set, row.frames, row.method)).values()
    ]


def _score_differences(ours: Sequence[Row], theirs: Sequence[Row], pictures: Sequence[str]) -> Measured:
    scores, counts = {}, {}
    for score in scores_of([*ours, *theirs]):
        first, second = column(ours, score), column(theirs, score)
        # Both infinite: equal pictures.
        difference = (first - second).masked_fill(first == second, 0)
        better = difference < 0 if SCORES[score].lower_is_better else difference > 0
        scores[score] = mean_of(difference, pictures)
        counts[f"{score}_better"] = int(better.sum())
    return scores, counts
