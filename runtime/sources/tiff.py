"""Tags of TIFF files that OpenCV does not read or write: the colour profile, and what a further channel means.

A TIFF file (revision 6.0) is a chain of directories, one a page, each a list of tags of twelve bytes.
"""

import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

_ORIENTATION, _SAMPLES, _EXTRA_SAMPLES, _PROFILE = 274, 277, 338, 34675
_COMPRESSION, _DEFLATE = 259, (8, 32946)
_PARTS = ((273, 279), (324, 325))  # where strips are, and how large; and tiles
_SHORT, _LONG, _UNDEFINED = 3, 4, 7
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}  # bytes of a value, by its type
_ENTRY = 12
_ASSOCIATED, _UNASSOCIATED = 1, 2  # alpha with which the colours are multiplied already, or not
_MOST_PAGES = 10_000
_AT_ONCE = 2**20  # bytes that are unpacked at a time


@dataclass(frozen=True)
class _Tag:
    number: int
    kind: int
    count: int
    place: int  # of the value, or of its offset where it does not fit into four bytes


class Tiff:
    """The directories of a file; nothing where they cannot be read."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4], "")
        self._pages: list[tuple[int, list[_Tag]]] = []  # where a directory begins, and its tags
        with suppress(struct.error):  # it is cut short
            self._pages = list(self._read()) if self._order else []

    @property
    def pages(self) -> int:
        """How many pages there are."""
        return len(self._pages)

    @property
    def profile(self) -> bytes | None:
        """The ICC profile of the first page."""
        tag = self._tag(_PROFILE)
        return self._value(tag) if tag else None

    @property
    def orientation(self) -> int:
        """Which way up the first page is, 1 to 8, as in EXIF."""
        tag = self._tag(_ORIENTATION)
        orientation = self._short(tag) if tag else 1
        return orientation if 1 <= orientation <= 8 else 1

    @property
    def has_gray_alpha(self) -> bool:
        """Whether a gray picture has a second channel, which OpenCV passes by."""
        tag = self._tag(_SAMPLES)
        return tag is not None and self._short(tag) == 2

    def is_damaged_inside(self) -> bool:
        """Whether a strip or tile of the first page does not unpack; only those packed by zlib have a checksum."""
        compression, *_ = self._numbers(_COMPRESSION) or (0,)
        if compression not in _DEFLATE:
            return False
        for places, sizes in _PARTS:
            for place, size in zip(self._numbers(places), self._numbers(sizes), strict=False):
                if not _unpacks(self.data[place : place + size]):
                    return True
        return False

    def as_stored(self) -> bytes:
        """Return the file with its alpha said to be multiplied already, so that libtiff does not multiply again."""
        changed = bytearray(self.data)
        for _, tags in self._pages:
            for tag in tags:
                if tag.number == _EXTRA_SAMPLES and tag.count == 1 and self._short(tag) == _UNASSOCIATED:
                    struct.pack_into(self._order + "H", changed, tag.place, _ASSOCIATED)
        return bytes(changed)

    def page(self, number: int) -> "Tiff":
        """Return the file as one that begins with another page, counted from 0; its data are shared."""
        start = struct.pack(self._order + "I", self._pages[number][0])
        return Tiff(self.data[:4] + start + self.data[8:])

    def with_profile(self, profile: bytes) -> bytes:
        """Return the file with an ICC profile for every page; the directories are written anew, at the end."""
        body = self.data + bytes(len(self.data) % 2)
        place = len(body)
        body += profile + bytes(len(profile) % 2)
        pointer = 4  # where the offset of the next directory stands
        for start, tags in self._pages:
            entries = [self.data[start + 2 + _ENTRY * i : start + 2 + _ENTRY * (i + 1)] for i in range(len(tags))]
            entries = [entry for entry in entries if struct.unpack_from(self._order + "H", entry)[0] != _PROFILE]
            entries.append(struct.pack(self._order + "HHII", _PROFILE, _UNDEFINED, len(profile), place))
            entries.sort(key=lambda entry: int(struct.unpack_from(self._order + "H", entry)[0]))
            body = body[:pointer] + struct.pack(self._order + "I", len(body)) + body[pointer + 4 :]
            body += struct.pack(self._order + "H", len(entries)) + b"".join(entries)
            pointer = len(body)
            body += bytes(4)
        return body

    def _read(self) -> Iterator[tuple[int, list[_Tag]]]:
        (start,) = struct.unpack_from(self._order + "I", self.data, 4)
        seen: set[int] = set()
        while start and start not in seen and len(seen) < _MOST_PAGES:
            seen.add(start)
            (count,) = struct.unpack_from(self._order + "H", self.data, start)
            tags = []
            for place in range(start + 2, start + 2 + _ENTRY * count, _ENTRY):
                number, kind, length = struct.unpack_from(self._order + "HHI", self.data, place)
                tags.append(_Tag(number, kind, length, place + 8))
            (following,) = struct.unpack_from(self._order + "I", self.data, start + 2 + _ENTRY * count)
            yield start, tags
            start = following

    def _tag(self, number: int) -> _Tag | None:
        tags = self._pages[0][1] if self._pages else []
        return next((tag for tag in tags if tag.number == number), None)

    def _short(self, tag: _Tag) -> int:
        return int(struct.unpack_from(self._order + "H", self.data, tag.place)[0])

    def _numbers(self, number: int) -> tuple[int, ...]:
        """Return the whole numbers of a tag; none where it is not there, or holds something else."""
        tag = self._tag(number)
        layout = {_SHORT: "H", _LONG: "I"}.get(tag.kind) if tag else None
        if tag is None or layout is None:
            return ()
        value = self._value(tag)
        return struct.unpack_from(f"{self._order}{len(value) // _SIZES[tag.kind]}{layout}", value)

    def _value(self, tag: _Tag) -> bytes:
        size = _SIZES.get(tag.kind, 1) * tag.count
        place = tag.place if size <= 4 else struct.unpack_from(self._order + "I", self.data, tag.place)[0]
        return self.data[place : place + size]


def _unpacks(packed: bytes) -> bool:
    """Whether zlib unpacks data to their end and finds their checksum right; what it unpacks is not kept."""
    unpacking = zlib.decompressobj()
    try:
        while not unpacking.eof:
            unpacked = unpacking.decompress(packed, _AT_ONCE)
            packed = unpacking.unconsumed_tail
            if not unpacked and not packed:  # they are cut short
                return False
    except zlib.error:
        return False
    return True
