"""Decode what a visitor sent: only what is a picture, and in little memory.

OpenCV decodes into memory of its own and copies that for Python. A large JPEG is therefore decoded at a half, a quarter
or an eighth where that is enough, and any other large picture straight into our memory.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np

from ..contract import Picture, Size
from ..sources.orientation import read_orientation
from .limits import RefusedError
from .picture_chunks import TooManyPartsError, parts_of, strip
from .picture_header import PictureHeader, count_scans, read_header

_MOST_SCANS = 40  # a progressive JPEG has about ten
_REDUCED = {8: cv2.IMREAD_REDUCED_COLOR_8, 4: cv2.IMREAD_REDUCED_COLOR_4, 2: cv2.IMREAD_REDUCED_COLOR_2}
_SMALL = 2**20  # pixels, of which a copy does no harm
_EXIF = (b"eXIf", b"EXIF", b"\xff\xe1")  # the parts of a PNG, a WebP and a JPEG file
_SIDEWAYS = 5  # EXIF's first orientation whose picture lies on its side


class EncodedPicture:
    """A picture that may be decoded: its header, its size upright, and the parts of the file that make its pixels."""

    def __init__(self, data: bytes, most_pixels: int) -> None:
        """Look at a file, and decode nothing yet.

        Raises:
            RefusedError: 415 it is no PNG, JPEG or WebP; 413 it has too many pixels, parts or scans.
        """
        header = read_header(data)
        if header is None:
            raise RefusedError(415, "no_picture", "this is no PNG, JPEG or WebP picture; send one of these")
        _refuse_large(header, most_pixels)
        if header.media_type == "image/jpeg" and count_scans(data) > _MOST_SCANS:
            raise RefusedError(413, "too_many_scans", "this JPEG has too many scans; save it again in the ordinary way")
        try:
            self._data = strip(data, header.media_type)
            self.orientation = _orientation(self._data, header.media_type)
        except TooManyPartsError:
            raise RefusedError(
                413, "too_many_parts", "this picture has too many parts; save it again in the ordinary way"
            ) from None
        self.header = header

    @property
    def size(self) -> Size:
        """The (height, width) of the picture, upright."""
        return self.as_stored((self.header.height, self.header.width))

    def as_stored(self, size: Size) -> Size:
        """Turn an upright (height, width) into that of the stored picture, or the other way round."""
        return (size[1], size[0]) if self.orientation >= _SIDEWAYS else size

    def decode(self, least: Size | None = None) -> Picture:
        """Return the pixels as they are stored, in OpenCV's order: gray, BGR or BGRA, uint8 or uint16.

        Given the upright size that is needed at `least`, a JPEG may come out smaller than it is, but not below that.

        Raises:
            RefusedError: 422, it is damaged.
        """
        divisor = 1 if least is None else self._divisor(self.as_stored(least))
        try:
            pixels = self._decode_reduced(divisor) if divisor > 1 else self._decode_whole()
        except cv2.error:
            pixels = None
        expected = -(-self.header.height // divisor), -(-self.header.width // divisor)
        if pixels is None or pixels.dtype not in (np.uint8, np.uint16) or pixels.shape[:2] != expected:
            raise RefusedError(422, "damaged", "the picture is damaged; save it again")
        return pixels

    def _divisor(self, least: Size) -> int:
        if self.header.media_type != "image/jpeg" or self.header.pixels <= _SMALL:
            return 1
        height, width = self.header.height, self.header.width
        return next((by for by in _REDUCED if height // by >= least[0] and width // by >= least[1]), 1)

    def _decode_reduced(self, divisor: int) -> Picture | None:
        flags = _REDUCED[divisor] | cv2.IMREAD_IGNORE_ORIENTATION
        return _as_picture(cv2.imdecode(np.frombuffer(self._data, np.uint8), flags))

    def _decode_whole(self) -> Picture | None:
        if self.header.pixels <= _SMALL or not hasattr(os, "memfd_create"):
            return _as_picture(cv2.imdecode(np.frombuffer(self._data, np.uint8), cv2.IMREAD_UNCHANGED))
        bytes_each = 2 if self.header.pixel_bytes > 4 else 1
        shape = self.header.height, self.header.width, self.header.pixel_bytes // bytes_each
        # Zeros, so that a file which ends early shows nobody what was in the memory before.
        pixels = np.zeros(shape, np.uint16 if bytes_each == 2 else np.uint8)
        with _as_file(self._data) as name:
            return _as_picture(cv2.imread(name, pixels, cv2.IMREAD_UNCHANGED))


def _as_picture(pixels: object) -> Picture | None:
    return np.asarray(pixels) if isinstance(pixels, np.ndarray) else None


@contextmanager
def _as_file(data: bytes) -> Iterator[str]:
    """Give a name under which a library in C reads bytes that are in memory."""
    descriptor = os.memfd_create("picture", os.MFD_CLOEXEC)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(data)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _orientation(data: bytes, media_type: str) -> int:
    for kind, content in parts_of(data, media_type):
        if kind in _EXIF and (kind != b"\xff\xe1" or content.startswith(b"Exif")):
            return read_orientation(content)
    return 1


def _refuse_large(header: PictureHeader, most_pixels: int) -> None:
    """Refuse a picture with too many pixels; those with alpha or 16 bits count for more, because they take more."""
    if header.pixels > most_pixels:
        most, unit = most_pixels, "pixels"
    elif header.decoded_bytes > 3 * most_pixels:
        most, unit = 3 * most_pixels // header.pixel_bytes, "pixels of its depth"
    else:
        return
    raise RefusedError(
        413,
        "too_many_pixels",
        f"the picture has {header.width}x{header.height} pixels, this server takes {most} {unit}; make it smaller",
    )
