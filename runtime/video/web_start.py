"""An MP4 or MOV file whose index comes first, so that a browser plays it while it is still coming.

The index, `moov`, holds the places of pictures and sounds in the file (ISO/IEC 14496-12, `stco` and `co64`). Where it
is moved from the end to the front, each place grows by its size.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..files import replacing

_CONTAINERS = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl"})  # on the way to the places
_PART = 2**20  # bytes that are copied at a time
_TYPES = {b"stco": ">u4", b"co64": ">u8"}


def move_index_first(path: Path) -> bool:
    """Write a file anew with its index before its content; return whether that was possible and needed.

    Raises:
        OutputError: there is no room for the second file.
    """
    with path.open("rb") as file:
        atoms = list(_atoms(file))
        kinds = [kind for kind, _, _ in atoms]
        if b"moov" not in kinds or b"mdat" not in kinds or kinds.index(b"moov") < kinds.index(b"mdat"):
            return False
        index = kinds.index(b"moov")
        _, start, size = atoms[index]
        file.seek(start)
        moved = bytearray(file.read(size))
        content = kinds.index(b"mdat")
        try:
            fits = _shift(moved, 0, size, size)
        except (struct.error, ValueError):  # it holds fewer places than it says
            fits = False
        if not fits:
            return False
        with replacing(path) as partial, partial.open("r+b") as written:
            for number, (_, place, length) in enumerate(atoms):
                if number == content:
                    written.write(moved)
                if number != index:
                    file.seek(place)
                    _copy(file, written, length)
    return True


def _atoms(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Give the kind, place and size of each part of a file."""
    end = file.seek(0, 2)
    place = 0
    while place + 8 <= end:
        file.seek(place)
        size, kind = struct.unpack(">I4s", file.read(8))
        if size == 1:
            (size,) = struct.unpack(">Q", file.read(8))
        elif size == 0:
            size = end - place
        if size < 8 or place + size > end:
            return
        yield kind, place, size
        place += size


def _shift(data: bytearray, start: int, end: int, distance: int) -> bool:
    """Add a distance to all places in an index; False where one would not fit."""
    place = start
    while place + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, place)
        if size < 8 or place + size > end:
            return False
        if kind in _CONTAINERS:
            if not _shift(data, place + 8, place + size, distance):
                return False
        elif kind in _TYPES:
            (count,) = struct.unpack_from(">I", data, place + 12)
            places = np.frombuffer(data, _TYPES[kind], count, place + 16)  # a view: they are moved where they are
            if kind == b"stco" and count and int(places.max()) + distance >= 2**32:
                return False
            places += distance
        place += size
    return True


def _copy(source: BinaryIO, target: BinaryIO, length: int) -> None:
    while length:
        part = source.read(min(length, _PART))
        if not part:
            return
        target.write(part)
        length -= len(part)
