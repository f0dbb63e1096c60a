"""A recording in parts: a live source that changes its size goes on in a new file, because a video keeps one size."""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from ..frame import Frame, Sink, Write

LOGGER = logging.getLogger(__name__)


@contextmanager
def parts_sink(path: Path, make_sink: Callable[[Path], Sink]) -> Iterator[Write]:
    """Write frames to `path`, and from each change of their size on to NAME-2, NAME-3 and so on.

    Args:
        path: the first part.
        make_sink: makes the sink of one part.
    """
    with ExitStack() as part:
        write_part = from_zero(part.enter_context(make_sink(path)))
        shape: tuple[int, ...] | None = None
        number = 1

        def write(frame: Frame) -> None:
            nonlocal write_part, shape, number
            if shape is not None and frame.pixels.shape != shape:
                part.close()
                number, following = _next_part(path, number)
                height, width = frame.pixels.shape[:2]
                LOGGER.warning("the source changes its size to %dx%d; it goes on in %s", height, width, following)
                write_part = from_zero(part.enter_context(make_sink(following)))
            shape = frame.pixels.shape
            write_part(frame)

        yield write


def from_zero(write: Write) -> Write:
    """Return a function that writes frames so that the first of them is shown at zero, however late it came."""
    start: Fraction | None = None

    def write_moved(frame: Frame) -> None:
        nonlocal start
        if frame.time is not None:
            start = frame.time if start is None else start
            frame = replace(frame, time=frame.time - start)
        write(frame)

    return write_moved


def _next_part(path: Path, number: int) -> tuple[int, Path]:
    """Return the number and name of the next part; no file that exists is replaced."""
    while True:
        number += 1
        following = path.with_stem(f"{path.stem}-{number}")
        if not following.exists():
            return number, following
