"""The pages that list all results of a batch, the doubtful ones first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from diar_ops.batch.inventory import printable
from diar_ops.batch.record import Record, Verdict
from diar_ops.batch.storage import Storage
from diar_ops.batch.work import RESULTS, THUMBNAILS
from diar_ops.results.page import render_page

#: Sequences on a page: more would take a browser long.
PER_PAGE = 500
_ORDER = list(Verdict)


def write_pages(out: Storage, records: Sequence[Record], root: str) -> None:
    """Write ``index.html``, and ``index-2.html``, ... where there are many sequences.

    Those that want to be looked at come first: failed, refused, doubtful ones by the share of photos
    that were left out.
    """
    ranked = sorted(records, key=lambda r: (_ORDER.index(r.verdict), r.aligned / max(1, len(r.photos)), r.covered))
    counts = Counter(record.verdict for record in records)
    pages = [ranked[start : start + PER_PAGE] for start in range(0, max(1, len(ranked)), PER_PAGE)]
    for number, page in enumerate(pages, 1):
        text = render_page(
            "clean_folders",
            "batch.html.j2",
            package=__package__,
            root=printable(root),
            created=datetime.now().astimezone().strftime("%d %B %Y, %H:%M"),
            counts=[(verdict.value, counts[verdict]) for verdict in Verdict if counts[verdict]],
            total=len(records),
            cards=[_card(record) for record in page],
            pages=[(n, _page_name(n)) for n in range(1, len(pages) + 1)],
            number=number,
        )
        out.write_text(_page_name(number), text)


def _page_name(number: int) -> str:
    return "index.html" if number == 1 else f"index-{number}.html"


def _card(record: Record) -> dict[str, Any]:
    """Return what the page shows of a sequence."""
    photos = len(record.photos)
    files = len(record.inputs)
    facts = [f"{record.aligned} of {photos} photos" if photos else f"{files} photo{'s' * (files != 1)}"]
    if record.timings:
        facts.append(f"{sum(record.timings.values()):.0f} s")
    if psnr := record.scores.get("psnr"):
        facts.append(f"PSNR {psnr:.1f} dB")
    name = quote(record.name)
    return {
        "title": printable(record.key),
        "verdict": record.verdict.value,
        "reasons": [printable(reason) for reason in record.reasons],
        "facts": facts,
        "report": f"{RESULTS}/{name}/report.html" if record.has_picture else "",
        "thumbnail": f"{THUMBNAILS}/{name}.jpg" if record.has_picture else "",
    }
