"""A test picture that moves: colour bars whose every frame carries its number and time in blocks that machines read.

The blocks stand in the upper left, sixteen to a row: a white and a black one to compare with, then 32 bits of the
number, 40 bits of the time in microseconds and 6 bits to check both. Reading compares with the first two blocks, so it
survives lossy codecs and every translation that keeps light and dark apart, or swaps them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from threading import Event
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from ..contract import Picture, Size
from ..errors import UsageError
from ..frame import Frame
from ..video.format import VideoFormat
from .address import Settings

COLUMNS, ROWS = 16, 5
NUMBER_BITS, TIME_BITS, CHECK_BITS = 32, 40, 6
SMALLEST_BLOCK = 4  # pixels
BARS = np.array(
    [[191, 191, 191], [191, 191, 0], [0, 191, 191], [0, 191, 0], [191, 0, 191], [191, 0, 0], [0, 0, 191]], np.uint8
)


@dataclass(frozen=True)
class Barcode:
    """What a frame says of itself."""

    number: int  # from 0
    time: float  # seconds: on the video's clock, or for a live source on the machine's (`time.perf_counter`)


class BarsSource:
    """`test:bars?size=1280x720&fps=30&frames=300`; with `live=yes` it comes at its rate, as a camera does."""

    def __init__(self, text: str, stop: Event) -> None:
        """Read the settings.

        Raises:
            UsageError: a setting is wrong, or the size has no room for the blocks.
        """
        settings = Settings(text, ("size", "fps", "frames", "live"))
        if settings.place != "test:bars":
            raise UsageError(f"no test picture is called {settings.place!r}; use test:bars")
        self.height, self.width = settings.size("size", (720, 1280))
        if block_side((self.height, self.width)) < SMALLEST_BLOCK:
            raise UsageError(f"{text} is too small for the blocks; use at least 64x40")
        rate = settings.rate("fps", Fraction(30))
        self.total = settings.count("frames")
        self.live = settings.choice("live", ("no", "yes")) == "yes"
        self.format = VideoFormat(rate, time_base=1 / rate)
        self._stop = stop

    def __iter__(self) -> Iterator[Frame]:
        columns = np.arange(2 * self.width) * len(BARS) // self.width % len(BARS)
        bars = np.broadcast_to(BARS[columns], (self.height, 2 * self.width, 3))
        name, rate, start = Path("bars"), self.format.rate, perf_counter()
        number = 0
        while self.total is None or number < self.total:
            time = number / rate
            if self.live and self._stop.wait(max(0.0, start + float(time) - perf_counter())):
                return
            shift = 4 * number % self.width
            picture = np.ascontiguousarray(bars[:, shift : shift + self.width])
            write_barcode(picture, Barcode(number, perf_counter() if self.live else float(time)))
            yield Frame(picture, name, time=time, duration=1 / rate)
            number += 1


def block_side(size: Size) -> int:
    """Return the side of a block in pixels for pictures of a size."""
    height, width = size
    return min(width // COLUMNS, height // (2 * ROWS))


def write_barcode(picture: Picture, code: Barcode) -> None:
    """Draw the blocks into uint8 [H, W, 3]."""
    values = code.number % 2**NUMBER_BITS, round(code.time * 1e6) % 2**TIME_BITS
    bits = [1, 0, *_bits(values[0], NUMBER_BITS), *_bits(values[1], TIME_BITS), *_bits(_check(*values), CHECK_BITS)]
    side = block_side((picture.shape[0], picture.shape[1]))
    blocks = np.array(bits, np.uint8).reshape(ROWS, COLUMNS) * np.uint8(255)
    picture[: ROWS * side, : COLUMNS * side] = blocks.repeat(side, 0).repeat(side, 1)[..., None]


def read_barcode(picture: Picture) -> Barcode:
    """Read the blocks of uint8 [H, W, 3].

    Raises:
        ValueError: there are none, or they are damaged.
    """
    side = block_side((picture.shape[0], picture.shape[1]))
    if side < SMALLEST_BLOCK:
        raise ValueError(f"a picture of {picture.shape[1]}x{picture.shape[0]} has no room for the blocks")
    luma = picture[: ROWS * side, : COLUMNS * side].mean(axis=2)
    inner = luma.reshape(ROWS, side, COLUMNS, side)[:, 1:-1, :, 1:-1].mean(axis=(1, 3)).ravel()
    white, black = inner[:2]
    if abs(white - black) < 32:
        raise ValueError("light and dark cannot be told apart; this is no frame of test:bars")
    bits = ((inner - black) / (white - black) > 0.5).astype(int)
    number, time, check = (_value(part) for part in np.split(bits[2:], [NUMBER_BITS, NUMBER_BITS + TIME_BITS]))
    if check != _check(number, time):
        raise ValueError("the blocks are damaged")
    return Barcode(number, time / 1e6)


def _bits(value: int, count: int) -> list[int]:
    return [value >> place & 1 for place in reversed(range(count))]


def _value(bits: NDArray[np.int_]) -> int:
    return int("".join(map(str, bits)), base=2)


def _check(number: int, time: int) -> int:
    largest: int = 2**CHECK_BITS - 1
    return (number * 31 + time) % largest
