"""`cyclegan export-weights`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ...runtime.errors import training_side
from .options import PATH

if TYPE_CHECKING:
    from ..checkpoints.checkpoint import Weights


@click.command("export-weights")
@click.argument("source", type=PATH)
@click.option("--output", type=PATH, required=True, help="Folder to write to, such as checkpoints/NAME.")
@click.option(
    "--weights",
    type=click.Choice(["ema", "raw"]),
    default="ema",
    show_default=True,
    help="ema: averaged weights if the run keeps any; raw: those of the last step.",
)
def export_weights(source: Path, output: Path, weights: "Weights") -> None:
    """Write the networks of SOURCE, a run folder or a checkpoint, as files that the official implementation loads.

    OUTPUT gets the files of its checkpoints/NAME: latest_net_G_A.pth, latest_net_G_B.pth and both discriminators.
    """
    with training_side():
        from ..checkpoints.export_official import export_weights

    for path in export_weights(source, output, weights):
        click.echo(str(path))
