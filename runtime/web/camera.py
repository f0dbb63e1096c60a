"""A camera or stream at the server, made small enough to be translated live."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np

from ..contract import Picture
from ..control import Control
from ..errors import InputError, UsageError
from ..frame import Frame, Source
from ..pipeline.endpoints import connect
from ..pipeline.outputs import OutputOptions


def open_live(address: str, control: Control) -> Source:
    """Open a camera (0, /dev/video0), a stream (rtsp://HOST/PATH) or test:bars?live=yes, as `cyclegan translate` does.

    Raises:
        InputError: it cannot be opened.
        UsageError: it is misspelt, or it is not a live source.
    """
    source = connect(address, (), control, OutputOptions()).source
    if not source.live:
        raise UsageError(f"{address} is no camera or live stream; drop pictures and videos on the page instead")
    return source


@dataclass(frozen=True)
class Shrunk:
    """A source whose frames are made smaller until no side is above `longest`."""

    source: Source
    longest: int

    @property
    def total(self) -> int | None:
        """The total of the source."""
        return self.source.total

    @property
    def live(self) -> bool:
        """Whether the source is live."""
        return self.source.live

    def __iter__(self) -> Iterator[Frame | InputError]:
        for item in self.source:
            yield replace(item, pixels=_shrink(item.pixels, self.longest)) if isinstance(item, Frame) else item


def _shrink(picture: Picture, longest: int) -> Picture:
    """Make uint8 [H, W, 3] smaller, if it has to be, until its longer side is `longest`."""
    height, width = picture.shape[:2]
    if max(height, width) <= longest:
        return picture
    scale = longest / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
