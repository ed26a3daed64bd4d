"""What the page says of photos and runs, as HTML."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from diar_ops._options import spell_options
from diar_ops.app.session import Card, Step

_MARKS = {"waiting": "·", "aligned": "✓", "left out": "✕", "not read": "✕"}

CSS = """
.photos { display: grid; grid-template-columns: repeat(auto-fill, minmax(120px, 1fr)); gap: 10px; }
.photo { border: 1px solid var(--border-color-primary); border-radius: 8px; overflow: hidden; margin: 0; }
.photo summary { list-style: none; cursor: pointer; }
.photo summary::-webkit-details-marker { display: none; }
.photo img, .photo .none { display: block; width: 100%; aspect-ratio: 1; object-fit: cover; }
.photo .none { background: var(--background-fill-secondary); }
.photo .name { display: block; padding: 6px 8px 0; font-size: 13px; overflow: hidden; text-overflow: ellipsis;
  white-space: nowrap; }
.photo .verdict { display: block; padding: 0 8px 6px; font-size: 13px; font-weight: 600;
  color: var(--body-text-color-subdued); }
.photo[data-verdict="aligned"] .verdict { color: #15803d; }
.photo[data-verdict="left out"] .verdict, .photo[data-verdict="not read"] .verdict { color: #c2410c; }
.dark .photo[data-verdict="aligned"] .verdict { color: #4ade80; }
.dark .photo[data-verdict="left out"] .verdict, .dark .photo[data-verdict="not read"] .verdict { color: #fb923c; }
.photo[data-verdict="left out"] img { opacity: .45; }
.photo p { margin: 0; padding: 0 8px 8px; font-size: 13px; }
.told progress { width: 100%; accent-color: var(--color-accent); }
.told.wrong { color: #c2410c; }
.dark .told.wrong { color: #fb923c; }
"""


def photo_cards(cards: Iterable[Card]) -> str:
    """Return the photos as cards; one that is clicked tells why."""
    return f'<div class="photos">{"".join(map(_card, cards))}</div>'


def _card(card: Card) -> str:
    name = escape(card.name)
    picture = f'<img src="{card.picture}" alt="{name}">' if card.picture else '<span class="none"></span>'
    why = f"<p>{escape(card.why)}</p>" if card.why else "<p>It is judged when the run has compared the photos.</p>"
    return (
        f'<details class="photo" data-verdict="{card.verdict}"><summary>{picture}'
        f'<span class="name" title="{name}">{name}</span>'
        f'<span class="verdict">{_MARKS[card.verdict]} {card.verdict}</span></summary>{why}</details>'
    )


def progress_bar(step: Step) -> str:
    """Return a step of a run as a bar, without an end where none is known."""
    known = f' value="{step.done}" max="{step.total}"' if step.total else ""
    return f'<div class="told" role="status">{escape(step.label)} …<progress{known}></progress></div>'


def told(sentence: str, *, wrong: bool = False) -> str:
    """Return a sentence, marked where something is wrong."""
    return f'<div class="told{" wrong" * wrong}" role="{"alert" if wrong else "status"}">{escape(sentence)}</div>'


def title(name: str) -> str:
    """Return what the page calls an option."""
    return name.replace("_", " ").capitalize()


def name_titles(sentence: str) -> str:
    """Return a sentence of the library with its `options` named as on the page."""
    return spell_options(sentence, lambda name: f"“{title(name)}”")
