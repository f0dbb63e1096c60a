"""Keep to the demo's minutes on a busy machine too: a training that watches the clock, a rehearsal of the rest."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ...runtime.translator import load
from ...trainer.config import TrainConfig
from ...trainer.data.dataset import list_pictures
from ...trainer.loop import Run
from ...trainer.methods.schedule import learning_rate_factor
from ..artefact import Artefact
from ..graph.onnx_export import export_onnx
from ..untrained import untrained_generator
from ..verification.verify import verify_artefact
from .files import SIZE, Demo

LEAST_STEPS = 20  # however short the time is: two records for the curves
LEAST_SHARE = 0.2  # of the demo's time, for the training

# What follows the training, as multiples of what the rehearsal does once.
EXPORTS = 2.0
FRAMES = 200  # of the video's size: those of the video, and all pictures together
REPORT = 0.5  # of the time of an export: measuring quality and speed, and writing the pages


class TimedRun(Run):
    """A run that ends when its time is over; its learning rate goes through the schedule by time, not by epochs."""

    def __init__(
        self, config: TrainConfig, folder: Path, seconds: float, now: Callable[[], float] = time.monotonic
    ) -> None:
        """Read the data and build the networks, which takes of the `seconds` already; raises what `Run` does."""
        self._now, self._seconds, self._started = now, seconds, now()
        self._decided_at, self._is_over = -1, False
        super().__init__(config, folder)

    @property
    def elapsed(self) -> float:
        """The share of the time that has passed, at most 1."""
        return min(1.0, (self._now() - self._started) / self._seconds)

    @property
    def total_steps(self) -> int:
        """The steps done when the time is over; before, as many as it will allow at the speed so far."""
        # Decided once between two steps: the loop asks first whether to save, and then whether to go on.
        if self._decided_at != self.step:
            self._decided_at = self.step
            self._is_over = self.step >= LEAST_STEPS and self.elapsed >= 1
        if self._is_over:
            return self.step
        return max(self.step + 1, LEAST_STEPS, int(self.step / max(self.elapsed, 1e-9)))

    @property
    def learning_rate(self) -> float:
        """The learning rate of the step to come: that of the epoch which lies as far in the schedule as the time is."""
        schedule = self.config.schedule
        epoch = min(schedule.total_epochs, 1 + int(self.elapsed * schedule.total_epochs))
        return self.config.optim.lr * learning_rate_factor(schedule, epoch)


def training_seconds(seconds: float, elapsed: float, rest: float) -> float:
    """Return how long to train where the demo may take `seconds`, some are gone and the `rest` follows."""
    return max(seconds - elapsed - rest, LEAST_SHARE * seconds)


def rehearse(files: Demo, config: TrainConfig) -> float:
    """Export, verify and translate with an untrained generator; return the seconds that all of this will take.

    A machine that cannot export says so here, before it trains for minutes.
    """
    generator = untrained_generator(config)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rehearsal.onnx"
        export_onnx(generator, path)
        verify_artefact(Artefact.open(path), generator, list_pictures(files.pictures("A")))
        exporting = time.monotonic() - started
        frame = np.zeros((3 * SIZE, 5 * SIZE, 3), np.uint8)
        with load(path) as translator:
            translator(frame)  # the first one prepares the engine for this size
            started = time.monotonic()
            for _ in range(3):
                translator(frame)
            translating = (time.monotonic() - started) / 3
    return (EXPORTS + REPORT) * exporting + FRAMES * translating
