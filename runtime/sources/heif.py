"""HEIC and HEIF pictures, as telephones take them, through the extra `heif`: libheif by pi-heif, which writes none."""

import logging
from importlib.util import find_spec
from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from ..contract import Picture
from ..errors import InputError

LOGGER = logging.getLogger(__name__)

SUFFIXES = frozenset({".heic", ".heif"})
INSTALL = 'pip install "cyclegan-edge[heif]"'
MOST_PIXELS = 2**30  # as OpenCV has it for the other formats
_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_SRGB_PRIMARIES = (1, 2)  # of ITU-T H.273: those of BT.709, and not specified


def has_heif() -> bool:
    """Whether the extra `heif` is installed; nothing is imported."""
    return find_spec("pi_heif") is not None


def is_heif(data: bytes) -> bool:
    """Whether a file is HEIF with pictures coded by H.265, by its first bytes; AVIF, which is HEIF too, is not."""
    return data[4:8] == b"ftyp" and data[8:12] in _BRANDS and b"avif" not in data[16 : int.from_bytes(data[:4])]


def decode_heif(data: bytes, name: str) -> tuple[Picture, bytes | None]:
    """Decode the main picture of a file, which libheif turns upright.

    Returns:
        uint8, or uint16 where it has more bits, [H, W, 3] in RGB order, or 4 with alpha; and its ICC profile.

    Raises:
        InputError: it is damaged or too large, or the extra is not installed.
    """
    if not has_heif():
        raise InputError(f"{name} is a HEIC picture, which needs pi-heif; install it with: {INSTALL}")
    import pi_heif

    if not _has_readable_names(data):
        raise InputError(f"{name} is damaged or no picture; replace it or take it away")
    try:
        file = pi_heif.open_heif(BytesIO(data), convert_hdr_to_8bit=False, hdr_to_16bit=False)
        image = file[file.primary_index]
        if image.size[0] * image.size[1] > MOST_PIXELS:
            raise InputError(f"{name} has more pixels than can be read; make it smaller or cut it")
        stored = np.array(image)  # a copy: its memory goes with the image
    except (ValueError, EOFError, SyntaxError, RuntimeError, OSError, IndexError) as error:
        raise InputError(f"{name} is damaged or no picture; replace it or take it away") from error
    if len(file) > 1:
        LOGGER.warning("%s holds %d pictures; the main one is read", name, len(file))
    profile = image.info.get("icc_profile")
    primaries = (image.info.get("nclx_profile") or {}).get("color_primaries", _SRGB_PRIMARIES[0])
    if profile is None and primaries not in _SRGB_PRIMARIES:
        LOGGER.warning("%s has other primaries than sRGB and no ICC profile that says so: colours may look dull", name)
    return _to_rgb(stored, image.mode), profile


def _has_readable_names(data: bytes) -> bool:
    """Whether the names of a file's items are text: of others pi-heif 1.4 makes an end of the whole process.

    They stand in the boxes `infe` of the box `iinf` (ISO/IEC 14496-12, 8.11.6), behind version, number and protection.
    """
    start = data.find(b"iinf")
    place, end = start + 10, start - 4 + int.from_bytes(data[max(start - 4, 0) : max(start, 0)])
    while start >= 0 and place + 8 <= end:
        size = int.from_bytes(data[place : place + 4])
        try:
            data[place + 16 : place + size].decode()
        except UnicodeDecodeError:
            return False
        place += max(size, 8)
    return True


def _to_rgb(stored: NDArray[np.unsignedinteger], mode: str) -> Picture:
    """Turn what libheif gives, in a mode such as "RGB;10", into RGB or RGBA over the whole range of its type."""
    kind, _, bits = mode.partition(";")
    white = 2 ** int(bits or 8) - 1
    values = stored if stored.ndim == 3 else stored[..., None]
    if values.shape[2] < 3:  # gray
        values = np.concatenate([values[..., :1]] * 3 + [values[..., 1:]], axis=2)
    full = np.iinfo(values.dtype).max
    if kind.endswith("a"):  # the colours are multiplied by alpha already
        share = np.maximum(values[..., 3:], 1) / white
        values = np.concatenate([np.minimum(values[..., :3] / share, white), values[..., 3:]], axis=2)
    pixels: Picture = np.rint(values * (full / white)).astype(stored.dtype) if bits or kind.endswith("a") else values
    return np.ascontiguousarray(pixels)
