"""The stopping rule of RANSAC, and the number of hypotheses between two looks at it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

#: Hypotheses drawn per item up to the end of each round; later rounds are as long as the last.
_ROUND_ENDS = (1024, 2048, 4096, 8192)


def hypotheses_needed(inliers: Tensor, count: Tensor, confidence: float) -> Tensor:
    """Return (B,), how many samples hold one of inliers only with probability ``confidence``.

    ``N = log(1 - confidence) / log(1 - e)``, where ``e = k (k - 1) (k - 2) (k - 3) / n^4`` is the
    probability that a sample of four out of n correspondences, of which k are inliers, holds
    inliers only: samples are drawn with replacement, and those with a repeated point are unsound.

    Args:
        inliers: (B,) k, inliers of the best homography so far.
        count: (B,) n, usable correspondences.
        confidence: In (0, 1).

    Source: Fischler & Bolles, Random sample consensus, CACM 1981; Hartley & Zisserman, 2nd ed.,
    equation 4.18.
    """
    k, n = inliers.to(torch.float32), count.to(torch.float32)
    return samples_needed(k * (k - 1) * (k - 2) * (k - 3) / n**4, confidence)


def samples_needed(probability: Tensor, confidence: float) -> Tensor:
    """Return how many draws hold one of ``probability`` at least with probability ``confidence``."""
    return math.log(1.0 - confidence) / torch.log1p(-probability.clamp(1e-12, 1.0 - 1e-6))


def round_ends(max_iterations: int) -> list[int]:
    """Return how many hypotheses have been drawn by the end of each round, at most."""
    ends = [end for end in _ROUND_ENDS if end < max_iterations]
    ends += range(2 * _ROUND_ENDS[-1], max_iterations, _ROUND_ENDS[-1])
    return [*ends, max_iterations]
