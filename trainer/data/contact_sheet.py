"""A picture of a whole dataset: some of every folder, side by side."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ...runtime.files import replacing

COLUMNS = 16
ROWS = 4
GAP = 4
HEADING = 24


def save_contact_sheet(thumbnails: Mapping[str, Sequence[NDArray[np.uint8]]], path: Path) -> None:
    """Write a sheet with a block for every folder: up to 64 thumbnails, uint8 [S, S, 3], spread evenly over it.

    Raises:
        OutputError: the file cannot be written.
    """
    blocks = {f"{name} · {len(found)} pictures": _spread(found) for name, found in thumbnails.items() if len(found)}
    side = next(iter(blocks.values()))[0].shape[0] + GAP
    heights = [HEADING + side * -(-len(block) // COLUMNS) for block in blocks.values()]
    sheet = Image.new("RGB", (side * COLUMNS + GAP, sum(heights) + GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    top = GAP
    for (title, block), height in zip(blocks.items(), heights, strict=True):
        draw.text((GAP, top), title, fill="black", font=font)
        for number, thumbnail in enumerate(block):
            row, column = divmod(number, COLUMNS)
            sheet.paste(Image.fromarray(thumbnail), (GAP + side * column, top + HEADING + side * row - GAP))
        top += height
    with replacing(path) as partial:
        sheet.save(partial, format="PNG")


def _spread(thumbnails: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
    number = min(len(thumbnails), COLUMNS * ROWS)
    return [thumbnails[place * len(thumbnails) // number] for place in range(number)]
