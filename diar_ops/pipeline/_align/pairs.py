"""Match and verify the pairs of a sequence: on small copies, rotated, on larger ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from diar_ops._checks import check_option, check_shapes
from diar_ops._types import HomographyEstimate, Matches, PairMatches
from diar_ops.pipeline._align.cycles import refuse_contradicted
from diar_ops.pipeline._align.graph import candidate_pairs, choose_reference, largest_component, neighbour_pairs
from diar_ops.pipeline._align.hard_views import HUBS as HARD_HUBS
from diar_ops.pipeline._align.hard_views import MOST_FAILURES, tie_hard_views, tied_pair
from diar_ops.pipeline._align.match import Matcher
from diar_ops.pipeline._align.rotate import HUBS, ROTATIONS, rotate_copy, unrotate_matches
from diar_ops.pipeline._align.verify import verify_copies
from diar_ops.pipeline._frames import Progress, WorkingCopy, sharpness_of, smaller_copy
from diar_ops.pipeline.options import AlignOptions

#: Verified pairs of a frame, at least: where there are fewer, it is matched with all others.
LEAST_TIES = 3


def match_frames(
    copies: Sequence[WorkingCopy | None],
    *,
    sizes: Sequence[tuple[int, int]],
    reference: str | int,
    matcher: Matcher,
    view_matcher: Matcher,
    options: AlignOptions,
    generator: torch.Generator | None,
    progress: Progress,
) -> PairMatches:
    """Match and verify the candidate pairs of a sequence.

    On copies of half the size first, a sixteenth of the work; then, for the frames outside the
    largest connected component, by simulated views; then on the given ones.

    Args:
        copies: Of each frame; ``None`` for a frame that cannot be used.
        sizes: (height, width) of the frames.
        reference: Index of the reference frame, which all others are matched with, or ``"auto"``.
        matcher: Matches two of them.
        view_matcher: Matches two simulated views of them.
        options: Pyramid scales, sizes and thresholds.
        generator: Source of randomness.
        progress: Called with the progress of each step.

    Returns:
        The pairs, in full-resolution pixels.
    """
    small = [None if c is None else smaller_copy(c, options.matching_size // 2) for c in copies]
    candidates = candidate_pairs(len(copies))
    step = _Pass(small, matcher, options, generator, progress, "")
    prepared = step.prepare(range(len(copies)))
    pairs = _match_candidates(candidates, prepared, step, sizes, partial(find_reference, reference, copies, sizes))
    pairs = _match_rotated(pairs, prepared, step)
    pairs = _match_hard_views(pairs, _Pass(copies, view_matcher, options, generator, progress, ""))
    lone = set(_outside_largest_component(pairs, copies))
    again = torch.tensor([not lone.isdisjoint(pair) for pair in candidates.tolist()]).bool()
    larger = any(s and c and s.size != c.size for s, c in zip(small, copies, strict=True))
    if larger and again.any():
        closely = _Pass(copies, matcher, options, generator, progress, " closely")
        prepared = closely.prepare(sorted(set(candidates[again].flatten().tolist())))
        pairs = _replace_verified(pairs, _match_upright(candidates[again], prepared, closely))
        pairs = _match_rotated(pairs, prepared, closely)
    return pairs


def match_refused(
    copies: Sequence[WorkingCopy | None],
    refused: Sequence[int],
    placed: Mapping[int, Tensor],
    pairs: PairMatches,
    *,
    matcher: Matcher,
    options: AlignOptions,
    generator: torch.Generator | None,
    progress: Progress,
) -> tuple[PairMatches, dict[int, Tensor]]:
    """Match refused frames turned, with the best of those that are placed; return all pairs, and new places.

    A mirrored page fits a page that lies upside down, line by line: the latter then is in the
    component by a pair that is wrong, and was not turned.

    Args:
        copies: See :func:`match_frames`.
        refused: Frames that a path of pairs leads to the reference, where their pixels disagree.
        placed: ``homography_reference_frame`` of those that are placed.
        pairs: Those that were matched.
        matcher: Matches two copies.
        options: Pyramid scales, sizes and thresholds.
        generator: Source of randomness.
        progress: Called with the progress of the step.
    """
    small = [None if c is None else smaller_copy(c, options.matching_size // 2) for c in copies]
    step = _Pass(small, matcher, options, generator, progress, " again")
    hubs = _by_support(pairs, sorted(placed))[:1]
    turned = _match_turned(list(refused), hubs, step.prepare(hubs), step)
    start: dict[int, Tensor] = {}
    most = dict.fromkeys(refused, 0)
    support = (turned.estimate.inliers.sum(dim=1) * turned.estimate.success).tolist()
    for (t, hub), homography, count in zip(turned.frames.tolist(), turned.estimate.homography, support, strict=True):
        if count > most[t]:
            most[t], start[t] = count, placed[hub] @ homography
    return _replace_verified(pairs, turned), start


def find_reference(
    reference: str | int, copies: Sequence[WorkingCopy | None], sizes: Sequence[tuple[int, int]], pairs: PairMatches
) -> int:
    """Return the reference that is given; for ``"auto"`` the one that :func:`choose_reference` chooses.

    Args:
        reference: Index of a frame, or ``"auto"``.
        copies: Of each frame; ``None`` for a frame that cannot be used.
        sizes: (height, width) of the frames.
        pairs: Those that were matched.
    """
    if reference != "auto":
        return int(reference)
    sharpness = torch.tensor([0.0 if c is None else sharpness_of(c.image) for c in copies], dtype=torch.float32)
    return choose_reference(pairs, sharpness, torch.tensor(sizes, dtype=torch.float64))


def no_pairs() -> PairMatches:
    """Return the pairs of a sequence in which none was matched."""
    matches = _stack_matches([], 1)
    eye, none = torch.zeros(0, 3, 3, dtype=torch.float64), torch.zeros(0, dtype=torch.int64)
    estimate = HomographyEstimate(eye, matches.valid, none.bool(), none, none)
    return PairMatches(torch.zeros(0, 2, dtype=torch.int64), matches, estimate)


def check_pairs(op: str, pairs: PairMatches, count: int) -> None:
    """Check pairs from elsewhere against the number of frames."""
    fits = isinstance(pairs, PairMatches)
    check_option(op, fits, "pairs to be PairMatches, such as verify_pairs returns", type(pairs).__name__)
    check_shapes(
        op,
        **{
            "pairs.frames": (pairs.frames, "P 2"),
            "pairs.matches.points0": (pairs.matches.points0, "P N 2"),
            "pairs.matches.points1": (pairs.matches.points1, "P N 2"),
            "pairs.matches.valid": (pairs.matches.valid, "P N"),
            "pairs.estimate.homography": (pairs.estimate.homography, "P 3 3"),
            "pairs.estimate.inliers": (pairs.estimate.inliers, "P N"),
            "pairs.estimate.success": (pairs.estimate.success, "P"),
            "pairs.estimate.reason": (pairs.estimate.reason, "P"),
        },
    )
    indices = pairs.frames.tolist()
    known = all(0 <= i < count and 0 <= j < count and i != j for i, j in indices)
    check_option(op, known, f"pairs of two of the {count} frames", indices)


class _Pass(NamedTuple):
    """One pass over copies of one size.

    Attributes:
        copies: Of each frame; ``None`` for a frame that cannot be used.
        matcher: Matches two of them.
        options: Pyramid scales, sizes and thresholds.
        generator: Source of randomness.
        progress: Called with the progress of each step.
        suffix: Of the names of the steps.
    """

    copies: Sequence[WorkingCopy | None]
    matcher: Matcher
    options: AlignOptions
    generator: torch.Generator | None
    progress: Progress
    suffix: str

    def prepare(self, frames: Sequence[int]) -> dict[int, Any]:
        """Return what is matched of each frame that can be used."""
        copies = {t: copy for t in frames if (copy := self.copies[t]) is not None}
        prepared: dict[int, Any] = {}
        for index, side in self.matcher.prepare(list(copies.values())):
            prepared[list(copies)[index]] = side
            self.progress(f"describing photos{self.suffix}", len(prepared), len(copies))
        return prepared

    def match(self, pairs: Sequence[tuple[Any, Any]], step: str = "") -> list[Matches]:
        """Return the matches of pairs; ``step`` names what the progress is of."""
        found: dict[int, Matches] = {}
        for index, matches in self.matcher.match(pairs):
            found[index] = matches
            if step:
                self.progress(f"{step}{self.suffix}", len(found), len(pairs))
        return [found[index] for index in range(len(pairs))]

    def verify(self, frames: Tensor, matches: Sequence[Matches | None]) -> PairMatches:
        """Verify matches of one pair each."""
        stacked = _stack_matches(matches, self.options.max_matches)
        return verify_copies(frames, stacked, self.copies, threshold=self.options.threshold, generator=self.generator)


def _match_candidates(
    candidates: Tensor,
    prepared: dict[int, Any],
    step: _Pass,
    sizes: Sequence[tuple[int, int]],
    hub: Callable[[PairMatches], int],
) -> PairMatches:
    """Match each frame with its neighbours and with a hub, and with all others where that is not enough.

    Most sequences are like this: nearly every pair is verified, and all agree on where the frames
    lie. Then others add nothing. All candidates of a frame are matched of which fewer than
    :data:`LEAST_TIES` are verified, and all candidates where pairs contradict each other.
    """
    count = len(step.copies)
    neighbours = neighbour_pairs(count)
    if len(neighbours) + count > len(candidates):
        return _match_upright(candidates, prepared, step)
    pairs = _match_upright(neighbours, prepared, step)
    centre = hub(pairs)
    star = torch.tensor([sorted((t, centre)) for t in range(count) if t != centre])
    pairs = _match_more(pairs, star, prepared, step)
    agreed = refuse_contradicted(pairs, sizes) is pairs
    ties = pairs.frames[pairs.estimate.success].flatten().bincount(minlength=count)
    loose = {t for t in range(count) if ties[t] < LEAST_TIES or not agreed}
    wanted = torch.tensor([not loose.isdisjoint(pair) for pair in candidates.tolist()])
    return _match_more(pairs, candidates[wanted], prepared, step)


def _match_more(pairs: PairMatches, frames: Tensor, prepared: dict[int, Any], step: _Pass) -> PairMatches:
    """Match those of further pairs (P, 2) that were not; return all."""
    known = {tuple(pair) for pair in pairs.frames.tolist()}
    new = torch.tensor([tuple(pair) not in known for pair in frames.tolist()], dtype=torch.bool)
    if not new.any():
        return pairs
    return _join(pairs, _match_upright(frames[new], prepared, step), slice(None), slice(None))


def _match_upright(frames: Tensor, prepared: dict[int, Any], step: _Pass) -> PairMatches:
    """Match and verify pairs (P, 2) of prepared frames."""
    usable = [p for p, (i, j) in enumerate(frames.tolist()) if i in prepared and j in prepared]
    matches: list[Matches | None] = [None] * len(frames)
    sides = [(prepared[i], prepared[j]) for i, j in frames[usable].tolist()]
    for p, match in zip(usable, step.match(sides, "matching pairs"), strict=True):
        matches[p] = match
    return step.verify(frames, matches)


def _match_rotated(pairs: PairMatches, prepared: dict[int, Any], step: _Pass) -> PairMatches:
    """Match frames outside the largest component rotated, with its hubs; replace what is verified."""
    lone, hubs = _lone_and_hubs(pairs, step.copies, HUBS)
    if not lone or not hubs:
        return pairs
    missing = [hub for hub in hubs if hub not in prepared]
    if missing:
        prepared = {**prepared, **step.prepare(missing)}
    return _replace_verified(pairs, _match_turned(lone, hubs, prepared, step))


def _match_turned(frames: list[int], hubs: list[int], prepared: dict[int, Any], step: _Pass) -> PairMatches:
    """Match frames, turned by all angles, with prepared hubs."""
    rows: list[tuple[int, int]] = []
    matches: list[Matches | None] = []
    for done, t in enumerate(frames):
        copy = step.copies[t]
        assert copy is not None
        turned = [rotate_copy(copy, angle) for angle in ROTATIONS]
        sides = dict(step.matcher.prepare([rotated for rotated, _ in turned]))
        combined = [(sides[index], prepared[hub]) for index in range(len(turned)) for hub in hubs]
        homographies = [H for _, H in turned for _ in hubs]
        for match, H in zip(step.match(combined), homographies, strict=True):
            matches.append(unrotate_matches(match, H))
        rows += [(t, hub) for _ in turned for hub in hubs]
        step.progress(f"turning photos{step.suffix}", done + 1, len(frames))
    return step.verify(torch.tensor(rows), matches)


def _match_hard_views(pairs: PairMatches, step: _Pass) -> PairMatches:
    """Tie frames outside the largest component to its hubs by simulated views, and add what is tied.

    At most :data:`MOST_FAILURES` frames are tried in vain: a sequence full of foreign photos must
    not take longer and longer.
    """
    failed: list[int] = []
    lone, hubs = _lone_and_hubs(pairs, step.copies, HARD_HUBS)
    while lone and len(failed) < MOST_FAILURES:
        t = lone[0]
        tied = _tie_to_a_hub(t, hubs, step)
        pairs = pairs if tied is None else _replace_verified(pairs, tied)
        failed += [t] if tied is None else []
        lone, hubs = _lone_and_hubs(pairs, step.copies, HARD_HUBS)
        lone = [t for t in lone if t not in failed]
        step.progress("simulating views", len(failed) + 1, len(failed) + 1 + len(lone))
    return pairs


def _tie_to_a_hub(frame: int, hubs: Sequence[int], step: _Pass) -> PairMatches | None:
    """Return the verified pair of a frame and the first hub that a simulated view ties it to."""
    options = step.options
    for hub in hubs:
        copy0, copy1 = step.copies[frame], step.copies[hub]
        assert copy0 is not None
        assert copy1 is not None
        tie = tie_hard_views(copy0, copy1, matcher=step.matcher, threshold=options.threshold, generator=step.generator)
        if tie is not None:
            return tied_pair(tie, frame, hub, copy0, copy1, options.max_matches)
    return None


def _lone_and_hubs(pairs: PairMatches, copies: Sequence[WorkingCopy | None], count: int) -> tuple[list[int], list[int]]:
    """Return the frames outside the largest component, and its best supported frames.

    Of frames of which no two are tied, the first one is the hub.
    """
    lone = _outside_largest_component(pairs, copies)
    component = [t for t, copy in enumerate(copies) if copy is not None and t not in lone]
    return (lone, _by_support(pairs, component)[:count]) if component else (lone[1:], lone[:1])


def _outside_largest_component(pairs: PairMatches, copies: Sequence[WorkingCopy | None]) -> list[int]:
    """Return the usable frames outside the largest component: all if no pair is verified."""
    verified = pairs.estimate.success & pairs.estimate.inliers.any(dim=1)
    component: list[int] = []
    if verified.any():
        component = largest_component(pairs.frames[verified], len(copies))
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
    return _join(pairs, others, keep, torch.tensor(list(best.values())))


def _join(pairs: PairMatches, others: PairMatches, keep: Tensor | slice, rows: Tensor | slice) -> PairMatches:
    """Return some rows of pairs, and some of others."""

    def join(one: Tensor, other: Tensor) -> Tensor:
        return torch.cat([one[keep], other[rows]])

    return PairMatches(
        join(pairs.frames, others.frames),
        Matches(*map(join, pairs.matches, others.matches)),
        HomographyEstimate(*map(join, pairs.estimate, others.estimate)),
    )


def _stack_matches(matches: Sequence[Matches | None], count: int) -> Matches:
    """Stack matches of one pair each, padded to ``count``; ``None`` is a pair without matches."""
    device = next((match.valid.device for match in matches if match is not None), None)
    batch = Matches(
        torch.zeros(len(matches), count, 2, dtype=torch.float32, device=device),
        torch.zeros(len(matches), count, 2, dtype=torch.float32, device=device),
        torch.zeros(len(matches), count, dtype=torch.float32, device=device),
        torch.zeros(len(matches), count, dtype=torch.bool, device=device),
    )
    for row, match in enumerate(matches):
        if match is not None:
            for target, source in zip(batch, match, strict=True):
                target[row, : source.shape[1]] = source[0]
    return batch
