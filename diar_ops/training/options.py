"""The options that every training run has."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from diar_ops._checks import check_option
from diar_ops._errors import OptionError

__all__ = ["PRECISIONS", "SCHEDULES", "RunConfig", "option"]

SCHEDULES = ("cosine", "constant")
PRECISIONS = ("float32", "bfloat16", "float16")


def option(default: Any, text: str, metavar: str = "N", **more: object) -> Any:
    """Return a field with a line of help, which the scripts of training show."""
    return field(default=default, metadata={"help": text, "metavar": metavar, **more})


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """How a run learns, and how long, whatever it learns.

    Raises:
        OptionError: An option is not as stated.
    """

    batch: int = option(20, "items of a step, in all processes together")
    lr: float = option(3e-4, "learning rate of Adam", "RATE")
    schedule: str = option(
        "cosine", "fall of the learning rate over the run", "NAME", choices=SCHEDULES
    )
    warmup: int = option(200, "steps in which it rises from 0")
    weight_decay: float = option(0.0, "decoupled decay of weights; above 0 this is AdamW", "RATE")
    clip: float = option(1.0, "largest norm of the gradient; 0 for any", "NORM")
    ema: float = option(0.999, "decay of the mean of weights that is validated and kept", "DECAY")
    precision: str = option("float32", "mixed below float32", "NAME", choices=PRECISIONS)

    epochs: float = option(100.0, "length in times the number of sequences trained on", "E")
    steps: int | None = option(None, "length in steps, instead")
    minutes: float | None = option(
        None, "length in minutes of training (without validation), instead", "M"
    )

    validate_every: int = option(0, "steps between validations (default: an epoch)")
    checkpoint_minutes: float = option(10.0, "minutes between checkpoints", "M")

    seed: int = option(0, "of weights and items", "K")
    workers: int = option(0, "processes that prepare items; the result is the same", "W")
    threads: int = option(0, "processor threads of the network (default: all)")
    device: str = option("cpu", "where to train: cpu, cuda, ...", "NAME")

    #: Options that a run may be continued with other values of: they say where and how long it
    #: runs, and what is measured, not what it does in a step.
    FREE: ClassVar[frozenset[str]] = frozenset(
        {
            "epochs",
            "steps",
            "minutes",
            "validate_every",
            "checkpoint_minutes",
            "workers",
            "threads",
            "device",
        }
    )

    def __post_init__(self) -> None:
        """Refuse what cannot be trained with."""
        self._at_least(1, "batch")
        self._at_least(0, "warmup", "weight_decay", "clip", "validate_every", "workers", "threads")
        for name in ("epochs", "steps", "minutes", "checkpoint_minutes", "lr"):
            value = getattr(self, name)
            self._check(name, value is None or value > 0, "more than 0")
        self._check("ema", 0 <= self.ema < 1, "0 or more, less than 1")
        self._check("schedule", self.schedule in SCHEDULES, f"one of {', '.join(SCHEDULES)}")
        self._check("precision", self.precision in PRECISIONS, f"one of {', '.join(PRECISIONS)}")
        if self.steps is not None and self.minutes is not None:
            raise OptionError("give steps or minutes, not both: they are the length of the run")

    def _check(self, name: str, fits: bool, expected: str) -> None:
        check_option(f"{type(self).__name__}.{name}", fits, expected, getattr(self, name))

    def _at_least(self, least: int, *names: str) -> None:
        for name in names:
            self._check(name, getattr(self, name) >= least, f"at least {least}")

    def _shares(self, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            self._check(name, value is None or 0 <= value <= 1, "0 to 1")

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
        for name, value in now.items():
            if name not in self.FREE and name in then and then[name] != value:
                raise OptionError(
                    f"the run began with {name} = {_words(then[name])}, now it is {_words(value)}; "
                    f"give the same to continue, or another output folder"
                )


def _words(value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value)) or "nothing"
    return "nothing" if value is None else str(value)
