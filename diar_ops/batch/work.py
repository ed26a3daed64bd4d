"""The work of an engine's worker: clean one sequence, write its results, then its record."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from diar_ops._errors import DiarError, ImageError, OutputError
from diar_ops._files import atomic_path, describe_os_error
from diar_ops._folders import atomic_folder, remove_stale_folders
from diar_ops._version import __version__
from diar_ops.batch.inventory import PhotoSequence
from diar_ops.batch.record import Record, Verdict, describe_inputs, describe_outputs
from diar_ops.batch.storage import Storage
from diar_ops.engines import WorkerCrash
from diar_ops.results import CleanOptions, CleanResult, clean_photos

RESULTS, RECORDS, THUMBNAILS = "results", "records", "thumbnails"
#: Longest side of a thumbnail, in pixels.
THUMBNAIL = 360
#: Share of the picture from which on it counts as covered.
COVERED = 0.999


class SequenceTask:
    """A sequence to clean, and what is known of it."""

    def __init__(self, sequence: PhotoSequence, name: str, earlier: Record | None) -> None:
        self.sequence, self.name, self.earlier = sequence, name, earlier


@dataclass(frozen=True)
class CleanJob:
    """What all sequences of a batch share; called, it begins the work of an engine's worker."""

    archive: Storage
    out: Storage
    options: CleanOptions
    settings: str  #: their digest
    shown: Mapping[str, object]  #: what reports list as settings

    def __call__(self) -> SequenceCleaner:
        """Return the work."""
        if self.out.local is not None:
            remove_stale_folders(self.out.local / RESULTS)
        return SequenceCleaner(self)


class SequenceCleaner:
    """The work of one worker."""

    def __init__(self, job: CleanJob) -> None:
        self.job = job

    def __call__(self, task: SequenceTask) -> Record:
        """Clean a sequence and return its record, which is written, too."""
        job, sequence = self.job, task.sequence
        folder, inputs = Path(), describe_inputs(sequence)
        record = Record(task.sequence.key, task.name, Verdict.REFUSED, settings=job.settings, version=__version__)
        try:
            with job.archive.fetched(sequence.files) as folder:
                inputs = self._read_inputs(sequence, folder)
                earlier = task.earlier
                if earlier is not None and earlier.name == task.name and earlier.has_contents(inputs, job.settings):
                    record = _changed(earlier, inputs=inputs)  # only touched, or copied
                else:
                    record = self._clean(record, sequence, folder)
        except OutputError:
            raise
        except MemoryError:
            raise WorkerCrash("not enough memory; shrink the photos with `max_size`") from None
        except DiarError as error:
            record = self._fail(record, Verdict.REFUSED, str(error))
        except WorkerCrash:
            raise
        except Exception as error:  # of ours: no reason to lose the other sequences
            words = " ".join(str(error).split())
            record = self._fail(record, Verdict.FAILED, f"{type(error).__name__}: {words[:300]}")
        # Files are named as in the archive: they may lie in a temporary folder now.
        reasons = [reason.replace(f"{folder}{os.sep}", "") for reason in record.reasons]
        record = _changed(
            record, inputs=inputs, reasons=reasons, finished=datetime.now(timezone.utc).isoformat(timespec="seconds")
        )
        job.out.write_text(record.file, record.to_json())
        return record

    def _read_inputs(self, sequence: PhotoSequence, folder: Path) -> dict[str, dict[str, Any]]:
        try:
            return describe_inputs(sequence, folder)
        except OSError as error:
            raise ImageError(f"cannot read {error.filename}: {describe_os_error(error)}") from error

    def _clean(self, record: Record, sequence: PhotoSequence, folder: Path) -> Record:
        job = self.job
        photos = [folder / sequence.key] if sequence.folder else [folder / name for name in sequence.files]
        with self._results(record) as stage:
            cleaned = clean_photos([str(path) for path in photos], stage, job.options, settings=job.shown)
            done = _describe(record, cleaned, describe_outputs(stage))
            with tempfile.TemporaryDirectory() as scratch:
                small = Path(scratch, f"{record.name}.jpg")
                _write_thumbnail(small, cleaned)
                self._publish(small, f"{THUMBNAILS}/{record.name}.jpg")
            job.out.remove(record.file)  # from here on, the earlier results are none
        return done

    @contextmanager
    def _results(self, record: Record) -> Iterator[Path]:
        """Yield a folder that becomes that of the results, over an earlier one."""
        out, name = self.job.out, f"{RESULTS}/{record.name}"
        if out.local is not None:
            with atomic_folder(out.local / name, overwrite=True) as stage:
                yield stage
            return
        with tempfile.TemporaryDirectory(prefix="diar-batch-") as stage:
            yield Path(stage)
            out.remove(name)
            out.put(Path(stage), name)

    def _publish(self, file: Path, name: str) -> None:
        out = self.job.out
        if out.local is None:
            out.put(file, name)
            return
        with atomic_path(out.local / name, overwrite=True) as path:
            path.write_bytes(file.read_bytes())

    def _fail(self, record: Record, verdict: Verdict, reason: str) -> Record:
        """Return a record without a picture; that of other photos is no longer one."""
        for name in (record.file, f"{RESULTS}/{record.name}", f"{THUMBNAILS}/{record.name}.jpg"):
            self.job.out.remove(name)
        return _changed(record, verdict=verdict, reasons=[reason])


def _changed(record: Record, **values: Any) -> Record:
    return Record(**{**vars(record), **values})


def _describe(record: Record, cleaned: CleanResult, outputs: dict[str, dict[str, Any]]) -> Record:
    """Return the record of a finished run."""
    document = cleaned.document()
    covered = float((cleaned.reconstruction.coverage > 0).double().mean())
    reasons = [f"skipped: {sentence}" for sentence in document["skipped"]]
    reasons += [f"left out: {photo['file']}: {photo['why']}" for photo in document["photos"] if not photo["aligned"]]
    if covered < COVERED:
        reasons.append(f"the photos show {covered:.1%} of the picture")
    return _changed(
        record,
        verdict=Verdict.DOUBTFUL if reasons else Verdict.GOOD,
        reasons=reasons,
        outputs=outputs,
        photos=document["photos"],
        covered=covered,
        scores=document["scores"],
        timings=document["timings"],
    )


def _write_thumbnail(path: Path, cleaned: CleanResult) -> None:
    from PIL import Image

    from diar_ops._pixels import to_bytes
    from diar_ops.results.images import reduce_image

    small = to_bytes(reduce_image(cleaned.reconstruction.image, THUMBNAIL))
    Image.fromarray(small.movedim(0, -1).numpy()).save(path, quality=85)
