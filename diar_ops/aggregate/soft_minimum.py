"""Soft minimum over frames: the darkest value that enough of them agree on."""

from __future__ import annotations

from typing import Literal, overload

import torch
from torch import Tensor

from diar_ops._checks import check_option, is_exporting, is_number
from diar_ops._module import OpModule
from diar_ops.aggregate._frames import check_frames, usable_frames
from diar_ops.aggregate.softmax import softmax_aggregate

#: A frame counts as brighter by this many times the logarithm of the support that it lacks: 2 log 2
#: is more than values in [0, 1] can differ by, so that darkness alone never wins.
_PENALTY = 2.0
#: Bound of differences in units of the tolerance.
_LARGEST = 1e3


@overload
def soft_minimum_aggregate(
    features: Tensor,
    valid: Tensor | None = None,
    *,
    temperature: float = 0.05,
    tolerance: float = 0.06,
    support: float = 0.25,
    return_weights: Literal[False] = False,
) -> Tensor: ...
@overload
def soft_minimum_aggregate(
    features: Tensor,
    valid: Tensor | None = None,
    *,
    temperature: float = 0.05,
    tolerance: float = 0.06,
    support: float = 0.25,
    return_weights: bool,
) -> Tensor | tuple[Tensor, Tensor]: ...


def soft_minimum_aggregate(
    features: Tensor,
    valid: Tensor | None = None,
    *,
    temperature: float = 0.05,
    tolerance: float = 0.06,
    support: float = 0.25,
    return_weights: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    r"""Average the darkest frames of each pixel that agree with enough of the others.

    What a pane of glass or a gloss coat mirrors only ever ADDS light: where photos of one exposure
    disagree, the darker ones are right. The weights are one number per frame and pixel, softmax
    over T of

    .. math:: -\frac{1}{\tau} \Bigl(\bar x_t - 2 \log \min(1, n_t / n)\Bigr), \qquad
        n_t = \sum_s \exp \Bigl(-\frac{1}{2 \sigma^2 C} \sum_c (x_{tc} - x_{sc})^2\Bigr)

    with the mean :math:`\bar x_t` over the channels, the temperature :math:`\tau`, the tolerance
    :math:`\sigma`, and n the larger of 2 and ``support`` times the number of frames that count. So
    a frame that is darker than all others by itself, behind something dark or in a shadow of its
    own, counts for bright. Shadows and dark things that at least n frames show alike win, as the
    minimum says; so does the darker of two frames. A frame counts at a pixel where it is valid and
    finite in all channels; where none does, the output is 0 with zero gradient. The order of the
    frames does not matter.

    Args:
        features: (B, T, C, H, W) floating point, any T >= 1; photos in [0, 1], brought to a common
            exposure (:func:`exposure_gain`).
        valid: Optional (B, T, 1, H, W) bool.
        temperature: Positive, in units of ``features``: towards 0 the darkest frame with support
            wins, more averages noise.
        tolerance: Positive, in units of ``features``: root mean square over the channels by which
            frames that agree differ.
        support: Share of the frames, in [0, 1], with which a frame must agree, itself among them.
        return_weights: Also return the weights.

    Returns:
        (B, C, H, W) in the same dtype; with ``return_weights`` also weights (B, T, 1, H, W), whose
        products with the features sum to the output over T.

    Raises:
        ShapeError: A shape does not fit, or T is 0.
        DtypeError: ``features`` is not floating point or ``valid`` not bool.
        OptionError: ``temperature`` or ``tolerance`` is not positive, or ``support`` not in [0, 1].

    Example:
        >>> frames = torch.tensor([0.40, 0.41, 0.7, 0.7, 0.7, 0.1]).view(1, 6, 1, 1, 1)
        >>> median_aggregate(frames).item() > 0.5  # most of them mirror a lamp
        True
        >>> soft_minimum_aggregate(frames).round(decimals=2)  # the last one alone is in a shadow
        tensor([[[[0.4100]]]])
    """
    op = "soft_minimum_aggregate"
    check_frames(op, features, valid)
    for name, value in (("temperature", temperature), ("tolerance", tolerance)):
        check_option(op, is_number(value) and value > 0, f"a positive {name}", value)
    check_option(op, is_number(support) and 0 <= support <= 1, "0 <= support <= 1", support)
    dtype = features.dtype
    clean, usable = usable_frames(features, valid)
    if usable is None:
        usable = torch.ones_like(clean[:, :, :1], dtype=torch.bool)
    agreeing = _agreeing_frames(clean, usable, tolerance)
    needed = (support * usable.sum(dim=1, keepdim=True)).clamp_min(2.0)
    lacking = (agreeing / needed).clamp(max=1.0).log()
    darkness = -clean.mean(dim=2, keepdim=True)
    logits = darkness + _PENALTY * lacking
    image, weights = softmax_aggregate(clean, logits, usable, temperature=temperature, return_weights=True)
    return (image.to(dtype), weights.to(dtype)) if return_weights else image.to(dtype)


def _agreeing_frames(clean: Tensor, usable: Tensor, tolerance: float) -> Tensor:
    """Return how many frames agree with each (B, T, 1, H, W), itself among them; at least 1."""
    scaled, counts = clean / tolerance, usable.to(clean.dtype)

    def agreeing_with(frame: Tensor, others: Tensor, counts: Tensor, dim: int) -> Tensor:
        # Bounded, since the square of more would be infinite, and its gradient NaN.
        difference = (frame - others).clamp(-_LARGEST, _LARGEST)
        kernel = (-0.5 * difference.square().mean(dim=-3, keepdim=True)).exp()
        return (kernel * counts).sum(dim=dim)

    if is_exporting():  # T is a symbol, which no loop can count to
        agreeing = agreeing_with(scaled[:, :, None], scaled[:, None], counts[:, None], 2)
    else:
        parts = [agreeing_with(scaled[:, t : t + 1], scaled, counts, 1) for t in range(clean.shape[1])]
        agreeing = torch.stack(parts, dim=1)
    return agreeing.clamp_min(1.0)


class SoftMinimumAggregate(OpModule):
    """See :func:`soft_minimum_aggregate`."""

    def __init__(
        self, *, temperature: float = 0.05, tolerance: float = 0.06, support: float = 0.25, return_weights: bool = False
    ) -> None:
        super().__init__()
        self.temperature = temperature
        self.tolerance = tolerance
        self.support = support
        self.return_weights = return_weights

    def forward(self, features: Tensor, valid: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """Aggregate (B, T, C, H, W) to (B, C, H, W)."""
        return soft_minimum_aggregate(
            features,
            valid,
            temperature=self.temperature,
            tolerance=self.tolerance,
            support=self.support,
            return_weights=self.return_weights,
        )
