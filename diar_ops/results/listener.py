"""Who is told of a run: its messages, its progress, and what is known of the photos."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from diar_ops._types import Alignment
from diar_ops.data import Photo


class Listener:
    """Receiver of the messages and the progress of a run; silent unless overridden."""

    def info(self, sentence: str) -> None:
        """Receive what is worth knowing."""

    def warning(self, sentence: str) -> None:
        """Receive what is not as the user would have it."""

    def photos(self, photos: Sequence[Photo]) -> None:
        """Receive the photos that were read."""

    def verdicts(self, names: Sequence[str], alignment: Alignment) -> None:
        """Receive how the photos lie over the reference, as soon as it is known."""

    @contextmanager
    def step(self, name: str) -> Iterator[Callable[..., None]]:
        """Wrap one step; yield what is called with ([label,] done, total) as it progresses."""
        yield lambda *_: None
