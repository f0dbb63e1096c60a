"""The pictures that ranges and statistics are measured on."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...runtime.contract import Picture, Size
from ...runtime.errors import InputError
from ...trainer.checkpoints.checkpoint import LoadedGenerator
from ...trainer.data.pictures import resize
from ..pictures import read_pictures

LOGGER = logging.getLogger(__name__)

MOST = 32


def read_calibration(paths: Sequence[Path], generator: LoadedGenerator, size: Size | None) -> Picture:
    """Read up to 32 pictures, spread over all of `paths`, as uint8 [N, H, W, C].

    They get the size that the network was trained at, or `size`, the (height, width) that it is pinned to.

    Raises:
        InputError: none of them can be read.
    """
    side = generator.config.data.crop_size
    height, width = size or (side, side)
    readable, notes = read_pictures(paths[:: -(-len(paths) // MOST) or 1], generator.input_nc, most=MOST)
    for note in notes:
        LOGGER.warning("%s", note)
    if not readable:
        raise InputError("none of the calibration pictures can be read; give another folder", about=("calibration",))
    return np.stack([np.rint(resize(picture, (width, height))).astype(np.uint8) for picture in readable.values()])
