"""Ctrl-C and SIGTERM end a run well; a second Ctrl-C ends it at once."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType

from .control import Control

INTERRUPTED = 130


@contextmanager
def stop_on_signals(control: Control) -> Iterator[None]:
    """Turn the first signal into `control.stop`, and raise KeyboardInterrupt after the block if there was one.

    Only the main thread hears signals; in others this does nothing.
    """
    if current_thread() is not main_thread():
        yield
        return
    heard = False

    def hear(number: int, frame: FrameType | None) -> None:
        nonlocal heard
        if heard:
            os._exit(INTERRUPTED)  # threads may hang in drivers and encoders
        heard = True
        control.paused.clear()
        control.stop.set()

    before = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if heard:
        raise KeyboardInterrupt
