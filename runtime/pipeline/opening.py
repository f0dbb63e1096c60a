"""Opening a file takes no longer than reading a frame may: a dead network drive blocks whoever opens it for ever."""

from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TypeVar

from ..errors import StreamError
from .run import PATIENCE

Opened = TypeVar("Opened")


def open_in_time(open_it: Callable[[], Opened], name: str, seconds: float | None = None) -> Opened:
    """Call a function that opens a file, in a thread that is left behind where it does not come back.

    Raises:
        StreamError: it did not come back within `seconds`, or within the patience of the pipeline.
        BaseException: what it raises itself.
    """
    seconds = PATIENCE if seconds is None else seconds
    outcomes: SimpleQueue[tuple[Opened, None] | tuple[None, BaseException]] = SimpleQueue()

    def work() -> None:
        try:
            outcomes.put((open_it(), None))
        except BaseException as error:
            outcomes.put((None, error))

    Thread(target=work, name="open", daemon=True).start()
    try:
        opened, error = outcomes.get(timeout=seconds)
    except Empty:
        raise StreamError(f"{name} gave no frame for {seconds:g} s", "timeout") from None
    if error is not None:
        raise error
    return opened  # type: ignore[return-value] # beside no error it is what was opened
