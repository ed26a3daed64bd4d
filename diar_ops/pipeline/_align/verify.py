"""Verify matched pairs of frames by robust homographies."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from diar_ops._checks import check_option, check_shapes, full_precision
from diar_ops._types import HomographyEstimate, Matches, PairMatches, Reason
from diar_ops.geometry import ransac_homography
from diar_ops.pipeline._align.graph import is_plausible
from diar_ops.pipeline._frames import WorkingCopy, host_generator

#: Matches within one of so many parts of a photo's side are one piece of evidence: their windows
#: overlap, and one highlight matches any other.
INDEPENDENCE_CELLS = 16


@full_precision
def verify_pairs(
    frames: Tensor,
    matches: Matches,
    sizes: Sequence[tuple[int, int]],
    *,
    threshold: float = 4.0,
    independence: float | None = None,
    generator: torch.Generator | None = None,
) -> PairMatches:
    """Estimate the homographies of matched pairs of frames; refuse those that no camera makes.

    Args:
        frames: (P, 2) int64, frames ``i`` and ``j`` of each pair.
        matches: With B = P, ``points0`` in frame ``i``, ``points1`` in frame ``j``, in pixels; from
            wherever they come.
        sizes: (height, width) of each of the T frames.
        threshold: Inlier threshold, in pixels.
        independence: See :func:`ransac_homography`; ``None``: a sixteenth of the longest side, for
            dense matches, whose neighbours see the same thing.
        generator: Source of randomness, on the CPU; ``None``: a fixed seed.

    Returns:
        :class:`PairMatches` on the CPU, homographies in float64: what :func:`align_sequence` takes
        as ``pairs``, and :func:`chain_pairs`. Pairs that are refused stay, with the reason.

    Raises:
        ShapeError, DtypeError: The tensors do not fit together.
        OptionError: A frame has no size, or a number is out of range.
    """
    op = "verify_pairs"
    check_shapes(
        op,
        points0=(matches.points0, "P N 2"),
        points1=(matches.points1, "P N 2"),
        score=(matches.score, "P N"),
        valid=(matches.valid, "P N"),
    )
    check_shapes(op, frames=(frames, f"{len(matches.valid)} 2"))
    indices = frames.tolist()
    known = all(0 <= t < len(sizes) for pair in indices for t in pair)
    check_option(op, known, f"frames among the {len(sizes)} that have a size", indices)
    longest = max((max(size) for size in sizes), default=1)
    estimate = ransac_homography(
        matches.points0,
        matches.points1,
        matches.valid,
        score=matches.score,
        threshold=threshold,
        independence=longest / INDEPENDENCE_CELLS if independence is None else independence,
        generator=host_generator(generator),
    )
    estimate = HomographyEstimate(*(field.cpu() for field in estimate))
    homography_j_i = estimate.homography.to(torch.float64)
    possible = torch.tensor(
        [
            is_plausible(H, sizes[i]) and is_plausible(torch.linalg.inv(H), sizes[j])
            for H, (i, j) in zip(homography_j_i, indices, strict=True)
        ],
        dtype=torch.bool,
    )
    refused = estimate.success & ~possible
    estimate = estimate._replace(
        homography=homography_j_i,
        inliers=estimate.inliers & possible[:, None],
        success=estimate.success & possible,
        reason=torch.where(refused, int(Reason.IMPLAUSIBLE), estimate.reason),
    )
    return PairMatches(frames.cpu(), Matches(*(field.cpu() for field in matches)), estimate)


def verify_copies(
    frames: Tensor,
    matches: Matches,
    copies: Sequence[WorkingCopy | None],
    *,
    threshold: float,
    generator: torch.Generator | None,
) -> PairMatches:
    """Verify pairs that were matched on copies; return them in full-resolution pixels.

    Args:
        frames: (P, 2) int64, frames ``i`` and ``j`` of each pair.
        matches: With B = P, ``points0`` in the copy of ``i``, ``points1`` in that of ``j``.
        copies: Of all frames; ``None`` for a frame that cannot be used.
        threshold: Inlier threshold in pixels of the copies.
        generator: Source of randomness.
    """
    sizes = [(1, 1) if c is None else c.size for c in copies]
    pairs = verify_pairs(frames, matches, sizes, threshold=threshold, generator=generator)
    eye = torch.eye(3, dtype=torch.float64)
    copy_frame = torch.stack([eye if c is None else c.homography_copy_frame for c in copies])
    frame_copy = torch.linalg.inv(copy_frame)
    i, j = pairs.frames.unbind(dim=1)
    H = frame_copy[j] @ pairs.estimate.homography @ copy_frame[i]
    H = torch.where(pairs.estimate.success[:, None, None], H, eye)
    scaled = pairs.matches._replace(
        points0=_scale_points(pairs.matches.points0, frame_copy[i]),
        points1=_scale_points(pairs.matches.points1, frame_copy[j]),
    )
    return PairMatches(pairs.frames, scaled, pairs.estimate._replace(homography=H))


def _scale_points(points: Tensor, matrix: Tensor) -> Tensor:
    """Apply (P, 3, 3) scalings with offset to (P, N, 2) points."""
    matrix = matrix.to(points)
    scale = torch.diagonal(matrix, dim1=1, dim2=2)[:, None, :2]
    return points * scale + matrix[:, None, :2, 2]
