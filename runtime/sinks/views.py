"""What is shown of a frame: its translation, both side by side, or one half of each; and how the run gets on."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from time import perf_counter
from typing import Literal

import cv2
import numpy as np

from ..contract import Picture, to_8_bits
from ..frame import Frame, Sink, Write
from ..stats import Stats

View = Literal["translated", "side-by-side", "split"]

RATE_WINDOW = 2.0  # seconds over which the overlay's rate is taken, or between two frames where they come slower
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_SHADE = 0.35  # of the light that is left behind the overlay's text


def compose(frame: Frame, view: View, split: float = 0.5) -> Picture:
    """Return the picture to show, of the translation's depth, [H, W, C]; side by side it is twice as wide.

    `split` in [0, 1] is where the view "split" changes from the original on the left to the translation.
    """
    translated, original = frame.pixels, frame.original
    if view == "translated" or original is None:
        return translated
    height, width = translated.shape[:2]
    if translated.dtype == np.uint8:
        original = to_8_bits(original)
    if original.shape[:2] != (height, width):
        original = np.asarray(cv2.resize(original, (width, height), interpolation=cv2.INTER_AREA), original.dtype)
    if view == "side-by-side":
        return np.concatenate([original[..., :3], translated[..., :3]], axis=1)
    border = round(min(max(split, 0.0), 1.0) * width)
    picture = translated.copy()
    picture[:, :border] = original[:, :border, : picture.shape[2]]
    if 0 < border < width:
        _draw_border(picture, border)
    return picture


def _draw_border(picture: Picture, border: int) -> None:
    """Draw a white line with black edges, to be seen on any ground."""
    half = max(1, picture.shape[1] // 640)
    for reach, level in ((2 * half, 0), (half, _white(picture))):
        picture[:, max(0, border - reach) : border + reach, :3] = level


class Overlay:
    """Writes the rate, the latency and the drops into the upper left corner."""

    def __init__(self, stats: Stats) -> None:
        self._stats = stats
        self._shown: deque[float] = deque()  # when the last frames were

    def draw(self, frame: Frame, picture: Picture) -> Picture:
        """Return a copy of [H, W, C] with the counts in it."""
        now = perf_counter()
        self._shown.append(now)
        while len(self._shown) > 2 and now - self._shown[0] > RATE_WINDOW:
            self._shown.popleft()
        span = now - self._shown[0]
        rate = (len(self._shown) - 1) / span if span else 0.0
        latency = 1000 * (now - frame.captured)
        counts = [f"{rate:.1f} fps", f"{latency:.0f} ms", f"{self._stats.dropped.total()} dropped"]
        return _write(np.ascontiguousarray(picture).copy(), counts)


def _write(picture: Picture, parts: list[str]) -> Picture:
    """Write parts in one line, or where they are too long in one each, in a size that fits, on a shade."""
    height, width = picture.shape[:2]
    scale = max(0.4, height / 900)
    if _extent("   ".join(parts), scale)[0] <= width:
        parts = ["   ".join(parts)]
    needed = max(_extent(part, scale)[0] for part in parts), len(parts) * _extent("", scale)[1]
    scale *= min(1.0, width / needed[0], 0.75 * height / needed[1])
    row = _extent("", scale)[1]
    corner = picture[: row * len(parts), : max(_extent(part, scale)[0] for part in parts)]
    ink = np.zeros(corner.shape[:2], np.uint8)  # OpenCV draws text on 8 bits only
    for number, part in enumerate(parts):
        place = round(12 * scale), round(row * (number + 0.72))
        cv2.putText(ink, part, place, _FONT, scale, (255,), max(1, round(1.5 * scale)), cv2.LINE_AA)
    share = ink[..., None] / 255
    corner[..., :3] = corner[..., :3] * _SHADE * (1 - share) + _white(picture) * share
    corner[..., 3:] = _white(picture)  # where there is alpha
    return picture


def _extent(text: str, scale: float) -> tuple[int, int]:
    """Return the width and height in pixels that a line needs, with a margin."""
    width = cv2.getTextSize(text, _FONT, scale, max(1, round(1.5 * scale)))[0][0]
    return width + round(24 * scale), round(40 * scale)


def _white(picture: Picture) -> int:
    return int(np.iinfo(picture.dtype).max)


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
