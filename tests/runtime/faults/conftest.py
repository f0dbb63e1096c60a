"""The command in this process, what it leaves behind, and sources that go wrong on time."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cyclegan_edge.runtime.frame import Frame
from cyclegan_edge.runtime.sources.bars import read_barcode
from cyclegan_edge.runtime.video import open_video

PATIENCE = 5.0  # seconds that threads may take to end


@pytest.fixture
def numbers() -> Callable[[Path], list[int]]:
    """Read the numbers of a barcoded video's frames."""
    return lambda path: [read_barcode(frame.pixels).number for frame in open_video(path) if isinstance(frame, Frame)]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """Whatever went wrong, every thread that the test began has ended."""
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + PATIENCE
    while left := set(threading.enumerate()) - before:
        assert time.monotonic() < deadline, left
        time.sleep(0.02)
