"""The request to stop a run, which a signal makes."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class StopRequest:
    """Becomes true when SIGINT or SIGTERM arrives, so that the running step can be finished and saved."""

    def __init__(self) -> None:
        self._since: float | None = None

    @property
    def received(self) -> bool:
        """Whether a signal has arrived."""
        return self._since is not None

    def _receive(self, signum: int, frame: object) -> None:
        # A launcher such as torchrun may pass on the Ctrl-C that this process received itself: that is the same one.
        if self._since is not None and time.monotonic() - self._since > 1:
            raise KeyboardInterrupt
        self._since = self._since or time.monotonic()

    @contextmanager
    def listening(self) -> Iterator["StopRequest"]:
        """Listen within the block; a second signal, a second or more after the first, interrupts at once.

        Python lets the main thread alone listen: a run in another thread is stopped by nothing.
        """
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = {number: signal.signal(number, self._receive) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
