"""From a decoded frame, in the colours that its tags say, to upright RGB."""

import math
import struct
from typing import Any

import numpy as np

from ..contract import Picture
from .format import BT601, BT709, BT2020, UNSPECIFIED, Colour

# H.273's numbers → libswscale's; all that it does not know is close to BT.601.
_SWS_MATRICES = {BT709: 1, 4: 4, BT601: 5, 7: 7, BT2020: 9, 10: 9}
_LIMITED_RANGE, _FULL_RANGE = 1, 2  # FFmpeg's colour ranges
_FORMATS = {(False, False): "rgb24", (True, False): "rgba", (False, True): "rgb48le", (True, True): "rgba64le"}


def to_rgb(decoded: Any, colour: Colour, *, alpha: bool = False, deep: bool = False) -> tuple[Picture, bool]:
    """Convert a decoded frame to [H, W, 3], or 4 with `alpha`, turned upright: uint8, or uint16 where it is `deep`.

    Returns:
        the pixels, and whether turning exchanged their sides.
    """
    pixels = decoded.to_ndarray(
        format=_FORMATS[alpha, deep],
        src_colorspace=_SWS_MATRICES.get(colour.matrix_of(decoded.height), _SWS_MATRICES[BT601]),
        src_color_range=_FULL_RANGE if colour.full_range else _LIMITED_RANGE,
        dst_color_range=_FULL_RANGE,
    )
    if alpha and deep:  # libswscale shifts alpha to 16 bits, so that what is opaque would not quite be
        bits = max((part.bits for part in decoded.format.components if part.is_alpha), default=16)
        pixels[..., 3] += pixels[..., 3] >> bits
    mirrored, turns = _read_turn(decoded)
    if mirrored:
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(np.rot90(pixels, turns)), turns % 2 == 1


def _read_turn(decoded: Any) -> tuple[bool, int]:
    """Return how a frame is to be shown: whether mirrored left to right, and then by how many quarters to the left."""
    matrix = next((side for side in decoded.side_data if side.type.name == "DISPLAYMATRIX"), None)
    if matrix is None:
        return False, 0
    a, b, _, c, d, _, _, _, _ = struct.unpack("9i", bytes(matrix))  # (x, y) → (ax + cy, bx + dy), y downwards
    mirrored = a * d < b * c
    sign = -1 if mirrored else 1
    return mirrored, round(-math.atan2(sign * b, sign * a) / (math.pi / 2)) % 4


def read_colour(context: Any) -> Colour:
    """Read the tags of a codec context."""
    full = context.color_range == _FULL_RANGE or (context.pix_fmt or "").startswith("yuvj")
    return Colour(context.colorspace or UNSPECIFIED, context.color_primaries, context.color_trc, full)


def read_bits(context: Any) -> int:
    """Return the bits of the deepest channel of a codec context; 8 where it does not know its format yet."""
    return max((part.bits for part in context.format.components), default=8) if context.format else 8
