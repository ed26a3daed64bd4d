"""Match and verify pairs of frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

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
    small = [None if c is None else smaller_copy(c, options.matching_size // 2) for c in copies]
    candidates = candidate_pairs(len(copies))
    pairs = _match_pass(candidates, _Pass(small, descriptor, options, generator, progress, ""))
    lone = set(_outside_largest_component(pairs, copies))
    again = torch.tensor([not lone.isdisjoint(pair) for pair in candidates.tolist()]).bool()
    larger = any(s and c and s.size != c.size for s, c in zip(small, copies, strict=True))
    if larger and again.any():
        closely = _Pass(copies, descriptor, options, generator, progress, " closely")
        pairs = _match_pass(candidates[again], closely, pairs)
    return pairs


class _Pass(NamedTuple):
    """One pass over copies of one size.

    Attributes:
        copies: Of each frame; ``None`` for a frame that cannot be used.
        descriptor: Describes images.
        options: Pyramid scales, sizes and thresholds.
        generator: Source of randomness.
        progress: Called with the progress of each step.
        suffix: Of the names of the steps.
    """

    copies: Sequence[WorkingCopy | None]
    descriptor: Descriptor
    options: AlignOptions
    generator: torch.Generator | None
    progress: Progress
    suffix: str

    def describe(self, copy: WorkingCopy | None) -> Levels:
        """Return the feature maps of a copy; none of a frame that cannot be used."""
        return [] if copy is None else describe_copy(copy, self.descriptor, self.options.scales)

    def verify(self, frames: Tensor, matches: Sequence[Matches | None]) -> PairMatches:
        """Verify matches of one pair each."""
        stacked = _stack_matches(matches, self.options.max_matches)
        return verify_pairs(frames, stacked, self.copies, threshold=self.options.threshold, generator=self.generator)


def _match_pass(frames: Tensor, step: _Pass, earlier: PairMatches | None = None) -> PairMatches:
    """Match pairs of copies upright, then rotated; return them together with earlier pairs."""
    levels: dict[int, Levels] = {}
    used = sorted(set(frames.flatten().tolist()))
    for done, t in enumerate(used):
        levels[t] = step.describe(step.copies[t])
        step.progress(f"describing photos{step.suffix}", done + 1, len(used))
    pairs = _match_upright(frames, levels, step)
    if earlier is not None:
        pairs = _replace_verified(earlier, pairs)
    return _match_rotated(pairs, levels, step)


def _match_upright(frames: Tensor, levels: Mapping[int, Levels], step: _Pass) -> PairMatches:
    """Match and verify pairs (P, 2) of described frames."""
    matches: list[Matches | None] = []
    for done, (i, j) in enumerate(frames.tolist()):
        usable = levels[i] and levels[j]
        matches.append(match_levels(levels[i], levels[j], step.options.max_matches) if usable else None)
        step.progress(f"matching pairs{step.suffix}", done + 1, len(frames))
    return step.verify(frames, matches)


def _match_rotated(pairs: PairMatches, levels: dict[int, Levels], step: _Pass) -> PairMatches:
    """Match frames outside the largest component rotated, with its hubs; replace what is verified."""
    lone = _outside_largest_component(pairs, step.copies)
    component = [t for t, copy in enumerate(step.copies) if copy is not None and t not in lone]
    hubs = _by_support(pairs, component)[:HUBS]
    if not component:  # rotate all to the first usable one
        hubs, lone = lone[:1], lone[1:]
    rows: list[tuple[int, int]] = []
    matches: list[Matches | None] = []
    for done, t in enumerate(lone):
        copy = step.copies[t]
        assert copy is not None
        for angle in ROTATIONS:
            rotated, homography_rotated_copy = rotate_copy(copy, angle)
            rotated_levels = step.describe(rotated)
            for hub in hubs:
                if hub not in levels:
                    levels[hub] = step.describe(step.copies[hub])
                match = match_levels(rotated_levels, levels[hub], step.options.max_matches)
                rows.append((t, hub))
                matches.append(unrotate_matches(match, homography_rotated_copy))
        step.progress(f"turning photos{step.suffix}", done + 1, len(lone))
    if not rows:
        return pairs
    return _replace_verified(pairs, step.verify(torch.tensor(rows), matches))


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
        torch.zeros(len(matches), count, 2, dtype=torch.float32),
        torch.zeros(len(matches), count, 2, dtype=torch.float32),
        torch.zeros(len(matches), count, dtype=torch.float32),
        torch.zeros(len(matches), count, dtype=torch.bool),
    )
    for row, match in enumerate(matches):
        if match is not None:
            for target, source in zip(batch, match, strict=True):
                target[row, : source.shape[1]] = source[0]
    return batch
