"""The aggregators that go by a name: in the pipeline, in the scripts and in the comparisons."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

from torch import Tensor

from diar_ops.aggregate import consensus_logits, mean_aggregate, median_aggregate, softmax_aggregate
from diar_ops.models.faithful.tiles import TiledRestorer, Warper

#: Maps frames (B, T, 3, H, W) and valid (B, T, 1, H, W) to the picture (B, 3, H, W) and the weights
#: (B, T, 1 or 3, H, W) that sum to it.
Aggregator: TypeAlias = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


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


#: By name: functions of (features, valid, return_weights=), as in :mod:`diar_ops.aggregate`; with
#: ``return_weights=True`` they return (picture, weights), which reconstruction needs. One more line
#: makes another one known to :func:`reconstruct_sequence`, to ``full_pipeline.py --aggregator`` and
#: to the comparisons, where it joins the default methods. To be public in ``diar_ops``, too, it
#: needs what every op needs (CONTRIBUTING).
AGGREGATORS: dict[str, Callable[..., Any]] = {
    "mean": mean_aggregate,
    "median": median_aggregate,
    "consensus": consensus,
}
