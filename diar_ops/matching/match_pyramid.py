"""Correspondences between two images across all levels of their feature pyramids."""

from __future__ import annotations

from collections.abc import Sequence

from diar_ops._checks import full_precision
from diar_ops._types import FeatureMap, Matches
from diar_ops.matching._cells import CellMatcher, MatchOptions, match_cells


@full_precision
def match_pyramid(
    levels0: Sequence[FeatureMap],
    levels1: Sequence[FeatureMap],
    *,
    threshold: float | None = None,
    ratio: float | None = None,
    temperature: float | None = None,
    subpixel: bool = False,
    max_matches: int | None = None,
) -> Matches:
    """Match the cells of all levels of two images, any level with any.

    The levels of each image are concatenated into one descriptor set, so that a cell chooses its
    partner, and with it the partner's scale, among all levels of the other image.

    Args:
        levels0: Feature maps (B, C, h, w) of image 0, their stride and offset in full-resolution
            pixels; :func:`level_features` converts maps computed on a pyramid level. Sizes may
            differ from level to level, B and C may not.
        levels1: Feature maps of image 1; the number of levels may differ.
        threshold: See :func:`mutual_nearest`.
        ratio: See :func:`mutual_nearest`. Neighbouring levels hold the same place again, which
            makes this test strict here.
        temperature: See :func:`mutual_nearest`.
        subpixel: See :func:`match_dense`; the fit stays within the partner's level.
        max_matches: See :func:`match_dense`. By default N is the number of cells of image 0, level
            after level, each in row-major order.

    Returns:
        :class:`Matches` in full-resolution pixels, float32 at least as of :func:`match_dense`.

    Raises:
        ShapeError: A shape does not fit.
        DtypeError: Descriptors are not floating point or differ in dtype, a mask is not bool.
        DeviceError: The tensors are on different devices.
        OptionError: No levels, or an option of :func:`match_dense` is out of range.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> image0 = FeatureMap(torch.randn(1, 16, 4, 5, generator=generator), stride=(8.0, 8.0))
        >>> other = FeatureMap(torch.randn(1, 16, 8, 9, generator=generator), stride=(8.0, 8.0))
        >>> matches = match_pyramid([image0], [other, level_features(image0, scale=(0.5, 0.5))])
        >>> matches.points0[0, 1], matches.points1[0, 1]  # twice as large
        (tensor([8., 0.]), tensor([16.5000,  0.5000]))
    """
    options = MatchOptions(threshold, ratio, temperature, subpixel, max_matches)
    return match_cells("match_pyramid", levels0, levels1, options)


class MatchPyramid(CellMatcher):
    """See :func:`match_pyramid`."""

    def forward(self, levels0: Sequence[FeatureMap], levels1: Sequence[FeatureMap]) -> Matches:
        """See :func:`match_pyramid`."""
        return match_pyramid(
            levels0,
            levels1,
            threshold=self.threshold,
            ratio=self.ratio,
            temperature=self.temperature,
            subpixel=self.subpixel,
            max_matches=self.max_matches,
        )
