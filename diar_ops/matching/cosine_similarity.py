"""Cosine similarity of all pairs of descriptors of two maps."""

from __future__ import annotations

from torch import Tensor

from diar_ops._checks import check_floating, check_shapes, full_precision, solve_dtype
from diar_ops._errors import ShapeError
from diar_ops.matching._unit import unit_descriptors


@full_precision
def cosine_similarity(features0: Tensor, features1: Tensor) -> Tensor:
    """Compare every descriptor of one map with every descriptor of another.

    The maps may differ in resolution and in the number of spatial dimensions. The result has
    N x M entries per item; :func:`mutual_nearest` finds matches without holding them.

    Args:
        features0: (B, C, ...) floating point; N is the product of the spatial sizes.
        features1: (B, C, ...) floating point; M likewise.

    Returns:
        (B, N, M) cosines in [-1, 1] up to rounding, spatial positions in row-major order, in the
        dtype of ``features0``; exactly 0 for pairs with a descriptor that is zero or not finite,
        with zero gradient to it.

    Raises:
        ShapeError: Fewer than two dimensions, or B or C differ.
        DtypeError: An argument is not a floating-point tensor.
        DeviceError: The maps are on different devices.

    Example:
        >>> features0 = torch.tensor([[[1.0, 0.0], [0.0, 2.0]]])  # (B, C, N): (1, 0) and (0, 2)
        >>> features1 = torch.tensor([[[3.0, 1.0, 0.0], [0.0, 1.0, 0.0]]])  # (3, 0), (1, 1), (0, 0)
        >>> cosine_similarity(features0, features1)
        tensor([[[1.0000, 0.7071, 0.0000],
                 [0.0000, 0.7071, 0.0000]]])
    """
    check_shapes("cosine_similarity", features0=(features0, "..."), features1=(features1, "..."))
    check_floating("cosine_similarity", features0=features0, features1=features1)
    for name, features in (("features0", features0), ("features1", features1)):
        if features.ndim < 2:
            raise ShapeError(f"cosine_similarity: {name} must have shape (B C ...), got {list(features.shape)}")
    if features0.shape[:2] != features1.shape[:2]:
        raise ShapeError(
            f"cosine_similarity: features1 must have (B, C) = {list(features0.shape[:2])} as in "
            f"features0, got {list(features1.shape)}"
        )
    dtype = solve_dtype(features0.dtype)
    unit0, _ = unit_descriptors(features0[..., None].flatten(2).to(dtype), 1)
    unit1, _ = unit_descriptors(features1[..., None].flatten(2).to(dtype), 1)
    return (unit0.transpose(1, 2) @ unit1).to(features0.dtype)
