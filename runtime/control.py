"""How others see and steer a run while it goes on."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, current_thread, main_thread
from types import FrameType

from .stats import Stats


@dataclass(frozen=True)
class Control:
    """Stops a run, pauses it, and holds its counts. Any thread or signal handler may use it."""

    stop: Event = field(default_factory=Event)
    paused: Event = field(default_factory=Event)
    stats: Stats = field(default_factory=Stats)


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
