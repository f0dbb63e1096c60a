"""True optical flow from Cycles' vector pass, and the file that holds it.

The pass holds for each pixel how far its surface moves to the neighbouring frames. It holds zeros for the sky, which
moves as the camera turns: this is added. Files are 16-bit PNG of the form of KITTI (Geiger et al., 2013): red is
64 dx + 32768, green 64 dy + 32768 and blue 1 where the pixel is seen in the next frame too, else 0.
"""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Flow = NDArray[np.float32]  # [H, W, 2]: dx to the right and dy down in pixels
Mask = NDArray[np.bool_]


def forth(motion: NDArray[np.float32]) -> Flow:
    """Return where each pixel goes in the next frame, from the pass [H, W, 4]."""
    return np.stack((-motion[..., 2], motion[..., 3]), axis=-1)


def back(motion: NDArray[np.float32]) -> Flow:
    """Return where each pixel came from in the frame before."""
    return np.stack((motion[..., 0], -motion[..., 1]), axis=-1)


def sky_flow(here: NDArray[np.float64], there: NDArray[np.float64], side: int, focal: float) -> Flow:
    """Return where what is infinitely far away goes when the camera turns.

    `here` and `there` [3, 3] hold the camera's axes in the world as columns: right, up and back. `focal` is its focal
    length in pixels.
    """
    middle = (side - 1) / 2
    columns, rows = np.meshgrid(np.arange(side, dtype=np.float64), np.arange(side, dtype=np.float64))
    direction = np.stack((columns - middle, middle - rows, np.full_like(rows, -focal)), axis=-1)
    right, up, behind = np.moveaxis(direction @ (there.T @ here).T, -1, 0)
    moved = np.stack((middle - focal * right / behind - columns, middle + focal * up / behind - rows), axis=-1)
    return moved.astype(np.float32)


def with_sky(flow: Flow, sky: Flow) -> Flow:
    """Lay the motion of the sky where the pass holds none."""
    return np.where((flow == 0).all(axis=-1, keepdims=True), sky, flow)


def warp(values: NDArray[np.float32], flow: Flow) -> NDArray[np.float32]:
    """Take, for each pixel x, the value at x + flow[x]."""
    height, width = flow.shape[:2]
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    taken = cv2.remap(
        values, columns + flow[..., 0], rows + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(taken, np.float32)


def seen_again(there: Flow, returning: Flow) -> Mask:
    """Tell which pixels are seen in the next frame too: they stay inside it, and come back to within half a pixel."""
    height, width = there.shape[:2]
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    x, y = columns + there[..., 0], rows + there[..., 1]
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    error = np.linalg.norm(there + warp(returning, there), axis=-1)
    return np.asarray(inside & (error < 0.5), np.bool_)


def write_flow(path: Path, flow: Flow, seen: Mask) -> None:
    """Write a flow and where it holds."""
    coded = np.clip(np.round(64 * flow + 32768), 0, 65535).astype(np.uint16)
    bgr = np.dstack((seen.astype(np.uint16), coded[..., 1], coded[..., 0]))
    if not cv2.imwrite(str(path), bgr, [cv2.IMWRITE_PNG_COMPRESSION, 9]):
        raise OSError(f"cannot write {path}")
