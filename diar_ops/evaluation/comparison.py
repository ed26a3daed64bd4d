"""Two methods on the same sequences: who is better, by how much, how often."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from diar_ops.evaluation.rows import Scored
from diar_ops.evaluation.scores import LOWER_IS_BETTER
from diar_ops.evaluation.summary import (
    Mean,
    Pictures,
    column,
    mean_of,
    picture_of_sequence,
    scores_of,
)

__all__ = ["AGAINST", "Comparison", "Difference", "compare_alignments", "compare_methods", "rival"]

#: What methods are compared with by default.
AGAINST = "diar"


class Difference(NamedTuple):
    """How far a score is from that of the other, sequence by sequence.

    Attributes:
        mean: Mean difference, this one minus the other.
        better: On how many sequences this one is better.
    """

    mean: Mean
    better: int


class Comparison(NamedTuple):
    """A method beside another, on the sequences that both have been scored on.

    Attributes:
        against: The other.
        sequences: How many they share.
        pictures: How many different pictures these show.
        scores: By name, see :data:`SCORES`.
    """

    set: str
    frames: int
    method: str
    against: str
    sequences: int
    pictures: int
    scores: dict[str, Difference]


def compare_methods(
    rows: Iterable[Scored], pictures: Pictures | None = None, against: str | None = None
) -> list[Comparison]:
    """Compare each method with one, and that one with the best of the others.

    Per set and number of frames, in order of appearance.

    Args:
        rows: Results.
        pictures: What sequences show.
        against: The one; where it has no results, every method is compared with the best of the
            others: the one with the highest mean PSNR on the sequences that both have.
            None: :data:`AGAINST`.
    """
    groups: dict[tuple[str, int], dict[str, dict[str, Scored]]] = {}
    for row in rows:
        methods = groups.setdefault((row.set, row.frames), {})
        methods.setdefault(row.method, {})[row.sequence] = row
    found = []
    for methods in groups.values():
        for method, of in methods.items():
            other = rival(method, list(methods), against or AGAINST) or _best(methods, method)
            pairs = [(of[s], methods[other][s]) for s in of if other and s in methods[other]]
            if other and pairs:
                found.append(_compare(pairs, other, pictures or {}))
    return found


def rival(method: str, methods: Sequence[str], against: str) -> str | None:
    """Return ``against`` where it is another one of the methods; None: the best of the others."""
    return against if against in methods and against != method else None


def compare_alignments(
    exact: Iterable[Scored], own: Iterable[Scored], pictures: Pictures | None = None
) -> list[Comparison]:
    """Return what each method loses on self-aligned frames, against its own result on exact ones.

    Args:
        exact: Results on frames that are laid over the label by their exact homographies.
        own: Results on frames that the pipeline aligned itself.
        pictures: What sequences show.
    """
    of = {row.key: row for row in exact}
    groups: dict[tuple[str, int, str], list[tuple[Scored, Scored]]] = {}
    for row in own:
        if row.key in of:
            key = (row.set, row.frames, row.method)
            groups.setdefault(key, []).append((row, of[row.key]))
    return [_compare(pairs, "exact", pictures or {}) for pairs in groups.values()]


def _best(methods: dict[str, dict[str, Scored]], method: str) -> str | None:
    """Return the other method with the highest mean PSNR on the sequences that both have."""
    means = {}
    for other, of in methods.items():
        shared = [of[s] for s in methods[method] if s in of]
        if other != method and shared:
            means[other] = float(column(shared, "psnr").mean())
    return max(means, key=means.__getitem__) if means else None


def _compare(
    pairs: Sequence[tuple[Scored, Scored]], against: str, pictures: Pictures
) -> Comparison:
    ours, theirs = ([pair[i] for pair in pairs] for i in (0, 1))
    shown = [picture_of_sequence(pictures, row.set, row.sequence) for row in ours]
    scores = {}
    for score in scores_of([*ours, *theirs]):
        difference = column(ours, score) - column(theirs, score)
        # Both infinite: equal pictures.
        difference = difference.masked_fill(column(ours, score) == column(theirs, score), 0)
        won = difference < 0 if score in LOWER_IS_BETTER else difference > 0
        scores[score] = Difference(mean_of(difference, shown), int(won.sum()))
    row = ours[0]
    return Comparison(
        row.set, row.frames, row.method, against, len(ours), len(set(shown)), scores
    )  # fmt: skip
