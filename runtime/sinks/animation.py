"""Pictures that hold several frames: animations (WebP, GIF, APNG, AVIF), written whole at the end, and TIFF pages."""

import logging
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..contract import Picture, to_8_bits
from ..errors import FileOutputError, OutputError
from ..files import replacing
from ..frame import Frame, Write
from ..sources.tiff import Tiff
from ..video import has_pyav
from .gif import encode_gif
from .pictures import QUALITY, write_picture

LOGGER = logging.getLogger(__name__)

ANIMATIONS = frozenset({".webp", ".gif", ".png", ".avif"})
PAGED = frozenset({".tif", ".tiff"})
MOST_BYTES = 2**31  # of all frames, which are held until the end
_WEBP_HAS_PROFILE = 0x20
_TICK = Fraction(1, 1000)  # seconds; durations are multiples of it


def holds_several(path: Path) -> bool:
    """Whether a picture file of this name can hold several frames."""
    return path.suffix.lower() in ANIMATIONS | PAGED


@contextmanager
def animation_sink(path: Path, rate: Fraction, loops: int = 0) -> Iterator[Write]:
    """Write frames to one animation, or to the pages of a TIFF, once all are there.

    Args:
        path: ends in one of `ANIMATIONS` or `PAGED`.
        rate: of frames that carry no time.
        loops: how often it is played; 0: for ever.

    Raises:
        OutputError: it cannot be written, or the frames are too many to be held.
    """
    frames: list[Frame] = []
    size = 0

    def write(frame: Frame) -> None:
        nonlocal size
        size += frame.pixels.nbytes
        if size > MOST_BYTES:
            raise OutputError(f"{path} would hold more frames than fit into memory; name a video, such as .mp4")
        frames.append(replace(frame, original=None))  # which would take as much again

    yield write
    if not frames:
        return
    pictures, profile = [frame.pixels for frame in frames], frames[0].profile
    if len(frames) == 1:
        write_picture(path, pictures[0], profile)
        return
    if path.suffix.lower() in PAGED:
        data = _encode_pages(path, pictures)
    else:
        if pictures[0].dtype != np.uint8:
            LOGGER.warning("%s holds 8 bits a channel: what is finer is lost", path)
        data = _encode(path, [to_8_bits(picture) for picture in pictures], _durations(frames, rate), loops)
    with replacing(path) as partial:
        partial.write_bytes(_with_profile(path, data, profile) if profile else data)


def _durations(frames: Sequence[Frame], rate: Fraction) -> list[int]:
    """Return how long each frame is shown, in milliseconds, so that their sum never drifts from the times."""
    times = [Fraction(number) / rate if frame.time is None else frame.time for number, frame in enumerate(frames)]
    times.append(times[-1] + (frames[-1].duration or 1 / rate))
    ticks = [round((time - times[0]) / _TICK) for time in times]
    return [max(1, after - before) for before, after in pairwise(ticks)]


def _encode(path: Path, pictures: list[Picture], durations: list[int], loops: int) -> bytes:
    alpha = any(picture.shape[2] == 4 for picture in pictures)
    if path.suffix.lower() == ".gif" and has_pyav():
        return encode_gif([to_rgba(picture) if alpha else picture for picture in pictures], durations, loops)
    animation: Any = cv2.Animation()  # its stubs take lists where it takes arrays
    animation.frames = [_to_bgr(picture, alpha) for picture in pictures]
    animation.durations = np.array(durations, np.int32)
    animation.loop_count = loops
    options = [cv2.IMWRITE_WEBP_QUALITY, QUALITY] if path.suffix.lower() == ".webp" else []
    return _checked(path, *_attempt(path, lambda: cv2.imencodeanimation(path.suffix.lower(), animation, options)))


def _encode_pages(path: Path, pictures: list[Picture]) -> bytes:
    pages = [_to_bgr(picture, picture.shape[2] == 4) for picture in pictures]
    return _checked(path, *_attempt(path, lambda: cv2.imencodemulti(path.suffix.lower(), pages)))


def _attempt(path: Path, encode: Any) -> Any:
    try:
        return encode()
    except cv2.error as error:
        raise FileOutputError(f"cannot write {path}: {error.err}; name another format") from error


def _checked(path: Path, encoded: bool, data: Any) -> bytes:
    if not encoded:
        raise FileOutputError(f"cannot write {path}: its format does not hold such frames; name another format")
    return np.asarray(data).tobytes()


def to_rgba(picture: Picture) -> Picture:
    """Return [H, W, 4], opaque where there was no alpha."""
    if picture.shape[2] == 4:
        return picture
    return np.dstack([picture, np.full(picture.shape[:2], np.iinfo(picture.dtype).max, picture.dtype)])


def _to_bgr(picture: Picture, alpha: bool) -> Picture:
    picture = to_rgba(picture) if alpha else picture
    conversion = cv2.COLOR_RGBA2BGRA if alpha else cv2.COLOR_RGB2BGR
    return np.asarray(cv2.cvtColor(picture, conversion), dtype=picture.dtype)


def _with_profile(path: Path, data: bytes, profile: bytes) -> bytes:
    """Return an animation, or pages, with an ICC profile; where the format holds none here, that is logged."""
    suffix = path.suffix.lower()
    if suffix in PAGED:
        return Tiff(data).with_profile(profile)
    if suffix == ".png":  # behind the header, of 8 + 25 bytes (PNG, 11.3.2.3)
        content = b"iCCP" + b"ICC\0\0" + zlib.compress(profile)
        chunk = struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))
        return data[:33] + chunk + data[33:]
    if suffix == ".webp":  # behind the header, of 12 + 18 bytes, whose flags say so
        chunk = b"ICCP" + struct.pack("<I", len(profile)) + profile + bytes(len(profile) % 2)
        size = struct.pack("<I", len(data) - 8 + len(chunk))
        return data[:4] + size + data[8:20] + bytes([data[20] | _WEBP_HAS_PROFILE]) + data[21:30] + chunk + data[30:]
    LOGGER.warning("%s: a colour profile does not go into an animation of this kind and is left out", path)
    return data
