"""Read the format and size of a picture from its first bytes, so that a bomb is refused before it is decoded.

Formats: PNG (ISO/IEC 15948), JPEG (ITU-T T.81), WebP (RFC 9649). Nothing else is accepted: every further
decoder is one more that strangers can feed.
"""

from typing import NamedTuple

# Baseline and progressive frames; C4, C8 and CC, in the same range, are tables.
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_START_OF_SCAN = 0xDA
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_COEFFICIENT_BYTES = 6  # of a pixel in three colours
_MOST_SEGMENTS = 20_000  # before a frame

_PNG_CHANNELS = {3: 4, 4: 4, 6: 4}  # by colour type: a palette may have alpha, the other two do; the rest become RGB
_VP8X_ALPHA, _VP8L_ALPHA = 0x10, 1 << 28


class PictureHeader(NamedTuple):
    """The media type and size that a file declares."""

    media_type: str
    height: int  # as stored, before any EXIF rotation
    width: int
    pixel_bytes: int = 3  # of one decoded pixel: more with alpha, or 16 bits
    progressive: bool = False  # a JPEG whose coefficients the decoder keeps, all of them

    @property
    def pixels(self) -> int:
        """How many pixels the file declares."""
        return self.height * self.width

    @property
    def decoded_bytes(self) -> int:
        """How many bytes the decoded picture takes."""
        return self.pixels * self.pixel_bytes

    @property
    def working_bytes(self) -> int:
        """How many bytes decoding it takes at most, the decoded picture among them."""
        return self.decoded_bytes + (self.pixels * _COEFFICIENT_BYTES if self.progressive else 0)


def read_header(data: bytes) -> PictureHeader | None:
    """Return the header of a PNG, JPEG or WebP file; None where it is none of them, or damaged already there."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png(data)
    if data.startswith(b"\xff\xd8\xff"):
        return _jpeg(data)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return _webp(data)
    return None


def count_scans(data: bytes) -> int:
    """Return how many scans a JPEG file has at most; each costs the decoder a pass over the whole picture."""
    return data.count(bytes((0xFF, _START_OF_SCAN)))


def _png(data: bytes) -> PictureHeader | None:
    if data[12:16] != b"IHDR" or len(data) < 24:
        return None
    depth, colour_type = (*data[24:26], 8, 2)[:2]
    pixel_bytes = _PNG_CHANNELS.get(colour_type, 3) * (2 if depth == 16 else 1)
    return PictureHeader("image/png", int.from_bytes(data[20:24]), int.from_bytes(data[16:20]), pixel_bytes)


def _jpeg(data: bytes) -> PictureHeader | None:
    """Walk over the segments up to the frame; an embedded thumbnail lies inside one and is passed by."""
    at = 2
    for _ in range(_MOST_SEGMENTS):
        if at + 4 > len(data) or data[at] != 0xFF:
            break
        marker = data[at + 1]
        if marker == 0xFF:  # padding
            at += 1
        elif marker in _WITHOUT_LENGTH:
            at += 2
        elif marker in _START_OF_FRAME:
            frame = data[at + 5 : at + 9]
            if len(frame) < 4:
                return None
            height, width = int.from_bytes(frame[:2]), int.from_bytes(frame[2:])
            return PictureHeader("image/jpeg", height, width, progressive=marker in _PROGRESSIVE)
        elif marker == _START_OF_SCAN:
            return None
        else:
            at += 2 + max(2, int.from_bytes(data[at + 2 : at + 4]))
    return None


def _webp(data: bytes) -> PictureHeader | None:
    if len(data) < 30:
        return None
    chunk, alpha = data[12:16], False
    if chunk == b"VP8 ":
        width, height = (int.from_bytes(data[at : at + 2], "little") & 0x3FFF for at in (26, 28))
    elif chunk == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        alpha = bool(bits & _VP8L_ALPHA)
    elif chunk == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
        alpha = bool(data[20] & _VP8X_ALPHA)
    else:
        return None
    return PictureHeader("image/webp", height, width, 4 if alpha else 3)
