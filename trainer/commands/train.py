"""`cyclegan train`. Modules that import torch are imported when the command runs."""

from pathlib import Path
from typing import Any

import click

from ...runtime.errors import UsageError
from .. import launch
from ..config import merge_layers
from ..config_text import RECIPES
from .options import DATASET, PATH, RunCommand, configuration_layers, report, run_options


@click.command(cls=RunCommand)
@click.argument("dataroot", type=DATASET)
@run_options
@click.option(
    "--recipe",
    type=click.Choice(list(RECIPES)),
    help="Settings to begin with, which --config and all other options replace; edge is a small generator for devices."
    "  [default: official]",
)
@click.option(
    "--size",
    type=click.IntRange(8, 16384),
    help="Side of the square crops to train on; pictures are resized to 286/256 of it first.  [default: 256]",
)
@click.option(
    "--init-from",
    type=PATH,
    help="Start from the weights of a run, a checkpoint, or an official checkpoints/NAME folder or *_net_G_A.pth file.",
)
def train(
    dataroot: str,
    name: str,
    runs: Path,
    recipe: str | None,
    resume: str | None,
    init_from: Path | None,
    size: int | None,
    **options: Any,
) -> None:
    """Train a translator between the pictures of DATAROOT/trainA and DATAROOT/trainB.

    Everything is written into RUNS/NAME: config.toml, checkpoints/, metrics.jsonl, tensorboard/ and previews/. Ctrl-C
    saves a checkpoint and stops; --resume continues from it exactly. Then: cyclegan export RUNS/NAME.
    """
    layers = configuration_layers(dataroot, **options)
    if size is not None:
        layers.append({"data": {"crop_size": size, "load_size": round(size * 286 / 256)}})
    if resume and init_from:
        raise UsageError("--resume goes on with the run's own weights; leave out --init-from")
    report(launch.train(merge_layers(*layers), runs / name, recipe=recipe, resume=resume, init_from=init_from))
