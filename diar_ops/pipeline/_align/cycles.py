"""Ask verified pairs whether cycles over three frames close; refuse those that open them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from diar_ops._types import PairMatches, Reason
from diar_ops.geometry import transform_points

#: A cycle is closed if points come back to within the one share of the longest side, open beyond the
#: other: three homographies of matched cells add up to some pixels.
CLOSED, OPEN = 0.05, 0.15


def refuse_open_cycles(pairs: PairMatches, sizes: Sequence[tuple[int, int]]) -> PairMatches:
    """Refuse pairs that open every cycle over three frames that they are in, two at least.

    The other two pairs of each must be in cycles that close: then it is this one that is wrong, by a
    window of a row or a line of text, and the frames stay connected by the others. Where nothing
    closes, nothing is known, and all stay.

    Args:
        pairs: Matched pairs; those with ``estimate.success`` are asked.
        sizes: (height, width) of all frames.

    Returns:
        The pairs; refused ones have the reason AMBIGUOUS, and the identity.
    """
    rows = {(i, j): row for row, (i, j) in enumerate(pairs.frames.tolist()) if bool(pairs.estimate.success[row])}
    step = {key: pairs.estimate.homography[row] for key, row in rows.items()}
    step.update({(j, i): torch.linalg.inv(H) for (i, j), H in list(step.items())})
    cycles = _cycles(set(step))
    if not cycles:
        return pairs
    H = torch.stack([step[k, i] @ step[j, k] @ step[i, j] for i, j, k in cycles])
    errors = _closing_errors(H, [sizes[i] for i, _, _ in cycles])
    inside: dict[frozenset[int], list[float]] = {}
    sides = [[frozenset(side) for side in ((i, j), (j, k), (i, k))] for i, j, k in cycles]
    for members, error in zip(sides, errors, strict=True):
        for side in members:
            inside.setdefault(side, []).append(error)
    sound = {side for side, found in inside.items() if min(found) < CLOSED}
    wrong = {side for side, found in inside.items() if len(found) > 1 and min(found) > OPEN}
    wrong = {side for side in wrong if all(side not in m or sound.issuperset(set(m) - {side}) for m in sides)}
    refused = torch.tensor([frozenset(pair) in wrong for pair in pairs.frames.tolist()]) & pairs.estimate.success
    if not refused.any():
        return pairs
    estimate = pairs.estimate
    eye = torch.eye(3, dtype=estimate.homography.dtype)
    return pairs._replace(
        estimate=estimate._replace(
            homography=torch.where(refused[:, None, None], eye, estimate.homography),
            inliers=estimate.inliers & ~refused[:, None],
            success=estimate.success & ~refused,
            reason=torch.where(refused, int(Reason.AMBIGUOUS), estimate.reason),
        )
    )


def _cycles(steps: set[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """Return all i < j < k of which each two are a pair."""
    after: dict[int, list[int]] = {}
    for i, j in sorted(steps):
        if i < j:
            after.setdefault(i, []).append(j)
    return [(i, j, k) for i in after for j in after[i] for k in after.get(j, []) if (i, k) in steps]


def _closing_errors(homography_i_i: Tensor, sizes: Sequence[tuple[int, int]]) -> list[float]:
    """Return by which share of the longest side points come back elsewhere, in the mean.

    Points within the middle half: corners amplify what little the homographies are off.
    """
    size = torch.tensor([[width - 1, height - 1] for height, width in sizes], dtype=torch.float64)
    grid = torch.cartesian_prod(*[torch.linspace(0.25, 0.75, 3, dtype=torch.float64)] * 2)
    points = grid * size[:, None]
    back, in_front = transform_points(points, homography_i_i.double())
    far = torch.where(in_front, (back - points).norm(dim=-1), torch.inf)
    share: list[float] = (far.mean(1) / size.amax(1)).tolist()
    return share
