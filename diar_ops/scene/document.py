"""Convert planar scenes to plain documents, for JSON, and back."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any

import torch
from torch import Tensor

from diar_ops._errors import ImageError
from diar_ops.scene._glass_document import add_glass, read_glass
from diar_ops.scene.types import (
    BendKind,
    Bends,
    Finish,
    LightKind,
    Lights,
    ObjectKind,
    Objects,
    PictureMaterial,
    PlanarScene,
)

#: Significant digits that are stored: fewer than float64 has, so that the last ones, in which
#: machines differ, do not show.
DIGITS = 10
_KINDS: dict[str, type[IntEnum]] = {"finish": Finish}


def scene_to_document(scene: PlanarScene, index: int = 0) -> dict[str, Any]:
    """Describe one sequence of a scene in plain numbers, lists and words.

    Args:
        scene: The scene.
        index: Which of its sequences.

    Returns:
        ``size`` ([height, width] of the frames), ``picture`` (``size`` in the world, ``material``),
        ``wall`` and ``frames``, a list of ``K``, ``R``, ``t``, ``ambient``, ``lights`` and
        ``objects``; names, units and directions are those of :class:`PlanarScene`. Lights and
        objects are those that are there; kinds and finishes are words. Frames of a bent picture
        also have ``bends``. Where there is a pane, also ``pane`` and ``environment``, which each
        frame has, too; images are of half precision.
    """
    frames = []
    for frame in range(scene.K.shape[1]):
        key = (index, frame)
        frames.append(
            {
                **{name: _plain(getattr(scene, name)[key]) for name in ("K", "R", "t", "ambient")},
                "lights": _entries(scene.lights, key, LightKind),
                "objects": _entries(scene.objects, key, ObjectKind),
            }
        )
        if scene.bends is not None and bool(scene.bends.valid[index].any()):
            frames[-1]["bends"] = _entries(scene.bends, key, BendKind)
    material = {name: _plain(value[index]) for name, value in scene.material._asdict().items()}
    document = {
        "size": list(scene.size),
        "picture": {"size": _plain(scene.picture_size[index]), "material": material},
        "wall": _plain(scene.wall[index]),
        "frames": frames,
    }
    add_glass(document, scene, index, _plain)
    return document


def scene_from_document(document: Mapping[str, Any]) -> PlanarScene:
    """Read back what :func:`scene_to_document` wrote, as a scene of one sequence (B = 1).

    Raises:
        ImageError: Something is missing or is not what it should be.
    """
    try:
        frames, picture = document["frames"], document["picture"]
        material = PictureMaterial(*(_tensor([picture["material"][name]], (1,)) for name in PictureMaterial._fields))
        count = len(frames)
        height, width = _tensor(document["size"], (2,)).tolist()
        if not (height >= 1 and width >= 1 and height % 1 == width % 1 == 0):
            raise ValueError(f"expected a size [height, width] in pixels, got {document['size']}")
        pane, environment = read_glass(document, _tensor)
        return PlanarScene(
            K=_tensor([[f["K"] for f in frames]], (1, count, 3, 3)),
            R=_tensor([[f["R"] for f in frames]], (1, count, 3, 3)),
            t=_tensor([[f["t"] for f in frames]], (1, count, 3)),
            picture_size=_tensor([picture["size"]], (1, 2)),
            material=material,
            wall=_tensor([document["wall"]], (1, 3)),
            ambient=_tensor([[f["ambient"] for f in frames]], (1, count, 3)),
            lights=Lights(*_columns(Lights, LightKind, [f["lights"] for f in frames])),
            objects=Objects(*_columns(Objects, ObjectKind, [f["objects"] for f in frames])),
            size=(int(height), int(width)),
            pane=pane,
            environment=environment,
            bends=Bends(*_columns(Bends, BendKind, [f.get("bends", []) for f in frames]))
            if any("bends" in f for f in frames)
            else None,
        )
    # A word where a number belongs, a list where a field belongs, a number beyond float64, ...
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError, ArithmeticError) as error:
        raise ImageError(f"this is not the description of a planar scene: {error!r}") from error


#: Trailing shape of each field of a light or an object that is not one number.
_SHAPES: dict[str, tuple[int, ...]] = {
    "position": (3,),
    "direction": (3,),
    "power": (3,),
    "rotation": (3, 3),
    "half_size": (3,),
    "outline": (2, 6),
    "colour": (3,),
}


def _columns(
    cls: type[Lights] | type[Objects] | type[Bends], kinds: type[IntEnum], frames: list[list[dict[str, Any]]]
) -> list[Tensor]:
    """Return the fields of ``cls`` as (1, T, slots, ...), with as many slots as are needed."""
    slots = max((len(entries) for entries in frames), default=0)
    columns = []
    for name in cls._fields:
        shape = (len(frames), slots, *_SHAPES.get(name, ()))
        words = {"kind": kinds}.get(name, _KINDS.get(name))
        dtype = torch.bool if name == "valid" else torch.int64 if words else torch.float64
        column = torch.zeros(shape, dtype=dtype)
        for t, entries in enumerate(frames):
            for i, entry in enumerate(entries):
                if name == "valid":
                    column[t, i] = True
                elif words:
                    column[t, i] = words[entry[name].upper()]
                else:
                    column[t, i] = _tensor(entry[name], _SHAPES.get(name, ()))
        columns.append(column[None])
    return columns


def _entries(group: Lights | Objects | Bends, index: tuple[int, int], kinds: type[IntEnum]) -> list[dict[str, Any]]:
    """List the valid lights, objects or bends of one frame."""
    entries = []
    for slot in group.valid[index].nonzero()[:, 0].tolist():
        entry: dict[str, Any] = {}
        for name, value in group._asdict().items():
            words = {"kind": kinds}.get(name, _KINDS.get(name))
            if name != "valid":
                plain = _plain(value[index][slot])
                entry[name] = words(plain).name.lower() if words else plain
        entries.append(entry)
    return entries


def _plain(value: Tensor) -> Any:
    """Return numbers or nested lists, floats rounded to :data:`DIGITS` significant digits."""

    def rounded(item: Any) -> Any:
        if isinstance(item, list):
            return [rounded(element) for element in item]
        return float(f"{item:.{DIGITS}g}") if isinstance(item, float) else item

    return rounded(value.tolist())


def _tensor(value: Any, shape: tuple[int, ...]) -> Tensor:
    tensor = torch.tensor(value, dtype=torch.float64)
    if tensor.shape != shape or not bool(tensor.isfinite().all()):
        raise ValueError(f"expected finite numbers of shape {list(shape)}, got {value!r}")
    return tensor
