"""A pane and what it mirrors as a part of a scene's document, and back."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diar_ops.scene.types import Environment, Pane, PlanarScene

#: Fields of a pane that are numbers, and their shapes.
_NUMBERS: dict[str, tuple[int, ...]] = {
    "distance": (),
    "half_size": (2,),
    "reflectivity": (),
    "thickness": (),
    "wedge": (2,),
    "tint": (3,),
    "blur": (),
}
_AXES = ("centre", "right", "down")
#: No image has a longer side: a document must not ask for any amount of memory.
LONGEST = 4096

Plain = Callable[[Tensor], Any]
Number = Callable[[Any, tuple[int, ...]], Tensor]


def add_glass(document: dict[str, Any], scene: PlanarScene, index: int, plain: Plain) -> None:
    """Add the pane of a sequence and its environment to its document, if it has one.

    Args:
        document: Without them.
        scene: The scene.
        index: Which of its sequences.
        plain: Returns the numbers of a tensor.
    """
    pane, environment = scene.pane, scene.environment
    if pane is None or environment is None or not bool(pane.valid[index]):
        return
    numbers = {name: plain(getattr(pane, name)[index]) for name in _NUMBERS}
    document["pane"] = {"kind": "coat" if bool(pane.is_coat[index]) else "pane", **numbers}
    is_used = environment.valid[index].any(0)
    slots = is_used.nonzero()[:, 0].tolist()
    document["environment"] = {
        "background": plain(environment.background[index]),
        "images": [_encode(environment.image[index, slot]) for slot in slots],
    }
    for t, frame in enumerate(document["frames"]):
        cards = [
            {"image": number, **{name: plain(getattr(environment, name)[index, t, slot]) for name in _AXES}}
            for number, slot in enumerate(slots)
            if bool(environment.valid[index, t, slot])
        ]
        frame["environment"] = {"brightness": plain(environment.brightness[index, t]), "cards": cards}


def read_glass(document: Mapping[str, Any], number: Number) -> tuple[Pane | None, Environment | None]:
    """Return the pane of a document and its environment, as of one sequence; None where there is none.

    Args:
        document: Of a scene.
        number: Returns numbers as a float64 tensor of a shape.

    Raises:
        ValueError: Something is not what it should be; other errors as they come.
    """
    if document.get("pane") is None:
        return None, None
    entry, surroundings, frames = document["pane"], document["environment"], document["frames"]
    if entry["kind"] not in ("pane", "coat"):
        raise ValueError(f"expected a pane or a coat, got {entry['kind']!r}")
    numbers = {name: number([entry[name]], (1, *shape)) for name, shape in _NUMBERS.items()}
    pane = Pane(valid=torch.tensor([True]), is_coat=torch.tensor([entry["kind"] == "coat"]), **numbers)
    images = [_decode(image) for image in surroundings["images"]]
    sizes = {image.shape for image in images}
    if len(sizes) > 1:
        raise ValueError(f"expected images of one size, got {sorted(sizes)}")
    count = len(images)
    axes = torch.zeros(3, 1, len(frames), count, 3, dtype=torch.float64)
    axes[1, ..., 0] = axes[2, ..., 1] = 1.0
    valid = torch.zeros(1, len(frames), count, dtype=torch.bool)
    for t, frame in enumerate(frames):
        for card in frame["environment"]["cards"]:
            slot = card["image"]
            if not (isinstance(slot, int) and 0 <= slot < count):
                raise ValueError(f"expected the number of one of {count} images, got {slot!r}")
            valid[0, t, slot] = True
            for axis, name in zip(axes, _AXES, strict=True):
                axis[0, t, slot] = number(card[name], (3,))
    brightness = [[frame["environment"]["brightness"] for frame in frames]]
    environment = Environment(
        image=torch.stack(images)[None] if images else torch.zeros(1, 0, 4, 1, 1, dtype=torch.float32),
        centre=axes[0],
        right=axes[1],
        down=axes[2],
        valid=valid,
        background=number([surroundings["background"]], (1, 3)),
        brightness=number(brightness, (1, len(frames))),
    )
    return pane, environment


def _encode(image: Tensor) -> dict[str, Any]:
    """Return an image (4, h, w) in words: half precision, deflated, in base 64."""
    halves = image.detach().cpu().numpy().astype("<f2")
    packed = base64.b64encode(zlib.compress(halves.tobytes(), 6)).decode("ascii")
    return {"size": list(image.shape[1:]), "half": packed}


def _decode(entry: Mapping[str, Any]) -> Tensor:
    high, wide = entry["size"]
    if not all(isinstance(side, int) and 1 <= side <= LONGEST for side in (high, wide)):
        raise ValueError(f"expected an image of 1 to {LONGEST} texels a side, got {entry['size']}")
    length = 2 * 4 * high * wide
    unpack = zlib.decompressobj()
    try:
        # No more than is asked for, whatever the text says.
        data = unpack.decompress(base64.b64decode(entry["half"], validate=True), length + 1)
    except zlib.error as error:
        raise ValueError(f"an image is damaged: {error}") from error
    if len(data) != length:
        raise ValueError(f"expected an image of {length} bytes, got {len(data)}")
    image = torch.from_numpy(np.frombuffer(data, "<f2").reshape(4, high, wide).astype(np.float32))
    if not bool(image.isfinite().all()):
        raise ValueError("expected an image of finite numbers")
    return image
