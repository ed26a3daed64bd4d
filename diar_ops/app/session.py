"""One person's photos and run, in a folder of its own that goes when the page is closed."""

from __future__ import annotations

import os
import queue
import shutil
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any, NamedTuple

from diar_ops._errors import ImageError
from diar_ops._types import Alignment, Reason
from diar_ops.app.corners import crop_at, edit_corners
from diar_ops.data import Photo, read_image, read_photos
from diar_ops.results import CleanOptions, CleanResult, Listener, clean_photos
from diar_ops.results.images import data_uri, reduce_image

_THUMBNAIL = 240  # longest edge, in pixels
_PATIENCE = 60  # longest step of a run that is waited for, in seconds
_ABANDONED = 600  # age of uploads that no page has claimed, in seconds


class Card(NamedTuple):
    """What the page shows of a photo.

    Attributes:
        name: Its file name.
        picture: A small copy as a data URI; empty if there is none.
        verdict: ``"waiting"``, ``"aligned"``, ``"left out"`` or ``"not read"``.
        why: The verdict in a sentence; empty while it waits.
    """

    name: str
    picture: str = ""
    verdict: str = "waiting"
    why: str = ""


class Step(NamedTuple):
    """Progress of a run: what is being done, and how far."""

    label: str
    done: int = 0
    total: int = 0


class Stopped(Exception):  # noqa: N818 - no error
    """The person has stopped the run, or closed the page."""


@dataclass
class Session:
    """One person's photos and run.

    Attributes:
        folder: Everything of it on disk.
        files: What was given, by name, in the order in which it came.
        cards: The photos of it.
        result: The finished run, if there is one.
        uploads: Where files were received; pages that gave the same file share it.
    """

    folder: Path
    files: dict[str, Path] = field(default_factory=dict)
    cards: dict[str, Card] = field(default_factory=dict)
    result: CleanResult | None = None
    uploads: set[Path] = field(default_factory=set)
    _stop: Event = field(default_factory=Event)
    _running: Lock = field(default_factory=Lock)
    _closed: bool = False

    @property
    def archive(self) -> Path:
        """Everything of the finished run in one file."""
        return self.folder / "diar_ops.zip"

    def add(self, files: Sequence[Path]) -> None:
        """Copy files into the folder, each under a name of its own, and make their cards.

        Raises:
            ImageError: A file is gone.
        """
        self.uploads.update(files)
        for file in files:
            name, number = file.name, 1
            while name in self.files:
                number += 1
                name = f"{file.stem}_{number}{file.suffix}"
            target = self.folder / "photos" / name
            target.parent.mkdir(exist_ok=True)
            try:
                shutil.copyfile(file, target)
            except FileNotFoundError as error:
                raise ImageError(f"{name} did not arrive; give it again") from error
            self.files[name], self.cards[name] = target, self._card(target)

    def _card(self, path: Path) -> Card:
        try:
            return Card(path.name, _small(read_image(path)))
        except ImageError as error:
            with suppress(ImageError):  # a file of several photos
                return Card(path.name, _small(read_photos(path, max_size=_THUMBNAIL)[0][0]))
            return Card(path.name, verdict="not read", why=self.in_words(error))

    def edit_corners(self, name: str) -> dict[str, Any] | None:
        """Return a photo to drag corners in; None if there is no such photo."""
        return edit_corners(read_image(self.files[name]).pixels) if name in self.files else None

    def crop(self, name: str, edited: Mapping[str, Any] | None, max_size: int | None) -> str:
        """Return the option that crops a photo to the corners that its page holds.

        Raises:
            OptionError: There are no four corners, or there is no such photo.
        """
        known = name in self.files
        return crop_at(edited if known else None, read_image(self.files[name]).size if known else (1, 1), max_size)

    def in_words(self, error: Exception) -> str:
        """Return an error's sentence with the photos as they were named, not where they lie."""
        return str(error).replace(f"{self.folder / 'photos'}{os.sep}", "")

    def clear(self) -> None:
        """Forget photos and results."""
        self.stop()
        with self._running:
            self.files, self.cards, self.result = {}, {}, None
            for entry in self.folder.iterdir():
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

    def stop(self) -> None:
        """Let a run end at its next step."""
        self._stop.set()

    def close(self) -> None:
        """Stop, and leave nothing on disk."""
        self._closed = True
        self.stop()
        ended = self._running.acquire(timeout=_PATIENCE)
        shutil.rmtree(self.folder, ignore_errors=True)
        if ended:
            self._running.release()

    def run(self, options: CleanOptions) -> Iterator[Step]:
        """Clean the photos; yield whenever there is something new, with :attr:`cards` up to date.

        Raises:
            DiarError: The run was refused, as the sentence says.
            MemoryError: There is not enough.
            Stopped: It was stopped.
        """
        news: queue.SimpleQueue[Step | BaseException | CleanResult] = queue.SimpleQueue()
        self._stop.clear()
        Thread(target=self._work, args=(options, news), daemon=True).start()
        while True:
            new = news.get()
            while isinstance(new, Step) and not news.empty():
                new = news.get()  # only the last one counts
            if isinstance(new, BaseException):
                raise new
            if isinstance(new, CleanResult):
                self.result = new
                return
            yield new

    def _work(self, options: CleanOptions, news: queue.SimpleQueue[Any]) -> None:
        with self._running:
            try:
                if self._closed:
                    raise Stopped
                self.result = None
                out = self.folder / "results"
                shutil.rmtree(out, ignore_errors=True)
                self.archive.unlink(missing_ok=True)
                teller = _Teller(self, news.put)
                cleaned = clean_photos([*self.files.values()], out, options, listener=teller, settings=vars(options))
                _write_archive(out, self.archive)
                news.put(cleaned)
            except BaseException as error:
                news.put(error)


class _Teller(Listener):
    """Tells a session's page what happens, and stops the run where it is asked to."""

    def __init__(self, session: Session, tell: Callable[[Step], None]) -> None:
        self.session, self.tell = session, tell

    def photos(self, photos: Sequence[Photo]) -> None:
        """Show the photos that were read; what was not is known by its own card."""
        cards = self.session.cards
        unread = {name: card for name, card in cards.items() if card.verdict == "not read"}
        seen = {photo.name: Card(photo.name, _small(photo)) for photo in photos}
        self.session.cards = {**seen, **unread}

    def verdicts(self, names: Sequence[str], alignment: Alignment) -> None:
        """Show which photos take part, and why the others do not."""
        for index, (name, reason) in enumerate(zip(names, map(Reason, alignment.reason.tolist()), strict=True)):
            aligned = reason == Reason.OK
            why = "The picture is seen from here." if index == alignment.reference else reason.explanation
            verdict = "aligned" if aligned else "left out"
            self.session.cards[name] = self.session.cards[name]._replace(verdict=verdict, why=why)
        self.tell(Step("judged"))

    @contextmanager
    def step(self, name: str) -> Iterator[Callable[..., None]]:
        """Tell the progress of a step."""

        def progress(*state: str | int) -> None:
            if self.session._stop.is_set():
                raise Stopped
            label, done, total = state if len(state) == 3 else (name, *state)
            self.tell(Step(str(label), int(done), int(total)))

        self.tell(Step(name))
        yield progress


class Sessions:
    """The sessions of all pages that are open, by the page's own key.

    Args:
        root: Folder of their folders.
        uploads: Folder into which files are received, each in a folder of its own.
    """

    def __init__(self, root: Path, uploads: Path) -> None:
        self.root, self.uploads = root, uploads
        self._open: dict[str, Session] = {}
        self._lock = Lock()

    def get(self, key: str) -> Session:
        """Return the session of a page, a new one for a page that has none."""
        with self._lock:
            if key not in self._open:
                self._open[key] = Session(Path(tempfile.mkdtemp(dir=self.root)))
            return self._open[key]

    def close(self, key: str) -> None:
        """Close the session of a page that was closed."""
        with self._lock:
            session = self._open.pop(key, None)
            if session is not None:
                self._sweep(session)
        if session is not None:
            session.close()

    def _sweep(self, session: Session) -> None:
        """Remove what was uploaded for a session, and by pages that were closed before they had it."""
        shared = {path.parent for other in self._open.values() for path in other.uploads}
        mine = {path.parent for path in session.uploads}
        for entry in self.uploads.iterdir() if self.uploads.is_dir() else ():
            if entry not in shared and (entry in mine or time.time() - entry.stat().st_mtime > _ABANDONED):
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

    def close_all(self) -> None:
        """Close all sessions."""
        for key in list(self._open):
            self.close(key)


def options_from(values: Mapping[str, Any]) -> CleanOptions:
    """Return the options that a page's parts hold; what is empty there is as by default."""
    return CleanOptions(**{name: value for name, value in values.items() if value not in (None, "")})


def _small(photo: Photo) -> str:
    return data_uri(reduce_image(photo.pixels[:3].expand(3, -1, -1), _THUMBNAIL))


def _write_archive(folder: Path, path: Path) -> None:
    """Write the files of a folder; pictures are compressed already."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(folder))
