"""A picture of a whole dataset: some of every folder, side by side."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from ...runtime.files import replacing
from .pictures import decode_picture

THUMBNAIL = 64
COLUMNS = 16
ROWS = 4  # that are meant for one block
GAP = 4
HEADING = 24


def save_contact_sheet(blocks: Mapping[str, Sequence[Path]], path: Path) -> None:
    """Write a sheet with a block of picture files under each title.

    Raises:
        OutputError: the file cannot be written.
    """
    side = THUMBNAIL + GAP
    heights = [HEADING + side * -(-len(block) // COLUMNS) for block in blocks.values()]
    sheet = Image.new("RGB", (side * COLUMNS + GAP, sum(heights) + GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    top = GAP
    for (title, block), height in zip(blocks.items(), heights, strict=True):
        draw.text((GAP, top), title, fill="black", font=font)
        for number, file in enumerate(block):
            row, column = divmod(number, COLUMNS)
            thumbnail = Image.fromarray(decode_picture(file, THUMBNAIL))
            sheet.paste(thumbnail, (GAP + side * column, top + HEADING + side * row - GAP))
        top += height
    with replacing(path) as partial:
        sheet.save(partial, format="PNG")
