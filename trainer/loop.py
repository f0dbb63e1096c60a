"""The run: batches through the step, and what is written on the way."""

import logging
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from ..runtime.errors import CheckpointError
from .config import TrainConfig
from .data.batches import UnpairedBatches
from .data.dataset import load_examples, load_held_out, load_training
from .device import pick_amp_dtype, pick_device, tune
from .distributed import World, check_distributable
from .evaluation.validation import build_validation
from .methods.cyclegan import CycleGAN
from .methods.distillation import Distillation
from .methods.gan import GAN
from .methods.objective import Losses
from .methods.schedule import build_scheduler
from .result import TrainingResult
from .tracking.background import snapshot
from .tracking.health import HealthMonitor, LastGood, compare
from .tracking.preview import COLUMNS, preview_grid, translate_examples
from .tracking.recorder import Recorder

LOGGER = logging.getLogger(__name__)


class StopRequest:
    """Becomes true when SIGINT or SIGTERM arrives, so that the running step can be finished and saved."""

    def __init__(self) -> None:
        self._since: float | None = None

    @property
    def received(self) -> bool:
        """Whether a signal has arrived."""
        return self._since is not None

    def _receive(self, signum: int, frame: object) -> None:
        # What runs us, such as torchrun, may pass on the Ctrl-C that we have got ourselves: that is the same one.
        if self._since is not None and time.monotonic() - self._since > 1:
            raise KeyboardInterrupt
        self._since = self._since or time.monotonic()

    @contextmanager
    def listening(self) -> Iterator["StopRequest"]:
        """Listen within the block; a second signal, a second or more after the first, interrupts at once."""
        before = {number: signal.signal(number, self._receive) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class Run:
    """One training run in its folder, or one process's part in it."""

    def __init__(self, config: TrainConfig, folder: Path, world: World = World()) -> None:  # noqa: B008 - frozen
        """Read the data and build the networks; nothing is written yet.

        Raises:
            DatasetError: the dataset is missing or unusable.
            UsageError: the device or precision is not to be had, or not by several processes.
            CheckpointError, ConfigError: there is no such teacher, or the student cannot learn from it.
        """
        check_distributable(config, world)
        self.config = config
        self.folder = folder
        self.world = world
        self.device = pick_device(config.run.device, world.local_rank if world.size > 1 else None)
        tune(self.device)
        amp_dtype = pick_amp_dtype(config.run.precision, self.device)
        domains = load_training(config, world)
        self.held_out = load_held_out(config, max(config.validation.max_pictures, COLUMNS))
        self.shown = self.held_out or load_examples(config, COLUMNS)
        self.validation = build_validation(config.validation, self.held_out)
        self.batches = UnpairedBatches(domains, config.data, config.run.seed, self.device, world)
        kind = Distillation if config.distill.teacher else CycleGAN
        self.model: GAN = kind(config, self.device, amp_dtype, world)
        self.schedulers = [
            build_scheduler(optimizer, config.schedule)
            for optimizer in (self.model.optimizer_G, self.model.optimizer_D)
        ]
        self.step = 0
        self._interrupted = False
        self._health = HealthMonitor()
        self._good = LastGood()
        self._recorder: Recorder | None = None  # of the process that writes, while it trains
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

    def train(self) -> TrainingResult:
        """Train until the end of the schedule, `max_steps` or a signal; every end leaves a checkpoint.

        Raises:
            CycleganError: gradients stopped being finite again and again.
            OutputError: something could not be written; the checkpoint before it is whole.
        """
        with ExitStack() as stack:
            stop = stack.enter_context(StopRequest().listening())
            if self.world.writes:
                metric = self.validation.selection.metric if self.validation else None
                self._recorder = stack.enter_context(Recorder(self.folder, self.config, self.step, metric))
            progress = stack.enter_context(self._progress())
            self._train(stop, progress)
        self._recorder = None
        return TrainingResult(self.folder, self.step, self._interrupted)

    def _train(self, stop: StopRequest, progress: Progress) -> None:
        run = self.config.run
        self._good.replace(snapshot(self.state_dict()))
        bar = progress.add_task("training", total=self.total_steps, completed=self.step, losses="", rate=0.0)
        started, before = time.monotonic(), self.step
        while self.step < self.total_steps and not (self._interrupted or self.stopped_early):
            epoch = self.batches.epoch_of(self.step)
            self.model.begin(epoch)
            losses = self.model.step(*self.batches.batch(self.step))
            self.step += 1
            self._interrupted = self.world.any(stop.received)
            rate = (self.step - before) * self.batches.global_batch / (time.monotonic() - started)
            progress.update(bar, completed=self.step, rate=rate)
            ending = self._interrupted or self.step == self.total_steps
            epoch_ends = self._due(self.batches.steps_per_epoch)
            logged, saved = self._due(run.log_every), self._due(run.save_every)
            broken = (logged or saved or epoch_ends or ending) and self._go_back_if_broken()
            if logged and not broken:
                self._log(losses, epoch, rate, progress, bar)
            if self._due(run.preview_every) and self._recorder:
                self._preview(epoch, self._recorder)
            if epoch_ends:
                self._finish_epoch(epoch)
            if ending or self.stopped_early or (saved and not broken):
                self._save("latest")
        if self.stopped_early:
            LOGGER.info("stopped early: the validation has not become better for a while; the best is in best.pt")

    @property
    def stopped_early(self) -> bool:
        """Whether waiting for a better validation has lasted long enough."""
        return self.validation is not None and self.validation.selection.exhausted

    def state_dict(self) -> dict[str, Any]:
        """Return everything that decides how the run goes on; every process must call it, the first gets all."""
        local = self.model.local_state_dict() | {
            "rng": torch.get_rng_state(),
            "rng_cuda": torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None,
        }
        return self.model.state_dict() | {
            "schedulers": [scheduler.state_dict() for scheduler in self.schedulers],
            "selection": self.validation.selection.state_dict() if self.validation else None,
            "processes": self.world.gather(snapshot(local)),
        }

    def load_state_dict(self, state: dict[str, Any], step: int) -> None:
        """Go on exactly where `state_dict` was taken, at `step` steps done.

        Raises:
            CheckpointError: it was taken by another number of processes.
        """
        saved = len(state["processes"])
        if saved != self.world.size:
            raise CheckpointError(
                f"the run was trained by {saved} processes, each with a history and pictures of its own, and cannot go "
                f"on with {self.world.size}; use torchrun --nproc_per_node={saved}, or start a new run with --init-from"
            )
        local = state["processes"][self.world.rank]
        self.model.load_state_dict(state)
        self.model.load_local_state_dict(local)
        for scheduler, saved_scheduler in zip(self.schedulers, state["schedulers"], strict=True):
            scheduler.load_state_dict(saved_scheduler)
        if self.validation and state["selection"]:
            self.validation.selection.load_state_dict(state["selection"])
        torch.set_rng_state(local["rng"])
        if local["rng_cuda"] is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(local["rng_cuda"], self.device)
        self.step = step

    @property
    def learning_rate(self) -> float:
        """The learning rate of the step to come."""
        return float(self.model.optimizer_G.param_groups[0]["lr"])

    def _due(self, every: int) -> bool:
        return self.step % every == 0

    def _go_back_if_broken(self) -> bool:
        """Restore the last good networks if a gradient was not finite; pictures and learning rate go on from here."""
        if not self.world.any(bool(self.model.num_broken.item())):
            return False
        # A copy, for an optimiser keeps the tensors that it loads, and the good state may still be on its way to disk.
        state, learning_rate = snapshot(self._good.go_back(self.step)), self.learning_rate
        self.model.load_state_dict(state)
        self.model.load_local_state_dict(state["processes"][0])  # a copy that was not gathered here holds only ours
        for optimizer in (self.model.optimizer_G, self.model.optimizer_D):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate
        return True

    def _log(self, losses: Losses, epoch: int, rate: float, progress: Progress, bar: TaskID) -> None:
        waited = torch.stack(list(losses.values())).tolist()  # the one place where the host waits for the device
        values = self.world.mean(dict(zip(losses, waited, strict=True)))
        if self._recorder is None:
            return
        self._recorder.record("train", self.step, epoch, values | {"lr": self.learning_rate})
        shown = _brief({name: value for name, value in values.items() if not name.startswith("D_") or len(name) == 3})
        progress.update(bar, losses=shown)
        if not progress.console.is_terminal:
            LOGGER.info("step %d of %d, %.1f pictures/s, %s", self.step, self.total_steps, rate, shown)
        if self.config.losses.gan_mode != "wgangp":  # whose critics are meant to be far ahead
            _warn(self._health.judge_losses(self.step, values))

    def _finish_epoch(self, epoch: int) -> None:
        run = self.config.run
        values, best = None, False
        if self.validation is not None and epoch % run.validate_every_epochs == 0:
            if self._recorder:
                values = self.validation.measure(self.model.translators, self.device)
                self._recorder.record("validation", self.step, epoch, values)
                LOGGER.info("epoch %d: %s", epoch, _brief(values))
            values = self.world.share(values)
            best = self.validation.selection.update(values)
        for scheduler in self.schedulers:
            if not isinstance(scheduler, ReduceLROnPlateau):
                scheduler.step()
            elif values is not None:
                watched = "cycle_l1" if "cycle_l1" in values else f"swd_{self.model.directions[0]}"
                scheduler.step(values[watched])
        if best:
            self._save("best")
        if epoch % run.keep_every_epochs == 0:
            self._save(f"epoch-{epoch:04d}")

    def _preview(self, epoch: int, recorder: Recorder) -> None:
        rows = translate_examples(self.model.translators, self.model.teachers, self.shown, self.device)
        recorder.preview(self.step, preview_grid(rows))
        for number, direction in enumerate(self.model.directions):
            real, fake, _ = rows[3 * number : 3 * number + 3]
            signs = compare(real, fake)
            _warn(self._health.judge_pictures(self.step, direction, signs))
            named = {f"{name}_{direction}": value for name, value in signs.items()}
            recorder.record("health", self.step, epoch, named)

    def _save(self, name: str) -> None:
        progress = {"step": self.step, "epoch": self.batches.epoch_of(max(self.step - 1, 0))}
        self._good.replace(snapshot(self.state_dict()))
        if self._recorder:
            self._recorder.checkpoint(name, progress, self._good.state)

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
        return Progress(*columns, console=console, disable=not (console.is_terminal and self.world.writes))


def seconds_per_step(config: TrainConfig) -> float:
    """Time a step of a run on this machine: the quickest of five on noise, after two that warm up."""
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
    return min(seconds[2:])


def _brief(values: dict[str, float]) -> str:
    return " ".join(f"{name} {value:.3g}" for name, value in values.items())


def _warn(advice: list[str]) -> None:
    for sentence in advice:
        LOGGER.warning("%s", sentence)
