"""The job of the command and of ``examples/full_pipeline.py``; it needs no Typer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from diar_ops.cli.ending import exit_code
from diar_ops.cli.terminal import TerminalListener
from diar_ops.results import CleanOptions, clean_photos


def clean(
    photos: Sequence[str], out: str, options: Mapping[str, Any], *, as_json: bool = False, quiet: bool = False
) -> int:
    """Clean photos as a program, and return its exit code.

    Args:
        photos: Files and folders.
        out: Where the results go.
        options: Fields of :class:`CleanOptions`.
        as_json: Print one JSON object, of an error, too.
        quiet: Show no progress and no summary.
    """

    def job() -> str:
        cleaned = clean_photos(
            photos,
            out,
            CleanOptions(**options),
            listener=TerminalListener(quiet=quiet, reserved=as_json),
            settings={"photos": list(photos), "out": out, **options},
        )
        if as_json:
            return json.dumps(cleaned.document(), indent=2)
        return "" if quiet else cleaned.summary()

    return exit_code(
        job,
        less_memory="shrink the photos with --max-size",
        stopped="files that were written are complete",
        failed=(lambda sentence: json.dumps({"error": sentence})) if as_json else None,
    )
