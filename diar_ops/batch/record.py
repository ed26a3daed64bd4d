"""The record of one sequence: written last, so that where it is, everything else is there, too."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import Enum
from pathlib import Path
from typing import Any

from diar_ops.batch.inventory import PhotoSequence
from diar_ops.batch.storage import FileState


class Verdict(str, Enum):
    """What became of a sequence, in the order in which a person wants to look."""

    FAILED = "failed"  #: its worker died, or met an error of ours; tried again by the next run
    REFUSED = "refused"  #: the photos make no picture, and the reason says why
    DOUBTFUL = "doubtful"  #: a picture, but photos were left out, or a part of it is not covered
    GOOD = "good"  #: a picture of all photos
    WAITING = "waiting"  #: not done yet
    SINGLE = "single"  #: a photo that no other one belongs to
    GONE = "gone"  #: its photos are not in the archive any more


@dataclass(frozen=True)
class Record:
    """One sequence: what it was made from, what became of it, and what was written.

    Attributes:
        key: See :class:`PhotoSequence`.
        name: Of its files in the output.
        verdict: What became of it.
        reasons: A sentence for all that is not as it should be.
        settings: Digest of the settings it was made with.
        inputs: Size, stamp and SHA-256 of each photo, by name.
        outputs: Size and SHA-256 of each file of the results, by name.
        photos: Of each photo that could be read its ``file``, ``aligned``, ``reason`` and ``why``.
        covered: Share of the picture that the photos show.
        scores: Comparison with the original, where it is known.
        timings: Seconds of each step.
        finished: When, in ISO format.
        version: Of diar_ops.
    """

    key: str
    name: str
    verdict: Verdict
    reasons: list[str] = field(default_factory=list)
    settings: str = ""
    inputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    photos: list[dict[str, Any]] = field(default_factory=list)
    covered: float = 0.0
    scores: dict[str, Any] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)
    finished: str = ""
    version: str = ""

    @property
    def file(self) -> str:
        """Its file in the output."""
        return f"records/{self.name}.json"

    @property
    def aligned(self) -> int:
        """How many photos lie over the reference."""
        return sum(bool(photo["aligned"]) for photo in self.photos)

    @property
    def has_picture(self) -> bool:
        """Whether there is one."""
        return bool(self.outputs)

    def to_json(self) -> str:
        """Return the record as a JSON document."""
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Record | None:
        """Return the record of a document; None if it is damaged, or another version's."""
        try:
            values = json.loads(text)
            if {f.name for f in fields(cls)} != set(values):
                return None
            return cls(**{**values, "verdict": Verdict(values["verdict"])})
        except (ValueError, TypeError, KeyError):
            return None

    def is_current(self, sequence: PhotoSequence, settings: str) -> bool:
        """Return whether nothing has changed since: the settings, names, sizes and stamps of the photos."""
        known = {name: FileState(state["size"], state["stamp"]) for name, state in self.inputs.items()}
        return self.verdict is not Verdict.FAILED and self.settings == settings and known == dict(sequence.files)

    def has_contents(self, inputs: Mapping[str, Mapping[str, Any]], settings: str) -> bool:
        """Return whether it is of these contents, whatever their stamps."""
        if self.verdict is Verdict.FAILED or self.settings != settings:
            return False
        return {n: i.get("sha256") for n, i in self.inputs.items()} == {n: i["sha256"] for n, i in inputs.items()}


def describe_inputs(sequence: PhotoSequence, folder: Path | None = None) -> dict[str, dict[str, Any]]:
    """Return size and stamp of each file of a sequence, and SHA-256 where the archive's folder is given."""
    inputs: dict[str, dict[str, Any]] = {name: state._asdict() for name, state in sequence.files.items()}
    for name in inputs if folder is not None else ():
        assert folder is not None
        inputs[name]["sha256"] = file_digest(folder / name)
    return inputs


def describe_outputs(folder: Path) -> dict[str, dict[str, Any]]:
    """Return size and SHA-256 of each file of the results."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): {"size": path.stat().st_size, "sha256": file_digest(path)}
        for path in files
    }


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
