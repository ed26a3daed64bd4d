"""Match and verify pairs of frames, turning those that fit none upright."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from diar_ops._pixels import image_size
from diar_ops._types import FeatureMap, HomographyEstimate, Matches, PairMatches, Reason
from diar_ops.geometry import ransac_homography, transform_points, warp_homography
from diar_ops.matching import image_pyramid, level_features, match_pyramid
from diar_ops.pipeline._frames import WorkingCopy, hide_invalid, smaller_copy
from diar_ops.pipeline._graph import candidate_pairs, largest_group, plausible

__all__ = ["EVIDENCE_CELLS", "Descriptor", "PairMatcher"]

#: Maps images (B, 3, H, W) in [0, 1] to a :class:`FeatureMap`.
Descriptor: TypeAlias = Callable[[Tensor], FeatureMap]

# An upright descriptor finds less than a tenth of its matches at 20 degrees; turned copies every
# 30 degrees leave at most 15.
_TURNS = tuple(math.radians(degrees) for degrees in range(30, 360, 30))
#: Matches within one of so many parts of a photo's side are one piece of evidence: their windows
#: overlap, and one highlight matches any other.
EVIDENCE_CELLS = 16
# How many well-connected frames a turned frame is compared with.
_HUBS = 2


@dataclass(frozen=True)
class PairMatcher:
    """How pairs are matched; lengths in pixels of the working copies."""

    descriptor: Descriptor
    scales: Sequence[float]
    max_matches: int
    threshold: float
    generator: torch.Generator | None
    progress: Callable[[str, int, int], None]

    def __call__(self, copies: list[WorkingCopy | None], longest: int) -> PairMatches:
        """Match and verify the candidate pairs; return them in full-resolution pixels.

        On copies of at most ``longest`` pixels first, which takes a sixteenth of the time for half
        of them; then, of the frames that fit none of the largest group, on those that are given.

        Args:
            copies: ``None`` stands for a frame that cannot be used.
            longest: Longest side of the first copies.
        """
        small = [None if c is None else smaller_copy(c, longest) for c in copies]
        every = candidate_pairs(len(copies))
        pairs = self._match_all(every, small, None, "")
        lone = set(self._lone(pairs, copies))
        again = torch.tensor([bool(lone & {i, j}) for i, j in every.tolist()], dtype=torch.bool)
        larger = any(
            s and c and s.image.shape != c.image.shape for s, c in zip(small, copies, strict=True)
        )
        if larger and again.any():
            pairs = self._match_all(every[again], copies, pairs, " closely")
        return pairs

    def _match_all(
        self, frames: Tensor, copies: list[WorkingCopy | None], before: PairMatches | None, how: str
    ) -> PairMatches:
        """Match pairs of copies, upright, then turned; return them with those before."""
        used = set(frames.flatten().tolist())
        features: list[list[FeatureMap] | None] = [None] * len(copies)
        for done, t in enumerate(sorted(used)):
            copy = copies[t]
            features[t] = None if copy is None else self.describe(copy.image, copy.valid)
            self.progress(f"describing photos{how}", done + 1, len(used))
        found = []
        for done, (i, j) in enumerate(frames.tolist()):
            found.append(self.match(features[i], features[j]))
            self.progress(f"matching pairs{how}", done + 1, len(frames))
        pairs = self.verify(frames, _concatenate(found, self.max_matches), copies)
        pairs = pairs if before is None else _replace_pairs(before, pairs)
        return self._match_turned(pairs, features, copies, how)

    def describe(self, image: Tensor, valid: Tensor | None) -> list[FeatureMap]:
        """Return the descriptors of all pyramid levels, in pixels of the image."""
        image = hide_invalid(image, valid)
        return [
            level_features(self.descriptor(level.image), scale=level.scale)
            for level in image_pyramid(image, scales=self.scales)
        ]

    def match(
        self, levels0: list[FeatureMap] | None, levels1: list[FeatureMap] | None
    ) -> Matches | None:
        """Return the best matches of one pair, on the CPU."""
        if levels0 is None or levels1 is None:
            return None
        found = match_pyramid(levels0, levels1, subpixel=True, max_matches=self.max_matches)
        return Matches(*(x.cpu() for x in found))

    def verify(
        self, frames: Tensor, matches: Matches, copies: list[WorkingCopy | None]
    ) -> PairMatches:
        """Estimate the homographies of a batch of pairs; refuse those that no camera makes.

        Returns:
            The pairs, in full-resolution pixels.
        """
        sizes = [(1, 1) if c is None else image_size(c.image) for c in copies]
        estimate = ransac_homography(
            matches.points0,
            matches.points1,
            matches.valid,
            score=matches.score,
            threshold=self.threshold,
            independence=max(max(size) for size in sizes) / EVIDENCE_CELLS,
            generator=self.generator,
        )
        H = estimate.homography.to(torch.float64)
        possible = torch.tensor(
            [
                plausible(H[p], sizes[i]) and plausible(torch.linalg.inv(H[p]), sizes[j])
                for p, (i, j) in enumerate(frames.tolist())
            ],
            dtype=torch.bool,
        )
        refused = estimate.success & ~possible
        estimate = estimate._replace(
            inliers=estimate.inliers & possible[:, None],
            success=estimate.success & possible,
            reason=torch.where(refused, int(Reason.CHANCE_LEVEL), estimate.reason),
        )
        return _to_full_resolution(PairMatches(frames, matches, estimate), copies)

    @staticmethod
    def _lone(pairs: PairMatches, copies: list[WorkingCopy | None]) -> list[int]:
        """Return the usable frames outside the largest group: all if no pair is verified."""
        verified = pairs.estimate.success
        if not verified.any():
            return [t for t, c in enumerate(copies) if c is not None]
        support = pairs.estimate.inliers.sum(dim=1)
        group = largest_group(pairs.frames[verified], support[verified], len(copies))
        return [t for t, c in enumerate(copies) if c is not None and t not in group]

    def _match_turned(
        self,
        pairs: PairMatches,
        features: list[list[FeatureMap] | None],
        copies: list[WorkingCopy | None],
        how: str,
    ) -> PairMatches:
        """Turn the frames outside the largest group and match them with its hubs."""
        lone = self._lone(pairs, copies)
        group = [t for t, c in enumerate(copies) if c is not None and t not in lone]
        hubs = _best_supported(pairs, group)[:_HUBS]
        if not group:  # bring them all to the first usable one
            hubs, lone = lone[:1], lone[1:]
        for h in hubs if lone else []:
            copy = copies[h]
            assert copy is not None
            features[h] = features[h] or self.describe(copy.image, copy.valid)
        rows: list[tuple[int, int]] = []
        found: list[Matches | None] = []
        for done, t in enumerate(lone):
            copy = copies[t]
            assert copy is not None
            for angle in _TURNS:
                image, valid, turned_copy = _turn(copy, angle)
                levels = self.describe(image, valid)
                for hub in hubs:
                    match = self.match(levels, features[hub])
                    assert match is not None
                    upright = transform_points(match.points0, torch.linalg.inv(turned_copy)[None])
                    rows.append((t, hub))
                    found.append(match._replace(points0=upright.points.to(match.points0)))
            self.progress(f"turning photos{how}", done + 1, len(lone))
        if not rows:
            return pairs
        matches = _concatenate(found, self.max_matches)
        turned = self.verify(torch.tensor(rows), matches, copies)
        return _replace_pairs(pairs, turned)


def _turn(copy: WorkingCopy, angle: float) -> tuple[Tensor, Tensor, Tensor]:
    """Turn a copy about its centre: image, valid, homography_turned_copy."""
    height, width = image_size(copy.image)
    c, s = math.cos(angle), math.sin(angle)
    size = (
        math.ceil(abs(s) * width + abs(c) * height),
        math.ceil(abs(c) * width + abs(s) * height),
    )
    x, y = (width - 1) / 2, (height - 1) / 2
    u, v = (size[1] - 1) / 2, (size[0] - 1) / 2
    H = torch.tensor([[c, -s, u - c * x + s * y], [s, c, v - s * x - c * y], [0.0, 0.0, 1.0]])
    warped = warp_homography(copy.image, H[None].to(copy.image), copy.valid, size=size)
    return warped.image, warped.valid, H


def _best_supported(pairs: PairMatches, group: list[int]) -> list[int]:
    """Return the group's frames, the one with the most verified matches first."""
    support = dict.fromkeys(group, 0)
    counts = (pairs.estimate.inliers.sum(dim=1) * pairs.estimate.success).tolist()
    for (i, j), n in zip(pairs.frames.tolist(), counts, strict=True):
        for t in (i, j):
            if t in support:
                support[t] += n
    return sorted(group, key=lambda t: (-support[t], t))


def _replace_pairs(pairs: PairMatches, turned: PairMatches) -> PairMatches:
    """Put the verified turned pairs, the best of each, in the place of what failed upright."""
    best: dict[tuple[int, int], int] = {}
    support = turned.estimate.inliers.sum(dim=1)
    for row, (i, j) in enumerate(turned.frames.tolist()):
        if turned.estimate.success[row]:
            rival = best.get((i, j))
            if rival is None or support[row] > support[rival]:
                best[i, j] = row
    if not best:
        return pairs
    replaced = {frozenset(pair) for pair in best}
    keep = torch.tensor([frozenset(p) not in replaced for p in pairs.frames.tolist()])
    chosen = torch.tensor(list(best.values()))
    return PairMatches(
        torch.cat([pairs.frames[keep], turned.frames[chosen]]),
        Matches(
            *(
                torch.cat([a[keep], b[chosen]])
                for a, b in zip(pairs.matches, turned.matches, strict=True)
            )
        ),
        HomographyEstimate(
            *(
                torch.cat([a[keep], b[chosen]])
                for a, b in zip(pairs.estimate, turned.estimate, strict=True)
            )
        ),
    )


def _concatenate(found: list[Matches | None], count: int) -> Matches:
    """Stack matches of one pair each, padded to ``count``; ``None`` is a pair without matches."""
    batch = Matches(
        torch.zeros(len(found), count, 2),
        torch.zeros(len(found), count, 2),
        torch.zeros(len(found), count),
        torch.zeros(len(found), count, dtype=torch.bool),
    )
    for row, match in enumerate(found):
        if match is not None:
            for target, source in zip(batch, match, strict=True):
                target[row, : source.shape[1]] = source[0]
    return batch


def _to_full_resolution(pairs: PairMatches, copies: list[WorkingCopy | None]) -> PairMatches:
    """Map points and homographies from pixels of the copies to pixels of the frames."""
    eye = torch.eye(3, dtype=torch.float64)
    working = torch.stack([eye if c is None else c.working_full for c in copies])
    full = torch.linalg.inv(working)
    i, j = pairs.frames.unbind(dim=1)
    H = full[j] @ pairs.estimate.homography.to(torch.float64) @ working[i]
    H = torch.where(pairs.estimate.success[:, None, None], H, eye)
    matches = pairs.matches._replace(
        points0=_scale(pairs.matches.points0, full[i]),
        points1=_scale(pairs.matches.points1, full[j]),
    )
    return PairMatches(pairs.frames, matches, pairs.estimate._replace(homography=H))


def _scale(points: Tensor, matrix: Tensor) -> Tensor:
    """Apply (P, 3, 3) scalings with offset to (P, N, 2) points."""
    matrix = matrix.to(points)
    scale = torch.diagonal(matrix, dim1=1, dim2=2)[:, None, :2]
    return points * scale + matrix[:, None, :2, 2]
