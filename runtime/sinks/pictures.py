"""Picture files as a sink."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import cv2
import numpy as np
from cv2.typing import MatLike

from ..contract import Picture, on_white, to_8_bits
from ..errors import FileOutputError
from ..files import replacing
from ..frame import Frame, Write
from ..sources import heif
from ..sources.sequence import numbered
from ..sources.tiff import Tiff
from ..video import has_pyav
from .gif import encode_gif

LOGGER = logging.getLogger(__name__)

QUALITY = 95  # of the lossy formats, out of 100
_QUALITIES = {".jpg": cv2.IMWRITE_JPEG_QUALITY, ".webp": cv2.IMWRITE_WEBP_QUALITY, ".avif": cv2.IMWRITE_AVIF_QUALITY}
_SAME = dict.fromkeys((".jpeg", ".jpe", ".jfif"), ".jpg")  # names of one format
_TIFF = frozenset({".tif", ".tiff"})
_GRAY_ONLY = ".pgm"
_DEEP = frozenset({".png", ".tif", ".tiff", ".ppm", ".pgm"})  # hold 16 bits
_TRANSPARENT = frozenset({".png", ".tif", ".tiff", ".webp", ".avif", ".gif", ".bmp"})
_PROFILED = frozenset({".jpg", ".png", ".webp"})
_TO_BGR = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}


@contextmanager
def picture_sink(root: Path, name: str | None = None) -> Iterator[Write]:
    """Write every frame to the file of its own name under `root`, or of the one that is given, at once."""
    report = _FirstLoss()

    def write(frame: Frame) -> None:
        path = root / (name or written_name(frame.name))
        report(path, frame.pixels)
        write_picture(path, frame.pixels, frame.profile)

    yield write


@contextmanager
def sequence_sink(pattern: Path) -> Iterator[Write]:
    """Write frames to numbered files, such as frames_%05d.png; numbers are kept, or counted from 1."""
    numbers = count(1)
    report = _FirstLoss()

    def write(frame: Frame) -> None:
        path = numbered(pattern, next(numbers) if frame.number is None else frame.number)
        report(path, frame.pixels)
        write_picture(path, frame.pixels, frame.profile)

    yield write


class _FirstLoss:
    """Logs the first picture of a sink whose alpha its format does not hold, and the first whose depth; no others."""

    def __init__(self) -> None:
        self._is_alpha_reported = self._is_depth_reported = False

    def __call__(self, path: Path, picture: Picture) -> None:
        suffix = path.suffix.lower()
        if picture.shape[2] == 4 and suffix not in _TRANSPARENT and not self._is_alpha_reported:
            self._is_alpha_reported = True
            LOGGER.warning("%s holds no alpha: such pictures are laid on white; .png would keep it", path)
        if picture.dtype == np.uint16 and suffix not in _DEEP and not self._is_depth_reported:
            self._is_depth_reported = True
            LOGGER.warning("%s holds 8 bits a channel: what is finer is lost; .png would keep it", path)


def written_name(name: Path) -> Path:
    """Return the name that a picture is written under: HEIC, which is only read, becomes PNG, which holds all of it."""
    return name.with_suffix(".png") if name.suffix.lower() in heif.SUFFIXES else name


def write_picture(path: Path, picture: Picture, profile: bytes | None = None) -> None:
    """Write a picture in RGB order in the format of the path's suffix, replacing what was there.

    Args:
        path: where.
        picture: uint8 or uint16 [H, W, 3], or [H, W, 4] with alpha. Formats of 8 bits get 8; those without alpha get
            the picture on white.
        profile: the ICC profile to go into it, where the format takes one.

    Raises:
        OutputError: the place cannot be written; a `FileOutputError` where the format does not take such a picture.
    """
    data = encode_picture(picture, path.suffix.lower(), str(path), profile)
    with replacing(path) as partial:
        partial.write_bytes(data)


def encode_picture(
    picture: Picture, suffix: str, name: str, profile: bytes | None = None, quality: int = QUALITY
) -> bytes:
    """Encode a picture in RGB order as a file of some format; `name` is what it is called in messages.

    Raises:
        FileOutputError: the format does not take such a picture.
    """
    if suffix not in _DEEP:
        picture = to_8_bits(picture)
    if picture.shape[2] == 4 and suffix not in _TRANSPARENT:
        picture = on_white(picture)
    if suffix == ".gif" and has_pyav():
        return encode_gif([picture], [0], 0)
    conversion = cv2.COLOR_RGB2GRAY if suffix == _GRAY_ONLY else _TO_BGR[picture.shape[2]]
    return encode_stored(cv2.cvtColor(picture, conversion), suffix, name, profile, quality)


def encode_stored(
    pixels: MatLike, suffix: str, name: str, profile: bytes | None = None, quality: int = QUALITY
) -> bytes:
    """Encode gray, BGR or BGRA, the order that OpenCV writes, which takes no second copy; see `encode_picture`.

    Raises:
        FileOutputError: the format does not take such a picture.
    """
    try:
        encoded, data = _encode(_SAME.get(suffix, suffix), pixels, profile, quality)
    except cv2.error as error:
        raise FileOutputError(f"cannot write {name} as {suffix}: {error.err}; name another format") from error
    if not encoded:
        height, width = pixels.shape[:2]
        raise FileOutputError(f"cannot write {name}: {suffix} holds no {height}x{width} pixels; name another format")
    content = np.asarray(data).tobytes()
    return Tiff(content).with_profile(profile) if profile and suffix in _TIFF else content


def _encode(suffix: str, pixels: MatLike, profile: bytes | None, quality: int) -> tuple[bool, MatLike]:
    options = [_QUALITIES[suffix], quality] if suffix in _QUALITIES else []
    if profile and suffix in _PROFILED:
        kinds, values = [cv2.IMAGE_METADATA_ICCP], [np.frombuffer(profile, np.uint8)]
        encoded, data = cv2.imencodeWithMetadata(suffix, pixels, kinds, values, options)
        if encoded:
            return encoded, data
        LOGGER.warning("a colour profile that %s does not take is left out", suffix)
    return cv2.imencode(suffix, pixels, options)
