"""Optical flow between two frames: where each pixel went, and which can still be seen.

The flow is OpenCV's DIS (Kroeger et al., "Fast Optical Flow using Dense Inverse Search", ECCV 2016).
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from ..contract import Picture, Size, to_8_bits

Gray = NDArray[np.uint8]  # [H, W]
Flow = NDArray[np.float32]  # [H, W, 2]: dx, dy in pixels
Mask = NDArray[np.bool_]  # [H, W]

SMALLEST = 32  # DIS needs some pixels for its pyramid


def gray(picture: Picture) -> Gray:
    """Return the luma of uint8 or uint16 [H, W, 3], or 4 with alpha, in 8 bits."""
    return np.asarray(cv2.cvtColor(to_8_bits(picture), cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def estimate_flow(start: Gray, end: Gray, *, fast: bool = False) -> Flow:
    """Tell for each pixel of `start` how far it moved: what is at x there is at x + flow[x] in `end`."""
    height, width = start.shape
    bottom, right = max(0, SMALLEST - height), max(0, SMALLEST - width)
    if bottom or right:
        start, end = (np.pad(one, ((0, bottom), (0, right)), mode="edge") for one in (start, end))
    preset = cv2.DISOPTICAL_FLOW_PRESET_FAST if fast else cv2.DISOPTICAL_FLOW_PRESET_MEDIUM
    flow = np.zeros((*start.shape, 2), np.float32)
    cv2.DISOpticalFlow.create(preset).calc(start, end, flow)
    return flow[:height, :width]


def resize_flow(flow: Flow, size: Size) -> Flow:
    """Bring a flow to another (height, width); its lengths grow with it."""
    height, width = flow.shape[:2]
    if (height, width) == size:
        return flow
    resized = np.asarray(cv2.resize(flow, (size[1], size[0]), interpolation=cv2.INTER_LINEAR), dtype=np.float32)
    return resized * np.array((size[1] / width, size[0] / height), np.float32)


def warp(values: NDArray[np.generic], flow: Flow) -> NDArray[np.float32]:
    """Take, for each pixel x, the value at x + flow[x]; [H, W] or [H, W, C], edges repeated."""
    height, width = flow.shape[:2]
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    taken = cv2.remap(
        values.astype(np.float32),
        columns + flow[..., 0],
        rows + flow[..., 1],
        interpolation=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(taken, dtype=np.float32)


def visible(there: Flow, back: Flow) -> Mask:
    """Tell which pixels of the first frame can be seen in the second too, and whose flow can be trusted.

    A pixel that does not come back to where it started is occluded, and one at an edge of the motion is uncertain: the
    two conditions and their constants are those of Ruder et al., "Artistic Style Transfer for Videos" (GCPR 2016),
    section 4.3, after Sundaram et al. (ECCV 2010).
    """
    returned = warp(back, there)
    moved = np.sum(there**2, axis=-1) + np.sum(returned**2, axis=-1)
    consistent: Mask = np.sum((there + returned) ** 2, axis=-1) <= 0.01 * moved + 0.5
    return consistent & ~_motion_edges(there)


def _motion_edges(flow: Flow) -> Mask:
    steepness = sum(np.sum(np.square(np.gradient(flow[..., axis])), axis=0) for axis in (0, 1))
    return np.asarray(steepness > 0.01 * np.sum(flow**2, axis=-1) + 0.002, dtype=np.bool_)
