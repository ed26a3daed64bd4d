"""Shapes, dtypes and values of a :class:`PlanarScene`, checked before anything is rendered."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from diar_ops._checks import check_has_values, check_option, check_shapes, check_size
from diar_ops._errors import DtypeError
from diar_ops.scene.bends import facing
from diar_ops.scene.types import Bends, PlanarScene

_SHAPES = {
    "K": "T 3 3",
    "R": "T 3 3",
    "t": "T 3",
    "picture_size": "2",
    "wall": "3",
    "ambient": "T 3",
    "material.roughness": "",
    "material.specular": "",
    "material.coat": "",
    "material.coat_roughness": "",
    "lights.kind": "T L",
    "lights.position": "T L 3",
    "lights.direction": "T L 3",
    "lights.power": "T L 3",
    "lights.size": "T L",
    "lights.cone": "T L",
    "lights.valid": "T L",
    "objects.kind": "T O",
    "objects.position": "T O 3",
    "objects.rotation": "T O 3 3",
    "objects.half_size": "T O 3",
    "objects.outline": "T O 2 6",
    "objects.hole": "T O",
    "objects.finish": "T O",
    "objects.colour": "T O 3",
    "objects.roughness": "T O",
    "objects.opacity": "T O",
    "objects.valid": "T O",
}
#: Of the fields that a scene may lack.
_GLASS_SHAPES = {
    "pane.valid": "",
    "pane.is_coat": "",
    "pane.distance": "",
    "pane.half_size": "2",
    "pane.reflectivity": "",
    "pane.thickness": "",
    "pane.wedge": "2",
    "pane.tint": "3",
    "pane.blur": "",
    "environment.image": "E 4 h w",
    "environment.centre": "T E 3",
    "environment.right": "T E 3",
    "environment.down": "T E 3",
    "environment.valid": "T E",
    "environment.background": "3",
    "environment.brightness": "T",
}
_BEND_SHAPES = {f"bends.{name}": "T N" for name in Bends._fields}
_DTYPES = {
    "kind": torch.int64,
    "finish": torch.int64,
    "valid": torch.bool,
    "is_coat": torch.bool,
    "image": torch.float32,
}


def check_scene(op: str, scene: PlanarScene, *, batch: int) -> None:
    """Raise an error that names the field unless the tensors of a scene of ``batch`` items fit.

    Raises:
        ShapeError: A tensor has another shape than :class:`PlanarScene` says.
        DtypeError: A field is no tensor, or of another dtype than float64, float32 for images,
            int64 for kinds and finishes, and bool for what is valid.
        OptionError: It is no :class:`PlanarScene`, its size is not positive, it holds NaN or
            infinity, for which a GPU is waited for, or it is bent so much that it hides a part of
            itself from a camera.
    """
    check_option(op, isinstance(scene, PlanarScene), "scene: PlanarScene", type(scene).__name__)
    fields: dict[str, Any] = {}
    has_glass = scene.pane is not None
    both = "a scene with both a pane and an environment, or neither"
    check_option(op, has_glass == (scene.environment is not None), both, "one of them")
    shapes = _SHAPES | (_GLASS_SHAPES if has_glass else {}) | ({} if scene.bends is None else _BEND_SHAPES)
    for name in shapes:
        *group, field = name.split(".")
        owner = getattr(scene, group[0]) if group else scene
        fields[name] = getattr(owner, field, None)
    check_size(op, scene.size)
    check_shapes(op, **{f"scene.{name}": (x, f"{batch} {shapes[name]}") for name, x in fields.items()})
    for name, tensor in fields.items():
        expected = _DTYPES.get(name.rpartition(".")[2], torch.float64)
        if tensor.dtype != expected:
            raise DtypeError(f"{op}: scene.{name} must be {expected}, whatever the texture is; got {tensor.dtype}")
    check_has_values(op, **{f"scene.{name}": x for name, x in fields.items()})
    numbers: list[Tensor] = [x.detach().flatten() for x in fields.values() if x.dtype == torch.float64]
    is_finite = torch.cat(numbers).isfinite().all()
    if scene.environment is not None:
        is_finite = is_finite & scene.environment.image.detach().isfinite().all()
    check_option(op, bool(is_finite), "finite numbers in scene", "NaN or infinity")
    if scene.bends is not None:
        seen_once = bool((facing(scene) > 0).all())
        check_option(op, seen_once, "bends of positive length whose surface faces every camera", "others")
