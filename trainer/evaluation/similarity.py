"""How near one picture is to another. Imports no torch; `paired` does it for tensors."""

import cv2
import numpy as np
from numpy.typing import NDArray

from ...runtime.contract import Picture

IDENTICAL_DB = 100.0  # stands for an infinite PSNR, so that a mean stays finite


def psnr(one: Picture, other: Picture) -> float:
    """Return the peak signal-to-noise ratio over all pixels of uint8 arrays of one shape, in dB; at most 100."""
    error = float(np.square(one.astype(np.float32) - other).mean(dtype=np.float64))
    return min(IDENTICAL_DB, 10 * float(np.log10(255.0**2 / error))) if error else IDENTICAL_DB


def ssim(one: Picture, other: Picture) -> float:
    """Return the structural similarity of [H, W, C] in [0, 255], mean over pixels and channels.

    Wang et al., "Image Quality Assessment" (IEEE TIP 2004): a Gaussian window of 11 pixels and sigma 1.5, pictures
    mirrored at their edges, K1 0.01 and K2 0.03. This is what torchmetrics computes, many times quicker.
    """
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    x, y = one.astype(np.float64), other.astype(np.float64)
    mean_x, mean_y = _windowed(x), _windowed(y)
    variance_x = _windowed(x * x) - mean_x**2
    variance_y = _windowed(y * y) - mean_y**2
    covariance = _windowed(x * y) - mean_x * mean_y
    likeness = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return float((likeness / ((mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2))).mean())


def _windowed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(cv2.GaussianBlur(values, (11, 11), 1.5), dtype=np.float64)
