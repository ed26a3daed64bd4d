"""Options of training runs: dataclasses that validate themselves and that scripts can show."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Annotated, Any, NamedTuple, get_args, get_type_hints

import torch

from diar_ops._checks import check_option
from diar_ops._errors import OptionError
from diar_ops._options import option

#: The learning rate at the end of the cosine, as a share of the highest.
LAST_RATE = 0.01
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Bounds(NamedTuple):
    """The values that an option may have, in words and as a test; annotates the option's type."""

    expected: str
    contain: Callable[[Any], bool]


def at_least(least: float) -> Bounds:
    """Return the bounds of values that are not below ``least``."""
    return Bounds(f"at least {least}", lambda value: value >= least)


def one_of(*choices: str) -> Bounds:
    """Return the bounds of a choice of words."""
    return Bounds(f"one of {', '.join(choices)}", lambda value: value in choices)


POSITIVE = Bounds("more than 0", lambda value: value > 0)
SHARE = Bounds("0 to 1", lambda value: 0 <= value <= 1)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Base of dataclasses whose fields are made by :func:`option`.

    A field says ``free=True`` where a run may be continued with another value, which says where and
    how long it goes on and what is measured, not what a step does.

    Raises:
        OptionError: A value is outside the :class:`Bounds` of its annotation.
    """

    def __post_init__(self) -> None:
        """Make tuples of lists, and check the bounds."""
        for f in fields(self):
            if isinstance(f.default, tuple):
                object.__setattr__(self, f.name, tuple(getattr(self, f.name)))
        for name, bounds in _bounds_by_option(type(self)).items():
            value = getattr(self, name)
            self._check(name, value is None or bounds.contain(value), bounds.expected)

    def _check(self, name: str, fits: bool, expected: str) -> None:
        check_option(f"{type(self).__name__}.{name}", fits, expected, getattr(self, name))


def _bounds_by_option(kind: type[Options]) -> dict[str, Bounds]:
    """Return the bounds in the annotations of a class, also those of ``Annotated[...] | None``."""
    return {
        name: bounds
        for name, hint in get_type_hints(kind, include_extras=True).items()
        for part in (hint, *get_args(hint))
        for bounds in getattr(part, "__metadata__", ())
    }


@dataclass(frozen=True, kw_only=True)
class RunConfig(Options):
    """Options that every training run has: the initial network, the pictures, the optimisation.

    Raises:
        OptionError: An option is not as stated.
    """

    options: tuple[str, ...] = option((), "options of the network", "KEY=VALUE")
    initial: str | None = option(None, "weights to start from (fine-tuning)", "FILE")

    textures: tuple[str, ...] = option((), "pictures to render; without them all are drawn ones", "DIR")
    procedural: Annotated[float, SHARE] | None = option(
        None, "share of drawn pictures: pages, posters, maps, ... (default: half, or all)", "SHARE"
    )
    pool: str | None = option(
        None, "where rendered sequences are kept, for all runs; without it none is kept", "DIR", free=True
    )
    pool_seed: int = option(1, "another seed, other rendered sequences", "K")
    glass: Annotated[float, SHARE] = option(
        0.0, "share of them behind a pane or under a gloss that mirrors a room or a street", "SHARE"
    )

    batch: Annotated[int, at_least(1)] = option(20, "items of a step, in all processes together")
    lr: Annotated[float, POSITIVE] = option(3e-4, "learning rate of Adam", "RATE")
    schedule: Annotated[str, one_of("cosine", "constant")] = option(
        "cosine", "fall of the learning rate over the run", "NAME", choices=("cosine", "constant")
    )
    warmup: Annotated[int, at_least(0)] = option(200, "steps in which it rises from 0")
    weight_decay: Annotated[float, at_least(0)] = option(
        0.0, "decoupled decay of weights; above 0 this is AdamW", "RATE"
    )
    clip: Annotated[float, at_least(0)] = option(1.0, "largest norm of the gradient; 0 for any", "NORM")
    ema: Annotated[float, Bounds("0 or more, less than 1", lambda d: 0 <= d < 1)] = option(
        0.999, "decay of the mean of weights that is validated and kept", "DECAY"
    )
    precision: Annotated[str, one_of(*DTYPES)] = option("float32", "mixed below float32", "NAME", choices=tuple(DTYPES))

    epochs: Annotated[float, POSITIVE] = option(
        100.0, "length in times the number of sequences trained on", "E", free=True
    )
    steps: Annotated[int, POSITIVE] | None = option(None, "length in steps, instead", free=True)
    minutes: Annotated[float, POSITIVE] | None = option(
        None, "length in minutes of training (without validation), instead", "M", free=True
    )

    validate_every: Annotated[int, at_least(0)] = option(0, "steps between validations (default: an epoch)", free=True)
    checkpoint_minutes: Annotated[float, POSITIVE] = option(10.0, "minutes between checkpoints", "M", free=True)

    seed: int = option(0, "of weights and items", "K")
    workers: Annotated[int, at_least(0)] = option(
        0, "processes that prepare items; the result is the same", "W", free=True
    )
    threads: Annotated[int, at_least(0)] = option(0, "processor threads of the network (default: all)", free=True)
    device: str = option("cpu", "where to train: cpu, cuda, ...", "NAME", free=True)

    def __post_init__(self) -> None:
        """Check the options, one by one and together."""
        super().__post_init__()
        if self.steps is not None and self.minutes is not None:
            raise OptionError("give steps or minutes, not both: they are the length of the run")

    def learning_rate(self, step: int, done: float) -> float:
        """Return the learning rate of a step, counted from 0, after a share of the run."""
        rate = self.lr * min(1.0, (step + 1) / max(1, self.warmup))
        if self.schedule == "cosine":
            cosine = (1 + math.cos(math.pi * done)) / 2
            rate *= LAST_RATE + (1 - LAST_RATE) * cosine
        return rate

    def autocast(self, device: torch.device) -> torch.autocast:
        """Return the context in which a network computes at :attr:`precision`."""
        dtype = DTYPES[self.precision]
        return torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32)

    def to_json(self) -> str:
        """Return all options as text."""
        return json.dumps(asdict(self))

    def check_continues(self, earlier: str) -> None:
        """Check that a run that began with other options can be continued with these.

        Args:
            earlier: What :meth:`to_json` returned then.

        Raises:
            OptionError: An option is another one now that decides what a step does.
        """
        now, then = json.loads(self.to_json()), json.loads(earlier)
        for f in fields(self):
            name = f.name
            if not f.metadata.get("free") and name in then and then[name] != now[name]:
                raise OptionError(
                    f"the run began with {name} = {_words(then[name])}, now it is "
                    f"{_words(now[name])}; give the same to continue, or another output folder"
                )


def _words(value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value)) or "nothing"
    return "nothing" if value is None else str(value)
