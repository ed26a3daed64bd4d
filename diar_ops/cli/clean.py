"""``diar-ops clean``: photos in, a folder with the clean picture and everything about it out."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from diar_ops.cli import job
from diar_ops.cli.parameters import takes_options
from diar_ops.results import CleanOptions

command = typer.Typer(add_completion=False, rich_markup_mode="markdown")


@command.command()
@takes_options(CleanOptions, "How")
def clean(
    photos: Annotated[list[str], typer.Argument(metavar="PHOTOS...", help="Photos or folders of photos.")],
    out: Annotated[str, typer.Option("--out", metavar="DIR", help="Folder for the results.")],
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", metavar="", help="Print one JSON object, for programs: photos, verdicts, timings, scores."
        ),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", metavar="", help="Show no progress and no summary.")] = False,
    **options: Any,
) -> None:
    """Turn several spoiled photos of one flat thing into one clean picture.

    Give a folder (or files) of photos of the same painting, poster, page or facade, or a video of
    it. They are aligned to one of them, and the clean picture is put together from what the photos
    agree on. Photos that show something else, or cannot be aligned, are left out and named with the
    reason.

    Examples:
    - `diar-ops clean my_photos/ --out result/`
    - `diar-ops clean a.jpg b.jpg c.jpg --out result/ --reference b.jpg`
    - `diar-ops clean my_photos/ --out result/ --aggregator diar-glass`
    - `diar-ops clean my_photos/ --out result/ --max-size 1600 --overwrite`
    - `diar-ops clean clip.mp4 --out result/ --frames 8 --format tiff`

    Written to the folder:

    - `report.html`: open this: before and after, which photo gave what, how far to trust it
    - `clean.png`: the clean picture (16 bit if the photos are), or what --format says
    - `aligned/`: each photo as seen from the reference; alpha marks what it shows
    - `weights/`: the share of each photo in each pixel of the clean picture, where known
    - `homographies.json`: where each photo lies: reference ~ H @ photo, in pixels; the lens, the bends
    """
    raise typer.Exit(job.clean(photos, out, options, as_json=as_json, quiet=quiet))
