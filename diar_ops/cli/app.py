"""``diar-ops app``: the page in the browser."""

from __future__ import annotations

from typing import Annotated

import typer

from diar_ops.cli.ending import exit_code, say

command = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@command.command()
def app(
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="Where to listen; 0.0.0.0 lets anybody in.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", metavar="PORT", min=0, max=65535, help="0 for a free one.")] = 7860,
    max_upload: Annotated[
        int, typer.Option("--max-upload", metavar="MB", min=1, help="Largest photo or video that is taken.")
    ] = 200,
    most_photos: Annotated[int, typer.Option("--most-photos", metavar="N", min=2, help="Most of one page.")] = 200,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", metavar="", help="Open it.")] = True,
) -> None:
    """Open the page: drop photos, see verdicts, get the picture, in a browser.

    Nothing leaves this machine, and it works without a network. What is given to the page is
    removed when it is closed; Ctrl-C ends it for all.

    Examples:
    - `diar-ops app`
    - `diar-ops app --host 0.0.0.0 --port 8000 --no-browser --max-upload 50`
    """

    def job() -> str:
        from diar_ops.app.server import serve

        serve(
            host=host,
            port=port,
            max_upload=max_upload,
            most_photos=most_photos,
            open_browser=browser,
            ready=lambda address: say(f"the page is at {address} (Ctrl-C ends it)"),
        )
        return ""

    raise typer.Exit(exit_code(job, less_memory="close other programs", stopped="what the pages held is removed"))
