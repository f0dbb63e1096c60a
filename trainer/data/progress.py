"""How far long work on many pictures is: a bar on a terminal, now and then a line in the log elsewhere."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ...runtime.errors import printable

LOGGER = logging.getLogger(__name__)

FIRST_SECONDS = 3.0  # after which the rate is known well enough to say how long all will take
SECONDS_BETWEEN_LINES = 60.0


@contextmanager
def counted(description: str, total: int, unit: str = "pictures") -> Iterator[Callable[[], None]]:
    """Give a function to call after each of `total` pieces of work; show the rate and the time that is left."""
    console = Console(stderr=True)
    hidden = not console.is_terminal or not LOGGER.isEnabledFor(logging.INFO)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:.0f} " + unit + "/s"),
        TimeRemainingColumn(),
    )
    done, started = 0, time.monotonic()
    due = started + FIRST_SECONDS
    with Progress(*columns, console=console, disable=hidden, transient=True) as progress:
        bar = progress.add_task(printable(description), total=total, rate=0.0)

        def advance() -> None:
            nonlocal done, due
            done += 1
            now = time.monotonic()
            rate = done / max(now - started, 1e-9)
            progress.update(bar, completed=done, rate=rate)
            if not console.is_terminal and now > due:
                due = now + SECONDS_BETWEEN_LINES
                left = (total - done) / rate / 60
                LOGGER.info("%s: %d of %d %s, %.0f/s, %.1f min left", description, done, total, unit, rate, left)

        yield advance
