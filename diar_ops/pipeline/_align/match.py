"""What matches two frames: dense descriptors, or any matcher of two images."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple, Protocol, TypeAlias

import torch
from torch import Tensor, nn

from diar_ops._checks import check_option, check_shapes
from diar_ops._errors import DtypeError
from diar_ops._types import FeatureMap, Matches
from diar_ops.matching import DenseDescriptor, DenseSIFT, image_pyramid, level_features, match_pyramid
from diar_ops.models import load_descriptor
from diar_ops.pipeline._batches import map_batches
from diar_ops.pipeline._frames import WorkingCopy, hide_invalid
from diar_ops.pipeline.options import AlignOptions

#: Maps images (B, 3, H, W) in [0, 1], NaN where unknown, to a :class:`FeatureMap`.
Descriptor: TypeAlias = Callable[[Tensor], FeatureMap]
#: Feature maps of the pyramid levels of images, in pixels of the images.
Levels: TypeAlias = list[FeatureMap]

#: Of a trunk of several stages, the one whose cells are about so many pixels apart finds matches.
_STRIDE = 8
#: Numbers that a descriptor has in memory for each pixel, about: dense SIFT splits its gradient
#: between eight orientations, on all levels.
_ELEMENTS_PER_PIXEL = 16


class PairMatcher(Protocol):
    """Any callable that matches two images, such as a learned one behind a few lines of adapter.

    It is given two images (1, 3, h, w) and (1, 3, h', w') in [0, 1], 0 where nothing is known, and
    returns :class:`Matches` of B = 1 in their pixels, the centre of the top-left one at (0, 0). The
    better half of the samples of RANSAC prefers a higher ``score``.
    """

    def __call__(self, image0: Tensor, image1: Tensor, /) -> Matches:
        """Return the matches of two images."""
        ...


class Matcher(Protocol):
    """How the passes over a sequence match: what is prepared once for a frame serves all its pairs."""

    def prepare(self, copies: Sequence[WorkingCopy]) -> Iterator[tuple[int, Any]]:
        """Yield each copy's index, in any order, and what :meth:`match` takes of it."""
        ...

    def match(self, pairs: Sequence[tuple[Any, Any]]) -> Iterator[tuple[int, Matches]]:
        """Yield each pair's index, in any order, and its matches in pixels of the copies."""
        ...


def describe_images(
    images: Tensor, descriptor: Descriptor, *, valid: Tensor | None = None, scales: Sequence[float] = (1.0, 0.7071, 0.5)
) -> list[FeatureMap]:
    """Describe images on all levels of a pyramid.

    Args:
        images: (B, 3, H, W) floating point in [0, 1].
        descriptor: Maps images to a :class:`FeatureMap`, such as a :class:`DenseDescriptor`.
        valid: Optional (B, 1, H, W) bool of pixels that are known.
        scales: See :func:`image_pyramid`.

    Returns:
        A :class:`FeatureMap` for each level, its cells in pixels of ``images``: what
        :func:`match_pyramid` takes.

    Raises:
        DtypeError, ShapeError: The descriptor returns something else.
    """
    levels = image_pyramid(hide_invalid(images, valid), scales=scales)
    return [level_features(_describe(descriptor, level.image), scale=level.scale) for level in levels]


def _describe(descriptor: Descriptor, images: Tensor) -> FeatureMap:
    """Call a descriptor, and check what it returns."""
    features = descriptor(images)
    if not isinstance(features, FeatureMap):
        raise DtypeError(
            f"expected the descriptor {type(descriptor).__name__} to return a FeatureMap, got "
            f"{type(features).__name__}; DenseDescriptor makes one of a trunk that states stride and offset"
        )
    batch = len(images)
    check_shapes(
        "descriptor", descriptors=(features.descriptors, f"{batch} C h w"), valid=(features.valid, f"{batch} h w")
    )
    return features


def as_descriptor(op: str, descriptor: Descriptor | nn.Module | None) -> Descriptor:
    """Return a descriptor: dense SIFT for ``None``, a :class:`DenseDescriptor` around a trunk."""
    if descriptor is None:
        return DenseDescriptor(DenseSIFT(stride=8))
    check_option(op, callable(descriptor), "descriptor to be callable", descriptor)
    stride = getattr(descriptor, "stride", None)
    if not isinstance(descriptor, nn.Module) or stride is None or not hasattr(descriptor, "offset"):
        return descriptor
    stages = None
    if not isinstance(stride, (int, float)):
        by_stage = dict(stride.items() if hasattr(stride, "items") else enumerate(stride))
        stages = min(by_stage, key=lambda stage: abs(math.log(by_stage[stage] / _STRIDE)))
    return DenseDescriptor(descriptor, stages=stages)


def choose_matcher(descriptor: Descriptor, matcher: PairMatcher | None, options: AlignOptions) -> Matcher:
    """Return what matches the copies of a sequence."""
    if matcher is None:
        return DescriptorMatcher(descriptor, options.scales, options.max_matches)
    return ImageMatcher(matcher, options.max_matches)


def choose_view_matcher(
    descriptor: Descriptor | nn.Module | None, how: Matcher, options: AlignOptions, device: torch.device
) -> Matcher:
    """Return what matches simulated views: what matches the frames, but for the default descriptor.

    Views that are simulated differ by some tens of degrees and a factor of two still, which the
    trained descriptor bears better than dense SIFT. What it ties by noise, the pixels refuse.
    """
    if descriptor is not None or not isinstance(how, DescriptorMatcher):
        return how
    return DescriptorMatcher(_TrainedDescriptor(device), options.scales, options.max_matches)


class _TrainedDescriptor:
    """The trained descriptor, loaded when it is first called: few sequences need it."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    @cached_property
    def descriptor(self) -> Descriptor:
        return load_descriptor("dual", device=self.device)

    def __call__(self, images: Tensor) -> FeatureMap:
        return self.descriptor(images)


class DescriptorMatcher(NamedTuple):
    """Matches by dense descriptors: :func:`match_pyramid` on all levels of two frames.

    Attributes:
        descriptor: Describes images.
        scales: Of the pyramid.
        max_matches: Matches kept per pair.
    """

    descriptor: Descriptor
    scales: Sequence[float]
    max_matches: int

    def prepare(self, copies: Sequence[WorkingCopy]) -> Iterator[tuple[int, Levels]]:
        """Yield the feature maps of each copy."""
        elements = [_ELEMENTS_PER_PIXEL * copy.image[:, 0].numel() for copy in copies]
        device = _device(copy.image for copy in copies)

        def describe(group: list[int]) -> list[FeatureMap]:
            images = torch.cat([hide_invalid(copies[i].image, copies[i].valid) for i in group])
            return describe_images(images, self.descriptor, scales=self.scales)

        for group, levels in map_batches(describe, [copy.size for copy in copies], elements, device):
            for row, i in enumerate(group):
                yield i, [_rows(level, slice(row, row + 1)) for level in levels]

    def match(self, pairs: Sequence[tuple[Levels, Levels]]) -> Iterator[tuple[int, Matches]]:
        """Yield the best matches of each pair."""
        keys = [tuple(_cells_of(level) for levels in pair for level in levels) for pair in pairs]
        cells = [[sum(x.descriptors[:, 0].numel() for x in levels) for levels in pair] for pair in pairs]
        elements = [count0 * count1 for count0, count1 in cells]
        device = _device(pair[0][0].descriptors for pair in pairs)

        def match(group: list[int]) -> Matches:
            stacked = [
                [_stacked(maps) for maps in zip(*(pairs[i][side] for i in group), strict=True)] for side in (0, 1)
            ]
            return match_pyramid(*stacked, subpixel=True, max_matches=self.max_matches)

        for group, matches in map_batches(match, keys, elements, device):
            for row, i in enumerate(group):
                yield i, Matches(*(field[row : row + 1] for field in matches))


def _device(tensors: Iterable[Tensor]) -> torch.device:
    return next((tensor.device for tensor in tensors), torch.device("cpu"))


def _rows(features: FeatureMap, rows: slice) -> FeatureMap:
    valid = None if features.valid is None else features.valid[rows]
    return replace(features, descriptors=features.descriptors[rows], valid=valid)


def _cells_of(features: FeatureMap) -> tuple[Any, ...]:
    """Return what feature maps must share to be stacked."""
    return (features.descriptors.shape[1:], features.stride, features.offset, features.valid is None)


def _stacked(maps: Sequence[FeatureMap]) -> FeatureMap:
    valid = [x.valid for x in maps if x.valid is not None]
    return replace(
        maps[0], descriptors=torch.cat([x.descriptors for x in maps]), valid=torch.cat(valid) if valid else None
    )


class ImageMatcher(NamedTuple):
    """Matches by a :class:`PairMatcher`, image against image.

    Attributes:
        matcher: Matches two images.
        max_matches: Matches kept per pair.
    """

    matcher: PairMatcher
    max_matches: int

    def prepare(self, copies: Sequence[WorkingCopy]) -> Iterator[tuple[int, WorkingCopy]]:
        """Yield the copies, 0 where they are not valid."""
        for index, copy in enumerate(copies):
            known = copy.image if copy.valid is None else torch.where(copy.valid, copy.image, 0)
            yield index, replace(copy, image=known)

    def match(self, pairs: Sequence[tuple[WorkingCopy, WorkingCopy]]) -> Iterator[tuple[int, Matches]]:
        """Yield the best matches of each pair that lie on valid pixels."""
        for index, pair in enumerate(pairs):
            yield index, self._match_pair(*pair)

    def _match_pair(self, copy0: WorkingCopy, copy1: WorkingCopy) -> Matches:
        matches = self.matcher(copy0.image, copy1.image)
        if not isinstance(matches, Matches):
            raise DtypeError(
                f"expected the matcher {type(self.matcher).__name__} to return Matches, got {type(matches).__name__}"
            )
        check_shapes(
            "matcher",
            points0=(matches.points0, "1 N 2"),
            points1=(matches.points1, "1 N 2"),
            score=(matches.score, "1 N"),
            valid=(matches.valid, "1 N"),
        )
        valid = matches.valid & _on_valid(matches.points0, copy0) & _on_valid(matches.points1, copy1)
        order = torch.where(valid, matches.score.detach(), -torch.inf).argsort(dim=1, descending=True, stable=True)
        kept = order[:, : self.max_matches]
        points0, points1 = (p.gather(1, kept[..., None].expand(-1, -1, 2)) for p in (matches.points0, matches.points1))
        return Matches(points0.float(), points1.float(), matches.score.gather(1, kept).float(), valid.gather(1, kept))


def _on_valid(points: Tensor, copy: WorkingCopy) -> Tensor:
    """Return (1, N) bool, which points (1, N, 2) lie on a valid pixel of a copy."""
    height, width = copy.size
    limit = points.new_tensor([width - 0.5, height - 0.5])
    inside = ((points >= -0.5) & (points <= limit)).all(dim=-1)
    if copy.valid is None:
        return inside
    x, y = torch.where(inside[..., None], points, 0).round().long().unbind(-1)
    return inside & copy.valid[0, 0, y.clamp(0, height - 1), x.clamp(0, width - 1)]
