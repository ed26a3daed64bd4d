"""What makes one pixel of many: the contract that every aggregator keeps, and those with a name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from diar_ops.aggregate import (
    consensus_logits,
    intrinsic_aggregate,
    mean_aggregate,
    median_aggregate,
    rpca_aggregate,
    soft_minimum_aggregate,
    softmax_aggregate,
)
from diar_ops.models.faithful.tiles import TiledRestorer, Warper


class Aggregator(Protocol):
    """Any callable that makes one picture of aligned frames: a function, a Module, a network.

    It is given ``features`` (B, T, C, H, W), floating point, 0 where ``valid`` (B, T, 1, H, W)
    bool is False, and returns, in their dtype and on their device,

    - the picture (B, C, H, W), finite where a frame is valid; or
    - (picture, weights), with the share of each frame in each pixel, (B, T, 1, H, W), or
      (B, T, C, H, W) per channel: in [0, 1], of sum 1 over T where a frame is valid; or
    - a :class:`Restored`, as the networks do.

    What comes back is checked. Without weights it is not known which frame gave what, and the
    results say so. A function that has the option ``return_weights``, as those of
    :mod:`diar_ops.aggregate` have, is asked for them; its Module is, where it was made with it.

    It may state an attribute ``reach``: how many pixels around a pixel have a say in it. 0 stands
    for pixel by pixel, infinity for the whole picture, which is what it gets if it states none.
    Less lets a large picture be made strip by strip, in bounded memory; strips begin at rows that
    64 divides, where ``reach`` is not 0.
    """

    def __call__(self, features: Tensor, valid: Tensor, /) -> Any:
        """Return the picture, (picture, weights), or a :class:`Restored`."""
        ...


@runtime_checkable
class TiledNetwork(Protocol):
    """A network that sees whole frames of any size, such as :class:`FaithfulDIAR`."""

    def prepare_tiles(
        self,
        warper: Warper,
        frame_warpers: Sequence[Warper],
        size: tuple[int, int],
        full: tuple[int, int],
        progress: Callable[[str, int, int], None],
    ) -> TiledRestorer:
        """Prepare the restoration of a sequence, tile by tile."""
        ...


def consensus(
    features: Tensor, valid: Tensor | None = None, *, return_weights: bool = False
) -> Tensor | tuple[Tensor, Tensor]:
    """Average the frames that agree with the median over frames (:func:`consensus_logits`)."""
    logits = consensus_logits(features, valid)
    if return_weights:
        return softmax_aggregate(features, logits, valid, return_weights=True)
    return softmax_aggregate(features, logits, valid)


class Consensus(nn.Module):
    """See :func:`consensus`."""

    reach = 0

    def __init__(self, *, return_weights: bool = False) -> None:
        super().__init__()
        self.return_weights = return_weights

    def forward(self, features: Tensor, valid: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """Aggregate (B, T, C, H, W) to (B, C, H, W)."""
        return consensus(features, valid, return_weights=self.return_weights)


#: By name: callables that keep the contract of :class:`Aggregator`, with ``valid`` optional. One
#: more line makes another one known to :func:`reconstruct_sequence`, to
#: ``full_pipeline.py --aggregator`` and to the comparisons, where it joins the default methods. To
#: be public in ``diar_ops``, too, it needs what every op needs (CONTRIBUTING).
AGGREGATORS: dict[str, Callable[..., Any]] = {
    "mean": mean_aggregate,
    "median": median_aggregate,
    "consensus": consensus,
    "soft_minimum": soft_minimum_aggregate,
    "rpca": rpca_aggregate,
    "intrinsic": intrinsic_aggregate,
}
