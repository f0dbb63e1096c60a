"""What is shown of a frame: its translation, both side by side, or one half of each; and how the run gets on."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from time import perf_counter
from typing import Literal

import cv2
import numpy as np

from .contract import Picture
from .frame import Frame, Sink, Write
from .stats import Stats

View = Literal["translated", "side-by-side", "split"]

RATE_WINDOW = 2.0  # seconds over which the overlay's rate is taken
_LINE = np.array([255, 255, 255], np.uint8)  # between the halves


def compose(frame: Frame, view: View, split: float = 0.5) -> Picture:
    """Return the picture to show, uint8 [H, W, 3]; side by side it is twice as wide.

    `split` in [0, 1] is where the view "split" changes from the original on the left to the translation.
    """
    translated, original = frame.pixels, frame.original
    if view == "translated" or original is None:
        return translated
    height, width = translated.shape[:2]
    if original.shape[:2] != (height, width):
        original = np.asarray(cv2.resize(original, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    if view == "side-by-side":
        return np.concatenate([original[..., :3], translated[..., :3]], axis=1)
    border = round(min(max(split, 0.0), 1.0) * width)
    picture = translated.copy()
    picture[:, :border] = original[:, :border, : picture.shape[2]]
    picture[:, max(0, border - 1) : border + 1, :3] = _LINE
    return picture


class Overlay:
    """Writes the rate, the latency and the drops into the upper left corner."""

    def __init__(self, stats: Stats) -> None:
        self._stats = stats
        self._shown: deque[float] = deque()  # when the last frames were

    def draw(self, frame: Frame, picture: Picture) -> Picture:
        """Return a copy of uint8 [H, W, 3] with the line in it."""
        now = perf_counter()
        self._shown.append(now)
        while now - self._shown[0] > RATE_WINDOW:
            self._shown.popleft()
        span = now - self._shown[0]
        rate = (len(self._shown) - 1) / span if span else 0.0
        latency = 1000 * (now - frame.captured)
        return _write_line(picture, f"{rate:.1f} fps | {latency:.0f} ms | {self._stats.dropped.total()} dropped")


def _write_line(picture: Picture, text: str) -> Picture:
    picture = np.ascontiguousarray(picture).copy()
    scale = max(0.4, picture.shape[0] / 900)
    place, font = (round(16 * scale), round(36 * scale)), cv2.FONT_HERSHEY_SIMPLEX
    for colour, thickness in (((0, 0, 0), 4 * scale), ((255, 255, 255), 1.5 * scale)):  # readable on any ground
        cv2.putText(picture, text, place, font, scale, colour, max(1, round(thickness)), cv2.LINE_AA)
    return picture


@contextmanager
def viewed(sink: Sink, view: View, overlay: Overlay | None = None) -> Iterator[Write]:
    """Pass to a sink what is to be shown of each frame."""
    with sink as write:
        yield _through(write, view, overlay)


def _through(write: Write, view: View, overlay: Overlay | None) -> Callable[[Frame], None]:
    def write_view(frame: Frame) -> None:
        picture = compose(frame, view)
        write(replace(frame, pixels=overlay.draw(frame, picture) if overlay else picture))

    return write_view
