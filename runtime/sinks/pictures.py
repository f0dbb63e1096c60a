"""Picture files as a sink."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import cv2
import numpy as np

from ..contract import Picture
from ..errors import OutputError, replacing
from ..frame import Frame, Write
from ..sources.sequence import numbered

QUALITY = 95  # of the lossy formats, out of 100
_OPTIONS = {
    ".jpg": [cv2.IMWRITE_JPEG_QUALITY, QUALITY],
    ".jpeg": [cv2.IMWRITE_JPEG_QUALITY, QUALITY],
    ".webp": [cv2.IMWRITE_WEBP_QUALITY, QUALITY],
}
_GRAY_ONLY = ".pgm"


@contextmanager
def picture_sink(root: Path, name: str | None = None) -> Iterator[Write]:
    """Write every frame to the file of its own name under `root`, or of the one that is given, at once."""

    def write(frame: Frame) -> None:
        write_picture(root / (name or frame.name), frame.pixels)

    yield write


@contextmanager
def sequence_sink(pattern: Path) -> Iterator[Write]:
    """Write frames to numbered files, such as frames_%05d.png; numbers are kept, or counted from 1."""
    numbers = count(1)

    def write(frame: Frame) -> None:
        number = next(numbers) if frame.number is None else frame.number
        write_picture(numbered(pattern, number), frame.pixels)

    yield write


def write_picture(path: Path, picture: Picture) -> None:
    """Write uint8 [H, W, 3], RGB, in the format of the path's suffix, replacing what was there.

    Raises:
        OutputError: the place cannot be written, or the format does not take such a picture.
    """
    suffix = path.suffix.lower()
    conversion = cv2.COLOR_RGB2GRAY if suffix == _GRAY_ONLY else cv2.COLOR_RGB2BGR
    try:
        encoded, data = cv2.imencode(suffix, cv2.cvtColor(picture, conversion), _OPTIONS.get(suffix, []))
    except cv2.error as error:
        raise OutputError(f"cannot write {path} as {suffix}: {error.err}; name another format") from error
    if not encoded:
        raise OutputError(f"OpenCV cannot write a picture of {picture.shape[0]}x{picture.shape[1]} as {suffix}")
    with replacing(path) as partial:
        partial.write_bytes(np.asarray(data).tobytes())
