"""Mean over frames."""

from __future__ import annotations

from typing import Literal, overload

from torch import Tensor

from diar_ops._module import OpModule
from diar_ops.aggregate._frames import check_frames, usable_frames


@overload
def mean_aggregate(
    features: Tensor, valid: Tensor | None = None, *, return_weights: Literal[False] = False
) -> Tensor: ...
@overload
def mean_aggregate(
    features: Tensor, valid: Tensor | None = None, *, return_weights: Literal[True]
) -> tuple[Tensor, Tensor]: ...
@overload
def mean_aggregate(
    features: Tensor, valid: Tensor | None = None, *, return_weights: bool
) -> Tensor | tuple[Tensor, Tensor]: ...


def mean_aggregate(
    features: Tensor, valid: Tensor | None = None, *, return_weights: bool = False
) -> Tensor | tuple[Tensor, Tensor]:
    """Average the frames of each pixel.

    A frame counts at a pixel where it is valid and finite in all channels. Where none counts, the
    output is 0 with zero gradient. The order of the frames does not matter.

    Args:
        features: (B, T, C, H, W) floating point, any T >= 1.
        valid: Optional (B, T, 1, H, W) bool.
        return_weights: Also return the weights.

    Returns:
        (B, C, H, W) in the same dtype; with ``return_weights`` also weights (B, T, 1, H, W), whose
        products with the features sum to the output over T.

    Raises:
        ShapeError: A shape does not fit, or T is 0.
        DtypeError: ``features`` is not floating point or ``valid`` not bool.

    Example:
        >>> frames = torch.tensor([0.25, 0.75, 9.0]).view(1, 3, 1, 1, 1)
        >>> valid = torch.tensor([True, True, False]).view(1, 3, 1, 1, 1)
        >>> mean_aggregate(frames, valid)
        tensor([[[[0.5000]]]])
    """
    check_frames("mean_aggregate", features, valid)
    dtype = features.dtype
    clean, usable = usable_frames(features, valid)
    if usable is None:
        mean = clean.mean(1)
    else:
        count = usable.sum(1).clamp(min=1)
        mean = clean.sum(1) / count
    if not return_weights:
        return mean.to(dtype)
    if usable is None:
        batch, frames, _, height, width = features.shape
        weights = clean.new_full((batch, frames, 1, height, width), 1 / frames)
    else:
        weights = usable.to(clean.dtype) / count[:, None]
    return mean.to(dtype), weights.to(dtype)


class MeanAggregate(OpModule):
    """See :func:`mean_aggregate`."""

    def __init__(self, *, return_weights: bool = False) -> None:
        super().__init__()
        self.return_weights = return_weights

    def forward(self, features: Tensor, valid: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """Aggregate (B, T, C, H, W) to (B, C, H, W)."""
        return mean_aggregate(features, valid, return_weights=self.return_weights)
