"""Values that options of the export take."""

import re

import click

from ..runtime.options import parse_size

Size = tuple[int, int]  # height, width
SizeRange = tuple[Size, Size, Size]  # smallest, commonest, largest

TARGETS = ("onnx", "tensorrt", "tensorrt-rtx", "triton")


def parse_size_range(context: click.Context, parameter: click.Parameter, text: str | None) -> SizeRange | None:
    """Read `HxW`, or `MIN:OPT:MAX` of such; a callback of click's options.

    Raises:
        click.BadParameter: the text is neither, or the sizes are not in order.
    """
    if text is None:
        return None
    sizes = [parse_size(context, parameter, part) for part in text.split(":")]
    sizes = 3 * sizes if len(sizes) == 1 else sizes
    if len(sizes) != 3:
        raise click.BadParameter(f"{text!r} is no size; write 256x512, or a range such as 128x128:256x256:512x512")
    smallest, commonest, largest = (size for size in sizes if size)
    if any(not low <= middle <= high for low, middle, high in zip(smallest, commonest, largest, strict=True)):
        raise click.BadParameter(f"{text!r} is not in order; write MIN:OPT:MAX, such as 128x128:256x256:512x512")
    return smallest, commonest, largest


def parse_targets(context: click.Context, parameter: click.Parameter, text: str) -> tuple[str, ...]:
    """Read a comma list of targets; a callback of click's options.

    Raises:
        click.BadParameter: one is unknown.
    """
    chosen = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    for name in chosen:
        if name not in TARGETS:
            raise click.BadParameter(f"{name!r} is no target; use {', '.join(TARGETS)}, or several with commas")
    return chosen


def parse_capabilities(context: click.Context, parameter: click.Parameter, text: str | None) -> tuple[str, ...]:
    """Read a comma list of compute capabilities such as `8.9,12.0`; a callback of click's options.

    Raises:
        click.BadParameter: one is no such number.
    """
    chosen = tuple(part.strip() for part in text.split(",")) if text else ()
    for part in chosen:
        if not re.fullmatch(r"\d+\.\d", part):
            raise click.BadParameter(f"{part!r} is no compute capability; write numbers such as 8.9,12.0")
    return chosen
