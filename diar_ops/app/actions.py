"""What the parts of the page do, and what they show then."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from diar_ops._errors import DiarError, ImageError
from diar_ops.app.session import Session, Sessions, Stopped, options_from
from diar_ops.app.words import name_titles, photo_cards, progress_bar, told
from diar_ops.results.files import output_names

#: What the page calls the crop whose corners are dragged.
CORNERS = "corners"
_DOWNLOADS = ("picture", "report", "archive")


@dataclass(frozen=True)
class Actions:
    """What the parts of the page do. Each returns what they show, in the order that the layout names.

    Attributes:
        sessions: Where each open page has its photos and its run.
        most_photos: More are refused.
        options: Names of the options that the page sets, in the order of their values.
    """

    sessions: Sessions
    most_photos: int
    options: tuple[str, ...]

    def add(self, files: list[str] | None, request: gr.Request) -> list[Any]:
        """Take what was dropped: its cards, the photos to see it from, and the drop zone free again."""
        session = self._session(request)
        new = [Path(file) for file in files or ()]
        if len(session.cards) + len(new) > self.most_photos:
            return [told(f"at most {self.most_photos} photos; give fewer", wrong=True), gr.skip(), gr.skip(), None]
        try:
            session.add(new)
        except ImageError as error:
            return [told(str(error), wrong=True), photo_cards(session.cards.values()), gr.skip(), None]
        names = ["auto", *(name for name, card in session.cards.items() if card.verdict != "not read")]
        return [told(_count(session)), photo_cards(session.cards.values()), gr.update(choices=names), None]

    def run(self, request: gr.Request, chosen: str, edited: dict[str, Any] | None, *values: Any) -> Iterator[list[Any]]:
        """Clean the photos; show every step, then the picture."""
        session = self._session(request)
        nothing = [gr.skip() for _ in _DOWNLOADS]
        try:
            given = {"reference": chosen, **dict(zip(self.options, values, strict=True))}
            if given.get("crop") == CORNERS:
                given["crop"] = session.crop(chosen, edited, given["max_size"])
            asked = options_from(given)
            yield [told("waiting …"), gr.skip(), None, *(gr.update(interactive=False) for _ in _DOWNLOADS)]
            for step in session.run(asked):
                yield [progress_bar(step), photo_cards(session.cards.values()), gr.skip(), *nothing]
        except Stopped:
            yield [told("Stopped."), photo_cards(session.cards.values()), gr.skip(), *nothing]
        except (DiarError, MemoryError) as error:
            full = isinstance(error, MemoryError)
            sentence = "not enough memory; give a smaller “Max size”" if full else name_titles(session.in_words(error))
            yield [told(sentence, wrong=True), photo_cards(session.cards.values()), gr.skip(), *nothing]
        else:
            yield _finished(session)

    def show(self, request: gr.Request, chosen: str) -> dict[str, Any] | None:
        """Show the photo to drag corners in."""
        return self._session(request).edit_corners(chosen)

    def stop(self, request: gr.Request) -> None:
        """Stop the run."""
        self._session(request).stop()

    def close(self, request: gr.Request) -> None:
        """Forget a page that is closed."""
        self.sessions.close(str(request.session_hash))

    def clear(self, request: gr.Request) -> list[Any]:
        """Forget photos and results."""
        self._session(request).clear()
        off = [gr.update(value=None, interactive=False) for _ in _DOWNLOADS]
        return ["", "", gr.update(choices=["auto"], value="auto"), None, None, *off]

    def _session(self, request: gr.Request) -> Session:
        return self.sessions.get(str(request.session_hash))


def _count(session: Session) -> str:
    unread = sum(card.verdict == "not read" for card in session.cards.values())
    words = f"{len(session.cards)} photos"
    return f"{words}, {unread} of them cannot be read: click one to see why" if unread else words


def _finished(session: Session) -> list[Any]:
    """Return what the parts show of a finished run."""
    assert session.result is not None
    out, names = session.result.folder, session.result.names
    before = out / "aligned" / output_names(names)[session.result.alignment.reference]
    clean = out / session.result.picture
    files = clean, out / "report.html", session.archive
    return [
        told(session.result.summary().partition("; see ")[0]),
        photo_cards(session.cards.values()),
        (str(before), str(clean)),
        *(gr.update(value=str(file), interactive=True) for file in files),
    ]
