"""Values that options of several commands take."""

import re

import click


def parse_size(context: click.Context, parameter: click.Parameter, text: str | None) -> tuple[int, int] | None:
    """Read `HxW`, or `N` for a square, as (height, width) in pixels; a callback of click's options.

    Raises:
        click.BadParameter: the text is neither.
    """
    if text is None:
        return None
    match = re.fullmatch(r"([1-9]\d*)(?:x([1-9]\d*))?", text)
    if match is None:
        raise click.BadParameter(f"{text!r} is no size; write height x width, such as 256x512, or one number")
    return int(match[1]), int(match[2] or match[1])
