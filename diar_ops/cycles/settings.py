"""The settings of a rendered data set, and the check that an existing set has the same."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from diar_ops._checks import check_option, check_size
from diar_ops._errors import OutputError
from diar_ops.data.sequence_writer import DATASET_FORMAT, VERSION
from diar_ops.scene import SceneRanges
from diar_ops.scene.sample import KINDS

#: Name of the document that describes a data set.
DATASET = "dataset.json"
DEVICES = ("cpu", "cuda", "optix")


@dataclass(frozen=True)
class RenderSettings:
    """All that decides the pixels of a data set, beside the pictures and the program.

    Attributes:
        kind: ``"aligned"`` or ``"misaligned"``.
        sequences: How many; a set can be enlarged later.
        frames: Frames of each sequence.
        size: (height, width) of frames and labels, in pixels.
        samples: Light paths per pixel of a frame.
        label_samples: Samples per pixel of a label, which has no noise but edges.
        denoise: Whether OpenImageDenoise cleans the frames.
        seed: Seed of the set.
        device: ``"cpu"``, ``"cuda"`` or ``"optix"``.
        ranges: The distribution of the scenes.
        glass: Share of the sequences whose picture is behind a pane or under a gloss coat that mirrors
            its surroundings, in which other pictures of the set may be seen.
    """

    kind: str = "misaligned"
    sequences: int = 10
    frames: int = 10
    size: tuple[int, int] = (256, 256)
    samples: int = 16
    label_samples: int = 64
    denoise: bool = True
    seed: int = 0
    device: str = "cpu"
    ranges: SceneRanges = field(default_factory=SceneRanges)
    glass: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what cannot be rendered."""
        op = "RenderSettings"
        check_option(op, self.kind in KINDS, f"kind to be one of {', '.join(KINDS)}", self.kind)
        check_size(op, self.size)
        check_option(op, min(self.size) >= 16, "a size of at least 16 x 16", self.size)
        for name, top in (("sequences", 10**6), ("frames", 1000), ("samples", 10**5), ("label_samples", 10**5)):
            value = getattr(self, name)
            check_option(op, 1 <= value <= top, f"{name} from 1 to {top}", value)
        check_option(op, 0 <= self.glass <= 1, "glass from 0 to 1", self.glass)
        check_option(op, self.device in DEVICES, f"device {', '.join(DEVICES)}", self.device)

    def document(self, images: list[Path], software: Mapping[str, str]) -> dict[str, Any]:
        """Return what :data:`DATASET` says of the set."""
        return {
            "format": DATASET_FORMAT,
            "version": VERSION,
            **{k: v for k, v in asdict(self).items() if k not in ("ranges", "glass")},
            **({"glass": self.glass} if self.glass else {}),
            "size": list(self.size),
            "ranges": json.loads(json.dumps(asdict(self.ranges))),
            "software": dict(software),
            "images": [{"file": path.name, "bytes": path.stat().st_size} for path in images],
        }


def check_same_dataset(path: Path, document: Mapping[str, Any]) -> dict[str, Any] | None:
    """Read the document of an existing set and check that ``document`` continues it.

    Args:
        path: Where the document is, or would be.
        document: What the set is to be.

    Returns:
        The document that is there; None if there is none.

    Raises:
        OutputError: It describes another set; the sentence says what differs.
    """
    try:
        existing = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise OutputError(f"cannot continue the data set: {path} is damaged ({error})") from error
    if not isinstance(existing, dict) or existing.get("format") != document["format"]:
        raise OutputError(f"{path} does not describe a data set; choose another folder")
    try:
        differences = list(_differences(existing, document))
    except (LookupError, TypeError, AttributeError) as error:
        raise OutputError(f"cannot continue the data set: {path} is damaged ({error!r})") from error
    if differences:
        shown = "; ".join(differences[:3]) + ("; ..." if len(differences) > 3 else "")
        raise OutputError(
            f"{path.parent} holds a data set with other settings, choose another folder or the same settings: {shown}"
        )
    return dict(existing)


def _differences(existing: Mapping[str, Any], requested: Mapping[str, Any]) -> Iterator[str]:
    """Yield a phrase for each difference that forbids to continue a set."""
    for name, value in requested.items():
        if name in ("format", "sequences", "images", "ranges", "software"):
            continue
        if existing.get(name) != value:
            yield f"{name} is {_short(existing.get(name))}, asked for {_short(value)}"
            if name == "version":
                return  # the other fields may mean something else
    glass = existing.get("glass", 0.0)
    if "glass" not in requested and glass:
        yield f"glass is {_short(glass)}, asked for 0"
    for group, names in (("ranges", requested["ranges"]), ("software", ("blender",))):
        have = existing.get(group) or {}
        for name in names:
            value = requested[group].get(name)
            if have.get(name) != value:
                yield f"{group}.{name} is {_short(have.get(name))}, asked for {_short(value)}"
    yield from _picture_differences(
        *(
            [(entry["file"], entry["bytes"]) for entry in document.get("images", [])]
            for document in (existing, requested)
        )
    )


def _picture_differences(have: list[tuple[str, int]], want: list[tuple[str, int]]) -> Iterator[str]:
    """Yield a phrase for each way in which pictures, names and sizes in bytes, differ."""
    have_names, want_names = ({name for name, _ in files} for files in (have, want))
    changed = {name for name, size in want if (name, size) not in have} & have_names
    changes = {"new": want_names - have_names, "gone": have_names - want_names, "changed": changed}
    for word, names in changes.items():
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            yield f"picture {min(names)}{more} is {word}"
    if not any(changes.values()) and have != want:
        yield "the pictures come in another order"


def _short(value: Any) -> str:
    text = "nothing" if value is None else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
