"""evaluate.py --alignment: methods of alignment on the same frames."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

from tqdm import tqdm

from _cli import progress_bar
from diar_ops.evaluation import Plan, complete_results, settings_record
from diar_ops.evaluation.alignment import (
    ALIGNMENT,
    DEFAULT_ALIGNERS,
    AlignerFiles,
    begin_alignment,
    find_aligners,
    write_alignment,
    write_worst,
)

__all__ = ["run_alignment"]


def run_alignment(options: argparse.Namespace) -> str:
    """Evaluate alignment, and return the summary."""
    files = AlignerFiles(
        options.resnet18, options.kornia_loftr, options.kornia_disk, options.kornia_lightglue
    )
    words = options.methods or DEFAULT_ALIGNERS
    aligners, skipped = find_aligners(words, files)
    for sentence in skipped:
        print(sentence, file=sys.stderr)
    plan = Plan(
        options.sets, [a.name for a in aligners], options.frames,
        sequences=options.sequences, least=2,
    )  # fmt: skip
    out = Path(options.out)
    methods = {aligner.name: aligner.settings for aligner in aligners}
    record = settings_record(ALIGNMENT, plan.first_folders, methods=methods)
    with progress_bar("aligning", "sequence") as progress:
        rows = complete_results(
            out, ALIGNMENT, plan, record, partial(begin_alignment, words, files),
            workers=options.workers, overwrite=options.overwrite, progress=progress,
        )  # fmt: skip
    if options.pictures:
        with tqdm(desc="pictures", unit="frame", disable=None) as bar:
            write_worst(
                out / "pictures", rows, plan.folders, options.pictures, progress=bar.update
            )  # fmt: skip
    return write_alignment(out, rows, aligners)
