"""`cyclegan train`. What brings torch is imported when it is needed."""

import logging
from pathlib import Path
from typing import Any

import click

from ...runtime.errors import UsageError
from ..launch import complete, new_run, resumed_run
from .options import configuration_layers, run_options

LOGGER = logging.getLogger(__name__)


@click.command()
@click.argument("dataroot", type=click.Path(path_type=Path))
@run_options
@click.option(
    "--size",
    type=int,
    help="Side of the square crops to train on; pictures are resized to 286/256 of it first.  [default: 256]",
)
@click.option(
    "--init-from",
    type=click.Path(path_type=Path),
    help="Start from the weights of a run, a checkpoint, or an official checkpoints/NAME folder or *_net_G_A.pth file.",
)
def train(
    dataroot: Path,
    name: str,
    runs: Path,
    resume: bool,
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
    folder = runs / name
    if resume and init_from:
        raise UsageError("--resume goes on with the run's own weights; leave out --init-from")
    config, prepare = resumed_run(folder, layers) if resume else new_run(folder, layers, init_from)
    if complete(config, folder, prepare).interrupted:
        raise click.Abort
