"""The colour profile of an uploaded picture, taken out by us: no decoder sees more than the picture's own parts.

A profile goes into the result as it is, where it describes RGB and is no larger than profiles are.
"""

import zlib
from contextlib import suppress

from .picture_chunks import TooManyPartsError, parts_of

MOST_BYTES = 2**20  # a display's profile has a few kilobytes, a printer's table up to a megabyte
_JPEG_HEAD = b"ICC_PROFILE\0"  # and then the part's number and how many there are


def read_profile(data: bytes, media_type: str) -> bytes | None:
    """Return the ICC profile of a PNG, JPEG or WebP file; None where there is none, or one that is too large."""
    profile = bytearray()
    with suppress(TooManyPartsError, zlib.error):
        for kind, content in parts_of(data, media_type):
            if kind == b"iCCP":
                packed = content.partition(b"\0")[2][1:]  # its name, and the one way of packing
                profile += zlib.decompressobj().decompress(packed, MOST_BYTES + 1)
            elif kind == b"ICCP":
                profile += content
            elif kind == b"\xff\xe2" and content.startswith(_JPEG_HEAD):
                profile += content[len(_JPEG_HEAD) + 2 :]
            if len(profile) > MOST_BYTES:  # before further parts are unpacked
                return None
    describes_rgb = profile[16:20] == b"RGB " and profile[36:40] == b"acsp"
    return bytes(profile) if describes_rgb else None
