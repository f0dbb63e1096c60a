"""Raw rgb24 frames to standard output, for `ffmpeg -f rawvideo -pix_fmt rgb24 -s WxH -i -` and the like."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ..contract import Size, plain
from ..errors import InputError, OutputError
from ..frame import Frame, Write

LOGGER = logging.getLogger(__name__)


@contextmanager
def raw_sink() -> Iterator[Write]:
    """Write the pixels of each frame, nothing in between.

    Raises:
        OutputError: nobody reads, or the disk behind it is full.
        InputError: a frame has another size than the first.
    """
    size: Size | None = None
    descriptor = sys.stdout.fileno()

    def write(frame: Frame) -> None:
        nonlocal size
        pixels = plain(frame.pixels)
        height, width = pixels.shape[:2]
        if size is None:
            size = height, width
            LOGGER.info("standard output gets rgb24 frames of %dx%d", width, height)
        elif size != (height, width):
            raise InputError(f"{frame.name} changes its size, which raw frames cannot say")
        data = memoryview(pixels.tobytes())
        try:
            while data:
                data = data[os.write(descriptor, data) :]
        except OSError as error:
            raise OutputError(f"cannot write to standard output: {error.strerror}") from error

    yield write
