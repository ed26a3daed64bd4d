"""The whole batch: list, compare with what is done, clean what is not, list the results."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import asdict
from typing import Any, NamedTuple

from diar_ops._errors import OptionError, OutputError
from diar_ops._folders import locked_folder
from diar_ops.batch.grouping import group_archive
from diar_ops.batch.inventory import PhotoSequence, list_sequences, result_names
from diar_ops.batch.manifest import write_manifest
from diar_ops.batch.options import BatchOptions
from diar_ops.batch.page import write_pages
from diar_ops.batch.record import Record, Verdict, describe_inputs
from diar_ops.batch.storage import FileState, Storage
from diar_ops.batch.work import RECORDS, RESULTS, CleanJob, SequenceTask
from diar_ops.engines import Failure
from diar_ops.results import CleanOptions, Listener

_SETTINGS = "settings.json"
#: Seconds from one writing of the manifest to the next, at least, while the batch runs.
_REFRESH = 60.0


class BatchResult(NamedTuple):
    """A batch, finished or only planned.

    Attributes:
        out: Where its results are.
        records: Of all sequences, in the order of the archive; what an earlier run left last.
        done: How many were worked on now.
    """

    out: str
    records: Sequence[Record]
    done: int

    def document(self) -> dict[str, Any]:
        """Return the batch as plain JSON data."""
        return {"out": self.out, "done": self.done, "sequences": [asdict(record) for record in self.records]}

    def summary(self) -> str:
        """Sum up the batch in one line."""
        counts = Counter(record.verdict for record in self.records)
        listed = ", ".join(f"{counts[verdict]} {verdict.value}" for verdict in Verdict if counts[verdict])
        total = len(self.records)
        return f"{total} sequence{'s' * (total != 1)}: {listed}; {self.done} worked on now; see {self.out}/index.html"


def clean_folders(
    root: str,
    out: str,
    options: CleanOptions | None = None,
    batch: BatchOptions | None = None,
    *,
    listener: Listener | None = None,
) -> BatchResult:
    """Clean each folder of photos below a folder, or each sequence that a heap of photos holds.

    What is done is found again by its record, which is written last: stopped or killed, the same
    call goes on where it was; sequences whose photos changed since are cleaned again, and so are
    those whose worker died. The files of a sequence are those of :func:`clean_photos`.

    Args:
        root: The archive: a folder, or a URL of fsspec.
        out: Where the results go: likewise.
        options: How pictures are made; ``overwrite`` does all again. The defaults if None.
        batch: How the archive is worked through; the defaults if None.
        listener: Is told of progress and of what went wrong.

    Returns:
        The batch.

    Raises:
        DiarError: The archive cannot be listed, holds no photos, or was cleaned with other settings;
            another batch works on ``out``; or ``out`` cannot be written.
    """
    options, batch, listener = options or CleanOptions(), batch or BatchOptions(), listener or Listener()
    archive, target = Storage(root.rstrip("/") or "/"), Storage(out.rstrip("/") or "/")
    engine = batch.select_engine()
    settings = _settings_of(options)
    # A batch that is only planned leaves no trace.
    locked = nullcontext() if target.local is None or batch.dry_run else locked_folder(target.local)
    with locked:
        if not options.overwrite:
            _check_settings(target, settings)
        files = _outside(archive, target, archive.list_files())
        if batch.group:
            sequences, singles = group_archive(archive, target, files, batch, engine, listener)
        else:
            sequences, singles = list_sequences(archive, files), []
        if not sequences and not singles:
            raise OptionError(f"there are no photos below {root}")
        run = _Run(target, settings, sequences, singles)
        tasks = run.tasks(again=options.overwrite)
        if batch.dry_run:
            return BatchResult(out, run.records, 0)
        target.write_text(_SETTINGS, json.dumps(settings, indent=1) + "\n")
        job = CleanJob(
            archive,
            target,
            CleanOptions(**{**vars(options), "overwrite": False}),
            _digest(settings),
            {"photos": root, **settings},
        )
        overview = _Overview(target, run, root)
        try:
            with listener.step("cleaning") as progress:
                progress(0, len(tasks))
                results = engine.map_unordered(
                    job,
                    tasks,
                    retries=batch.retries,
                    on_retry=lambda i, why: listener.warning(f"{tasks[i].sequence.key} is tried again: {why}"),
                )
                with closing(results):  # type: ignore[type-var]
                    for done, (index, result) in enumerate(results, 1):
                        run.add(tasks[index], result, listener)
                        overview.refresh()
                        progress(done, len(tasks))
        except OutputError as error:
            raise OutputError(f"{error}; finished sequences stay, and the same command goes on from there") from error
        finally:
            overview.write()
    return BatchResult(out, run.records, len(tasks))


class _Run:
    """The records of a batch while it is worked on."""

    def __init__(
        self,
        out: Storage,
        settings: Mapping[str, object],
        sequences: Sequence[PhotoSequence],
        singles: Sequence[PhotoSequence],
    ) -> None:
        self.out, self.sequences = out, sequences
        self.settings = _digest(settings)
        self.names = result_names(sequence.key for sequence in (*sequences, *singles))
        known = [Record.from_json(text) for text in out.read_texts(RECORDS).values()]
        self.earlier = {record.name: record for record in known if record is not None}
        self._records = {s.key: self._waiting(s) for s in sequences}
        self._records.update({s.key: self._waiting(s, Verdict.SINGLE) for s in singles})
        planned = set(self.names.values())
        self._gone = [r for name, r in sorted(self.earlier.items()) if name not in planned]

    @property
    def records(self) -> list[Record]:
        """Of all sequences, and of those that are not in the archive any more."""
        gone = [Record(**{**vars(record), "verdict": Verdict.GONE}) for record in self._gone]
        return [*self._records.values(), *gone]

    def tasks(self, *, again: bool) -> list[SequenceTask]:
        """Return what is to be done, and take over the records of what is."""
        tasks = []
        for sequence in self.sequences:
            name = self.names[sequence.key]
            earlier = None if again else self.earlier.get(name)
            if earlier is not None and (earlier.key != sequence.key or self._has_lost(earlier)):
                earlier = None
            if earlier is not None and earlier.is_current(sequence, self.settings):
                self._records[sequence.key] = earlier
            else:
                tasks.append(SequenceTask(sequence, name, earlier))
        return tasks

    def add(self, task: SequenceTask, result: Record | Failure, listener: Listener) -> None:
        """Keep the record of a task."""
        if isinstance(result, Failure):
            record = self._waiting(task.sequence, Verdict.FAILED)
            record.reasons.append(result.reason)
            self.out.write_text(record.file, record.to_json())
        else:
            record = result
        self._records[record.key] = record
        if record.verdict in (Verdict.FAILED, Verdict.REFUSED):
            listener.warning(f"{record.verdict.value}: {record.key}: {record.reasons[0]}")

    def _has_lost(self, record: Record) -> bool:
        """Return whether somebody took the results away, where that is quickly told."""
        local = self.out.local
        return record.has_picture and local is not None and not (local / RESULTS / record.name).is_dir()

    def _waiting(self, sequence: PhotoSequence, verdict: Verdict = Verdict.WAITING) -> Record:
        return Record(
            sequence.key, self.names[sequence.key], verdict, settings=self.settings, inputs=describe_inputs(sequence)
        )


class _Overview:
    """The manifest and the pages of a batch, which tell while it runs how far it is."""

    def __init__(self, out: Storage, run: _Run, root: str) -> None:
        self.out, self.run, self.root = out, run, root
        self.due = time.monotonic() + _REFRESH

    def refresh(self) -> None:
        """Write them anew once in a while: a twentieth of the time at most goes into it."""
        start = time.monotonic()
        if start >= self.due:
            self.write()
            end = time.monotonic()
            self.due = end + max(_REFRESH, 19 * (end - start))

    def write(self) -> None:
        """Write them."""
        write_manifest(self.out, self.run.records)
        write_pages(self.out, self.run.records, self.root)


def _settings_of(options: CleanOptions) -> dict[str, object]:
    """Return what the pictures depend on."""
    return {name: value for name, value in asdict(options).items() if name != "overwrite"}


def _digest(settings: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def _check_settings(out: Storage, settings: Mapping[str, object]) -> None:
    """Refuse a folder whose pictures were made in another way.

    Raises:
        OptionError: It holds such pictures.
    """
    texts = out.read_text(_SETTINGS)
    try:
        earlier = json.loads(texts or "null")
    except ValueError:
        return
    if isinstance(earlier, dict) and earlier != settings:
        name = next(key for key in {**earlier, **settings} if earlier.get(key) != settings.get(key))
        raise OptionError(
            f"{out.url} was made with `{name}` {earlier.get(name)}, not {settings.get(name)}; choose another folder, "
            f"the same settings, or do all again with `overwrite`"
        )


def _outside(archive: Storage, out: Storage, files: Mapping[str, FileState]) -> dict[str, FileState]:
    """Leave out what lies in the folder of the results, where that is in the archive.

    Raises:
        OptionError: They are one folder.
    """
    root, target = (str(s.local.resolve()) if s.local is not None else s.url for s in (archive, out))
    if root == target:
        raise OptionError("results never go where the photos are; choose another folder")
    inside = target.removeprefix(f"{root}/")
    return {name: state for name, state in files.items() if inside == target or not name.startswith(f"{inside}/")}
