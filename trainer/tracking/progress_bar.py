"""The progress of a run on a terminal; elsewhere, lines in the log."""

import logging
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LOGGER = logging.getLogger(__name__)


class ProgressBar:
    """Steps done of all, pictures a second, time left and the last losses; a context manager."""

    def __init__(self, step: int, total: int, visible: bool) -> None:
        """Begin at `step`; without a terminal, or where it is not `visible`, no bar is drawn."""
        console = Console(stderr=True)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:.1f} pictures/s"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[losses]}"),
        )
        self._progress = Progress(*columns, console=console, disable=not (console.is_terminal and visible))
        self._task = self._progress.add_task("training", total=total, completed=step, losses="", rate=0.0)
        self._step, self._total, self._rate = step, total, 0.0

    def advance(self, step: int, total: int, rate: float) -> None:
        """Show that `step` of `total` is done, at `rate` pictures a second."""
        self._step, self._total, self._rate = step, total, rate
        self._progress.update(self._task, completed=step, total=total, rate=rate)

    def show(self, losses: str) -> None:
        """Show losses beside the bar, or log them where there is no terminal."""
        self._progress.update(self._task, losses=losses)
        if not self._progress.console.is_terminal:
            LOGGER.info("step %d of %d, %.1f pictures/s, %s", self._step, self._total, self._rate, losses)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
