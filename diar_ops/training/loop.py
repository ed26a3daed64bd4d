"""The training loop, whatever is learned."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset

from diar_ops._errors import DiarError, WeightsError
from diar_ops._seeds import generator_for
from diar_ops.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from diar_ops.training.curve import Row, write_curve
from diar_ops.training.ema import MeanWeights
from diar_ops.training.options import RunConfig
from diar_ops.training.processes import Processes, heard_signals, leave_signals
from diar_ops.training.sampler import StepSampler

__all__ = ["Items", "Loop", "Progress"]

#: Steps in a row with a loss or gradient that is not finite after which a run is given up.
MOST_SKIPPED = 20
#: The learning rate at the end of the cosine, as a share of the highest.
LAST_RATE = 0.01
#: Steps between the points of TensorBoard's curves.
LOG_EVERY = 20
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Progress(NamedTuple):
    """How far a run is."""

    step: int
    done: float  #: share of the run, 0 to 1
    seconds: float  #: of training
    loss: float  #: of the last step
    scores: Mapping[str, float]  #: of the last validation


class Items(Protocol):
    """Training items; each depends on seed, step and place in the batch alone."""

    @property
    def sequences(self) -> int:
        """Number of different sequences that they are made of."""
        ...

    def __getitem__(self, at: tuple[int, int]) -> dict[str, Tensor]:
        """Return the item of (step, place in the batch)."""
        ...


class Loop(ABC):
    """Train a network; a run that was stopped goes on where it was.

    What is learned is what the subclass says: the loss of a batch (:meth:`stepper`), what is
    measured (:meth:`measure`), and how its curve is drawn (:meth:`draw`).

    Args:
        network: Its weights are those that a new run starts from; it is moved to the device.
        config: All options.
        data: The training items.
        out: Folder of checkpoint, curve and logs; created if it is missing.
        device: Where to train; that of the options by default.
        export: Called by the first process with the network of mean weights and words on the run,
            at every checkpoint.
        processes: Which process this is, of how many that train together.
        progress: Called after each step.
        note: Called with a sentence where one is due.

    Raises:
        OptionError: The folder holds a run of other options, or processes cannot share a batch.
        WeightsError: The checkpoint in the folder is damaged or of another network.
    """

    #: What an item is, as the curve's column of their number is called.
    unit: ClassVar[str]

    def __init__(
        self,
        network: nn.Module,
        config: RunConfig,
        data: Items,
        out: Path,
        *,
        device: torch.device | str | None = None,
        export: Callable[[nn.Module, dict[str, str]], None] | None = None,
        processes: Processes | None = None,
        progress: Callable[[Progress], None] | None = None,
        note: Callable[[str], None] | None = None,
    ) -> None:
        self.config, self.data, self.out = config, data, out
        self.export, self.progress = export, progress
        self.note = note or (lambda sentence: None)
        self.processes = processes or Processes()
        self.device = torch.device(config.device if device is None else device)
        self.network = network.to(self.device).train()
        self.mean = MeanWeights(self.network, config.ema)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=config.lr, weight_decay=config.weight_decay
        )
        half = config.precision == "float16"
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=half)
        self.sampler = StepSampler(
            0, config.batch, rank=self.processes.rank, processes=self.processes.number
        )
        self.state = self._restore()
        # Only now: the processes begin with the weights of the first.
        self.wrapped = self.stepper()
        if self.processes.number > 1:
            devices = [self.device] if self.device.type == "cuda" else None
            self.wrapped = DistributedDataParallel(
                self.wrapped, device_ids=devices, find_unused_parameters=True
            )
        self._logs: Any = None

    @abstractmethod
    def stepper(self) -> nn.Module:
        """Return a module around :attr:`network` that maps a batch on the device to its loss.

        A module, so that several processes see every use of a parameter.
        """

    @abstractmethod
    def measure(self) -> dict[str, float]:
        """Return scores of the network of mean weights, in all processes the same."""

    @abstractmethod
    def draw(self, path: Path, rows: list[Row]) -> None:
        """Plot the curve."""

    @property
    def epoch_steps(self) -> int:
        """Steps in which as many items are seen as there are sequences."""
        return max(1, round(self.data.sequences / self.config.batch))

    @property
    def total_steps(self) -> int | None:
        """Length of the run, if it is not counted in minutes."""
        if self.config.minutes is not None:
            return None
        return self.config.steps or max(1, round(self.config.epochs * self.epoch_steps))

    @property
    def done(self) -> float:
        """Share of the run that is done, 0 to 1."""
        if self.config.minutes is not None:
            return min(1.0, self.state.seconds / (60 * self.config.minutes))
        return min(1.0, self.state.step / (self.total_steps or 1))

    def run(self) -> bool:
        """Train to the end, or until SIGINT or SIGTERM.

        Returns:
            Whether the end was reached.

        Raises:
            DiarError: Loss or gradient were not finite many times in a row.
        """
        state, config = self.state, self.config
        every = config.validate_every or self.epoch_steps
        saved = marked = time.perf_counter()
        with heard_signals() as heard, self._logging():
            batches = iter(self._loader())
            while True:
                seconds, stopped = self.processes.agree(
                    state.seconds, float(heard.any), device=self.device
                )
                state.seconds = seconds
                if stopped or self.done >= 1:
                    break
                loss = self._step(next(batches))
                now = time.perf_counter()
                state.seconds += now - marked
                marked = now
                if self.progress is not None:
                    self.progress(Progress(state.step, self.done, state.seconds, loss, self.scores))
                measured = state.step % every == 0
                if measured:
                    self._validate()
                if measured or now - saved > 60 * config.checkpoint_minutes:
                    self._save()
                    # Validation and files are no training.
                    saved = marked = time.perf_counter()
            if not stopped and (not state.rows or state.rows[-1]["step"] != state.step):
                self._validate()
            self._save()
        return not stopped

    def _restore(self) -> Checkpoint:
        """Return the state to begin with: that of the folder, or a new one."""
        path = self.out / "checkpoint.pt"
        if not path.is_file():
            return Checkpoint(self.config.to_json(), {}, {}, {}, {})
        state = load_checkpoint(path)
        self.config.check_continues(state.config)
        try:
            self.network.load_state_dict(state.network)
            self.mean.network.load_state_dict(state.mean)
            self.optimizer.load_state_dict(state.optimizer)
            self.scaler.load_state_dict(state.scaler)
        except (RuntimeError, ValueError, KeyError) as error:
            raise WeightsError(
                f"{path} is of another network; give another output folder"
            ) from error
        state.config = self.config.to_json()
        self.sampler.start = state.step
        return state

    def _loader(self) -> DataLoader[Any]:
        workers = self.config.workers
        return DataLoader(
            cast(Dataset[Any], self.data),
            batch_sampler=self.sampler,
            num_workers=workers,
            worker_init_fn=leave_signals,
            pin_memory=self.device.type == "cuda",
            # Of its own, so that the network's random numbers do not depend on when it began.
            generator=torch.Generator(),
            prefetch_factor=4 if workers else None,
        )

    def _step(self, batch: dict[str, Tensor]) -> float:
        """Train on a batch; return the loss."""
        state, config = self.state, self.config
        batch = {name: value.to(self.device, non_blocking=True) for name, value in batch.items()}
        for group in self.optimizer.param_groups:
            group["lr"] = rate = self._rate()
        # What is random in the network depends on the step alone, so that it can be repeated.
        seed = generator_for(config.seed, "network", state.step, self.processes.rank)
        torch.manual_seed(seed.initial_seed())
        loss = self.wrapped(batch)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), config.clip or math.inf)
        value, length = self.processes.total(
            torch.stack((loss.detach(), norm)) / self.processes.number
        ).tolist()
        finite = math.isfinite(value) and math.isfinite(length)
        if finite:
            self.scaler.step(self.optimizer)
            self.mean.update(self.network, state.updates)
            state.updates += 1
            state.in_a_row = 0
            state.loss_sum += value
            state.loss_count += 1
        else:
            state.skipped += 1
            state.in_a_row += 1
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        state.step += 1
        if state.in_a_row >= MOST_SKIPPED:
            raise DiarError(
                f"loss or gradient was not finite in {MOST_SKIPPED} steps in a row (up to step "
                f"{state.step}); begin another run from the weights so far, with a lower lr "
                f"or with precision float32"
            )
        if self._logs is not None and state.step % LOG_EVERY == 0:
            numbers = {
                "loss": value,
                "gradient": length,
                "rate": rate,
                "skipped": float(state.skipped),
            }
            for name, number in numbers.items():
                self._logs.add_scalar(f"train/{name}", number, state.step)
        return float(value)

    def _rate(self) -> float:
        """Return the learning rate of the next step."""
        config = self.config
        rate = config.lr * min(1.0, (self.state.step + 1) / max(1, config.warmup))
        if config.schedule == "cosine":
            falling = (1 + math.cos(math.pi * self.done)) / 2
            rate *= LAST_RATE + (1 - LAST_RATE) * falling
        return rate

    def _validate(self) -> None:
        """Add a row to the curve."""
        state = self.state
        scores = self.measure()
        state.rows.append(
            {
                "step": state.step,
                "epoch": state.step / self.epoch_steps,
                self.unit: state.step * self.config.batch,
                "seconds": state.seconds,
                "loss": state.loss_sum / state.loss_count if state.loss_count else math.nan,
                "skipped": state.skipped,
                **scores,
            }
        )
        state.loss_sum, state.loss_count = 0.0, 0
        if self._logs is not None:
            for name, number in scores.items():
                self._logs.add_scalar(f"validation/{name}", number, state.step)

    @property
    def scores(self) -> dict[str, float]:
        """The scores of the last validation."""
        row = self.state.rows[-1] if self.state.rows else {}
        known = ("step", "epoch", self.unit, "seconds", "loss", "skipped")
        return {name: value for name, value in row.items() if name not in known}

    def _save(self) -> None:
        """Write checkpoint, curve and weights."""
        if not self.processes.first:
            return
        state = self.state
        state.network, state.mean = self.network.state_dict(), self.mean.network.state_dict()
        state.optimizer, state.scaler = self.optimizer.state_dict(), self.scaler.state_dict()
        save_checkpoint(self.out / "checkpoint.pt", state)
        if state.rows:
            write_curve(self.out / "curve.csv", state.rows)
            self.draw(self.out / "curve.png", state.rows)
        if self.export is not None:
            self.export(self.mean.network, self._facts())

    def _facts(self) -> dict[str, str]:
        """Return words on the run for the file of weights."""
        state = self.state
        where = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "CPU"
        return {
            "steps": str(state.step),
            self.unit: str(state.step * self.config.batch),
            "hours": f"{state.seconds / 3600:.3f}",
            "seed": str(self.config.seed),
            "hardware": f"{self.processes.number} x {where}, {torch.get_num_threads()} threads",
            "software": f"torch {torch.__version__}",
            "options": self.config.to_json(),
            **{name: f"{value:.4f}" for name, value in self.scores.items()},
        }

    @contextmanager
    def _logging(self) -> Iterator[None]:
        """Write TensorBoard's logs, if it is installed."""
        if not self.processes.first:
            yield
            return
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            self.note("no TensorBoard logs: pip install 'diar-ops[train]' for them")
            yield
            return
        # Points after the checkpoint come again.
        self._logs = SummaryWriter(str(self.out / "tb"), purge_step=self.state.step + 1)
        try:
            yield
        finally:
            self._logs.close()
            self._logs = None
