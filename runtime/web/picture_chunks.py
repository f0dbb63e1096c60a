"""Reduce an encoded picture to the parts that make the picture, so that a decoder never sees the rest.

Text, previews, colour profiles and unknown parts can be small in a file and costly for a decoder: a compressed comment
of a PNG unpacks to a thousand times its size. Parts are copied as they are, and nothing is decoded here.
"""

import struct
from collections.abc import Callable, Iterator

MOST_PARTS = 20_000  # of a PNG in chunks of 8 KiB: 160 MB
_MOST_EXIF = 2**16  # bytes; it tells which side is up
_PNG = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS"})
_WEBP = frozenset({b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF"})
_EXIF = frozenset({b"eXIf", b"EXIF"})
_WEBP_COLOUR_AND_XMP = 0x24  # flags of VP8X for parts that are left out

_SCAN, _COMMENT, _EXIF_SEGMENT = 0xDA, 0xFE, 0xE1
_APPLICATION = frozenset(range(0xE0, 0xF0))
_KEPT_APPLICATION = frozenset({0xE0, 0xEE})  # JFIF and Adobe tell how colours are stored
_TABLES = (b"\xff\xc4", b"\xff\xdb", b"\xff\xdd", b"\xff\xfe")  # that may also stand between scans


class TooManyPartsError(ValueError):
    """A file of so many parts was made to keep a decoder busy."""


def strip(data: bytes, media_type: str) -> bytes:
    """Return the file with the parts alone that make its pixels and their orientation; a damaged rest is cut off.

    Raises:
        TooManyPartsError: it has more parts than any picture needs.
    """
    return _STRIPPERS[media_type](data)


def parts_of(data: bytes, media_type: str) -> Iterator[tuple[bytes, bytes]]:
    """Yield the kind and content of each part of a file before its pixels; a JPEG's kinds are its markers.

    Raises:
        TooManyPartsError: it has more parts than any picture needs.
    """
    if media_type == "image/jpeg":
        at = 2
        for _ in range(MOST_PARTS):
            if at + 4 > len(data) or data[at] != 0xFF or data[at + 1] == _SCAN:
                return
            size = max(2, int.from_bytes(data[at + 2 : at + 4]))
            yield data[at : at + 2], data[at + 4 : at + 2 + size]
            at += 2 + size
        raise TooManyPartsError
    read, first = (_read_png, 8) if media_type == "image/png" else (_read_webp, 12)
    for kind, start, end in _chunks(data, first, read):
        yield kind, data[start + 8 : end - 4 if media_type == "image/png" else end]


def _read_png(data: bytes, at: int) -> tuple[bytes, int]:
    return data[at + 4 : at + 8], 12 + int.from_bytes(data[at : at + 4])


def _read_webp(data: bytes, at: int) -> tuple[bytes, int]:
    size = int.from_bytes(data[at + 4 : at + 8], "little")
    return data[at : at + 4], 8 + size + size % 2


def _strip_png(data: bytes) -> bytes:
    kept = [data[:8]]
    for kind, start, end in _chunks(data, 8, _read_png):
        if kind in _PNG or (kind in _EXIF and end - start < _MOST_EXIF):
            kept.append(data[start:end])
    return b"".join(kept)


def _strip_webp(data: bytes) -> bytes:
    kept: list[bytes] = []
    frames = 0
    for kind, start, end in _chunks(data, 12, _read_webp):
        frames += kind == b"ANMF"
        if kind == b"ANMF" and frames > 1:
            continue  # the first picture of an animation is translated
        if kind == b"VP8X":
            flags = data[start + 8] & ~_WEBP_COLOUR_AND_XMP
            kept.append(data[start : start + 8] + bytes([flags]) + data[start + 9 : end])
        elif kind in _WEBP or (kind in _EXIF and end - start < _MOST_EXIF):
            kept.append(data[start:end])
    body = b"".join(kept)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def _strip_jpeg(data: bytes) -> bytes:
    """Leave out comments and applications before the first scan; behind it stand tables and scans alone."""
    kept, at, parts, exif = [data[:2]], 2, 0, False
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == _SCAN:
            if sum(data.count(table, at) for table in _TABLES) > MOST_PARTS:
                raise TooManyPartsError
            kept.append(data[at:])
            break
        if marker == 0xFF or marker == 0x01 or 0xD0 <= marker <= 0xD8:  # padding, or without a length
            at += 1 if marker == 0xFF else 2
        else:
            end = at + 2 + max(2, int.from_bytes(data[at + 2 : at + 4]))
            first_exif = marker == _EXIF_SEGMENT and not exif and data[at + 4 : at + 8] == b"Exif"
            exif = exif or first_exif
            if first_exif or (marker != _COMMENT and marker not in _APPLICATION - _KEPT_APPLICATION):
                kept.append(data[at:end])
            at = end
        parts += 1
        if parts > MOST_PARTS:
            raise TooManyPartsError
    return b"".join(kept)


def _chunks(data: bytes, at: int, read: Callable[[bytes, int], tuple[bytes, int]]) -> Iterator[tuple[bytes, int, int]]:
    """Yield the kind, start and end of each chunk; `read` returns kind and size of the one that begins there."""
    parts = 0
    while at + 8 <= len(data):
        kind, size = read(data, at)
        yield kind, at, min(at + size, len(data))
        at += size
        parts += 1
        if parts > MOST_PARTS:
            raise TooManyPartsError


_STRIPPERS: dict[str, Callable[[bytes], bytes]] = {
    "image/png": _strip_png,
    "image/jpeg": _strip_jpeg,
    "image/webp": _strip_webp,
}
