"""What the commands show on a terminal: progress and the table of a run on stderr, tables of results on stdout.

rich is imported where something is shown, so that `--help` does not load it.
"""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..errors import printable

if TYPE_CHECKING:
    from rich.progress import ProgressColumn
    from rich.table import Table

    from ..stats import Durations, Stats

LOGGER = logging.getLogger(__name__)

WIDTH = 140  # of tables that go into a file or a pipe, in characters


@contextmanager
def status_line(total: int | None) -> Iterator[Callable[["Stats"], None]]:
    """Show how far a run of `total` frames is, where stderr is a terminal and `-q` was not given; yield its `watch`."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    hidden = not sys.stderr.isatty() or not LOGGER.isEnabledFor(logging.INFO)
    bar: list[ProgressColumn] = [BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()] if total else []
    columns = (*bar, TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=hidden) as line:
        task = line.add_task("starting", total=total)
        yield lambda stats: line.update(task, completed=stats.frames + stats.failed, description=describe(stats))


def describe(stats: "Stats") -> str:
    """Say in one line how a run gets on."""
    parts = [f"{stats.frames} frames", f"{stats.fps:.1f} a second"]
    latencies = [durations.quantile(0.5) for durations in list(stats.latency.values()) if durations.total]
    if latencies:
        parts.append(f"{1000 * min(latencies):.0f} ms")
    if dropped := stats.dropped.total():
        parts.append(f"{dropped} dropped")
    if stats.failed:
        parts.append(f"{stats.failed} failed")
    return " · ".join(parts)


def print_stages(stats: "Stats") -> None:
    """Print what each stage needed and where frames were dropped, unless `-q` was given."""
    if not LOGGER.isEnabledFor(logging.INFO):
        return
    from rich.console import Console
    from rich.table import Table

    from ..stats import QUANTILES

    table = Table("stage", "frames", *(f"p{percent} ms" for percent in QUANTILES), "dropped before it", box=None)
    before = {"prepare": "capture", "engine": "engine", "finish": "finish"}
    for name, durations in stats.stages.items():
        table.add_row(*_row(name, durations), str(stats.dropped.get(before.get(name, name), 0)))
    for name, durations in stats.latency.items():
        table.add_row(*_row(f"capture to {name}", durations))
    for column in table.columns[1:]:
        column.justify = "right"
    Console(stderr=True).print(table)


def _row(name: str, durations: "Durations") -> list[str]:
    from ..stats import QUANTILES

    return [name, str(durations.total), *(f"{1000 * durations.quantile(percent / 100):.1f}" for percent in QUANTILES)]


def print_wide(table: "Table") -> None:
    """Print a table of results on stdout, as wide as the terminal, or `WIDTH` where there is none.

    Texts in it are shown as they are: names of other people's files neither style it nor steer the terminal.
    """
    from rich.console import Console
    from rich.segment import Segment, Segments

    console = Console(width=None if sys.stdout.isatty() else WIDTH, markup=False, emoji=False)
    segments = [Segment(printable(text), style) for text, style, control in console.render(table) if not control]
    console.print(Segments(segments), end="")


@contextmanager
def spinner(text: str) -> Iterator[None]:
    """Show that something goes on where stderr is a terminal, unless `-q` was given."""
    from rich.console import Console
    from rich.text import Text

    if not sys.stderr.isatty() or not LOGGER.isEnabledFor(logging.INFO):
        yield
        return
    with Console(stderr=True).status(Text(printable(text))):
        yield
