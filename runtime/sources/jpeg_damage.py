"""Damage inside a JPEG, which decoders pass over in silence: coded data that no encoder writes (ITU-T T.81)."""

from collections.abc import Iterator

import numpy as np

_SOS, _EOI, _DHT, _PROGRESSIVE = 0xDA, 0xD9, 0xC4, 0xC2
_WITHOUT_LENGTH = (0x01, *range(0xD0, 0xD9))
# After 0xFF in coded data: a stuffed zero, restarts, the end, or what may stand between two scans.
_MARKERS_IN_SCANS = np.array([0x00, *range(0xD0, 0xDA), 0xC4, 0xDA, 0xDB, 0xDC, 0xDD, *range(0xE0, 0xF0), 0xFE, 0xFF])
_HOLE = bytes(64)  # sectors that were never written are zeros


def is_damaged_inside(data: bytes) -> bool:
    """Whether the coded part of a JPEG file has no end, or holds markers or zeros that cannot be there.

    What stands before it, such as a small JPEG within the EXIF block, and behind its end does not count.
    """
    heads = list(_segments(data))
    if not heads or heads[-1][0] != _SOS:
        return False
    begin = heads[-1][2]
    end = data.find(bytes((0xFF, _EOI)), begin)
    if end < 0:
        return True
    coded = np.frombuffer(data, np.uint8)[begin : end + 2]
    following = coded[1:][coded[:-1] == 0xFF]
    if not np.isin(following, _MARKERS_IN_SCANS).all():
        return True
    kinds = [kind for kind, _, _ in heads]
    return _PROGRESSIVE not in kinds and data.find(_HOLE, begin, end) >= 0 and not _zeros_are_flat(data, heads)


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Give the kind, begin and end of each segment's content, up to that of the first scan."""
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        kind = data[place + 1]
        if kind == 0xFF:  # filling
            place += 1
        elif kind in _WITHOUT_LENGTH:
            place += 2
        else:
            end = place + 2 + int.from_bytes(data[place + 2 : place + 4])
            yield kind, place + 4, end
            if kind == _SOS:
                return
            place = end


def _zeros_are_flat(data: bytes, segments: list[tuple[int, int, int]]) -> bool:
    """Whether zeros are the code of flat blocks: no change of the mean, end of the block.

    The first value of a Huffman table is the one whose code is all zeros.
    """
    firsts = []
    for kind, place, end in segments:
        while kind == _DHT and place + 17 < end <= len(data):
            firsts.append(data[place + 17])
            place += 17 + sum(data[place + 1 : place + 17])
    return all(first == 0 for first in firsts)
