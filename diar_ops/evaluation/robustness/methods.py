"""What is compared: methods of reconstruction, on two kinds of alignment, and of alignment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from diar_ops._errors import OptionError
from diar_ops.evaluation.alignment import Aligner, find_aligners
from diar_ops.evaluation.methods import DEFAULT_METHODS, Method, find_methods

__all__ = ["ALIGNED", "ALIGNERS", "OURS", "RESTORERS", "Compared", "find_compared"]

#: Behind the name of a method of reconstruction: of frames that :func:`align_sequence` laid over
#: the first one, not of frames that lie where they belong.
ALIGNED = "+aligned"
RESTORERS = (*DEFAULT_METHODS, *(m + ALIGNED for m in ("median+exposure", "diar")))
#: What calls :func:`align_sequence`.
OURS = "ours"
ALIGNERS = (OURS, "sift")


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


def find_compared(restorers: Sequence[str], aligners: Sequence[str]) -> Compared:
    """Return the methods that a person means.

    Args:
        restorers: As :func:`find_methods` takes them, also with :data:`ALIGNED` behind.
        aligners: As :func:`find_aligners` takes them; may be none.

    Raises:
        OptionError: A name is unknown, or two methods are called the same.
        WeightsError: A file is missing, damaged, or holds something else.
    """
    made: dict[str, Method] = {}
    skipped: list[str] = []
    for end in ("", ALIGNED):
        words = [w.removesuffix(ALIGNED) for w in restorers if w.endswith(ALIGNED) == bool(end)]
        if words:
            methods, left_out = find_methods(words)
            made.update((method.name + end, method) for method in methods)
            skipped += left_out
    found, left_out = find_aligners(aligners) if aligners else ([], [])
    both = made.keys() & {aligner.name for aligner in found}
    if both:
        raise OptionError(f"two methods are called {min(both)}; call one of them otherwise")
    (ours,), _ = find_aligners([OURS])
    return Compared(made, {a.name: a for a in found}, ours, [*skipped, *left_out])
