"""A result at a low resolution is brought to a high one along the edges of the picture that it was made from.

He and Sun, "Fast Guided Filter", arXiv 1505.00996, with the colour guide of He, Sun and Tang, "Guided Image Filtering",
TPAMI 2013: around every pixel the translation is taken for a linear function of the picture's three colours. That
function is fitted where both are small, and applied where the picture is large.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from .contract import Picture

RADIUS = 4  # pixels of the small picture
SMOOTHNESS = 1e-3  # squared contrast, of 1, below which a region counts as flat

Planes = NDArray[np.float32]  # [H, W, C]
Plane = NDArray[np.float32]  # [H, W]


def upsample(translated: Picture, small: Picture, original: Picture) -> Picture:
    """Return a translation at the original's size.

    Args:
        translated: uint8 or uint16 [h, w, C], made from `small`.
        small: the original's smaller copy, [h, w, 3] or [h, w, 1].
        original: [H, W, 3] or [H, W, 1].
    """
    white = np.float32(np.iinfo(translated.dtype).max)
    slopes, offset = _fit(_colours(small), _unit(translated))
    size = original.shape[1], original.shape[0]
    grown = _grow(offset, size)
    for colour, slope in zip(_colours(original), slopes, strict=True):
        grown += _grow(slope, size) * colour[..., None]
    grown *= white
    pixels: Picture = np.clip(np.rint(grown, out=grown), 0, white, out=grown).astype(translated.dtype)
    return pixels


def _fit(guide: list[Plane], wanted: Planes) -> tuple[list[Planes], Planes]:
    """Return the linear functions, averaged over their neighbours: a slope for each colour, and the offset, [h, w, C].

    The slopes solve (variance of the guide + smoothness) · slopes = covariance of guide and wanted, at each pixel; the
    matrix is symmetric and 3x3, so its inverse is written out.
    """
    means, mean_wanted = [_mean(plane) for plane in guide], _mean(wanted)
    rr, rg, rb, gg, gb, bb = (
        _mean(guide[i] * guide[j]) - means[i] * means[j] + (SMOOTHNESS if i == j else 0)
        for i in range(3)
        for j in range(i, 3)
    )
    minors = (
        (gg * bb - gb * gb, rb * gb - rg * bb, rg * gb - rb * gg),
        (rb * gb - rg * bb, rr * bb - rb * rb, rg * rb - rr * gb),
        (rg * gb - rb * gg, rg * rb - rr * gb, rr * gg - rg * rg),
    )
    determinant = rr * minors[0][0] + rg * minors[0][1] + rb * minors[0][2]
    covariances = [
        _mean(wanted * plane[..., None]) - mean[..., None] * mean_wanted
        for plane, mean in zip(guide, means, strict=True)
    ]
    slopes = [
        np.sum([(minors[i][j] / determinant)[..., None] * covariances[j] for j in range(3)], axis=0) for i in range(3)
    ]
    offset = mean_wanted - np.sum([means[i][..., None] * slopes[i] for i in range(3)], axis=0)
    return [_mean(slope) for slope in slopes], _mean(offset)


def _colours(picture: Picture) -> list[Plane]:
    """Split a picture into three planes in [0, 1]; those of a gray one are equal."""
    unit = _unit(picture)
    return [np.ascontiguousarray(unit[..., colour % unit.shape[2]]) for colour in range(3)]


def _unit(picture: Picture) -> Planes:
    scaled: Planes = picture.astype(np.float32) * np.float32(1 / np.iinfo(picture.dtype).max)
    return scaled


def _mean(planes: NDArray[np.float32]) -> NDArray[np.float32]:
    side = 2 * RADIUS + 1
    return np.asarray(cv2.blur(planes, (side, side), borderType=cv2.BORDER_REFLECT), np.float32).reshape(planes.shape)


def _grow(planes: Planes, size: tuple[int, int]) -> Planes:
    grown = np.asarray(cv2.resize(planes, size, interpolation=cv2.INTER_LINEAR), np.float32)
    return grown.reshape(size[1], size[0], planes.shape[2])
