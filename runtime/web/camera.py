"""A camera or stream at the server, as a live source for the pipeline."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from urllib.parse import urlsplit

import cv2
import numpy as np

from ..contract import Picture
from ..errors import InputError
from ..frame import Frame, Source

_FIRST_WAIT, _LONGEST_WAIT = 1.0, 30.0  # seconds, between two attempts to open it


@dataclass(frozen=True)
class CameraSource:
    """Frames without end; what cannot be opened, fails or ends is opened again, after a wait that doubles."""

    given: str
    stop: Event  # ends the wait
    total: None = None
    live: bool = True

    def __iter__(self) -> Iterator[Frame | InputError]:
        name = Path(without_credentials(self.given))
        wait = _FIRST_WAIT
        while not self.stop.is_set():
            try:
                with _opened(self.given) as capture:
                    while (read := capture.read())[0]:
                        wait = _FIRST_WAIT
                        yield Frame(np.asarray(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB), dtype=np.uint8), name)
            except InputError as error:
                yield error
            self.stop.wait(wait)
            wait = min(2 * wait, _LONGEST_WAIT)


@dataclass(frozen=True)
class Shrunk:
    """A source whose frames are made smaller until no side is above `longest`."""

    source: Source
    longest: int

    @property
    def total(self) -> int | None:
        """As many as there were."""
        return self.source.total

    @property
    def live(self) -> bool:
        """As the source is."""
        return self.source.live

    def __iter__(self) -> Iterator[Frame | InputError]:
        for item in self.source:
            yield replace(item, pixels=shrink(item.pixels, self.longest)) if isinstance(item, Frame) else item


def shrink(picture: Picture, longest: int) -> Picture:
    """Make uint8 [H, W, 3] smaller, if it has to be, until its longer side is `longest`."""
    height, width = picture.shape[:2]
    if max(height, width) <= longest:
        return picture
    scale = longest / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def check_source(given: str) -> None:
    """Refuse what is no camera, device or address, before anybody watches.

    Raises:
        InputError: it is none of these.
    """
    if not (given.isdecimal() or re.match(r"(rtsp|rtmp|https?)://", given) or Path(given).exists()):
        raise InputError(
            f"{given} is no camera, device or stream; use a number such as 0, /dev/video0 or rtsp://HOST/PATH"
        )


def without_credentials(given: str) -> str:
    """Return an address as it may be logged."""
    if "@" not in given or "://" not in given:
        return given
    parts = urlsplit(given)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


@contextmanager
def _opened(given: str) -> Iterator[cv2.VideoCapture]:
    capture = cv2.VideoCapture(int(given)) if given.isdecimal() else cv2.VideoCapture(given)
    try:
        if not capture.isOpened():
            raise InputError(f"{without_credentials(given)} cannot be opened; check that it is connected and free")
        yield capture
    finally:
        capture.release()
