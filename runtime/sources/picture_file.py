"""One reader of pictures for everybody: the bytes of a file become upright pixels, with all that the file holds."""

import logging
import re
import zlib
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import cv2
import numpy as np
from cv2.typing import MatLike
from numpy.typing import NDArray

from ..contract import Picture
from ..errors import InputError
from ..video import has_pyav
from .heif import decode_heif, is_heif
from .jpeg_damage import is_damaged_inside
from .orientation import read_avif_orientation, read_orientation, turn_upright
from .tiff import Tiff

LOGGER = logging.getLogger(__name__)

_SPACE = slice(16, 20)  # of an ICC profile: the colours that it describes
_LONGEST_PROFILE = 2**23  # bytes
_PNG = b"\x89PNG"
_TIFF = (b"II*\0", b"MM\0*")


@dataclass(frozen=True)
class PictureFile:
    """A picture and its colour profile."""

    pixels: Picture  # upright, in RGB order, uint8 or uint16 [H, W, 3], or 4 with alpha
    profile: bytes | None  # the ICC profile of RGB colours


def decode_picture(data: bytes | NDArray[np.uint8], name: str) -> PictureFile:
    """Decode a picture file with all that it holds.

    What is lost is logged: a profile of colours that are no RGB, damage inside a JPEG or TIFF.

    Args:
        data: the file's bytes.
        name: what it is called in messages.

    Raises:
        InputError: it is no picture, damaged, or too large.
    """
    content = data if isinstance(data, bytes) else data.tobytes()
    if is_heif(content):
        upright, profile = decode_heif(content, name)
        return PictureFile(upright, _of_rgb(profile, name))
    tiff = Tiff(content) if content[:4] in _TIFF else None
    buffer = np.frombuffer(tiff.as_stored() if tiff else content, np.uint8)
    try:
        pixels, kinds, values = cv2.imdecodeWithMetadata(buffer, flags=cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        if re.search("CV_IO_MAX_IMAGE|validateInputImageSize", str(error)):
            raise InputError(f"{name} has more pixels than can be read; make it smaller or cut it") from error
        pixels, kinds, values = None, (), ()  # an empty file
    if pixels is None:
        raise InputError(f"{name} is damaged or no picture; replace it or take it away")
    if pixels.dtype not in (np.uint8, np.uint16):
        raise InputError(f"{name} holds {pixels.dtype} values; convert it to 8 or 16 bits")
    if tiff.is_damaged_inside() if tiff else content[:2] == b"\xff\xd8" and is_damaged_inside(content):
        LOGGER.warning("%s is damaged inside; what can be seen of it is used", name)
    metadata: dict[Any, bytes] = {
        kind: np.asarray(value, np.uint8).tobytes() for kind, value in zip(kinds, values, strict=True)
    }
    profile = tiff.profile if tiff else metadata.get(cv2.IMAGE_METADATA_ICCP)
    head = content[: max(content.find(b"IDAT"), 0)] if content.startswith(_PNG) else b""
    if b"acTL" in head and profile is None:  # OpenCV passes by the profile of an animation
        profile = _packed_profile(head)
    if b"iCCP" in head and profile is None:
        LOGGER.warning("%s: its colour profile is damaged or of other colours than its pixels; it is left out", name)
    is_avif = content[4:8] == b"ftyp"
    exif = metadata.get(cv2.IMAGE_METADATA_EXIF, b"")
    upright = turn_upright(to_rgb(pixels), read_avif_orientation(content) if is_avif else read_orientation(exif))
    if tiff and tiff.has_gray_alpha:
        upright = _with_gray_alpha(upright, tiff, name)
    return PictureFile(upright, _of_rgb(profile, name))


def _with_gray_alpha(pixels: Picture, tiff: Tiff, name: str) -> Picture:
    """Return a gray TIFF with the alpha that OpenCV passes by and FFmpeg reads; where it does not, that is logged."""
    if has_pyav():
        import av

        with suppress(av.FFmpegError, StopIteration), av.open(BytesIO(tiff.data), "r", format="tiff_pipe") as container:
            frame: Any = next(container.decode(video=0))
            if frame.format.name.startswith("ya"):  # gray and alpha, of 8 or 16 bits
                layout = "rgba" if frame.format.name == "ya8" else "rgba64le"
                return turn_upright(frame.to_ndarray(format=layout), tiff.orientation)
    LOGGER.warning("%s: the alpha of a gray TIFF is left out; save it as PNG to keep it", name)
    return pixels


def _packed_profile(head: bytes) -> bytes | None:
    """Return the profile that the head of a PNG file holds; None where it holds none that can be read."""
    place = head.find(b"iCCP") + 4
    content = head[place : place + int.from_bytes(head[place - 8 : place - 4])] if place > 8 else b""
    with suppress(zlib.error):
        return zlib.decompressobj().decompress(content.partition(b"\0")[2][1:], _LONGEST_PROFILE) or None
    return None


def _of_rgb(profile: bytes | None, name: str) -> bytes | None:
    """Return a profile that fits RGB pixels; any other is left out, which is logged."""
    if not profile:
        return None
    space = profile[_SPACE].decode("latin-1").strip()
    if space == "RGB" or len(profile) < 128:  # a short one is none; who writes it says so
        return profile
    LOGGER.warning("%s: its pixels become RGB, which its %s profile does not describe; it is left out", name, space)
    return None


def to_rgb(pixels: MatLike) -> Picture:
    """Turn what OpenCV decoded, gray, BGR or BGRA, into RGB or RGBA."""
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    conversion = {1: cv2.COLOR_GRAY2RGB, 3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGBA}[channels]
    return np.asarray(cv2.cvtColor(pixels, conversion), dtype=pixels.dtype)
