"""A result at a low resolution is brought to a high one along the edges of the picture that it was made from.

He and Sun, "Fast Guided Filter", arXiv 1505.00996, with the colour guide of He, Sun and Tang, "Guided Image Filtering",
TPAMI 2013: around every pixel the translation is taken for a linear function of the picture's three colours. That
function is fitted where both are small, and applied where the picture is large.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from ..contract import Picture

RADIUS = 4  # pixels of the small picture
SMOOTHNESS = 1e-3  # squared contrast, of 1, below which a region counts as flat

Plane = NDArray[np.float32]  # [H, W]; OpenCV and NumPy work on one at a time several times as fast as on [H, W, 3]


def upsample(translated: Picture, small: Picture, original: Picture) -> Picture:
    """Return a translation at the original's size.

    Args:
        translated: uint8 or uint16 [h, w, C], made from `small`.
        small: the original's smaller copy, [h, w, 3] or [h, w, 1].
        original: [H, W, 3] or [H, W, 1].
    """
    result = np.empty((*original.shape[:2], translated.shape[2]), translated.dtype)
    white = np.iinfo(translated.dtype).max
    guide, colours = _Guide(_colours(small)), _colours(original)
    for channel in range(translated.shape[2]):
        slopes, offset = guide.fit(translated[..., channel].astype(np.float32))
        grown = _grow(offset, original)
        for colour, slope in zip(colours, slopes, strict=True):
            cv2.accumulateProduct(_grow(slope, original), colour, grown)
        result[..., channel] = np.clip(np.rint(grown, out=grown), 0, white, out=grown)
    return result


class _Guide:
    """A small picture's three planes, and what every function of them needs: their means, and how they vary together.

    The slopes solve (variance + smoothness) · slopes = covariance of the guide and what is wanted, at each pixel. The
    matrix is symmetric and 3x3, so its inverse is written out.
    """

    def __init__(self, planes: list[Plane]) -> None:
        self._planes, self._means = planes, [_mean(plane) for plane in planes]
        rr, rg, rb, gg, gb, bb = (
            _mean(planes[i] * planes[j]) - self._means[i] * self._means[j] + (SMOOTHNESS if i == j else 0)
            for i in range(3)
            for j in range(i, 3)
        )
        minors = (
            (gg * bb - gb * gb, rb * gb - rg * bb, rg * gb - rb * gg),
            (rb * gb - rg * bb, rr * bb - rb * rb, rg * rb - rr * gb),
            (rg * gb - rb * gg, rg * rb - rr * gb, rr * gg - rg * rg),
        )
        determinant = rr * minors[0][0] + rg * minors[0][1] + rb * minors[0][2]
        self._inverse: list[list[Plane]] = [[np.divide(minor, determinant) for minor in row] for row in minors]

    def fit(self, wanted: Plane) -> tuple[list[Plane], Plane]:
        """Return the linear functions, averaged over their neighbours: a slope for each colour, and the offset."""
        mean = _mean(wanted)
        covariances = [_mean(wanted * plane) - own * mean for plane, own in zip(self._planes, self._means, strict=True)]
        slopes = [_product(row, covariances) for row in self._inverse]
        return [_mean(slope) for slope in slopes], _mean(mean - _product(self._means, slopes))


def _product(left: list[Plane], right: list[Plane]) -> Plane:
    """Multiply three planes with three, and add them up."""
    total: Plane = left[0] * right[0]
    for one, other in zip(left[1:], right[1:], strict=True):
        cv2.accumulateProduct(one, other, total)
    return total


def _colours(picture: Picture) -> list[Plane]:
    """Split a picture into three planes in [0, 1]; those of a gray one are equal."""
    return [_unit(picture[..., colour % picture.shape[2]]) for colour in range(3)]


def _unit(pixels: NDArray[np.unsignedinteger]) -> Plane:
    scaled: Plane = np.multiply(pixels, np.float32(1 / np.iinfo(pixels.dtype).max), dtype=np.float32)
    return scaled


def _mean(plane: Plane) -> Plane:
    side = 2 * RADIUS + 1
    return np.asarray(cv2.blur(plane, (side, side), borderType=cv2.BORDER_REFLECT), np.float32)


def _grow(plane: Plane, original: Picture) -> Plane:
    size = original.shape[1], original.shape[0]
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR), np.float32)
