"""What a frame is, defined once for training, export and running.

A picture is uint8 [H, W, C] in RGB order; a deep one is uint16, with white at 65535. A network sees float [N, C, H, W]
in [-1, 1]. Both ends of the value range map exactly: 0 ↔ -1 and 255 ↔ 1. On the way back values are rounded half to
even and clipped.

Networks with strides need sides that are multiples of their total stride; a picture of another size is padded by
reflection at the right and bottom, and the result is cropped, so any size goes in and comes out the same.
"""

from collections.abc import Iterator
from typing import Any, Literal, TypeVar, cast

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Size = tuple[int, int]  # height, width
ValueRange = Literal["-1..1", "0..1", "0..255"]  # of a float model's pixels
Layout = Literal["NCHW", "NHWC"]
SizeRange = tuple[Size, Size, Size]  # min, opt, max

PIXEL_SCALE = 127.5
STEPS_16_BIT = np.float32(257)  # of 16-bit values to one of 8-bit: 65535 ↔ 255
_STRIPE_PIXELS = 2**18

PICTURE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".avif", ".gif", ".bmp", ".ppm", ".pgm", ".tif", ".tiff"}
)

_Values = TypeVar("_Values")  # a NumPy array or a torch tensor, of a floating type


def normalise(pixels: _Values) -> _Values:
    """Map pixel values [0, 255], already of a floating type, to [-1, 1]."""
    return cast(_Values, cast(Any, pixels) / PIXEL_SCALE - 1.0)


def denormalise(values: _Values) -> _Values:
    """Map [-1, 1] to [0, 255], still of a floating type, neither rounded nor clipped."""
    return cast(_Values, (cast(Any, values) + 1.0) * PIXEL_SCALE)


def encode(pictures: Picture, *, value_range: ValueRange = "-1..1", layout: Layout = "NCHW") -> NDArray[np.float32]:
    """Turn uint8 or uint16 [N, H, W, C] into the float32 [N, C, H, W] in [-1, 1] that a bare generator takes.

    Models of others may take another range, or [N, H, W, C].
    """
    pixels = pictures.astype(np.float32)
    if pictures.dtype == np.uint16:
        pixels /= STEPS_16_BIT
    match value_range:
        case "-1..1":
            pixels = normalise(pixels)
        case "0..1":
            pixels /= np.float32(255)
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2) if layout == "NCHW" else pixels)


def decode(
    values: NDArray[np.floating],
    dtype: np.dtype[Any] | type[np.uint8] = np.uint8,
    *,
    value_range: ValueRange = "-1..1",
    layout: Layout = "NCHW",
) -> Picture:
    """Turn float [N, C, H, W] in [-1, 1], or what another model gives, into uint8 or uint16 [N, H, W, C]."""
    pixels = values.astype(np.float32)
    pixels = pixels.transpose(0, 2, 3, 1) if layout == "NCHW" else pixels
    match value_range:
        case "-1..1":
            pixels = denormalise(pixels)
        case "0..1":
            pixels = pixels * np.float32(255)
    if dtype == np.uint16:
        pixels *= STEPS_16_BIT
    return np.ascontiguousarray(np.clip(np.rint(pixels), 0, np.iinfo(dtype).max).astype(dtype))


def padded_side(side: int, multiple: int, minimum: int = 1) -> int:
    """Return the smallest multiple of `multiple` that is no less than `side` and `minimum`."""
    return -(-max(side, minimum) // multiple) * multiple


def pad_to(picture: Picture, size: Size) -> Picture:
    """Reflect-pad [H, W, C] at the right and bottom until it has `size`."""
    height, width = picture.shape[:2]
    if (height, width) == size:
        return picture
    padded = cv2.copyMakeBorder(picture, 0, size[0] - height, 0, size[1] - width, cv2.BORDER_REFLECT_101)
    return np.asarray(padded, dtype=picture.dtype).reshape(*size, picture.shape[2])


def to_8_bits(picture: Picture) -> Picture:
    """Turn uint16 into uint8, white into white; uint8 stays."""
    if picture.dtype == np.uint8:
        return picture
    # Nothing lies half-way between two steps, because 257 is odd: float32 rounds every value as it should.
    return np.asarray(cv2.convertScaleAbs(picture, alpha=1 / float(STEPS_16_BIT)), np.uint8).reshape(picture.shape)


def on_white(picture: Picture) -> Picture:
    """Lay [H, W, 4] with alpha on white, [H, W, 3]; a picture without alpha stays."""
    if picture.shape[2] != 4:
        return picture
    white = np.iinfo(picture.dtype).max
    opaque = np.empty((*picture.shape[:2], 3), picture.dtype)
    for rows in _stripes(picture):
        share = picture[rows, :, 3:].astype(np.float32) / white
        opaque[rows] = np.rint(picture[rows, :, :3] * share + white * (1 - share))
    return opaque


def _stripes(picture: Picture) -> Iterator[slice]:
    """Cut a picture into rows of which each part is small: numbers with a point take many times its memory."""
    height = max(1, _STRIPE_PIXELS // max(1, picture.shape[1]))
    return (slice(start, start + height) for start in range(0, picture.shape[0], height))


def plain(picture: Picture) -> Picture:
    """Return uint8 [H, W, 3] for whoever takes nothing else: on white, and white into white."""
    return to_8_bits(on_white(picture))
