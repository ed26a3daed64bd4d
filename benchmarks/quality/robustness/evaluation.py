"""The whole evaluation of robustness: options in, tables, curves and pictures out."""

from __future__ import annotations

import argparse
import hashlib
import sys
from functools import partial
from pathlib import Path

from tqdm import tqdm

from benchmarks.quality.record import PICTURES, settings_record
from benchmarks.quality.robustness.cells import begin_robustness, resolve_compared
from benchmarks.quality.robustness.degraded_photos import choose_pictures
from benchmarks.quality.robustness.factors import FACTORS
from benchmarks.quality.robustness.level_plan import ROBUSTNESS, plan_levels
from benchmarks.quality.robustness.output import write_level_sheets, write_robustness
from benchmarks.quality.run import complete_results


def evaluate_robustness(options: argparse.Namespace) -> str:
    """Compute what is asked for, write tables and pictures, and return what there is to read.

    Args:
        options: Of examples/robustness.py.

    Raises:
        DiarError: An option is wrong, or a file cannot be read or written.
    """
    compared = resolve_compared(options.methods, options.aligners)
    for sentence in compared.skipped:
        print(sentence, file=sys.stderr)
    plan = plan_levels(options.factors, compared.names, options.sequences, options.frames)
    size = (options.size, options.size)
    pictures = (choose_pictures(options.textures, i, size) for i in range(options.sequences))
    record = settings_record(
        ROBUSTNESS,
        frames=options.frames,
        size=options.size,
        factors={name: FACTORS[name].what for name in options.factors},
        methods={
            **{name: method.digest or name for name, method in compared.restorers.items()},
            **{name: aligner.settings for name, aligner in compared.aligners.items()},
        },
        pictures={str(i): hashlib.sha256(picture.numpy().tobytes()).hexdigest() for i, picture in enumerate(pictures)},
    )
    out = Path(options.out)
    rows = complete_results(
        out,
        ROBUSTNESS,
        plan,
        record,
        partial(begin_robustness, options.methods, options.aligners, options.textures, options.size),
        engine=options.engine,
        title="evaluating",
        unit="level",
        overwrite=options.overwrite,
    )
    with tqdm(desc="pictures", unit="sheet", disable=None) as bar:
        for sequence in range(min(options.pictures, options.sequences)):
            write_level_sheets(
                out / PICTURES,
                list(record["factors"]),
                compared.restorers,
                options.textures,
                frames=options.frames,
                side=options.size,
                sequence=sequence,
                progress=bar.update,
            )
    return write_robustness(out, rows)
