"""``diar-ops batch``: an archive in, a folder with the pictures of all its sequences out."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from diar_ops.batch import BatchOptions, BatchResult, clean_folders
from diar_ops.cli.ending import exit_code, say
from diar_ops.cli.parameters import takes_options
from diar_ops.cli.terminal import TerminalListener
from diar_ops.results import CleanOptions

command = typer.Typer(add_completion=False, rich_markup_mode="markdown")
_OWN = set(BatchOptions.__dataclass_fields__)


@command.command()
@takes_options(CleanOptions, "How pictures are made")
@takes_options(BatchOptions, "How the archive is worked through")
def batch(
    root: Annotated[
        str, typer.Argument(metavar="ROOT", help="Folder with folders of photos, or a URL such as s3://bucket/photos.")
    ],
    out: Annotated[str, typer.Option("--out", metavar="DIR", help="Folder for the results, or a URL.")],
    as_json: Annotated[
        bool, typer.Option("--json", metavar="", help="Print one JSON object, for programs: all records.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", metavar="", help="Show no progress and no summary.")] = False,
    **options: Any,
) -> None:
    """Clean an archive: one folder of photos, one picture; or one heap, which is sorted first.

    Stopped (Ctrl-C) or killed, the same command goes on where it was. Sequences whose photos changed
    since are cleaned again, and so are those whose process died.

    Examples:
    - `diar-ops batch archive/ --out cleaned/`
    - `diar-ops batch phone/ --out cleaned/ --group --dry-run`
    - `diar-ops batch s3://bucket/photos --out s3://bucket/cleaned --engine ray --ray-address auto`

    Written to the folder:

    - `index.html`: open this: all pictures, those that want to be looked at first
    - `results/NAME/`: of each sequence what `diar-ops clean` writes
    - `manifest.csv`, `manifest.sqlite`: verdicts, reasons, timings, checksums of photos and results
    """
    own = {name: options.pop(name) for name in _OWN & set(options)}

    def job() -> str:
        listener = TerminalListener(quiet=quiet, reserved=as_json)
        result = clean_folders(root, out, CleanOptions(**options), BatchOptions(**own), listener=listener)
        if as_json:
            return json.dumps(result.document(), indent=2)
        if own["dry_run"]:
            _show_plan(result, names=own["group"])
            return ""
        return "" if quiet else result.summary()

    code = exit_code(
        job,
        less_memory="use fewer --workers, or shrink the photos with --max-size",
        stopped="finished sequences stay, the same command goes on",
        failed=(lambda sentence: json.dumps({"error": sentence})) if as_json else None,
    )
    raise typer.Exit(code)


def _show_plan(result: BatchResult, *, names: bool) -> None:
    """Print a line for each sequence: what is known of it, and its files where they were sorted."""
    for record in result.records:
        files = ", ".join(record.inputs) if names else f"{len(record.inputs)} files"
        say(f"{record.verdict.value:<8} {record.key}: {files}")
