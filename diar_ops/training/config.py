"""Every option of a training run."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from diar_ops._checks import check_option
from diar_ops._errors import OptionError
from diar_ops.training.augment import AugmentRanges

__all__ = ["PRECISIONS", "SCHEDULES", "TrainConfig"]

SCHEDULES = ("cosine", "constant")
PRECISIONS = ("float32", "bfloat16", "float16")
#: Options that a run may be continued with other values of: they say where and how long it runs,
#: and what is measured, not what it does in a step. More sequences than before are used from the
#: next step on.
FREE = {
    "pool", "sequences", "epochs", "steps", "minutes", "validation", "validate", "validate_every",
    "checkpoint_minutes", "workers", "threads", "device",
}  # fmt: skip


def _option(default: Any, text: str, metavar: str = "N", **more: object) -> Any:
    """Return a field with a line of help, which ``examples/train.py`` shows."""
    return field(default=default, metadata={"help": text, "metavar": metavar, **more})


@dataclass(frozen=True)
class TrainConfig:
    """Every option of a training run; what each means stands beside it.

    The defaults of ``sequences``, ``held_out``, ``batch``, ``epochs``, ``frames`` and the optimiser
    (Adam) are the paper's.

    Raises:
        OptionError: An option is not as stated.
    """

    network: str = _option("DIAR", "which network", "NAME")
    options: tuple[str, ...] = _option((), "its options", "KEY=VALUE")
    initial: str | None = _option(None, "weights to start from (fine-tuning)", "FILE")

    textures: tuple[str, ...] = _option(
        (), "pictures to render; without them all are drawn ones", "DIR"
    )
    procedural: float | None = _option(
        None, "share of drawn pictures: pages, posters, maps, ... (default: half, or all)", "SHARE"
    )
    pool: str | None = _option(
        None, "where rendered sequences are kept, for all runs; without it none is kept", "DIR"
    )
    sizes: tuple[int, ...] = _option((128,), "sides of rendered sequences, pixels", "PIXELS")
    sequences: tuple[int, ...] = _option(
        (15000,), "how many of each size; one number holds for all, 0 for none"
    )
    size_shares: tuple[float, ...] = _option(
        (), "how often an item is of each size (default: as many as there are)", "SHARE"
    )
    pool_frames: int = _option(10, "frames of each rendered sequence", "T")
    pool_seed: int = _option(1, "another seed, other rendered sequences", "K")
    held_out: float = _option(0.1, "share of them that is not trained on", "SHARE")
    cycles: tuple[str, ...] = _option((), "aligned sets of render_dataset.py to train on", "DIR")
    cycles_share: float = _option(0.3, "how often an item is of those", "SHARE")

    frames: tuple[int, int] = _option((2, 10), "fewest and most frames of a batch", "T")
    favour: float = _option(1.0, "T frames are drawn with a weight of T to this power", "POWER")
    crops: tuple[int, ...] = _option((64,), "sides of crops, one drawn for each batch", "PIXELS")
    whole: int = _option(64, "side of the small copies of whole frames", "PIXELS")
    plain: float = _option(0.6, "share of items that no camera but an ideal one takes", "SHARE")
    jitter: float = _option(1.0, "most misalignment of frames, pixels (deviation)", "PIXELS")
    exact: float = _option(0.5, "share of items whose frames are exactly aligned", "SHARE")
    misaligned: float = _option(0.1, "share of items with one frame that is far off", "SHARE")
    partial: float = _option(0.3, "share of items with frames that show only a part", "SHARE")
    permute: float = _option(0.5, "share of items whose colour channels change places", "SHARE")
    albedo: float = _option(0.3, "share of items with a darker picture", "SHARE")

    bare: int = _option(
        8, "sequences of bare light with every item, for networks that tell the light"
    )

    batch: int = _option(20, "items of a step, in all processes together")
    lr: float = _option(3e-4, "learning rate of Adam", "RATE")
    schedule: str = _option(
        "cosine", "fall of the learning rate over the run", "NAME", choices=SCHEDULES
    )
    warmup: int = _option(200, "steps in which it rises from 0")
    weight_decay: float = _option(0.0, "decoupled decay of weights; above 0 this is AdamW", "RATE")
    clip: float = _option(1.0, "largest norm of the gradient; 0 for any", "NORM")
    ema: float = _option(0.999, "decay of the mean of weights that is validated and kept", "DECAY")
    ssim_weight: float = _option(5.0, "weight of 1 - SSIM beside decibels", "WEIGHT")
    precision: str = _option("float32", "mixed below float32", "NAME", choices=PRECISIONS)

    epochs: float = _option(100.0, "length in times the number of sequences trained on", "E")
    steps: int | None = _option(None, "length in steps, instead")
    minutes: float | None = _option(
        None, "length in minutes of training (without validation), instead", "M"
    )

    validation: tuple[str, ...] = _option((), "aligned sets to validate on", "DIR")
    validate: int = _option(40, "rendered sequences to validate on, of those held out")
    validate_every: int = _option(0, "steps between validations (default: an epoch)")
    checkpoint_minutes: float = _option(10.0, "minutes between checkpoints", "M")

    seed: int = _option(0, "of weights and items", "K")
    workers: int = _option(0, "processes that prepare items; the result is the same", "W")
    threads: int = _option(0, "processor threads of the network (default: all)")
    device: str = _option("cpu", "where to train: cpu, cuda, ...", "NAME")

    def __post_init__(self) -> None:
        """Refuse what cannot be trained with."""
        for name in ("frames", *(n for n in _TUPLES if n != "frames")):
            object.__setattr__(self, name, tuple(getattr(self, name)))

        def check(name: str, fits: bool, expected: str) -> None:
            check_option(f"TrainConfig.{name}", fits, expected, getattr(self, name))

        for name in _SHARES:
            check(name, getattr(self, name) is None or 0 <= getattr(self, name) <= 1, "0 to 1")
        for name in ("batch", "pool_frames", "whole"):
            check(name, getattr(self, name) >= 1, "at least 1")
        for name in ("favour", "jitter", "warmup", "weight_decay", "clip", "ssim_weight"):
            check(name, getattr(self, name) >= 0, "at least 0")
        for name in ("bare", "validate", "validate_every", "workers", "threads"):
            check(name, getattr(self, name) >= 0, "at least 0")
        for name in ("epochs", "steps", "minutes", "checkpoint_minutes", "lr"):
            check(name, getattr(self, name) is None or getattr(self, name) > 0, "more than 0")
        check("held_out", self.held_out < 1, "less than 1")
        check("ema", 0 <= self.ema < 1, "0 or more, less than 1")
        check("schedule", self.schedule in SCHEDULES, f"one of {', '.join(SCHEDULES)}")
        check("precision", self.precision in PRECISIONS, f"one of {', '.join(PRECISIONS)}")
        fits = len(self.frames) == 2 and 1 <= self.frames[0] <= self.frames[1]
        check("frames", fits, "1 <= fewest <= most frames")
        for name in ("sizes", "crops"):
            sides = getattr(self, name)
            check(name, bool(sides) and min(sides) >= 11, "sides of at least 11 pixels")
        each = len(self.sequences) in (1, len(self.sizes)) and min(self.sequences) >= 0
        check("sequences", each, "one number, or one for each size")
        shares = self.size_shares
        fits = not shares or (len(shares) == len(self.sizes) and min(shares) >= 0 < max(shares))
        check("size_shares", fits, "one share for each size, or none")
        if not any(self.sequences) and not self.cycles:
            raise OptionError("nothing to train on: give sequences to render, or cycles")
        if any(self.sequences) and self.frames[1] > self.pool_frames:
            raise OptionError(
                f"items of up to {self.frames[1]} frames need rendered sequences of as many, "
                f"got pool_frames={self.pool_frames}"
            )
        if self.steps is not None and self.minutes is not None:
            raise OptionError("give steps or minutes, not both: they are the length of the run")

    def augmentation(self) -> AugmentRanges:
        """Return the ranges of augmentation."""
        return AugmentRanges(**{f.name: getattr(self, f.name) for f in fields(AugmentRanges)})

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
            if name not in FREE and name in then and then[name] != value:
                raise OptionError(
                    f"the run began with {name} = {_words(then[name])}, now it is {_words(value)}; "
                    f"give the same to continue, or another output folder"
                )


_TUPLES = tuple(f.name for f in fields(TrainConfig) if str(f.type).startswith("tuple"))
_SHARES = (
    "procedural", "held_out", "cycles_share", "plain", "exact", "misaligned", "partial", "permute",
    "albedo",
)  # fmt: skip


def _words(value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value)) or "nothing"
    return "nothing" if value is None else str(value)
