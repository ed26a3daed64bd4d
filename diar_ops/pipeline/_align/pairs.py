"""Match and verify pairs of frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from diar_ops._types import FeatureMap, HomographyEstimate, Matches, PairMatches, Reason
from diar_ops.geometry import ransac_homography
from diar_ops.matching import image_pyramid, level_features, match_pyramid
from diar_ops.pipeline._align.graph import candidate_pairs, is_plausible, largest_component
from diar_ops.pipeline._align.rotate import HUBS, ROTATIONS, rotate_copy, unrotate_matches
from diar_ops.pipeline._frames import Progress, WorkingCopy, hide_invalid, smaller_copy
from diar_ops.pipeline.options import AlignOptions

#: Maps images (B, 3, H, W) in [0, 1] to a :class:`FeatureMap`.
Descriptor: TypeAlias = Callable[[Tensor], FeatureMap]
#: Feature maps of the pyramid levels of one image, in pixels of the image.
Levels: TypeAlias = list[FeatureMap]

#: Matches within one of so many parts of a photo's side are one piece of evidence: their windows
#: overlap, and one highlight matches any other.
INDEPENDENCE_CELLS = 16


def match_frames(
    copies: Sequence[WorkingCopy | None],
    *,
    descriptor: Descriptor,
    options: AlignOptions,
    generator: torch.Generator | None,
    progress: Progress,
) -> PairMatches:
    """Match and verify the candidate pairs of a sequence.

    On copies of half the size first, a sixteenth of the work; then, for the frames outside the
    largest connected component, on the given ones.

    Args:
        copies: Of each frame; ``None`` for a frame that cannot be used.
        descriptor: Describes images.
        options: Pyramid scales, sizes and thresholds.
        generator: Source of randomness.
        progress: Called with the progress of each step.

    Returns:
        The pairs, in full-resolution pixels.
    """

    def match_on(frames: Tensor, copies: Sequence[WorkingCopy | None], earlier: PairMatches | None) -> PairMatches:
        return _match_all(
            frames, copies, earlier, descriptor=descriptor, options=options, generator=generator, progress=progress
        )

    small = [None if c is None else smaller_copy(c, options.matching_size // 2) for c in copies]
    candidates = candidate_pairs(len(copies))
    pairs = match_on(candidates, small, None)
    lone = set(_outside_largest_component(pairs, copies))
    again = torch.tensor([not lone.isdisjoint(pair) for pair in candidates.tolist()]).bool()
    larger = any(s and c and s.size != c.size for s, c in zip(small, copies, strict=True))
    if larger and again.any():
        pairs = match_on(candidates[again], copies, pairs)
    return pairs


def _match_all(
    frames: Tensor,
    copies: Sequence[WorkingCopy | None],
    earlier: PairMatches | None,
    *,
    descriptor: Descriptor,
    options: AlignOptions,
    generator: torch.Generator | None,
    progress: Progress,
) -> PairMatches:
    """Match pairs of copies upright, then rotated; return them together with earlier pairs."""
    suffix = "" if earlier is None else " closely"
    levels: list[Levels | None] = [None] * len(copies)

    def describe(copy: WorkingCopy) -> Levels:
        return describe_copy(copy, descriptor, options.scales)

    def match(levels0: Levels, levels1: Levels) -> Matches:
        return match_levels(levels0, levels1, options.max_matches)

    def verify(frames: Tensor, matches: Sequence[Matches | None]) -> PairMatches:
        stacked = _stack_matches(matches, options.max_matches)
        threshold = options.threshold
        return verify_pairs(frames, stacked, copies, threshold=threshold, generator=generator)

    used = sorted(set(frames.flatten().tolist()))
    for done, t in enumerate(used):
        copy = copies[t]
        levels[t] = None if copy is None else describe(copy)
        progress(f"describing photos{suffix}", done + 1, len(used))
    matches: list[Matches | None] = []
    for done, (i, j) in enumerate(frames.tolist()):
        levels_i, levels_j = levels[i], levels[j]
        matches.append(match(levels_i, levels_j) if levels_i and levels_j else None)
        progress(f"matching pairs{suffix}", done + 1, len(frames))
    pairs = verify(frames, matches)
    if earlier is not None:
        pairs = _replace_verified(earlier, pairs)

    # Frames that fit none of the largest component may be rotated: match them with its hubs.
    lone = _outside_largest_component(pairs, copies)
    component = [t for t, c in enumerate(copies) if c is not None and t not in lone]
    hubs = _by_support(pairs, component)[:HUBS]
    if not component:  # rotate all to the first usable one
        hubs, lone = lone[:1], lone[1:]
    rows: list[tuple[int, int]] = []
    rotated_matches: list[Matches | None] = []
    for done, t in enumerate(lone):
        for angle in ROTATIONS:
            rotated, homography_rotated_copy = rotate_copy(_usable(copies[t]), angle)
            rotated_levels = describe(rotated)
            for hub in hubs:
                hub_levels = levels[hub] = levels[hub] or describe(_usable(copies[hub]))
                upright = unrotate_matches(match(rotated_levels, hub_levels), homography_rotated_copy)
                rows.append((t, hub))
                rotated_matches.append(upright)
        progress(f"turning photos{suffix}", done + 1, len(lone))
    if not rows:
        return pairs
    return _replace_verified(pairs, verify(torch.tensor(rows), rotated_matches))


def describe_copy(copy: WorkingCopy, descriptor: Descriptor, scales: Sequence[float]) -> list[FeatureMap]:
    """Return the feature maps of all pyramid levels of a copy, in pixels of the copy."""
    image = hide_invalid(copy.image, copy.valid)
    return [level_features(descriptor(level.image), scale=level.scale) for level in image_pyramid(image, scales=scales)]


def match_levels(levels0: Levels, levels1: Levels, max_matches: int) -> Matches:
    """Return the best matches of one pair, on the CPU."""
    matches = match_pyramid(levels0, levels1, subpixel=True, max_matches=max_matches)
    return Matches(*(field.cpu() for field in matches))


def verify_pairs(
    frames: Tensor,
    matches: Matches,
    copies: Sequence[WorkingCopy | None],
    *,
    threshold: float,
    generator: torch.Generator | None,
) -> PairMatches:
    """Estimate the homographies of a batch of pairs; refuse those that no camera makes.

    Args:
        frames: (P, 2) int64, frames ``i`` and ``j`` of each pair.
        matches: With B = P, ``points0`` in the copy of ``i``, ``points1`` in that of ``j``.
        copies: Of all frames; ``None`` for a frame that cannot be used.
        threshold: Inlier threshold in pixels of the copies.
        generator: Source of randomness.

    Returns:
        The pairs, in full-resolution pixels.
    """
    sizes = [(1, 1) if c is None else c.size for c in copies]
    estimate = ransac_homography(
        matches.points0,
        matches.points1,
        matches.valid,
        score=matches.score,
        threshold=threshold,
        independence=max(max(size) for size in sizes) / INDEPENDENCE_CELLS,
        generator=generator,
    )
    homography_j_i = estimate.homography.to(torch.float64)
    possible = torch.tensor(
        [
            is_plausible(H, sizes[i]) and is_plausible(torch.linalg.inv(H), sizes[j])
            for H, (i, j) in zip(homography_j_i, frames.tolist(), strict=True)
        ],
        dtype=torch.bool,
    )
    refused = estimate.success & ~possible
    estimate = estimate._replace(
        inliers=estimate.inliers & possible[:, None],
        success=estimate.success & possible,
        reason=torch.where(refused, int(Reason.IMPLAUSIBLE), estimate.reason),
    )
    return _to_full_resolution(PairMatches(frames, matches, estimate), copies)


def _to_full_resolution(pairs: PairMatches, copies: Sequence[WorkingCopy | None]) -> PairMatches:
    """Map points and homographies from pixels of the copies to pixels of the frames."""
    eye = torch.eye(3, dtype=torch.float64)
    copy_frame = torch.stack([eye if c is None else c.homography_copy_frame for c in copies])
    frame_copy = torch.linalg.inv(copy_frame)
    i, j = pairs.frames.unbind(dim=1)
    H = frame_copy[j] @ pairs.estimate.homography.to(torch.float64) @ copy_frame[i]
    H = torch.where(pairs.estimate.success[:, None, None], H, eye)
    matches = pairs.matches._replace(
        points0=_scale_points(pairs.matches.points0, frame_copy[i]),
        points1=_scale_points(pairs.matches.points1, frame_copy[j]),
    )
    return PairMatches(pairs.frames, matches, pairs.estimate._replace(homography=H))


def _scale_points(points: Tensor, matrix: Tensor) -> Tensor:
    """Apply (P, 3, 3) scalings with offset to (P, N, 2) points."""
    matrix = matrix.to(points)
    scale = torch.diagonal(matrix, dim1=1, dim2=2)[:, None, :2]
    return points * scale + matrix[:, None, :2, 2]


def _usable(copy: WorkingCopy | None) -> WorkingCopy:
    assert copy is not None
    return copy


def _outside_largest_component(pairs: PairMatches, copies: Sequence[WorkingCopy | None]) -> list[int]:
    """Return the usable frames outside the largest component: all if no pair is verified."""
    verified = pairs.estimate.success
    component: list[int] = []
    if verified.any():
        support = pairs.estimate.inliers.sum(dim=1)
        component = largest_component(pairs.frames[verified], support[verified], len(copies))
    return [t for t, c in enumerate(copies) if c is not None and t not in component]


def _by_support(pairs: PairMatches, component: list[int]) -> list[int]:
    """Return the frames of a component, the one with the most verified matches first."""
    support = dict.fromkeys(component, 0)
    counts = (pairs.estimate.inliers.sum(dim=1) * pairs.estimate.success).tolist()
    for pair, count in zip(pairs.frames.tolist(), counts, strict=True):
        for t in support.keys() & pair:
            support[t] += count
    return sorted(component, key=lambda t: (-support[t], t))


def _replace_verified(pairs: PairMatches, others: PairMatches) -> PairMatches:
    """Replace pairs by verified others of the same frames, of each pair the best supported."""
    best: dict[tuple[int, int], int] = {}
    support = others.estimate.inliers.sum(dim=1)
    for row, (i, j) in enumerate(others.frames.tolist()):
        if others.estimate.success[row]:
            rival = best.get((i, j))
            if rival is None or support[row] > support[rival]:
                best[i, j] = row
    if not best:
        return pairs
    replaced = {frozenset(pair) for pair in best}
    keep = torch.tensor([frozenset(pair) not in replaced for pair in pairs.frames.tolist()])
    rows = torch.tensor(list(best.values()))

    def merge(one: Tensor, other: Tensor) -> Tensor:
        return torch.cat([one[keep], other[rows]])

    return PairMatches(
        merge(pairs.frames, others.frames),
        Matches(*map(merge, pairs.matches, others.matches)),
        HomographyEstimate(*map(merge, pairs.estimate, others.estimate)),
    )


def _stack_matches(matches: Sequence[Matches | None], count: int) -> Matches:
    """Stack matches of one pair each, padded to ``count``; ``None`` is a pair without matches."""
    batch = Matches(
        torch.zeros(len(matches), count, 2),
        torch.zeros(len(matches), count, 2),
        torch.zeros(len(matches), count),
        torch.zeros(len(matches), count, dtype=torch.bool),
    )
    for row, match in enumerate(matches):
        if match is not None:
            for target, source in zip(batch, match, strict=True):
                target[row, : source.shape[1]] = source[0]
    return batch
