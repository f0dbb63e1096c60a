"""Options that several commands take, the bounds of their values, and how a command takes many as one argument."""

import math
import os
import re
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from ..files import check_path

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

MAX_BATCH = 256  # pictures
MAX_SIDE = 8192  # pixels: a larger size is a slip of the finger, and would fill the memory


class PathType(click.Path):
    """A path of click's, as a `Path`; one that no file system can have is refused before anything asks for it."""

    def __init__(self, **checks: Any) -> None:
        super().__init__(path_type=Path, **checks)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path, which has no name of more than 255 bytes and is not empty."""
        text = os.fspath(value)
        if not text:
            self.fail(f"{text!r} is no path; name a file or a folder", param, ctx)
        try:
            check_path(text)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return super().convert(value, param, ctx)


class AddressType(click.types.StringParamType):
    """A file, a folder, a camera or an address with ://, as a text; see `pipeline.endpoints`."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text; one that is no path which a file system can have, and no address, is refused."""
        text = str(value)
        if not text:
            self.fail("an empty text names nothing; name a file or a folder", param, ctx)
        try:
            check_path("" if "://" in text and "\0" not in text else text)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return text


class NumberRange(click.FloatRange):
    """A range of numbers, of which NaN is none: it compares with no bound."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number."""
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value} is no number", param, ctx)
        return number


def parse_size(context: click.Context, parameter: click.Parameter, text: str | None) -> tuple[int, int] | None:
    """Read `HxW`, or `N` for a square, as (height, width) in pixels; a callback of click's options.

    Raises:
        click.BadParameter: the text is neither, or a side is longer than `MAX_SIDE`.
    """
    if text is None:
        return None
    match = re.fullmatch(r"([1-9]\d*)(?:x([1-9]\d*))?", text)
    if match is None:
        raise click.BadParameter(f"{text!r} is no size; write height x width, such as 256x512, or one number")
    sides = match[1], match[2] or match[1]
    if any(len(side) > len(str(MAX_SIDE)) or int(side) > MAX_SIDE for side in sides):
        raise click.BadParameter(f"{text[:20]} is too large; a side has at most {MAX_SIDE} pixels")
    return int(sides[0]), int(sides[1])


def together(name: str, *options: Decorator, make: Callable[..., Any] = dict) -> Decorator:
    """Give a command several of click's options as one argument `name`: what `make` makes of their values, by name."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def gather(**values: Any) -> Any:
            return command(**{name: make(**{key: values.pop(key) for key in keys})}, **values)

        others = len(getattr(gather, "__click_params__", ()))
        for option in reversed(options):
            option(gather)
        keys = [parameter.name for parameter in getattr(gather, "__click_params__", ())[others:]]
        return gather

    return decorate


backend_option = click.option(
    "--backend",
    default="auto",
    show_default=True,
    help="Engine: auto, openvino, onnxruntime, tensorrt or tensorrt-rtx.",
)
device_option = click.option("--device", default="auto", show_default=True, help="Device: auto, cpu, cuda or cuda:1.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON, for programs.")
