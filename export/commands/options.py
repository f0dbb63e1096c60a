"""The options of `cyclegan export`, and how their values are read."""

import re
from typing import TYPE_CHECKING

import click

from ...runtime.commands.options import NumberRange, PathType, parse_size, together
from ..request import CHOICES, LARGEST_FLOOR, TARGETS, Request, Target

if TYPE_CHECKING:
    from ...runtime.contract import SizeRange


def parse_size_range(context: click.Context, parameter: click.Parameter, text: str | None) -> "SizeRange | None":
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
    least, usual, most = (size for size in sizes if size)
    if any(not low <= middle <= high for low, middle, high in zip(least, usual, most, strict=True)):
        raise click.BadParameter(f"{text!r} is not in order; write MIN:OPT:MAX, such as 128x128:256x256:512x512")
    return least, usual, most


def parse_targets(context: click.Context, parameter: click.Parameter, text: str) -> "tuple[Target, ...]":
    """Read a comma list of targets; a callback of click's options.

    Raises:
        click.BadParameter: one is unknown.
    """
    known: dict[str, Target] = {target: target for target in TARGETS}
    names = dict.fromkeys(part.strip() for part in text.split(","))
    for name in names:
        if name not in known:
            raise click.BadParameter(f"{name!r} is no target; use {', '.join(TARGETS)}, or several with commas")
    return tuple(known[name] for name in names)


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


images_option = click.option(
    "--images",
    type=PathType(),
    help="Folder of pictures to verify with.  [default: the dataset's testA or testB]",
)


request_options = together(
    "request",
    click.option(
        "--to",
        "targets",
        metavar="LIST",
        default=",".join(Request.targets),
        show_default=True,
        callback=parse_targets,
        help=f"What to write: {', '.join(TARGETS)}, or several separated by commas.",
    ),
    click.option(
        "--precision",
        type=click.Choice(CHOICES["precision"]),
        default=Request.precision,
        show_default=True,
        help="Precision of the convolutions; int8 needs --calibration. Normalisation and pixels stay in FP32.",
    ),
    click.option(
        "--size",
        metavar="HxW",
        callback=parse_size_range,
        help="Height and width that the file takes; for engines also a range, MIN:OPT:MAX.  [default: any size]",
    ),
    click.option(
        "--io",
        type=click.Choice(CHOICES["io"]),
        default=Request.io,
        show_default=True,
        help="uint8: pixels in and out, NHWC; float: the bare generator, NCHW in [-1, 1].",
    ),
    click.option(
        "--weights",
        type=click.Choice(CHOICES["weights"]),
        default=Request.weights,
        show_default=True,
        help="Averaged weights where the run keeps them (ema), or those of the last step (raw).",
    ),
    click.option(
        "--freeze-norm",
        is_flag=True,
        help="Normalise by fixed statistics, those of --calibration: faster, less flicker, other colours.",
    ),
    click.option(
        "--norm-floor",
        type=NumberRange(0, LARGEST_FLOOR),
        default=Request.norm_floor,
        show_default=True,
        metavar="R",
        help="Let no norm divide by less than R times the usual variance of --calibration: flat pictures stay flat.",
    ),
    click.option(
        "--batch-norm",
        type=click.Choice(CHOICES["batch_norm"]),
        default=Request.batch_norm,
        show_default=True,
        help="Statistics of batch norms: those of training, or each picture's, as the official test without --eval.",
    ),
    click.option(
        "--keep-float",
        type=click.IntRange(0, 1000),
        default=Request.keep_float,
        show_default=True,
        metavar="N",
        help="Keep in float the N layers that lose most in int8.",
    ),
    click.option(
        "--batch-size",
        type=click.IntRange(1, 256),
        help="Largest batch of an engine, or that Triton puts together.  [default: 1; with triton 8]",
    ),
    click.option("--tf32", is_flag=True, help="Let an FP32 engine compute in TF32: faster, less exact."),
    click.option(
        "--workspace",
        "workspace_mib",
        type=click.IntRange(1, 2**20),
        metavar="MIB",
        help="Memory limit of an engine's layers, in MiB.",
    ),
    click.option(
        "--compute-capability",
        "compute_capabilities",
        metavar="LIST",
        callback=parse_capabilities,
        help="Build a tensorrt-rtx engine for these, such as 8.9,12.0.  [default: every GPU that it supports]",
    ),
    click.option(
        "--calibration",
        type=PathType(),
        help="Folder of pictures to measure on: ranges of int8, statistics of --freeze-norm and --norm-floor.",
    ),
    click.option(
        "--no-verify",
        "verify",
        is_flag=True,
        flag_value=False,
        default=True,
        help="Do not compare the files with PyTorch.",
    ),
    make=Request,
)
