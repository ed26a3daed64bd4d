"""What sequence.json says of a rendered sequence, format versions 1 and 2: the writer's side."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from diar_ops.scene import PlanarScene

SEQUENCE_FORMAT = "diar_ops sequence"
DATASET_FORMAT = "diar_ops dataset"
#: Version of both formats, and of sequences whose picture is behind a pane, which older readers
#: would render without. A reader takes these and no others.
VERSION, PANE_VERSION = 1, 2
#: Names of the document and of the clean picture in a sequence's folder.
DOCUMENT, LABEL = "sequence.json", "label.png"
CONVENTION = (
    "Points are (x, y) in pixels, the centre of the top-left pixel is (0, 0), sizes are [height, "
    "width]; homography_frame_label: frame ~ H @ label; homography_label_frame is its inverse; "
    "H[2][2] = 1. A world point X is at R X + t in the camera (x right, y down, z ahead) and is "
    "seen at K (R X + t)."
)
#: Significant digits of a stored homography.
DIGITS = 12


class FrameNames(NamedTuple):
    """Where the files of one frame are, relative to the sequence's folder."""

    file: str
    occluded: str
    flags: str


def frame_names(frames: int) -> list[FrameNames]:
    """Return the file names of ``frames`` frames: ``00.png``, ``masks/00_occluded.png``, ..."""
    digits = max(2, len(str(frames - 1)))
    numbers = [f"{t:0{digits}d}" for t in range(frames)]
    return [FrameNames(f"{n}.png", f"masks/{n}_occluded.png", f"masks/{n}_flags.png") for n in numbers]


def sequence_document(
    scene: PlanarScene,
    item: int = 0,
    *,
    kind: str,
    index: int,
    seed: int,
    texture: Mapping[str, Any],
    software: Mapping[str, str],
    render: Mapping[str, Any],
    masks: Sequence[str] = ("occluded", "flags"),
    shares: Sequence[Mapping[str, float]] | None = None,
    words: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Describe a rendered sequence: what is written to its ``sequence.json``.

    Args:
        scene: What was rendered.
        item: Which sequence of the scene's batch.
        kind: ``"aligned"`` or ``"misaligned"``.
        index: Number of the sequence in its data set.
        seed: Seed of the data set.
        texture: The picture: ``file`` and ``size`` ([height, width] in pixels).
        software: Names and versions of what rendered it.
        render: Settings of the renderer: ``engine``, ``samples``, ...
        masks: Which masks every frame has: ``occluded``, ``flags``.
        shares: For each frame what :func:`frame_shares` measured.
        words: More for a reader: ``note``, ``provenance``.

    Returns:
        The document, with exact homographies in both directions; :func:`format_document` makes
        text of it.
    """
    # Only here: whoever reads photos does not wait for the renderer.
    from diar_ops.scene import scene_homography, scene_to_document

    described = scene_to_document(scene, item)
    homographies = scene_homography(scene)[item].cpu()
    inverses = torch.linalg.inv(homographies)
    names = frame_names(len(homographies))
    frames = []
    for t, (name, H, back) in enumerate(zip(names, homographies, inverses, strict=True)):
        frames.append(
            {
                "file": name.file,
                "size": list(scene.size),
                "homography_frame_label": _rounded(H),
                "homography_label_frame": _rounded(back),
                **{mask: getattr(name, mask) for mask in masks},
                **({} if shares is None else {"shares": dict(shares[t])}),
                **described["frames"][t],
            }
        )
    return {
        "format": SEQUENCE_FORMAT,
        "version": PANE_VERSION if "pane" in described else VERSION,
        "kind": kind,
        "index": index,
        "seed": seed,
        **(words or {}),
        "convention": CONVENTION,
        "texture": dict(texture),
        "software": dict(software),
        "render": dict(render),
        "label": {"file": LABEL, "size": list(scene.size)},
        **described,
        "frames": frames,
    }


def format_document(document: Mapping[str, Any]) -> str:
    """Return a document as JSON for people: a line per field, lists of numbers on one line.

    Raises:
        ValueError: It holds a number that is not finite, or what JSON cannot express.
    """
    return _lines(document, "") + "\n"


def _lines(value: Any, indent: str) -> str:
    inner = indent + " "
    if isinstance(value, Mapping) and value:
        parts = [f"{inner}{json.dumps(str(k))}: {_lines(v, inner)}" for k, v in value.items()]
        return "{\n" + ",\n".join(parts) + f"\n{indent}}}"
    if isinstance(value, (list, tuple)) and any(isinstance(v, (Mapping, list)) for v in value):
        return "[\n" + ",\n".join(inner + _lines(v, inner) for v in value) + f"\n{indent}]"
    return json.dumps(value, allow_nan=False, ensure_ascii=False)


def _rounded(homography: Tensor) -> list[list[float]]:
    homography = homography / homography[2, 2]
    if (homography - torch.eye(3, dtype=homography.dtype)).abs().max() < 1e-9:
        homography = torch.eye(3, dtype=homography.dtype)  # the label's own view, to the digit
    # Adding zero takes the sign off -0.0.
    return [[float(f"{value:.{DIGITS}g}") + 0.0 for value in row] for row in homography.tolist()]
