"""Raw frames from standard input, as `ffmpeg -f rawvideo -pix_fmt rgb24 -` writes them."""

from collections.abc import Iterator
from fractions import Fraction
from io import FileIO
from pathlib import Path
from typing import Protocol

import numpy as np

from ..errors import InputError, UsageError
from ..frame import Frame, LostFramesError
from ..video.format import VideoFormat
from .address import Settings


class Readable(Protocol):
    """What bytes are read from; fewer than asked may come."""

    def read(self, size: int, /) -> bytes | None:
        """Return up to `size` bytes; none at the end."""
        ...


class RawSource:
    """`-?size=640x480&fps=30&pixels=rgb24`: frame after frame without anything in between."""

    live = False
    total = None

    def __init__(self, text: str, stream: Readable | None = None) -> None:
        """Read the settings; `stream` is standard input where it is not given.

        Raises:
            UsageError: the size is missing, or a setting is wrong.
        """
        settings = Settings(text, ("size", "fps", "pixels"))
        if "size" not in settings:
            raise UsageError("raw frames do not say their size; write it as -i '-?size=640x480&fps=30'")
        self.height, self.width = settings.size("size", (0, 0))
        rate = settings.rate("fps", Fraction(25))
        self._reversed = settings.choice("pixels", ("rgb24", "bgr24")) == "bgr24"
        self.format = VideoFormat(rate, time_base=1 / rate)
        self._stream = stream

    def __iter__(self) -> Iterator[Frame | InputError]:
        """Read to the end.

        Raises:
            InputError: there is not one whole frame.
        """
        # Unbuffered: a thread that hangs in a buffered read would hold the interpreter at its exit.
        stream = self._stream or FileIO(0, closefd=False)
        name, rate = Path("stdin"), self.format.rate
        size = self.width * self.height * 3
        number = 0
        while len(data := _read(stream, size)) == size:
            pixels = np.frombuffer(data, np.uint8).reshape(self.height, self.width, 3)
            picture = np.ascontiguousarray(pixels[..., ::-1]) if self._reversed else pixels
            yield Frame(picture, name, time=number / rate, duration=1 / rate)
            number += 1
        if number == 0:
            raise InputError(f"standard input holds no frame of {self.width}x{self.height}; check the size")
        if data:
            yield LostFramesError(f"standard input ends in the middle of frame {number}", 1)


def _read(stream: Readable, size: int) -> bytearray:
    """Read `size` bytes; fewer at the end only."""
    data = bytearray()
    while len(data) < size and (part := stream.read(size - len(data))):
        data += part
    return data
