"""Ask verified pairs whether they agree on where all frames lie; refuse those that others contradict."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from diar_ops._types import PairMatches, Reason
from diar_ops.geometry import transform_points
from diar_ops.pipeline._align.graph import chain_to_reference

#: Two ways to a frame agree if its points come to lie within the one share of its longest side, and
#: contradict each other beyond the other: homographies of matched cells add up to some pixels.
CLOSED, OPEN = 0.08, 0.15
#: Other frames that must agree with where a frame lies before it is heard.
_WITNESSES = 2
#: A place is contested by another one with this share of its support.
_CONTESTED = 0.6
#: Frames from which all are laid out, those with most support; and rounds in which each then moves to
#: where most of its pairs want it.
_ROOTS, _ROUNDS = 3, 4


def refuse_contradicted(pairs: PairMatches, sizes: Sequence[tuple[int, int]]) -> PairMatches:
    """Refuse pairs that contradict where the others have their frames, and those of contested frames.

    Windows of a row and lines of text tie photos wrongly; so does what a pane of glass mirrors, a
    plane of its own. But all photos show the picture, and pairs that are tied by it agree on where
    each lies. So frames are laid where most of their pairs want them. A pair that contradicts the
    places of two frames is refused if two others at least agree with each. So are all pairs of a
    frame that such frames want at different places, none with clearly more support: nothing tells
    which is right. Where nothing closes nothing is known, and all stay.

    Args:
        pairs: Matched pairs; those with ``estimate.success`` are asked.
        sizes: (height, width) of all frames.

    Returns:
        The pairs; refused ones have the reason AMBIGUOUS, and the identity.
    """
    estimate, ties = pairs.estimate, _Ties(pairs, sizes)
    places = ties.consensus()
    error = [ties.errors(t, places) for t in range(len(sizes))]  # of each frame's pairs
    agree = [{u for u, e in zip(ties.others[t], error[t], strict=True) if e < CLOSED} for t in range(len(sizes))]
    wrong: set[frozenset[int]] = set()
    for t, others in enumerate(ties.others):
        heard = [len(agree[u] - {t}) >= _WITNESSES for u in others]
        contested = ties.is_contested(t, places, torch.tensor(heard, dtype=torch.bool))
        for u, e, sound in zip(others, error[t], heard, strict=True):
            if contested or (e > OPEN and sound and len(agree[t] - {u}) >= _WITNESSES):
                wrong.add(frozenset((t, u)))
    if not wrong:
        return pairs
    refused = torch.tensor([frozenset(pair) in wrong for pair in pairs.frames.tolist()]) & estimate.success
    eye = torch.eye(3, dtype=estimate.homography.dtype)
    return pairs._replace(
        estimate=estimate._replace(
            homography=torch.where(refused[:, None, None], eye, estimate.homography),
            inliers=estimate.inliers & ~refused[:, None],
            success=estimate.success & ~refused,
            reason=torch.where(refused, int(Reason.AMBIGUOUS), estimate.reason),
        )
    )


class _Ties:
    """Verified pairs, frame by frame.

    Places are (T, 3, 3) ``homography_root_frame`` of all frames, NaN where none is known.

    Args:
        pairs: Those that are verified are asked.
        sizes: (height, width) of all frames.
    """

    def __init__(self, pairs: PairMatches, sizes: Sequence[tuple[int, int]]) -> None:
        verified = pairs.estimate.success
        self.frames, self.homography = pairs.frames[verified], pairs.estimate.homography[verified].double()
        self.inliers = pairs.estimate.inliers.sum(dim=1)[verified]
        self.sizes = sizes
        #: Of each frame: those that it is tied to, ``homography_other_frame`` and weight of the pairs.
        self.others: list[list[int]] = [[] for _ in sizes]
        steps: list[list[Tensor]] = [[] for _ in sizes]
        weights: list[list[float]] = [[] for _ in sizes]
        for (i, j), H, count in zip(self.frames.tolist(), self.homography, self.inliers.tolist(), strict=True):
            for t, u, step in ((i, j, H), (j, i, torch.linalg.inv(H))):
                self.others[t].append(u)
                steps[t].append(step)
                weights[t].append(count**0.5)
        self.steps = [torch.stack(step) if step else self.homography[:0] for step in steps]
        self.weights = [torch.tensor(weight, dtype=torch.float64) for weight in weights]

    def consensus(self) -> Tensor:
        """Return the places on which the pairs agree most."""
        support = [float(weight.sum()) for weight in self.weights]
        found: list[tuple[float, Tensor]] = []
        for root in sorted(range(len(support)), key=lambda t: -support[t])[:_ROOTS]:
            places = self._settle(root)
            found.append((self._agreement(places), places))
            if found[-1][0] == sum(support):  # all pairs close: no other root can do better
                break
        return max(found, key=lambda scored: scored[0])[1]

    def errors(self, frame: int, places: Tensor) -> list[float]:
        """Return how far the K pairs of a frame are off its place, in shares of its longest side."""
        wanted = places[self.others[frame]] @ self.steps[frame]
        return _errors(wanted, places[frame].expand_as(wanted), self.sizes[frame]).tolist()

    def is_contested(self, frame: int, places: Tensor, heard: Tensor) -> bool:
        """Return whether pairs have a frame at different places, with about equal support.

        Args:
            frame: The frame.
            places: Of all frames.
            heard: (K,) bool, which of its pairs are asked.
        """
        if not heard.any():
            return False
        error, support = self._support(frame, places, heard)
        best = int(support.argmax())
        rivals = support[heard & (error[best] > OPEN)]
        return len(rivals) > 0 and float(rivals.max()) >= _CONTESTED * float(support[best])

    def _settle(self, root: int) -> Tensor:
        """Return places: the chains to a root, where they do not close moved in a few rounds."""
        places = torch.full((len(self.sizes), 3, 3), torch.nan, dtype=torch.float64)
        chains = chain_to_reference(self.frames, self.homography, self.inliers, len(self.sizes), root)
        for t, place in chains.items():
            places[t] = place
        for _ in range(_ROUNDS):
            if all(error < CLOSED for t in chains for error in self.errors(t, places)):
                break
            for t in chains.keys() - {root}:
                everyone = torch.ones(len(self.others[t]), dtype=torch.bool)
                best = int(self._support(t, places, everyone)[1].argmax())
                places[t] = places[self.others[t][best]] @ self.steps[t][best]
        return places

    def _support(self, frame: int, places: Tensor, heard: Tensor) -> tuple[Tensor, Tensor]:
        """Return how far the places that K pairs want differ (K, K), and the support of each (K,)."""
        wanted = places[self.others[frame]] @ self.steps[frame]
        count = len(wanted)
        error = _errors(wanted.repeat_interleave(count, 0), wanted.repeat(count, 1, 1), self.sizes[frame])
        error = error.reshape(count, count)
        return error, ((error < CLOSED) & heard).double() @ self.weights[frame] * heard

    def _agreement(self, places: Tensor) -> float:
        """Return the weight of the pairs that close."""
        closed = [torch.tensor(self.errors(t, places)) < CLOSED for t in range(len(self.sizes))]
        return sum(float(weight[near].sum()) for weight, near in zip(self.weights, closed, strict=True))


def _errors(one: Tensor, other: Tensor, size: tuple[int, int]) -> Tensor:
    """Return (K,), by which share of the longest side two places (K, 3, 3) of a frame differ, in the mean.

    Of points within its middle half: corners amplify what little homographies are off. The larger one
    of both ways: seen through the smaller place, a frame that is laid too large lies near.
    """
    height, width = size
    grid = torch.cartesian_prod(*[torch.linspace(0.25, 0.75, 3, dtype=torch.float64)] * 2)
    points = (grid * torch.tensor([width - 1, height - 1], dtype=torch.float64)).expand(len(one), -1, -1)
    found = []
    for a, b in ((one, other), (other, one)):
        back, in_front = transform_points(points, torch.linalg.solve(b, a))
        found.append(torch.where(in_front, (back - points).norm(dim=-1), torch.inf).mean(1))
    return torch.maximum(*found) / max(size)
