"""The screen as a source, through the extra `screen`."""

from collections.abc import Generator
from fractions import Fraction
from importlib.util import find_spec
from threading import Event
from time import perf_counter

import numpy as np

from ..contract import Picture
from ..errors import StreamError, UsageError
from .address import Settings
from .live import LiveSource


def open_screen(text: str, stop: Event) -> LiveSource:
    """Make the source for `screen:` (all monitors), `screen:1` (the first) or `screen:?region=LEFT,TOP,WIDTH,HEIGHT`.

    Raises:
        UsageError: a setting is wrong, or the extra is not installed.
    """
    settings = Settings(text, ("region", "fps"))
    number = settings.place.removeprefix("screen:") or "0"
    if not number.isdecimal():
        raise UsageError(f"{text} names no monitor; use screen: for all, screen:1 for the first")
    if find_spec("mss") is None:
        raise UsageError('the screen needs mss; install it with: pip install "cyclegan-edge[screen]"')
    region = settings.box("region")
    rate = settings.rate("fps", Fraction(30))

    def connect() -> Generator[Picture]:
        import mss

        try:
            with mss.MSS() as screen:
                if int(number) >= len(screen.monitors):
                    raise UsageError(f"there is no monitor {number}; there are {len(screen.monitors) - 1}")
                area = screen.monitors[int(number)]
                if region:
                    left, top, width, height = region
                    area = {
                        "left": area["left"] + left,
                        "top": area["top"] + top,
                        "width": width,
                        "height": height,
                    }
                start = perf_counter()
                for ticks in range(1, 2**62):
                    yield np.ascontiguousarray(np.asarray(screen.grab(area), np.uint8)[..., 2::-1])
                    if stop.wait(max(0.0, start + ticks / float(rate) - perf_counter())):
                        return
        except mss.ScreenShotError as error:
            raise StreamError(f"the screen cannot be read ({error}); is there a display?", "unreachable") from error

    return LiveSource(f"screen {number}", connect, stop, rate=rate)
