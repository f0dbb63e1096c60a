"""Pictures that hold several frames, as a source: animations are films, and the pages of a TIFF follow one another."""

import re
import struct
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from ..errors import InputError
from ..files import spelled
from ..frame import Frame
from ..video.format import VideoFormat
from .picture_file import decode_picture, to_rgb
from .tiff import Tiff

SUFFIXES = frozenset({".gif", ".webp", ".png", ".avif", ".tif", ".tiff"})  # that may hold several frames
SHORTEST, USUAL = 20, 100  # milliseconds; browsers take what is shorter for what is usual
MOST_PIXELS = 2**29  # of all frames, which are decoded together
_TICK = Fraction(1, 1000)
_GIF_REPEATS = re.compile(rb"\x0b(?:NETSCAPE2\.0|ANIMEXTS1\.0)\x03\x01(..)", re.DOTALL)


class AnimationSource:
    """The frames of one picture file, uint8 or uint16 [H, W, 3], or 4 with alpha, in RGB order."""

    live = False

    def __init__(self, path: Path, data: bytes, frames: int) -> None:
        """Take a file that is read and holds `frames`; see `open_animation`."""
        self.path, self._data, self.total = path, data, frames
        self.is_paged = path.suffix.lower() in (".tif", ".tiff")
        self.format = VideoFormat(Fraction(1000, USUAL), time_base=_TICK, loops=read_loops(data))

    def __iter__(self) -> Iterator[Frame | InputError]:
        """Give the frames in order.

        Raises:
            InputError: they cannot be decoded.
        """
        if self.is_paged:
            yield from self._pages()
            return
        decoded, animation = cv2.imdecodeanimation(np.frombuffer(self._data, np.uint8))
        if not decoded:
            raise InputError(f"{self.path} is damaged: its frames cannot be decoded; replace it or take it away")
        pictures = [to_rgb(frame) for frame in animation.frames]
        if all(picture.shape[2] == 4 and (picture[..., 3] == 255).all() for picture in pictures):
            pictures = [np.ascontiguousarray(picture[..., :3]) for picture in pictures]  # as GIF has it always
        time = Fraction(0)
        name, profile = Path(self.path.name), self._read_profile()
        for picture, milliseconds in zip(pictures, animation.durations, strict=True):
            duration = _TICK * int(milliseconds if milliseconds >= SHORTEST else USUAL)
            yield Frame(picture, name, time=time, duration=duration, profile=profile)
            time += duration
        if len(pictures) < self.total:
            yield InputError(f"{self.path} is cut short: {len(pictures)} of {self.total} frames can be decoded")

    def _read_profile(self) -> bytes | None:
        with suppress(InputError):  # it is damaged, and some frames can be seen all the same
            return decode_picture(self._data, str(self.path)).profile
        return None

    def _pages(self) -> Iterator[Frame | InputError]:
        tiff = Tiff(self._data)
        for number in range(tiff.pages):
            try:
                page = decode_picture(tiff.page(number).data, f"page {number + 1} of {self.path}")
            except InputError as error:
                yield error
                continue
            yield Frame(page.pixels, Path(self.path.name), number=number + 1, profile=page.profile)
        if tiff.pages < self.total:
            yield InputError(f"{self.path} is cut short: {tiff.pages} of {self.total} pages can be decoded")


def open_animation(path: Path) -> AnimationSource | None:
    """Open a picture file that holds several frames; None for one that holds a single one, or cannot be read.

    Raises:
        InputError: it holds too many.
    """
    frames = count_frames(path)
    if frames < 2:
        return None
    data = path.read_bytes()
    first = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if first is None:  # who reads it as a picture says what is wrong
        return None
    if frames * first.shape[0] * first.shape[1] > MOST_PIXELS:
        raise InputError(f"{path} holds {frames} frames, more than fit into memory; convert it to a video first")
    return AnimationSource(path, data, frames)


def count_frames(path: Path) -> int:
    """Return how many frames a picture file holds; 1 also where it cannot be read."""
    if path.suffix.lower() not in SUFFIXES:
        return 1
    try:
        if not may_be_animated(path.read_bytes()):
            return 1
        with spelled(path) as name:
            return max(1, cv2.imcount(name))
    except (OSError, cv2.error):
        return 1


def read_loops(data: bytes) -> int:
    """Return how often an animation is played, 0 for ever: what a GIF, PNG or WebP file says; 0 for other files."""
    if data.startswith(b"GIF8"):
        repeats = _GIF_REPEATS.search(data)
        if repeats is None:
            return 1
        (count,) = struct.unpack("<H", repeats[1])
        return int(count + 1 if count else 0)
    if data.startswith(b"\x89PNG"):
        return _number_after(b"acTL", 4, ">I", data)
    return _number_after(b"ANIM", 8, "<H", data) if data[8:12] == b"WEBP" else 0


def _number_after(name: bytes, distance: int, layout: str, data: bytes) -> int:
    """Return the number that stands so many bytes behind a chunk's name; 0 where there is none."""
    place = data.find(name)
    if place < 0:
        return 0
    with suppress(struct.error):  # it is cut short
        return int(struct.unpack_from(layout, data, place + len(name) + distance)[0])
    return 0


def may_be_animated(data: bytes) -> bool:
    """Whether a file may hold several frames, by its first bytes; a still picture costs nothing more."""
    if data.startswith(b"\x89PNG"):
        return b"acTL" in data[: max(data.find(b"IDAT"), 0)]
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return data[12:16] == b"VP8X" and bool(data[20] & 2)
    if data[:4] in (b"II*\0", b"MM\0*"):
        return Tiff(data).pages > 1
    return data.startswith(b"GIF8") or data[4:12] == b"ftypavis"
