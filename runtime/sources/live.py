"""Cameras and streams, kept alive: a read that hangs is abandoned, a connection that is lost is made again."""

import logging
import random
from collections.abc import Callable, Generator, Iterator
from fractions import Fraction
from pathlib import Path
from threading import Event, Thread
from time import perf_counter

from ..channel import AbandonedError, Channel, EndedError
from ..contract import Picture
from ..errors import CycleganError, StreamError
from ..frame import Frame
from ..video.format import VideoFormat

LOGGER = logging.getLogger(__name__)

Connect = Callable[[], Generator[Picture]]  # opens a device or stream and gives its pictures, uint8 [H, W, 3] RGB

PATIENCE = 10.0  # seconds without a frame after which a source counts as hung
FIRST_WAIT, LONGEST_WAIT = 0.5, 15.0  # seconds, between two attempts
ATTEMPTS = 20  # in a row, about four minutes
RECOVERED = 30  # frames after which a connection counts as good again
CLOCK = Fraction(1, 90_000)  # seconds; time stamps are multiples of it
_GLANCE = 0.1  # seconds between two looks at `stop`
_FAREWELL = 1.0  # seconds that a read may take to notice that it was abandoned


class LiveSource:
    """The pictures of a camera or stream as they come, with the times at which they came."""

    live = True
    total = None

    def __init__(
        self,
        name: str,
        connect: Connect,
        stop: Event,
        *,
        rate: Fraction = Fraction(30),
        patience: float = PATIENCE,
        attempts: int = ATTEMPTS,
    ) -> None:
        """Nothing is opened yet.

        Args:
            name: how it is called in messages; it holds no password.
            connect: called in a thread of its own, each time that the source is opened.
            stop: ends every wait.
            rate: nominal frames a second.
            patience: seconds without a frame after which the connection is given up and made anew.
            attempts: in a row, before the source is given up.
        """
        self.name = name
        self.format = VideoFormat(rate, time_base=CLOCK)
        self._connect, self._stop, self._patience, self._attempts = connect, stop, patience, attempts

    def __iter__(self) -> Iterator[Frame]:
        """Give frames until `stop` is set.

        Raises:
            StreamError: it cannot be opened at first, cannot be opened by trying again, or was given up.
        """
        start: float | None = None  # a recording begins with its first frame
        seen = failures = good = 0
        while not self._stop.is_set():
            try:
                for picture in self._pictures():
                    now = perf_counter()
                    start = now if start is None else start
                    yield Frame(picture, Path(self.name), time=round((now - start) / CLOCK) * CLOCK, captured=now)
                    seen += 1
                    good += 1
                    if good >= RECOVERED:
                        failures = 0
            except StreamError as error:
                failures += 1
                if not seen or not error.passing or failures > self._attempts:
                    raise
                wait = backoff(failures)
                LOGGER.warning("%s; trying again in %.1f s (%d of %d)", error, wait, failures, self._attempts)
                good = 0
                self._stop.wait(wait)

    def _pictures(self) -> Iterator[Picture]:
        """Give the pictures of one connection.

        Raises:
            StreamError: it failed, ended or hung.
        """
        channel: Channel[Picture] = Channel(2, lossless=True)
        reader = Thread(target=_read, args=[self._connect, channel, self.name], name="read", daemon=True)
        reader.start()
        silent_since = perf_counter()
        try:
            while not self._stop.is_set():
                try:
                    picture = channel.get(_GLANCE)
                except TimeoutError:
                    if perf_counter() - silent_since > self._patience:
                        silence = f"{self.name} gave no frame for {self._patience:g} s"
                        raise StreamError(silence, "timeout") from None
                    continue
                except EndedError:
                    raise StreamError(f"{self.name} has ended", "ended") from None
                yield picture
                silent_since = perf_counter()
        finally:
            channel.abandon()
            reader.join(_FAREWELL)
            if reader.is_alive():
                LOGGER.debug("a read of %s hangs and is left behind", self.name)


def backoff(failures: int) -> float:
    """Return the seconds to wait after so many failures in a row: doubling, at most 15, half of it by chance."""
    longest: float = min(LONGEST_WAIT, FIRST_WAIT * 2 ** (failures - 1))
    return longest * random.uniform(0.5, 1)


def _read(connect: Connect, channel: Channel[Picture], name: str) -> None:
    """Send the pictures of one connection, in a thread that may have to be left behind."""
    pictures = connect()
    try:
        for picture in pictures:
            channel.put(picture, picture.nbytes)
    except AbandonedError:
        pass
    except CycleganError as error:
        channel.finish(error)
    except Exception as error:  # a driver's; what it was is in the log
        LOGGER.debug("%s failed", name, exc_info=True)
        channel.finish(StreamError(f"{name} failed: {type(error).__name__}", "failed"))
    else:
        channel.finish()
    finally:
        pictures.close()
