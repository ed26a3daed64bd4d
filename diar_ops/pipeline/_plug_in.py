"""Call any aggregator, and check what comes back."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from diar_ops._checks import check_option
from diar_ops._errors import DeviceError, DtypeError, OptionError, ShapeError
from diar_ops._types import Restored
from diar_ops.aggregate import (
    MeanAggregate,
    MedianAggregate,
    SoftMinimumAggregate,
    mean_aggregate,
    median_aggregate,
    soft_minimum_aggregate,
)
from diar_ops.models import load_pretrained
from diar_ops.models.weights.load import SHIPPED_RESTORERS
from diar_ops.pipeline.aggregators import AGGREGATORS, Aggregator, TiledNetwork, consensus

#: By how much weights may miss [0, 1] and their sum 1: half precision over fifty frames.
_WEIGHT_TOLERANCE = 0.01
#: The library's own that work pixel by pixel.
_PIXELWISE = (
    mean_aggregate,
    median_aggregate,
    soft_minimum_aggregate,
    consensus,
    MeanAggregate,
    MedianAggregate,
    SoftMinimumAggregate,
)


class PlugIn(NamedTuple):
    """An aggregator, and what is known of it.

    Attributes:
        name: For messages.
        aggregator: What is called.
        options: Keyword arguments that go with every call.
        by_name: Whether ``valid`` is passed by its name.
        reach: How many pixels around a pixel have a say in it; infinity for all.
        device: Where its weights are; ``None`` without any.
    """

    name: str
    aggregator: Callable[..., Any]
    options: dict[str, Any]
    by_name: bool
    reach: float
    device: torch.device | None

    def __call__(self, op: str, features: Tensor, valid: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the picture, and the weights if they are known, 0 where no frame is valid."""
        home = features.device
        if self.device is not None:
            features, valid = features.to(self.device), valid.to(self.device)
        if self.by_name:
            result = self.aggregator(features, valid=valid, **self.options)
        else:
            result = self.aggregator(features, valid, **self.options)
        picture, weights = _unpack(op, self.name, result, features)
        covered = valid.any(dim=1)
        _check_values(op, self.name, picture, weights, covered)
        picture = torch.where(covered, picture, 0).to(home)
        return picture, None if weights is None else torch.where(covered[:, None], weights, 0).to(home)


def resolve_aggregator(
    op: str, aggregator: str | Aggregator | TiledNetwork, device: torch.device
) -> PlugIn | TiledNetwork:
    """Return what an aggregator, given by name or as it is, stands for.

    Raises:
        OptionError: The name is unknown, or it cannot be called with (features, valid).
    """
    if isinstance(aggregator, str) and aggregator in SHIPPED_RESTORERS:
        network = load_pretrained(aggregator).to(device)
        assert isinstance(network, TiledNetwork)
        return network
    if isinstance(aggregator, str):
        names = ", ".join((*SHIPPED_RESTORERS, *AGGREGATORS))
        known = f"aggregator to be one of {names}, a network or a callable"
        check_option(op, aggregator in AGGREGATORS, known, aggregator)
        return plug_in(op, AGGREGATORS[aggregator], aggregator)
    inner: object = aggregator
    while inner is not None:  # what torch.compile and AveragedModel wrap
        if hasattr(inner, "prepare_tiles"):
            assert isinstance(inner, TiledNetwork)
            return inner
        inner = getattr(inner, "module", None) or getattr(inner, "_orig_mod", None)
    expected = "aggregator to be a name, a network or a callable of (features, valid)"
    check_option(op, callable(aggregator), expected, type(aggregator).__name__)
    assert callable(aggregator)
    return plug_in(op, aggregator)


def plug_in(op: str, aggregator: Callable[..., Any], name: str | None = None) -> PlugIn:
    """Look at an aggregator: how it is called, how far it sees, where it computes."""
    if name is None:
        name = str(getattr(aggregator, "__name__", type(aggregator).__name__))
    by_name, options, device = False, {}, None
    function = aggregator
    if isinstance(aggregator, nn.Module):
        function = aggregator.forward
        tensor = next(aggregator.parameters(), None)
        device = None if tensor is None else tensor.device
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # builtins have none
        signature = None
    if signature is not None:
        by_name = "valid" in signature.parameters
        bound = aggregator.keywords if isinstance(aggregator, partial) else {}
        asked = "return_weights" in signature.parameters and "return_weights" not in bound
        options = {"return_weights": True} if asked else {}
        try:
            signature.bind(*((None,) if by_name else (None, None)), **({"valid": None} if by_name else {}), **options)
        except TypeError as error:
            raise OptionError(
                f"{op}: expected an aggregator that is called with (features, valid), got {name}{signature}: {error}; "
                f"bind the rest, such as lambda features, valid: {name}(features, ..., valid)"
            ) from None
    return PlugIn(name, aggregator, options, by_name, reach_of(op, aggregator), device)


def reach_of(op: str, aggregator: Callable[..., Any]) -> float:
    """Return how many pixels around a pixel an aggregator looks at; infinity if it does not say."""
    if isinstance(aggregator, partial):
        return reach_of(op, aggregator.func)
    inner = inspect.unwrap(getattr(aggregator, "_orig_mod", aggregator))  # of torch.compile
    if inner in _PIXELWISE or type(inner) in _PIXELWISE:
        return 0
    reach = getattr(aggregator, "reach", math.inf)
    fits = isinstance(reach, (int, float)) and reach >= 0
    check_option(op, fits, "reach of the aggregator to be a number of pixels", reach)
    return float(reach)


def _unpack(op: str, name: str, result: object, features: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return picture and weights after checking what they are."""
    picture, weights = result, None
    if isinstance(result, Restored):
        picture, weights = result.image, result.weights
    elif isinstance(result, tuple) and len(result) == 2:
        picture, weights = result
    B, T, C, H, W = features.shape
    _check_tensor(op, name, "a picture", picture, features, [(B, C, H, W)])
    assert isinstance(picture, Tensor)
    if weights is not None:
        _check_tensor(op, name, "weights", weights, features, [(B, T, 1, H, W), (B, T, C, H, W)])
    return picture, weights


def _check_tensor(
    op: str, name: str, what: str, value: object, features: Tensor, shapes: list[tuple[int, ...]]
) -> None:
    wanted = " or ".join(str(list(shape)) for shape in shapes)
    start = f"{op}: expected the aggregator {name} to return {what} of shape {wanted}"
    if not isinstance(value, Tensor):
        raise DtypeError(
            f"{start}, got {type(value).__name__}; it returns the picture, (picture, weights) or a Restored"
        )
    if tuple(value.shape) not in shapes:
        raise ShapeError(f"{start} like its input, got {list(value.shape)}")
    if value.dtype != features.dtype:
        raise DtypeError(f"{start} in {features.dtype} like its input, got {value.dtype}")
    if value.device != features.device:
        raise DeviceError(f"{start} on {features.device} like its input, got it on {value.device}")


def _check_values(op: str, name: str, picture: Tensor, weights: Tensor | None, covered: Tensor) -> None:
    """Check values where a frame is valid, with one wait."""
    finite = (picture.isfinite() | ~covered).all()
    found = [finite.to(picture.dtype)]
    if weights is not None:
        sums = torch.where(covered, weights.sum(dim=1), 1)
        shown = torch.where(covered[:, None], weights, 0)
        parts = (sums, shown) if weights.numel() else (covered.new_ones(1), covered.new_zeros(1))
        found += [extreme for part in parts for extreme in (part.amin(), part.amax())]
    sound, *extremes = torch.stack([number.float() for number in found]).tolist()
    if not sound:
        raise OptionError(
            f"{op}: expected the aggregator {name} to return a picture that is finite where a frame is valid, "
            f"got values that are not"
        )
    if not extremes:
        return
    least_sum, largest_sum, least, largest = extremes
    near = _WEIGHT_TOLERANCE
    if not (least >= -near and largest <= 1 + near and least_sum >= 1 - near and largest_sum <= 1 + near):
        raise OptionError(
            f"{op}: expected the aggregator {name} to return weights in [0, 1] whose sum over the frames is 1 where "
            f"one is valid, got weights from {least:.3g} to {largest:.3g} and sums from {least_sum:.3g} to "
            f"{largest_sum:.3g}; an aggregator that does not know the weights returns the picture alone"
        )
