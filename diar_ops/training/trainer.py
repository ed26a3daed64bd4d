"""The training loop, whatever is learned."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset

from diar_ops._errors import DiarError, WeightsError
from diar_ops._folders import locked_folder
from diar_ops._seeds import generator_for
from diar_ops.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from diar_ops.training.curve import CURVE, write_curve
from diar_ops.training.ema import averaged_model
from diar_ops.training.processes import Processes
from diar_ops.training.sampler import StepSampler
from diar_ops.training.signals import catch_stop_signals, leave_signals_to_parent
from diar_ops.training.task import Task, TaskLoss
from diar_ops.training.tensorboard import Log, no_log, open_log

#: Steps in a row with a loss or gradient that is not finite after which a run is given up.
MOST_SKIPPED = 20
#: Steps between the points of TensorBoard's curves.
LOG_EVERY = 20


class Progress(NamedTuple):
    """How far a run is."""

    step: int
    done: float  #: share of the run, 0 to 1
    seconds: float  #: of training
    loss: float  #: of the last step
    scores: Mapping[str, float]  #: of the last validation


class Trainer:
    """Train the network of a task; a run that was stopped goes on where it was.

    Args:
        task: What is learned; its network is moved to the device.
        out: Folder of checkpoint, curve and logs; created if it is missing.
        device: Where to train; that of the options by default.
        export: Called by the first process with the network of mean weights and facts on the run,
            at every checkpoint.
        processes: Rank of this process among those that train together.
        progress: Called after each step.
        note: Called with a sentence where one is due.

    Attributes:
        state: What a checkpoint holds.
        mean: The mean weights.

    Raises:
        OptionError: The folder holds a run of other options, or processes cannot share a batch.
        WeightsError: The checkpoint in the folder is damaged or of another network.
    """

    def __init__(
        self,
        task: Task,
        out: Path,
        *,
        device: torch.device | str | None = None,
        export: Callable[[nn.Module, dict[str, str]], None] | None = None,
        processes: Processes | None = None,
        progress: Callable[[Progress], None] | None = None,
        note: Callable[[str], None] | None = None,
    ) -> None:
        self.task, self.config, self.out = task, task.config, out
        self.export, self.progress = export, progress
        self.note = note or (lambda sentence: None)
        self.processes = processes or Processes()
        self.device = torch.device(self.config.device if device is None else device)
        self.network = task.network.to(self.device).train()
        self.mean = averaged_model(self.network, self.config.ema)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=self.config.lr, weight_decay=self.config.weight_decay
        )
        half = self.config.precision == "float16"
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=half)
        rank, world_size = self.processes
        self.sampler = StepSampler(0, self.config.batch, rank=rank, world_size=world_size)
        self.state = self._restore()
        # Only now: the processes begin with the weights of the first.
        self.loss: nn.Module = TaskLoss(task, self.network)
        if world_size > 1:
            devices = [self.device] if self.device.type == "cuda" else None
            self.loss = DistributedDataParallel(self.loss, device_ids=devices, find_unused_parameters=True)
        self._log: Log = no_log

    @property
    def epoch_steps(self) -> int:
        """Steps in which as many items are seen as there are sequences."""
        return max(1, round(self.task.data.sequences / self.config.batch))

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

    @property
    def scores(self) -> dict[str, float]:
        """The scores of the last validation."""
        row = self.state.rows[-1] if self.state.rows else {}
        others = ("step", "epoch", self.task.unit, "seconds", "loss", "skipped")
        return {name: value for name, value in row.items() if name not in others}

    def run(self, *, until: int | None = None) -> bool:
        """Train to the end, to a step before it, or until SIGINT or SIGTERM.

        Args:
            until: Step to pause at: several runs can so take turns in one process. A pause changes
                no bit of what is learned.

        Returns:
            Whether the end was reached.

        Raises:
            DiarError: Loss or gradient were not finite many times in a row, or another run works in the folder.
        """
        is_main = self.processes.is_main
        log = open_log(self.out / "tb", step=self.state.step, note=self.note) if is_main else nullcontext(no_log)
        alone = locked_folder(self.out) if is_main else nullcontext()
        with alone, catch_stop_signals() as stop, log as self._log:
            paused = self._train(lambda: stop.received or (until is not None and self.state.step >= until))
            if not paused and (not self.state.rows or self.state.rows[-1]["step"] != self.state.step):
                self._validate()
            self._save()
        return not paused

    def _train(self, stop: Callable[[], bool]) -> bool:
        """Train until the end is reached or ``stop`` returns True; return whether it was stopped."""
        state = self.state
        validate_every = self.config.validate_every or self.epoch_steps
        saved = marked = time.perf_counter()
        batches = iter(self._loader())
        while True:
            seconds, stopped = self.processes.broadcast(state.seconds, float(stop()), device=self.device)
            state.seconds = seconds
            if stopped or self.done >= 1:
                return bool(stopped)
            loss = self._step(next(batches))
            now = time.perf_counter()
            state.seconds += now - marked
            marked = now
            if self.progress is not None:
                self.progress(Progress(state.step, self.done, state.seconds, loss, self.scores))
            validated = state.step % validate_every == 0
            if validated:
                self._validate()
            if validated or now - saved > 60 * self.config.checkpoint_minutes:
                self._save()
                # Validation and files are no training.
                saved = marked = time.perf_counter()

    def _restore(self) -> Checkpoint:
        """Return the state to begin with: that of the folder, or a new one."""
        path = self.out / "checkpoint.pt"
        if not path.is_file():
            return Checkpoint(self.config.to_json(), {}, {}, {}, {})
        state = load_checkpoint(path)
        self.config.check_continues(state.config)
        try:
            self.network.load_state_dict(state.network)
            self.mean.module.load_state_dict(state.mean)
            self.optimizer.load_state_dict(state.optimizer)
            self.scaler.load_state_dict(state.scaler)
        except (RuntimeError, ValueError, KeyError) as error:
            raise WeightsError(f"{path} is of another network; give another output folder") from error
        state.config = self.config.to_json()
        self.mean.n_averaged.fill_(state.updates)
        return state

    def _loader(self) -> DataLoader[Any]:
        """Return the batches from the present step on."""
        self.sampler.start = self.state.step
        workers = self.config.workers
        return DataLoader(
            cast(Dataset[Any], self.task.data),
            batch_sampler=self.sampler,
            num_workers=workers,
            worker_init_fn=leave_signals_to_parent,
            pin_memory=self.device.type == "cuda",
            # Of its own, so that the network's random numbers do not depend on when it began.
            generator=torch.Generator(),
            prefetch_factor=4 if workers else None,
        )

    def _step(self, batch: dict[str, Tensor]) -> float:
        """Train on a batch; return the loss."""
        state, config = self.state, self.config
        batch = {name: value.to(self.device, non_blocking=True) for name, value in batch.items()}
        rate = config.learning_rate(state.step, self.done)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        # What is random in the network depends on the step alone, so that it can be repeated.
        seed = generator_for(config.seed, "network", state.step, self.processes.rank)
        torch.manual_seed(seed.initial_seed())
        loss = self.loss(batch)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), config.clip or math.inf)
        mean_loss, mean_norm = self.processes.all_sum(
            torch.stack((loss.detach(), norm)) / self.processes.world_size
        ).tolist()
        if math.isfinite(mean_loss) and math.isfinite(mean_norm):
            self.scaler.step(self.optimizer)
            self.mean.update_parameters(self.network)
            state.updates += 1
            state.in_a_row = 0
            state.loss_sum += mean_loss
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
        if state.step % LOG_EVERY == 0:
            numbers = {"loss": mean_loss, "gradient": mean_norm, "rate": rate}
            self._log("train", state.step, {**numbers, "skipped": state.skipped})
        return float(mean_loss)

    def _validate(self) -> None:
        """Score the mean weights, and add a row to the curve."""
        state = self.state
        scores = self.task.mean_scores(self.mean.module, self.processes, self.device)
        state.rows.append(
            {
                "step": state.step,
                "epoch": state.step / self.epoch_steps,
                self.task.unit: state.step * self.config.batch,
                "seconds": state.seconds,
                "loss": state.loss_sum / state.loss_count if state.loss_count else math.nan,
                "skipped": state.skipped,
                **scores,
            }
        )
        state.loss_sum, state.loss_count = 0.0, 0
        self._log("validation", state.step, scores)

    def _save(self) -> None:
        """Write checkpoint, curve and weights."""
        if not self.processes.is_main:
            return
        state = self.state
        state.network, state.mean = self.network.state_dict(), self.mean.module.state_dict()
        state.optimizer, state.scaler = self.optimizer.state_dict(), self.scaler.state_dict()
        save_checkpoint(self.out / "checkpoint.pt", state)
        if state.rows:
            write_curve(self.out / CURVE, state.rows)
            self.task.plot(self.out / "curve.png", state.rows)
        if self.export is not None:
            self.export(self.mean.module, self._facts())

    def _facts(self) -> dict[str, str]:
        """Return facts on the run for the header of the file of weights."""
        state = self.state
        on_cuda = self.device.type == "cuda"
        processor = torch.cuda.get_device_name(self.device) if on_cuda else "CPU"
        world_size, threads = self.processes.world_size, torch.get_num_threads()
        return {
            "steps": str(state.step),
            self.task.unit: str(state.step * self.config.batch),
            "hours": f"{state.seconds / 3600:.3f}",
            "seed": str(self.config.seed),
            "hardware": f"{world_size} x {processor}, {threads} threads",
            "software": f"torch {torch.__version__}",
            "options": self.config.to_json(),
            **{name: f"{value:.4f}" for name, value in self.scores.items()},
        }
