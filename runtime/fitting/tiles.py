"""Pictures too large for the engine's memory, tile by tile, the overlaps blended.

A network with instance normalisation takes contrast and colour from everything that it sees at once: each tile gets its
own, which blending hides but does not remove. `--scale` and `--fit stretch` keep the picture in one piece.
"""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..backends.interface import Interface
from ..contract import Picture, Size, padded_side
from ..errors import UsageError

LOGGER = logging.getLogger(__name__)

OVERLAP = 4  # neighbours share a quarter of a tile


def choose_tile(interface: Interface, path: Path, tile: int | None) -> Size | None:
    """Return the (height, width) of tiles; None where pictures stay whole.

    Raises:
        UsageError: the model does not take such tiles.
    """
    if tile is None:
        return None
    if interface.size is not None and interface.size != (tile, tile):
        height, width = interface.size
        raise UsageError(
            f"{path.name} is pinned to {height}x{width}; its tiles can only be of that size, and square",
            about=("tile",),
        )
    fitting = padded_side(tile, interface.size_multiple, interface.size_minimum)
    if fitting != tile:
        raise UsageError(
            f"{path.name} takes tiles of a multiple of {interface.size_multiple}; {fitting} is the next",
            about=("tile",),
        )
    LOGGER.warning(
        "every tile is translated by itself: a network with instance normalisation gives each its own contrast and "
        "colour, and blending does not remove that; shrinking or stretching the picture keeps it in one piece"
    )
    return tile, tile


def translate_tiled(picture: Picture, translate: Callable[[Picture], Picture], tile: Size, multiple: int) -> Picture:
    """Translate a picture in tiles of one size.

    Args:
        picture: [H, W, C]; a side that is smaller than the tile's is one tile wide.
        translate: [1, h, w, C] to [1, k·h, k·w, C'], with k = 1 unless the model enlarges.
        tile: (height, width), multiples of `multiple`.
        multiple: where tiles may begin, so that the network's strides fall on the same pixels in each.
    """
    height, width = picture.shape[:2]
    tall, wide = min(tile[0], height), min(tile[1], width)
    total = weights = np.zeros((0, 0, 0), np.float32)
    for top in _starts(height, tall, multiple):
        for left in _starts(width, wide, multiple):
            translated = translate(picture[top : top + tall, left : left + wide][None])[0]
            k = translated.shape[0] // tall  # a model may enlarge
            if not total.size:
                total = np.zeros((k * height, k * width, translated.shape[2]), np.float32)
                weights = np.zeros((k * height, k * width, 1), np.float32)
            down, across = _ramp(k * top, k * tall, k * height), _ramp(k * left, k * wide, k * width)
            weight = down[:, None, None] * across[None, :, None]
            area = np.s_[k * top : k * (top + tall), k * left : k * (left + wide)]
            total[area] += translated * weight
            weights[area] += weight
    pixels: Picture = np.rint(total / weights).astype(picture.dtype)
    return pixels


def _starts(side: int, tile: int, multiple: int) -> list[int]:
    """Return where tiles begin, evenly spread, so that neighbours share a quarter at least."""
    if side <= tile:
        return [0]
    step = max(multiple, (tile - tile // OVERLAP) // multiple * multiple)
    return [*range(0, side - tile, step), side - tile]


def _ramp(start: int, tile: int, side: int) -> NDArray[np.float32]:
    """Return the weights along one side of a tile: they fall towards a neighbour, and not at the picture's edge."""
    ramp = np.ones(tile, np.float32)
    overlap = max(1, tile // OVERLAP)
    rise = (np.arange(overlap, dtype=np.float32) + 1) / (overlap + 1)
    if start > 0:
        ramp[:overlap] = rise
    if start + tile < side:
        ramp[-overlap:] = np.minimum(ramp[-overlap:], rise[::-1])
    return ramp
