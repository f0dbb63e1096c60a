"""The run: batches through the step, and what is written on the way."""

import logging
import os
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from ..runtime.errors import CheckpointError, CycleganError
from .clock import Clock, describe_change, fingerprint
from .config import TrainConfig
from .data.batches import UnpairedBatches
from .data.dataset import DomainName, load_examples, load_held_out, load_training
from .device import pays_to_compile, pick_amp_dtype, pick_device, tune
from .distributed import World, check_distributable
from .evaluation.validation import build_validation
from .methods.cyclegan import CycleGAN
from .methods.distillation import Distillation
from .methods.gan import GAN
from .methods.objective import Losses
from .methods.schedule import Plateau, learning_rate_factor
from .result import TrainingResult
from .stop_request import StopRequest
from .tracking.background import snapshot
from .tracking.divergence import LastGood, SkippedUpdates, out_of_bounds
from .tracking.health import HealthMonitor, compare
from .tracking.preview import COLUMNS, preview_grid, translate_examples
from .tracking.progress_bar import ProgressBar
from .tracking.recorder import Recorder

LOGGER = logging.getLogger(__name__)


class Run:
    """One training run in its folder, or one process's part in it."""

    def __init__(self, config: TrainConfig, folder: Path, world: World = World()) -> None:  # noqa: B008 - frozen
        """Read the data and build the networks; nothing is written yet.

        Raises:
            DatasetError: the dataset is missing or unusable.
            UsageError: the device or precision is not available, or not for several processes.
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
        self.plateau = Plateau() if config.schedule.lr_policy == "plateau" else None
        self.clock = Clock(self.batches.steps_per_epoch)
        names: tuple[DomainName, DomainName] = ("A", "B")
        self._fingerprints = {
            name: fingerprint(domain.files.names) for name, domain in zip(names, domains, strict=True)
        }
        self._interrupted = False
        self._health = HealthMonitor()
        self._updates = SkippedUpdates()
        self._good = LastGood()
        self._recorder: Recorder | None = None  # of the process that writes, while it trains
        LOGGER.info(
            "%d + %d pictures, %d steps an epoch, on %s in %s",
            len(domains[0]), len(domains[1]), self.batches.steps_per_epoch, self.device,
            str(amp_dtype or torch.float32).removeprefix("torch."),
        )  # fmt: skip

    @property
    def step(self) -> int:
        """Steps done in all."""
        return self.clock.step

    @property
    def total_steps(self) -> int:
        """Steps of the whole run, those before it was resumed included; never fewer than are done."""
        steps = self.clock.step + self.clock.remaining(self.config.schedule.total_epochs)
        return max(self.clock.step, min(steps, self.config.run.max_steps or steps))

    @property
    def learning_rate(self) -> float:
        """The learning rate of the step to come: a function of the configuration and the epoch alone.

        With the plateau policy it is one of the validations so far.
        """
        schedule = self.config.schedule
        factor = self.plateau.factor if self.plateau else learning_rate_factor(schedule, self.clock.epoch)
        return self.config.optim.lr * factor

    def train(self) -> TrainingResult:
        """Train until the end of the schedule, `max_steps` or a signal; every end leaves a checkpoint.

        Raises:
            CycleganError: the run diverged again and again, or every update of a network was skipped.
            OutputError: something could not be written; the checkpoint before it is whole.
        """
        first_step = self.step
        with ExitStack() as stack:
            stack.callback(self.batches.close)
            stop = stack.enter_context(StopRequest().listening())
            if self.world.writes:
                metric = self.validation.selection.metric if self.validation else None
                self._recorder = stack.enter_context(Recorder(self.folder, self.config, self.step, metric))
            stack.callback(self.batches.close)
            self._train(stop, stack.enter_context(ProgressBar(self.step, self.total_steps, self.world.writes)))
        self._recorder = None
        if self._updates.untrained and not self._interrupted:
            raise CycleganError(
                f"not one update of the {self._updates.untrained} counted in {self._updates.steps} steps, because no "
                "gradient was finite: nothing was learnt; look at the pictures with dataset check, or train in fp32"
            )
        return TrainingResult(
            self.folder, first_step, self.step, self.total_steps, self._interrupted, self._updates.num_skipped
        )

    def _train(self, stop: StopRequest, progress: ProgressBar) -> None:
        run, clock = self.config.run, self.clock
        self._good.replace(snapshot(self.state_dict()))
        self._compile_if_it_pays()
        started, before = time.monotonic(), self.step
        while self.step < self.total_steps and not (self._interrupted or self.stopped_early):
            epoch, learning_rate = clock.epoch, self.learning_rate
            self.model.begin(epoch)
            self.model.set_learning_rate(learning_rate)
            losses = self.model.step(*self.batches.batch(clock.place))
            clock.tick()
            self._interrupted = self.world.any(stop.received)
            rate = (self.step - before) * self.batches.global_batch / (time.monotonic() - started)
            progress.advance(self.step, self.total_steps, rate)
            ending = self._interrupted or self.step == self.total_steps
            logged, saved = self._due(run.log_every), self._due(run.save_every)
            # Here alone the host waits for the device: it asks which updates were skipped, and how large losses are.
            sound = True
            if logged or saved or clock.epoch_ends or ending:
                values = self._averaged(losses)
                sound = self._check_updates(values)
                if logged and sound:
                    self._log(values | {"lr": learning_rate}, epoch, progress)
            if self._due(run.preview_every) and self._recorder:
                self._preview(epoch, self._recorder)
            if clock.epoch_ends:
                self._finish_epoch(epoch)
            if ending or self.stopped_early or (saved and sound):
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
            "plateau": self.plateau.state_dict() if self.plateau else None,
            "data": self._fingerprints,
            "selection": self.validation.selection.state_dict() if self.validation else None,
            "processes": self.world.gather(snapshot(local)),
        }

    def load_state_dict(self, state: dict[str, Any], progress: Mapping[str, int]) -> None:
        """Go on exactly where `state_dict` was taken; `progress` is that of the clock then.

        Where pictures came or went since, this is said, and the run goes on in the same epoch.

        Raises:
            CheckpointError: it was taken by another number of processes.
        """
        saved = len(state["processes"])
        if saved != self.world.size:
            raise CheckpointError(
                f"the run was trained by {saved} processes, each with a history and pictures of its own, and cannot go "
                f"on with {self.world.size}; use torchrun --nproc_per_node={saved}, or start a new run from its weights"
            )
        local = state["processes"][self.world.rank]
        self.model.load_state_dict(state)
        self.model.load_local_state_dict(local)
        if self.plateau and state.get("plateau"):
            self.plateau.load_state_dict(state["plateau"])
        if self.validation and state["selection"]:
            self.validation.selection.load_state_dict(state["selection"])
        torch.set_rng_state(local["rng"])
        if local["rng_cuda"] is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(local["rng_cuda"], self.device)
        self._resume_clock(state.get("data", {}), progress)

    def _resume_clock(self, fingerprints: Mapping[str, Any], progress: Mapping[str, int]) -> None:
        changes = [
            describe_change(name, fingerprints[name], now)
            for name, now in self._fingerprints.items()
            if name in fingerprints
        ]
        for change in filter(None, changes):
            LOGGER.warning("%s", change)
        if self.clock.resume(progress):
            LOGGER.warning(
                "an epoch has %d steps now: the run goes on in epoch %d of %d, with %d steps to go",
                self.clock.steps_per_epoch, self.clock.epoch, self.config.schedule.total_epochs,
                self.clock.remaining(self.config.schedule.total_epochs),
            )  # fmt: skip

    def _compile_if_it_pays(self) -> None:
        steps = self.total_steps - self.step
        if self.config.run.compile == "auto" and pays_to_compile(self.device, self.world.size, steps):
            LOGGER.info(
                "compiling the step: some minutes now, which %d steps make up for; run.compile=false does without",
                steps,
            )
            self.model.begin(self.clock.epoch)
            self.model.compile_if_it_works(*self.batches.batch(self.clock.place))

    def _due(self, every: int) -> bool:
        return self.step % every == 0

    def _averaged(self, losses: Losses) -> dict[str, float]:
        """Return the losses of the last step, averaged over all processes."""
        return self.world.mean(dict(zip(losses, torch.stack(list(losses.values())).tolist(), strict=True)))

    def _check_updates(self, losses: dict[str, float]) -> bool:
        """Account for skipped updates, and go back to the last good state where the run diverges.

        Returns whether the last update was sound, so that its losses can be recorded and its weights be saved.
        """
        skips = self.model.take_skips()
        self._updates.add(self.step, skips, self._name_pictures)
        last_skipped = bool(skips) and any(skips[-1])
        unsound = None if last_skipped else out_of_bounds(losses)
        if self.world.any(self._updates.many or unsound is not None):
            self._go_back(f"{unsound} is {losses[unsound]:g}" if unsound else "most of its gradients are not finite")
            return False
        return not last_skipped

    def _name_pictures(self, step: int) -> str:
        """Return the names of the pictures that step number `step`, counted from 1, was trained on."""
        root = Path(self.config.data.dataroot)
        files = self.batches.files(self.clock.place - (self.step - step) - 1)
        return ", ".join(os.path.relpath(path, root) for path in files)

    def _go_back(self, reason: str) -> None:
        """Restore the last good networks; pictures and learning rate go on from here."""
        # A copy, for an optimiser keeps the tensors that it loads, and the good state may still be on its way to disk.
        state = snapshot(self._good.go_back(self.step, reason))
        self.model.load_state_dict(state)
        self.model.load_local_state_dict(state["processes"][0])  # a copy that was not gathered here holds only ours
        self._updates.forget_recent()

    def _log(self, values: dict[str, float], epoch: int, progress: ProgressBar) -> None:
        if self._recorder is None:
            return
        self._recorder.record("train", self.step, epoch, values)
        hidden = ("lr", *(name for name in values if name.startswith("D_") and len(name) > 3))
        progress.show(_brief({name: value for name, value in values.items() if name not in hidden}))
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
        if self.plateau and values is not None:
            self.plateau.update(values["cycle_l1" if "cycle_l1" in values else f"swd_{self.model.directions[0]}"])
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
        self._good.replace(snapshot(self.state_dict()))
        if self._recorder:
            self._recorder.checkpoint(name, self.clock.progress(), self._good.state)


def _brief(values: dict[str, float]) -> str:
    return " ".join(f"{name} {value:.3g}" for name, value in values.items())


def _warn(advice: list[str]) -> None:
    for sentence in advice:
        LOGGER.warning("%s", sentence)
