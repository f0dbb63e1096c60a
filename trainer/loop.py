"""The run: batches through the step, and what is written on the way."""

import logging
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import tomli_w
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from ..runtime.errors import replacing
from .batches import UnpairedBatches
from .checkpoint import save_checkpoint
from .config import TrainConfig
from .data import load_examples, load_held_out, load_training
from .device import pick_amp_dtype, pick_device
from .evaluate import validate
from .journal import Journal
from .preview import COLUMNS, preview_grid, save_preview
from .schedule import build_scheduler
from .step import CycleGAN

LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """How a run ended: the steps done in all, and whether a signal stopped it."""

    step: int
    interrupted: bool


class StopRequest:
    """Becomes true when SIGINT or SIGTERM arrives, so that the running step can be finished and saved."""

    def __init__(self) -> None:
        self.received = False

    def _receive(self, signum: int, frame: object) -> None:
        if self.received:
            raise KeyboardInterrupt
        self.received = True

    @contextmanager
    def listening(self) -> Iterator["StopRequest"]:
        """Listen within the block; a second signal interrupts at once."""
        before = {number: signal.signal(number, self._receive) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class Run:
    """One training run in its folder."""

    def __init__(self, config: TrainConfig, folder: Path) -> None:
        """Read the data and build the networks; nothing is written yet.

        Raises:
            DatasetError: the dataset is missing or unusable.
            UsageError: the device or precision is not to be had.
        """
        self.config = config
        self.folder = folder
        self.device = pick_device(config.run.device)
        amp_dtype = pick_amp_dtype(config.run.precision, self.device)
        domains = load_training(config)
        self.held_out = load_held_out(config)
        self.shown = self.held_out or load_examples(config, COLUMNS)
        self.batches = UnpairedBatches(domains, config.data, config.run.seed, self.device)
        self.model = CycleGAN(config, self.device, amp_dtype)
        self.schedulers = [
            build_scheduler(optimizer, config.schedule)
            for optimizer in (self.model.optimizer_G, self.model.optimizer_D)
        ]
        self.step = 0
        LOGGER.info(
            "%d + %d pictures, %d steps an epoch, on %s in %s",
            len(domains[0]), len(domains[1]), self.batches.steps_per_epoch, self.device,
            str(amp_dtype or torch.float32).removeprefix("torch."),
        )  # fmt: skip

    @property
    def total_steps(self) -> int:
        """Steps of the whole run."""
        steps = self.config.schedule.total_epochs * self.batches.steps_per_epoch
        return min(steps, self.config.run.max_steps or steps)

    @property
    def translators(self) -> tuple[torch.nn.Module, torch.nn.Module]:
        """The generators that are shown, measured and exported: the averaged ones, where they are kept."""
        model = self.model
        return (model.ema_A, model.ema_B) if self.config.optim.ema_halflife else (model.G_A, model.G_B)

    def train(self) -> Outcome:
        """Train until the end of the schedule, `max_steps` or a signal; every end leaves a checkpoint."""
        self._write_config()
        with (
            StopRequest().listening() as stop,
            Journal(self.folder, self.step) as journal,
            self._progress() as progress,
        ):
            bar = progress.add_task("training", total=self.total_steps, completed=self.step, losses="", rate=0.0)
            started, before = time.monotonic(), self.step
            while self.step < self.total_steps and not stop.received:
                epoch = self.batches.epoch_of(self.step)
                losses = self.model.step(*self.batches.batch(self.step))
                self.step += 1
                rate = (self.step - before) * self.config.data.batch_size / (time.monotonic() - started)
                progress.update(bar, completed=self.step, rate=rate)
                if self._due(self.config.run.log_every):
                    values = {name: loss.item() for name, loss in losses.items()}
                    journal.record("train", self.step, epoch, values | {"lr": self.learning_rate})
                    progress.update(bar, losses=_brief(values))
                    if not progress.console.is_terminal:
                        LOGGER.info(
                            "step %d of %d, %.1f pictures/s, %s", self.step, self.total_steps, rate, _brief(values)
                        )
                if self._due(self.config.run.preview_every):
                    self._preview(journal)
                if self.step % self.batches.steps_per_epoch == 0:
                    self._finish_epoch(epoch, journal)
                if self._due(self.config.run.save_every) or self.step == self.total_steps or stop.received:
                    self._save("latest")
        return Outcome(self.step, stop.received)

    def state_dict(self) -> dict[str, Any]:
        """Return everything that decides how the run goes on."""
        return self.model.state_dict() | {
            "schedulers": [scheduler.state_dict() for scheduler in self.schedulers],
            "rng": torch.get_rng_state(),
            "rng_cuda": torch.cuda.get_rng_state_all() if self.device.type == "cuda" else [],
        }

    def load_state_dict(self, state: dict[str, Any], step: int) -> None:
        """Go on exactly where `state_dict` was taken, at `step` steps done."""
        self.model.load_state_dict(state)
        for scheduler, saved in zip(self.schedulers, state["schedulers"], strict=True):
            scheduler.load_state_dict(saved)
        torch.set_rng_state(state["rng"])
        if state["rng_cuda"] and self.device.type == "cuda":
            torch.cuda.set_rng_state_all(state["rng_cuda"])
        self.step = step

    @property
    def learning_rate(self) -> float:
        """The learning rate of the step to come."""
        return float(self.model.optimizer_G.param_groups[0]["lr"])

    def _due(self, every: int) -> bool:
        return self.step % every == 0

    def _finish_epoch(self, epoch: int, journal: Journal) -> None:
        run = self.config.run
        values = None
        if self.held_out is not None and epoch % run.validate_every_epochs == 0:
            values = validate(self.translators, self.held_out, self.device)
            journal.record("validation", self.step, epoch, values)
            LOGGER.info("epoch %d: %s", epoch, _brief(values))
        for scheduler in self.schedulers:
            if not isinstance(scheduler, ReduceLROnPlateau):
                scheduler.step()
            elif values is not None:
                scheduler.step(values["cycle_l1"])
        if epoch % run.keep_every_epochs == 0:
            self._save(f"epoch-{epoch:04d}")

    def _preview(self, journal: Journal) -> None:
        grid = preview_grid(self.translators, self.shown, self.device)
        save_preview(grid, self.folder / "previews" / f"step-{self.step:07d}.png")
        journal.picture(self.step, grid)

    def _save(self, name: str) -> None:
        progress = {"step": self.step, "epoch": self.batches.epoch_of(max(self.step - 1, 0))}
        save_checkpoint(self.folder / "checkpoints" / f"{name}.pt", self.config, progress, self.state_dict())

    def _write_config(self) -> None:
        with replacing(self.folder / "config.toml") as partial:
            partial.write_text(tomli_w.dumps(self.config.model_dump()), encoding="utf-8")

    def _progress(self) -> Progress:
        console = Console(stderr=True)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:.1f} pictures/s"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[losses]}"),
        )
        return Progress(*columns, console=console, disable=not console.is_terminal)


def seconds_per_step(config: TrainConfig) -> float:
    """Time a step of a run on this machine: the median of five on noise, after two that warm up."""
    device = pick_device(config.run.device)
    model = CycleGAN(config, device, pick_amp_dtype(config.run.precision, device))
    side = config.data.crop_size
    noise = torch.rand(config.data.batch_size, 3, side, side, device=device) * 2 - 1
    seconds = []
    for _ in range(7):
        before = time.perf_counter()
        losses = model.step(noise, noise)
        losses["D_A"].item()  # waits for the device
        seconds.append(time.perf_counter() - before)
    return median(seconds[2:])


def _brief(values: dict[str, float]) -> str:
    return " ".join(f"{name} {value:.3g}" for name, value in values.items())
