"""Options that several commands take, and how a command takes many of them as one argument."""

import re
from collections.abc import Callable
from functools import wraps
from typing import Any

import click

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


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
