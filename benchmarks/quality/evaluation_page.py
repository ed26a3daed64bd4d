"""One self-contained HTML page of everything that was measured."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.quality.cases import Case
from benchmarks.quality.result_tables import Table, tables_markdown
from benchmarks.quality.rows import Row, group_by
from diar_ops._files import write_text_atomic
from diar_ops._pixels import image_size
from diar_ops.data import read_image
from diar_ops.results import formatting as words
from diar_ops.results.images import data_uri, reduce_image
from diar_ops.results.page import render_page

#: Longest side of a picture on the page, in pixels, and the quality of its JPEG.
_SIDE, _QUALITY = 612, 65
#: Pixels in a point of an SVG, as browsers draw it.
_PIXELS_PER_POINT = 4 / 3


class Block(NamedTuple):
    """Tables that belong together.

    Attributes:
        title: What they are of; empty if the section says it.
        words: How to read them.
        tables: The tables. Where they are of several numbers of frames, the page shows those of
            the most of each set and folds the others.
    """

    title: str
    words: str
    tables: list[Table]

    @property
    def shown(self) -> list[Table]:
        """The tables that are seen at once."""
        most = {table.set: table for table in sorted(self.tables, key=lambda t: t.frames)}
        return [table for table in self.tables if most[table.set] is table]

    @property
    def folded(self) -> list[Table]:
        """The others."""
        shown = {id(table) for table in self.shown}
        return [table for table in self.tables if id(table) not in shown]


class CasePicture(NamedTuple):
    """A picture of a result.

    Attributes:
        kind: ``"worst"``, ``"median"`` or ``"best"``.
        words: What it is of, and its numbers.
        file: The picture.
    """

    kind: str
    words: str
    file: Path


@dataclass(frozen=True)
class Section:
    """One part of an evaluation.

    Attributes:
        title: What it is.
        words: What was measured.
        blocks: Its tables.
        figures: (path without ending of a PNG and an SVG, what it shows).
        cases: Pictures by method.
        case_words: What they show.
        notes: One sentence each.
    """

    title: str
    words: str
    blocks: list[Block]
    figures: list[tuple[Path, str]]
    cases: dict[str, list[CasePicture]] = field(default_factory=dict)
    case_words: str = ""
    notes: list[str] = field(default_factory=list)


def case_pictures(
    cases: Iterable[Case], file: Callable[[Row], Path], caption: Callable[[Row], str]
) -> dict[str, list[CasePicture]]:
    """Return the pictures of those cases that have one, by method."""
    existing = [case for case in cases if file(case.row).exists()]
    return {
        method: [CasePicture(kind, caption(row), file(row)) for kind, row in group]
        for method, group in group_by(existing, lambda case: case.row.method).items()
    }


def write_section(folder: Path, section: Section, summary: str, comparisons: str) -> None:
    """Write a section as ``summary.md``, and its tables as CSV beside it."""
    files = {"summary.md": section_markdown(section) + "\n", "summary.csv": summary, "comparisons.csv": comparisons}
    for name, text in files.items():
        write_text_atomic(folder / name, text, overwrite=True)


def section_markdown(section: Section, *, brief: bool = False) -> str:
    """Return words and tables of a section as Markdown; ``brief``: of the most frames only."""
    parts = [section.words]
    for block in section.blocks:
        parts += [f"### {block.title}" if block.title else "", block.words]
        parts.append(tables_markdown(block.shown if brief else block.tables))
    parts.append("\n".join(f"- {note}" for note in section.notes))
    return "\n\n".join(part for part in parts if part)


def render_evaluation(sections: Sequence[Section], *, about: Sequence[tuple[str, str]], command: str) -> str:
    """Render sections as one HTML page without external resources.

    Figures become part of it as SVG, pictures as JPEG.

    Args:
        sections: What to show.
        about: What was measured, label and value.
        command: What the results were made with.

    Returns:
        The page, to be written as UTF-8.

    Raises:
        DiarError: jinja2 is not installed.
        ImageError: A picture cannot be read.
    """
    return render_page(
        "render_evaluation",
        "page.html.j2",
        package=__package__,
        title="Methods compared",
        created=datetime.now().astimezone().strftime("%d %B %Y, %H:%M"),
        sections=[_template_section(section) for section in sections],
        about=[*about, ("versions", ", ".join(f"{n} {v}" for n, v in words.versions()))],
        command=command,
    )


def _template_section(section: Section) -> dict[str, Any]:
    """Return what the template shows of a section."""
    cases = [(name, [_template_case(case) for case in group]) for name, group in section.cases.items()]
    return {
        **vars(section),
        "notes": [note.replace("`", "") for note in section.notes],
        "figures": [_template_figure(path, words) for path, words in section.figures],
        "cases": cases,
        "wide": any(case["width"] > 3 * case["height"] for _, group in cases for case in group),
    }


def _template_figure(path: Path, words: str) -> dict[str, Any]:
    text = path.with_name(path.name + ".svg").read_bytes()
    points = re.search(rb'width="([\d.]+)pt"', text)
    width = round(float(points[1]) * _PIXELS_PER_POINT) if points else 0
    uri = f"data:image/svg+xml;base64,{base64.b64encode(text).decode('ascii')}"
    return {"uri": uri, "width": width, "words": words}


def _template_case(case: CasePicture) -> dict[str, Any]:
    picture = reduce_image(read_image(case.file).pixels, 2 * _SIDE)
    height, width = image_size(picture)
    uri = data_uri(picture, quality=_QUALITY)
    return {**case._asdict(), "uri": uri, "width": width, "height": height}
