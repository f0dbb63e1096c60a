"""Writing without waiting: one thread that does what it is given, in order, while training goes on."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Self

from torch import Tensor

# Writes that may wait at a time: each holds a copy of what it writes, so a slow disk must slow the run down.
MOST_WAITING = 3


class BackgroundWriter:
    """Runs functions one after another on its own thread; a context manager that ends when all are done.

    What a function raises comes out of the next `submit`, or of the end of the block.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="writer")
        self._waiting: deque[Future[None]] = deque()

    def submit(self, write: Callable[[], None]) -> None:
        """Have `write` called soon; it must touch nothing that training changes (see `snapshot`).

        Raises:
            OutputError: an earlier write failed.
        """
        while self._waiting and (self._waiting[0].done() or len(self._waiting) >= MOST_WAITING):
            self._waiting.popleft().result()
        self._waiting.append(self._thread.submit(write))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._thread.shutdown(wait=True)
        if kind is None:
            for written in self._waiting:
                written.result()


def snapshot(value: Any) -> Any:
    """Copy a nested state to the CPU, so that it stays as it is while training goes on."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: snapshot(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(snapshot(inner) for inner in value)
    return value
