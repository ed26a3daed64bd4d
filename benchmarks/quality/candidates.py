"""The parts of an evaluation, and the methods that they compare."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.quality.alignment.aligners import AlignerFiles, resolve_aligners
from benchmarks.quality.alignment.frame_errors import ALIGNMENT
from benchmarks.quality.alignment.pairwise import Aligner
from benchmarks.quality.methods import DEFAULT, Method, resolve_methods
from benchmarks.quality.reconstruction import read_scores
from benchmarks.quality.record import StoredResults, read_results
from diar_ops._errors import OptionError

PARTS = ("reconstruction", "self-aligned", "alignment")
RECONSTRUCTED, SELF_ALIGNED, ALIGNED = PARTS


class Candidates(NamedTuple):
    """The methods that an evaluation compares.

    Attributes:
        words: The methods of reconstruction, as :func:`resolve_methods` takes them.
        methods: These methods; none where no part reconstructs.
        aligners: The methods of alignment; none where no part aligns.
        files: Weights of the aligners.
    """

    words: Sequence[str]
    methods: Sequence[Method]
    aligners: Sequence[Aligner]
    files: AlignerFiles

    def names(self, part: str) -> list[str]:
        """Return the names of those that a part compares."""
        return [x.name for x in (self.aligners if part == ALIGNED else self.methods)]


def resolve_candidates(options: argparse.Namespace, parts: Mapping[str, object]) -> Candidates:
    """Return what the parts compare; print what is left out."""
    words = options.methods or [DEFAULT]
    files = AlignerFiles(options.resnet18, options.kornia_loftr, options.kornia_disk, options.kornia_lightglue)
    methods: list[Method] = []
    aligners: list[Aligner] = []
    if parts.keys() - {ALIGNED}:
        methods = resolve_methods(words)
    if ALIGNED in parts:
        aligners, skipped = resolve_aligners(options.aligners or [DEFAULT], files)
        for sentence in skipped:
            print(sentence, file=sys.stderr)
    return Candidates(words, methods, aligners, files)


def check_against(names: Sequence[str], candidates: Candidates, out: Path) -> None:
    """Raise unless methods that others are to be compared with have results or will have."""
    known = {*candidates.names(RECONSTRUCTED), *candidates.names(ALIGNED)}
    for part in PARTS:
        known |= {row.method for row in read_part(out, part).rows}
    for name in names:
        if name not in known:
            raise OptionError(f"--against {name}: there is no such method among those compared")


def read_part(out: Path, part: str) -> StoredResults:
    """Return the results of a part, no rows where it has none."""
    return read_results(out / part, ALIGNMENT) if part == ALIGNED else read_scores(out / part)
