"""Dense descriptors from the feature maps of any trunk, with the exact position of every cell.

A trunk is any :class:`torch.nn.Module` that maps images (B, 3, H, W) in [0, 1] to a feature map
(B, C, h, w), or to several: a sequence of maps (its stages 0, 1, ...) or a dict of them by name.
It states, as attributes,

- ``stride``: distance of neighbouring cells, in pixels, the same along x and y;
- ``offset``: position of cell (0, 0), in pixels, with the centre of the top-left pixel at 0;
- ``window`` (optional): side of the square around a cell's centre that decides its features, in
  pixels; twice the stride where it is not stated;
- ``selects_stages`` (optional): True if ``forward`` takes ``stages=`` and returns a dict that
  holds only these, so that what nobody asked for is not computed.

``stride``, ``offset`` and ``window`` are one number for all stages, or one per stage in a sequence
or dict like the output. A trunk brings its own normalisation of the input's colours. A cell of
zeros is a cell that knows nothing; it is marked invalid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diar_ops._checks import check_floating, check_option, check_shapes, is_number, solve_dtype
from diar_ops._errors import OptionError, ShapeError
from diar_ops._module import OpModule
from diar_ops._pixels import image_gradient
from diar_ops._types import FeatureMap
from diar_ops.matching._texture import grey, window_mean

#: Twice the mean gradient (intensity per pixel) that rounding to 8 bits gives a flat image.
_MIN_CONTRAST = 0.5 / 255

Stage: TypeAlias = "int | str"


class Trunk(Protocol):
    """A :class:`torch.nn.Module` that :func:`dense_descriptors` takes.

    Attributes:
        stride: Distance of neighbouring cells, in pixels, the same along x and y.
        offset: Position of cell (0, 0), in pixels, with the centre of the top-left pixel at 0;
            :func:`measure_cell_offset` measures it.

    Both are one number for all stages, or one per stage in a sequence or dict like the output. It
    may state ``window`` and ``selects_stages``, too: see the top of this file.
    """

    stride: Any
    offset: Any

    def __call__(self, images: Tensor, /) -> Any:
        """Map images (B, 3, H, W) in [0, 1] to a map (B, C, h, w), or to several by stage."""
        ...


def dense_descriptors(
    images: Tensor,
    trunk: nn.Module,
    *,
    stages: Stage | Sequence[Stage] | None = None,
    min_contrast: float = _MIN_CONTRAST,
) -> FeatureMap:
    """Describe images densely by the features of ``trunk``.

    Several stages are resampled (bilinearly, at exact positions) to the cells of the one with the
    smallest stride, normalised one by one, and concatenated, so that each weighs the same.

    Args:
        images: (B, 3, H, W) RGB or (B, 1, H, W) grey, floating point in [0, 1]. Pixels that are
            not finite count as unknown.
        trunk: A module as described at the top of this file, such as :class:`DenseSIFT` or
            :class:`ResNetTrunk`. It runs in the dtype of its own parameters, if it has any.
        stages: The stage or stages to use; the last one if ``None``.
        min_contrast: Mean gradient, in intensity per pixel, that the window of a valid cell has at
            least. The default is twice what rounding to 8 bits gives a flat image.

    Returns:
        :class:`FeatureMap` with ``descriptors`` (B, C, h, w) in the dtype of ``images``, of unit
        length over C where ``valid``, and 0 elsewhere. ``valid`` (B, h, w) is False where the
        window of a cell has too little contrast, an unknown pixel, or its centre outside the
        image, and where the trunk returns zeros or a value that is not finite.

    Raises:
        ShapeError: ``images`` has another rank or neither 1 nor 3 channels, or the trunk returns
            something other than (B, C, h, w).
        OptionError: The trunk does not state its cells, or lacks a stage.
    """
    prepared = _prepare("dense_descriptors", images, min_contrast)
    selected = list(_run_trunk("dense_descriptors", trunk, prepared.images, stages).values())
    finest = selected[0]
    for stage in selected[1:]:
        finest = stage if stage.stride < finest.stride else finest
    parts = [_unit(_resample(stage, finest).to(prepared.images.dtype)) for stage in selected]
    descriptors = parts[0] if len(parts) == 1 else F.normalize(torch.cat(parts, dim=1), dim=1)
    window = max(stage.window for stage in selected)
    return prepared.mark(descriptors, finest, window)


def dense_stages(
    images: Tensor, trunk: nn.Module, *, stages: Sequence[Stage] | None = None, min_contrast: float = _MIN_CONTRAST
) -> dict[Stage, FeatureMap]:
    """Describe images by several stages of ``trunk``, from one pass, each on cells of its own.

    What :func:`dense_descriptors` returns for each of the stages alone, such as coarse descriptors
    to find matches by and fine ones to place them.

    Args:
        images: See :func:`dense_descriptors`.
        trunk: See :func:`dense_descriptors`.
        stages: The stages; all if ``None``.
        min_contrast: See :func:`dense_descriptors`.

    Returns:
        A :class:`FeatureMap` for each stage.

    Raises:
        ShapeError, OptionError: See :func:`dense_descriptors`.
    """
    prepared = _prepare("dense_stages", images, min_contrast)
    maps = _run_trunk("dense_stages", trunk, prepared.images, stages, default_all=True)
    dtype = prepared.images.dtype
    return {key: prepared.mark(_unit(stage.features.to(dtype)), stage, stage.window) for key, stage in maps.items()}


class _Prepared(NamedTuple):
    """Images without what is not finite, in which contrast decides what can be described."""

    images: Tensor  # (B, C, H, W)
    known: Tensor  # (B, 1, H, W) bool
    contrast: Tensor  # (B, 1, H, W)
    min_contrast: float
    dtype: torch.dtype  # of the result

    def mark(self, descriptors: Tensor, stage: _Stage, window: float) -> FeatureMap:
        """Return a map of unit descriptors, with 0 where a cell of ``stage`` is not valid."""
        means = window_mean(
            torch.cat([self.contrast, (~self.known).to(self.contrast.dtype)], dim=1),
            stride=stage.stride,
            offset=stage.offset,
            window=window,
            size=(descriptors.shape[-2], descriptors.shape[-1]),
        )
        valid = (means[:, 0] >= self.min_contrast) & (means[:, 1] == 0)  # [B, h, w]
        valid &= (descriptors.detach() != 0).any(dim=1)
        valid &= _inside(stage, self.images)
        descriptors = torch.where(valid[:, None], descriptors, 0.0).to(self.dtype)
        return FeatureMap(descriptors, (stage.stride, stage.stride), (stage.offset, stage.offset), valid)


def _prepare(op: str, images: Tensor, min_contrast: float) -> _Prepared:
    """Check images, and fill what is unknown."""
    check_shapes(op, images=(images, "B C H W"))
    check_floating(op, images=images)
    check_option(op, images.shape[1] in (1, 3), "1 or 3 channels in images", images.shape[1])
    if 0 in images.shape[-2:]:
        raise ShapeError(f"{op}: images must have at least one pixel, got {list(images.shape)}")
    check_option(op, is_number(min_contrast) and min_contrast >= 0, "min_contrast >= 0", min_contrast)
    dtype = images.dtype
    known = images.isfinite().all(dim=1, keepdim=True)
    images = torch.where(known, images, 0.0).to(solve_dtype(dtype))
    contrast = torch.hypot(*image_gradient(grey(images.detach())))
    return _Prepared(images, known, contrast, min_contrast, dtype)


class _Stage(NamedTuple):
    """One feature map (B, C, h, w) and its cells, in pixels."""

    features: Tensor
    stride: float
    offset: float
    window: float


def _run_trunk(
    op: str, trunk: nn.Module, images: Tensor, stages: Stage | Sequence[Stage] | None, *, default_all: bool = False
) -> dict[Stage, _Stage]:
    """Run the trunk in its own dtype; return the stages, by default the last one, or all."""
    images = images.expand(-1, 3, -1, -1)
    for attribute in ("stride", "offset"):
        check_option(op, hasattr(trunk, attribute), f"a trunk that states its {attribute}", _name(trunk))
    if stages is not None and (isinstance(stages, (int, str)) or not isinstance(stages, Sequence)):
        stages = (stages,)
    check_option(op, stages is None or len(stages) > 0, "at least one stage in stages", stages)

    parameter = next(trunk.parameters(), None)
    if parameter is not None:
        images = images.to(parameter.dtype)
    chosen = {"stages": tuple(stages)} if stages is not None and getattr(trunk, "selects_stages", False) else {}
    try:
        output = trunk(images, **chosen)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise ShapeError(f"{op}: {_name(trunk)} fails on images {list(images.shape)}: {reason}") from error
    maps = stages_of(op, trunk, output)

    selected = {}
    if stages is None:
        stages = list(maps) if default_all else list(maps)[-1:]
    for key in stages:
        check_option(op, any(key == known for known in maps), f"stages among {list(maps)}", key)
        features = maps[key]
        if not isinstance(features, Tensor) or features.ndim != 4:
            got = list(features.shape) if isinstance(features, Tensor) else type(features).__name__
            raise ShapeError(f"{op}: stage {key!r} of {_name(trunk)} must have shape (B C h w), got {got}")
        stride = stage_attribute(op, trunk, "stride", key)
        check_option(op, is_number(stride) and stride > 0, "stride > 0", stride)
        window = 2 * stride
        if hasattr(trunk, "window"):
            window = stage_attribute(op, trunk, "window", key)
        offset = stage_attribute(op, trunk, "offset", key)
        selected[key] = _Stage(features, stride, offset, window)
    return selected


def stages_of(op: str, trunk: nn.Module, output: Any) -> dict[Stage, Tensor]:
    """Return what a trunk returned as feature maps by stage, after checking that they are such."""
    if isinstance(output, Tensor):
        output = [output]
    maps = dict(output) if isinstance(output, Mapping) else dict(enumerate(output))
    for key, features in maps.items():
        if not isinstance(features, Tensor) or features.ndim != 4:
            got = list(features.shape) if isinstance(features, Tensor) else type(features).__name__
            raise ShapeError(f"{op}: stage {key!r} of {_name(trunk)} must have shape (B C h w), got {got}")
    return maps


def stage_attribute(op: str, trunk: nn.Module, attribute: str, key: Stage) -> float:
    """Return an attribute of the trunk for one stage: one number for all, or one per stage."""
    value: Any = getattr(trunk, attribute)
    if is_number(value):
        return float(value)
    try:
        return float(value[key])
    except (KeyError, IndexError, TypeError):
        raise OptionError(
            f"{op}: expected {attribute} of {_name(trunk)} to be a number or one per stage, "
            f"got {value!r}, which has none for stage {key!r}"
        ) from None


def _name(trunk: nn.Module) -> str:
    return type(trunk).__name__


def _unit(features: Tensor) -> Tensor:
    """Normalise over channels; a cell with a value that is not finite becomes zero."""
    finite = features.isfinite().all(dim=1, keepdim=True)
    return F.normalize(torch.where(finite, features, 0.0), dim=1)


def _resample(stage: _Stage, target: _Stage) -> Tensor:
    """Interpolate bilinearly at the cells of ``target``; beyond the outer cells, repeat them."""
    features = stage.features
    if stage is target:
        return features
    for dim in (-2, -1):
        last = features.shape[dim] - 1
        cell = torch.arange(target.features.shape[dim], device=features.device, dtype=torch.float64)
        position = (target.offset - stage.offset + target.stride * cell) / stage.stride
        position = position.clamp(0, last)
        lower = position.floor().long()
        share = (position - lower).to(features.dtype)
        if dim == -2:
            share = share[:, None]
        upper = (lower + 1).clamp_max(last)
        features = torch.lerp(features.index_select(dim, lower), features.index_select(dim, upper), share)
    return features


def _inside(stage: _Stage, images: Tensor) -> Tensor:
    """Return which cell centres lie inside the image, (h, w)."""
    inside = []
    for dim in (-2, -1):
        cells = torch.arange(stage.features.shape[dim], device=images.device)
        position = stage.offset + stage.stride * cells
        inside.append((position >= -0.5) & (position <= images.shape[dim] - 0.5))
    return inside[0][:, None] & inside[1][None, :]


class DenseDescriptor(OpModule):
    """Maps images to a :class:`FeatureMap`. See :func:`dense_descriptors`."""

    def __init__(
        self, trunk: nn.Module, *, stages: Stage | Sequence[Stage] | None = None, min_contrast: float = _MIN_CONTRAST
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.stages = stages
        self.min_contrast = min_contrast

    def forward(self, images: Tensor) -> FeatureMap:
        """Return the descriptors of images (B, 3, H, W) or (B, 1, H, W)."""
        return dense_descriptors(images, self.trunk, stages=self.stages, min_contrast=self.min_contrast)
