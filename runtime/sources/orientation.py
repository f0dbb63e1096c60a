"""Which way up a photograph is: the EXIF tag Orientation, or the boxes of an AVIF file, and what they ask for."""

import struct

import numpy as np

from ..contract import Picture

_ORIENTATION = 0x0112
_SHORT = 3
_ENTRY = 12  # bytes of one tag in a directory


def read_orientation(exif: bytes) -> int:
    """Return the orientation, 1 to 8, from an EXIF block (a TIFF header and its directory); 1 where it has none."""
    exif = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(order + "I", exif, 4)
        (count,) = struct.unpack_from(order + "H", exif, start)
        for place in range(start + 2, start + 2 + _ENTRY * count, _ENTRY):
            tag, kind, _, value = struct.unpack_from(order + "HHIH", exif, place)
            if (tag, kind) == (_ORIENTATION, _SHORT) and 1 <= value <= 8:
                return int(value)
    except struct.error:  # it is cut short
        pass
    return 1


def read_avif_orientation(data: bytes) -> int:
    """Return the orientation, 1 to 8 as in EXIF, that the boxes `irot` and `imir` of an AVIF file ask for.

    ISO/IEC 23008-12, 6.5.10 and 6.5.12: turned to the left by quarters, then mirrored. They count, and EXIF does not.
    """
    angle, axis = (_byte_of(name, data) for name in (b"irot", b"imir"))
    mirrored = {0: (4, 5, 2, 7), 1: (2, 7, 4, 5)}
    return ((1, 8, 3, 6) if axis is None else mirrored[axis & 1])[(angle or 0) & 3]


def _byte_of(name: bytes, data: bytes) -> int | None:
    """Return the byte that a box of the properties `ipco` holds; None where there is no such box."""
    start = data.find(b"ipco")
    end = start - 4 + int.from_bytes(data[max(start - 4, 0) : max(start, 0)])
    place = data.find(b"\0\0\0\x09" + name, start, end) if start > 0 else -1
    return data[place + 8] if 0 <= place < len(data) - 8 else None


def turn_upright(picture: Picture, orientation: int) -> Picture:
    """Return [H, W, C] as it is to be seen."""
    mirrored = orientation in (2, 4, 5, 7)
    turns = {3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}.get(orientation, 0)  # counter-clockwise quarters
    if mirrored:
        picture = picture[:, ::-1]
    return np.ascontiguousarray(np.rot90(picture, turns))
