"""What a frame is, defined once for training, export and running.

A picture is uint8 [H, W, C] in RGB order. A network sees float [N, C, H, W] in [-1, 1]. Both ends of the value range
map exactly: 0 ↔ -1 and 255 ↔ 1. On the way back values are rounded half to even and clipped.

Networks with strides need sides that are multiples of their total stride; a picture of another size is padded by
reflection at the right and bottom, and the result is cropped, so any size goes in and comes out the same.
"""

from typing import Any, TypeVar, cast

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]

PIXEL_SCALE = 127.5

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".ppm", ".pgm", ".tif", ".tiff"})

_Values = TypeVar("_Values")  # a NumPy array or a torch tensor, of a floating type


def normalise(pixels: _Values) -> _Values:
    """Map pixel values [0, 255], already of a floating type, to [-1, 1]."""
    return cast(_Values, cast(Any, pixels) / PIXEL_SCALE - 1.0)


def denormalise(values: _Values) -> _Values:
    """Map [-1, 1] to [0, 255], still of a floating type, neither rounded nor clipped."""
    return cast(_Values, (cast(Any, values) + 1.0) * PIXEL_SCALE)


def encode(pictures: Picture) -> NDArray[np.float32]:
    """Turn uint8 [N, H, W, C] into the float32 [N, C, H, W] in [-1, 1] that a bare generator takes."""
    return np.ascontiguousarray(normalise(pictures.astype(np.float32)).transpose(0, 3, 1, 2))


def decode(values: NDArray[np.floating]) -> Picture:
    """Turn float [N, C, H, W] in [-1, 1] into uint8 [N, H, W, C]."""
    pixels = denormalise(values.astype(np.float32).transpose(0, 2, 3, 1))
    return np.ascontiguousarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


def padded_side(side: int, multiple: int, minimum: int = 1) -> int:
    """Return the smallest multiple of `multiple` that is no less than `side` and `minimum`."""
    return -(-max(side, minimum) // multiple) * multiple


def pad_to_multiple(picture: Picture, multiple: int, minimum: int = 1) -> Picture:
    """Reflect-pad uint8 [H, W, C] at the right and bottom until both sides are multiples of `multiple`."""
    height, width = picture.shape[:2]
    bottom = padded_side(height, multiple, minimum) - height
    right = padded_side(width, multiple, minimum) - width
    if not (bottom or right):
        return picture
    padded = cv2.copyMakeBorder(picture, 0, bottom, 0, right, cv2.BORDER_REFLECT_101)
    return np.asarray(padded, dtype=np.uint8).reshape(height + bottom, width + right, picture.shape[2])
