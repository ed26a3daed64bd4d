"""Correspondences between two dense feature maps."""

from __future__ import annotations

from torch import Tensor

from diar_ops._checks import full_precision
from diar_ops._types import FeatureMap, Matches
from diar_ops.matching._cells import CellMatcher, MatchOptions, match_cells


@full_precision
def match_dense(
    features0: FeatureMap | Tensor,
    features1: FeatureMap | Tensor,
    *,
    threshold: float | None = None,
    ratio: float | None = None,
    temperature: float | None = None,
    subpixel: bool = False,
    max_matches: int | None = None,
) -> Matches:
    """Match the cells of two feature maps that choose each other by cosine similarity.

    Args:
        features0: :class:`FeatureMap` with descriptors (B, C, h0, w0), or such a tensor, whose
            cells then lie on the pixels (stride 1).
        features1: :class:`FeatureMap` with descriptors (B, C, h1, w1), or such a tensor.
        threshold: See :func:`mutual_nearest`.
        ratio: See :func:`mutual_nearest`.
        temperature: See :func:`mutual_nearest`.
        subpixel: Move ``points1`` to the peak of the cosine similarity around the matched cell:
            of the quadratic fitted to its 3 x 3 neighbourhood, at most half a cell away per axis.
            An axis along which a neighbour is missing or unusable stays on the cell.
            Differentiable with respect to both maps.
        max_matches: Keep the best-scoring matches, best first, as N; fewer are padded. By default
            N = h0 * w0, one entry per cell of map 0 in row-major order.

    Returns:
        :class:`Matches` in full-resolution pixels, in the dtype of the descriptors, but in float32
        for half-precision maps: float16 has no half pixels above 1024.

    Raises:
        ShapeError: A shape does not fit.
        DtypeError: Descriptors are not floating point or differ in dtype, a mask is not bool.
        DeviceError: The tensors are on different devices.
        OptionError: An option of :func:`mutual_nearest` is out of range, or ``max_matches`` < 1.

    Example:
        >>> descriptors = torch.randn(1, 16, 5, 6, generator=torch.Generator().manual_seed(0))
        >>> features0 = FeatureMap(descriptors[..., :-1], stride=(8.0, 8.0))
        >>> features1 = FeatureMap(descriptors[..., 1:], stride=(8.0, 8.0))  # one cell to the left
        >>> matches = match_dense(features0, features1, max_matches=20)
        >>> (matches.points1 - matches.points0)[matches.valid].unique(dim=0)
        tensor([[-8.,  0.]])
    """
    options = MatchOptions(threshold, ratio, temperature, subpixel, max_matches)
    return match_cells("match_dense", [_as_map(features0)], [_as_map(features1)], options)


def _as_map(features: FeatureMap | Tensor) -> FeatureMap:
    return features if isinstance(features, FeatureMap) else FeatureMap(features)


class MatchDense(CellMatcher):
    """See :func:`match_dense`."""

    def forward(self, features0: FeatureMap | Tensor, features1: FeatureMap | Tensor) -> Matches:
        """See :func:`match_dense`."""
        return match_dense(
            features0,
            features1,
            threshold=self.threshold,
            ratio=self.ratio,
            temperature=self.temperature,
            subpixel=self.subpixel,
            max_matches=self.max_matches,
        )
