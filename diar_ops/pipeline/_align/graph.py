"""The graph of verified pairs: which frame is the reference, and the path of each frame to it."""

from __future__ import annotations

import math
from collections import defaultdict
from heapq import heappop, heappush

import torch
from torch import Tensor

from diar_ops._types import PairMatches
from diar_ops.geometry import transform_points


def choose_reference(pairs: PairMatches, sharpness: Tensor, sizes: Tensor) -> int:
    """Return the best-connected, most complete, most frontal and sharpest frame.

    Within the largest connected group, each frame is scored by the product of

    - connection: square root of the matches that tie it directly to other frames, as a share of
      the best;
    - completeness: the share of all frames' verified matches that lie within it. These points are
      on the thing that was photographed; a frame that crops it would crop the picture;
    - frontality: how little the other frames' views differ from it in perspective, in the median.
      Cameras surround a picture, so its most frontal view differs least from the rest;
    - sharpness: square root of the share of the sharpest.

    Args:
        pairs: Matched pairs; those with ``estimate.success`` count.
        sharpness: (T,) any monotone measure of sharpness.
        sizes: (T, 2) height and width of the frames.
    """
    count = len(sharpness)
    verified = pairs.estimate.success
    index, homographies = pairs.frames[verified], pairs.estimate.homography[verified]
    inliers = pairs.estimate.inliers[verified]
    number = inliers.sum(dim=1)
    support = torch.zeros(count, dtype=torch.float64)
    perspectives: list[list[float]] = [[] for _ in range(count)]
    content: list[list[Tensor]] = [[] for _ in range(count)]
    for p, (i, j) in enumerate(index.tolist()):
        H = homographies[p]
        for t, H_other_t, points in (
            (i, H, pairs.matches.points0[verified][p]),
            (j, torch.linalg.inv(H), pairs.matches.points1[verified][p]),
        ):
            support[t] += number[p]
            perspectives[t].append(perspective(H_other_t, sizes[t]))
            content[t].append(points[inliers[p]].to(torch.float64))
    scores = {}
    for t in largest_component(index[number > 0], count):
        reach = chain_to_reference(index, homographies, number, count, t)
        inside = [_share_inside(torch.cat(content[s]), H, sizes[t]) for s, H in reach.items() if s != t and content[s]]
        connection = float((support[t] / support.max().clamp_min(1)).sqrt())
        completeness = sum(inside) / max(1, len(inside))
        frontality = float(torch.exp(-torch.tensor(perspectives[t] or [0.0], dtype=torch.float32).median()))
        sharp = float((sharpness[t] / sharpness.max().clamp_min(1e-12)).sqrt())
        scores[t] = connection * completeness**3 * frontality * sharp
    return max(scores, key=lambda t: (scores[t], -t))


def _share_inside(points: Tensor, homography: Tensor, size: Tensor) -> float:
    """Return the share of points (N, 2) that a homography maps into an image of ``size``."""
    mapped, in_front = transform_points(points, homography)
    limit = size.flip(0) - 0.5
    return float((in_front & ((mapped >= -0.5) & (mapped <= limit)).all(dim=-1)).double().mean())


def chain_pairs(pairs: PairMatches, count: int, reference: int) -> dict[int, Tensor]:
    """Return :func:`chain_to_reference` of the verified pairs among ``count`` frames."""
    verified = pairs.estimate.success
    inliers = pairs.estimate.inliers.sum(dim=1)[verified]
    return chain_to_reference(pairs.frames[verified], pairs.estimate.homography[verified], inliers, count, reference)


def chain_to_reference(
    index: Tensor, homography_j_i: Tensor, inliers: Tensor, count: int, reference: int
) -> dict[int, Tensor]:
    """Return ``homography_reference_frame`` (float64) of every frame that a path reaches.

    The path maximises reliability: each pair costs the inverse of its support, so that one strong
    detour beats a weak direct pair. One without support is no step of any path.
    """
    step: dict[tuple[int, int], Tensor] = {}
    costs: dict[int, dict[int, float]] = defaultdict(dict)
    supported = inliers > 0
    pairs = zip(index[supported].tolist(), homography_j_i[supported], inliers[supported].tolist(), strict=True)
    for (i, j), H, number in pairs:
        step[j, i], step[i, j] = H, torch.linalg.inv(H)
        costs[i][j] = costs[j][i] = 1 / number
    chained: dict[int, Tensor] = {}
    queue = [(0.0, reference, reference)]  # Dijkstra's: cost to a frame, the frame, the one before it
    while queue:
        cost, t, before = heappop(queue)
        if t in chained:
            continue
        chained[t] = torch.eye(3, dtype=torch.float64) if t == before else chained[before] @ step[before, t]
        for u in costs[t].keys() - chained.keys():
            heappush(queue, (cost + costs[t][u], u, t))
    return chained


def largest_component(index: Tensor, count: int) -> list[int]:
    """Return the largest group of connected frames, or all frames if no pair is verified."""
    if len(index) == 0:
        return list(range(count))
    label = list(range(count))
    for i, j in index.tolist():
        label = [label[i] if name == label[j] else name for name in label]
    groups: dict[int, list[int]] = {}
    for t, group in enumerate(label):
        groups.setdefault(group, []).append(t)
    return max(groups.values(), key=len)


def perspective(homography: Tensor, size: Tensor) -> float:
    """Return how unevenly a homography magnifies: the log ratio of its extreme area changes."""
    height, width = (float(s) for s in size)
    corners = torch.tensor([[0, 0, 1], [width, 0, 1], [width, height, 1], [0, height, 1]], dtype=torch.float64)
    depth = corners @ homography[2]
    if bool((depth * depth[0] <= 0).any()):
        return 10.0
    # The area change at a point is det(H) / w**3.
    return float(3 * (depth.abs().max() / depth.abs().min()).log())


def candidate_pairs(count: int) -> Tensor:
    """Return the (P, 2) pairs (i < j) that are worth matching.

    All pairs up to twelve frames. Beyond that, the pairs of each frame with its three next
    neighbours (photos are taken in some order) and with six hubs spread over the sequence, so
    that the work grows linearly with the number of frames.
    """
    if count <= 12:
        chosen = {(i, j) for i in range(count) for j in range(i + 1, count)}
    else:
        hubs = {round(k * (count - 1) / 5) for k in range(6)}
        chosen = {
            (min(i, j), max(i, j)) for i in range(count) for j in {*range(i + 1, min(i + 4, count)), *hubs} if i != j
        }
    return torch.tensor(sorted(chosen), dtype=torch.int64).reshape(-1, 2)


def neighbour_pairs(count: int) -> Tensor:
    """Return the (P, 2) pairs (i < j) of each frame with the next two; after the last comes the first."""
    chosen = {tuple(sorted((t, (t + step) % count))) for t in range(count) for step in (1, 2)}
    return torch.tensor(sorted(pair for pair in chosen if pair[0] != pair[1]), dtype=torch.int64).reshape(-1, 2)


def shared_share(homography_1_0: Tensor, size0: tuple[int, int], size1: tuple[int, int]) -> float:
    """Return which share of either of two frames of some (height, width) the other one shows, the larger.

    1 for a close-up and what it is cut from, small for photos of neighbouring parts.
    """
    shares = []
    for H, one, other in ((homography_1_0, size0, size1), (torch.linalg.inv(homography_1_0), size1, size0)):
        y, x = ((torch.arange(16, dtype=torch.float64) + 0.5) * n / 16 - 0.5 for n in one)
        shares.append(_share_inside(torch.cartesian_prod(x, y), H, torch.tensor(other)))
    return max(shares)


def is_plausible(homography: Tensor, size: tuple[int, int]) -> bool:
    """Return whether photos of one plane can differ by a homography of a frame of ``size``.

    The horizon of a photographed plane lies outside the photo, and its nearest corner is not many
    times nearer than its farthest: 1.9 times at tilts of 40 degrees; 6 are allowed.
    """
    return perspective(homography, torch.tensor(size)) <= 3 * math.log(6.0)
