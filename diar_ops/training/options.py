"""Options of training runs: dataclasses that validate themselves and that scripts can show."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from typing import Any, NamedTuple

import torch

from diar_ops._checks import check_option
from diar_ops._errors import OptionError

__all__ = ["POSITIVE", "SHARE", "Bounds", "Options", "RunConfig", "at_least", "option"]

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Bounds(NamedTuple):
    """The values that an option may have, in words and as a test."""

    expected: str
    contain: Callable[[Any], bool]


SHARE = Bounds("0 to 1", lambda value: 0 <= value <= 1)
POSITIVE = Bounds("more than 0", lambda value: value > 0)


def at_least(least: int) -> Bounds:
    """Return the bounds of values that are not below ``least``."""
    return Bounds(f"at least {least}", lambda value: value >= least)


def option(
    default: Any,
    text: str,
    metavar: str = "N",
    *,
    bounds: Bounds | None = None,
    choices: tuple[str, ...] | None = None,
    free: bool = False,
) -> Any:
    """Return a field of :class:`Options`.

    Args:
        default: Default value; a tuple where the option takes several values.
        text: One line of help.
        metavar: Placeholder of the value in the help of a script.
        bounds: Values that it may have; ``None`` may always be given.
        choices: Words that it is one of.
        free: A run may be continued with another value: it says where and how long the run goes on
            and what is measured, not what a step does.
    """
    if choices is not None:
        bounds = Bounds(f"one of {', '.join(choices)}", lambda value: value in choices)
    metadata = {
        "help": text,
        "metavar": metavar,
        "bounds": bounds,
        "choices": choices,
        "free": free,
    }
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Base of dataclasses whose fields are made by :func:`option`.

    Raises:
        OptionError: A value is outside its bounds.
    """

    def __post_init__(self) -> None:
        """Make tuples of lists, and check the bounds."""
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(f.default, tuple):
                object.__setattr__(self, f.name, tuple(value))
            bounds: Bounds | None = f.metadata["bounds"]
            if bounds is not None and value is not None:
                self._check(f.name, bounds.contain(value), bounds.expected)

    def _check(self, name: str, fits: bool, expected: str) -> None:
        check_option(f"{type(self).__name__}.{name}", fits, expected, getattr(self, name))


@dataclass(frozen=True, kw_only=True)
class RunConfig(Options):
    """Options that every training run has: the initial network, the pictures, the optimisation.

    Raises:
        OptionError: An option is not as stated.
    """

    options: tuple[str, ...] = option((), "options of the network", "KEY=VALUE")
    initial: str | None = option(None, "weights to start from (fine-tuning)", "FILE")

    textures: tuple[str, ...] = option(
        (), "pictures to render; without them all are drawn ones", "DIR"
    )
    procedural: float | None = option(
        None,
        "share of drawn pictures: pages, posters, maps, ... (default: half, or all)",
        "SHARE",
        bounds=SHARE,
    )
    pool: str | None = option(
        None,
        "where rendered sequences are kept, for all runs; without it none is kept",
        "DIR",
        free=True,
    )
    pool_seed: int = option(1, "another seed, other rendered sequences", "K")

    batch: int = option(20, "items of a step, in all processes together", bounds=at_least(1))
    lr: float = option(3e-4, "learning rate of Adam", "RATE", bounds=POSITIVE)
    schedule: str = option(
        "cosine", "fall of the learning rate over the run", "NAME", choices=("cosine", "constant")
    )
    warmup: int = option(200, "steps in which it rises from 0", bounds=at_least(0))
    weight_decay: float = option(
        0.0, "decoupled decay of weights; above 0 this is AdamW", "RATE", bounds=at_least(0)
    )
    clip: float = option(1.0, "largest norm of the gradient; 0 for any", "NORM", bounds=at_least(0))
    ema: float = option(
        0.999,
        "decay of the mean of weights that is validated and kept",
        "DECAY",
        bounds=Bounds("0 or more, less than 1", lambda decay: 0 <= decay < 1),
    )
    precision: str = option("float32", "mixed below float32", "NAME", choices=tuple(DTYPES))

    epochs: float = option(
        100.0, "length in times the number of sequences trained on", "E", bounds=POSITIVE, free=True
    )
    steps: int | None = option(None, "length in steps, instead", bounds=POSITIVE, free=True)
    minutes: float | None = option(
        None,
        "length in minutes of training (without validation), instead",
        "M",
        bounds=POSITIVE,
        free=True,
    )

    validate_every: int = option(
        0, "steps between validations (default: an epoch)", bounds=at_least(0), free=True
    )
    checkpoint_minutes: float = option(
        10.0, "minutes between checkpoints", "M", bounds=POSITIVE, free=True
    )

    seed: int = option(0, "of weights and items", "K")
    workers: int = option(
        0,
        "processes that prepare items; the result is the same",
        "W",
        bounds=at_least(0),
        free=True,
    )
    threads: int = option(
        0, "processor threads of the network (default: all)", bounds=at_least(0), free=True
    )
    device: str = option("cpu", "where to train: cpu, cuda, ...", "NAME", free=True)

    def __post_init__(self) -> None:
        """Check the options, one by one and together."""
        super().__post_init__()
        if self.steps is not None and self.minutes is not None:
            raise OptionError("give steps or minutes, not both: they are the length of the run")

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
            if not f.metadata["free"] and name in then and then[name] != now[name]:
                raise OptionError(
                    f"the run began with {name} = {_words(then[name])}, now it is "
                    f"{_words(now[name])}; give the same to continue, or another output folder"
                )


def _words(value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value)) or "nothing"
    return "nothing" if value is None else str(value)
