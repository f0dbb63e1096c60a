"""`cyclegan demo`."""

import logging
import time
from pathlib import Path

import click

from ...runtime.commands.options import NumberRange, PathType
from ...runtime.errors import CycleganError, training_side
from ..demo.files import DIRECTIONS, Demo
from ..demo.steps import (
    configuration,
    export_direction,
    prepare_folder,
    train_generators,
    translate_pictures,
    write_page,
)

LOGGER = logging.getLogger(__name__)


@click.command()
@click.option(
    "--minutes",
    type=NumberRange(0.2, 24 * 60),
    default=5.0,
    show_default=True,
    help="About how long it takes; longer gives better pictures.",
)
@click.option("--output", type=PathType(), default="demo", show_default=True, help="Folder to write to.")
def demo(minutes: float, output: Path) -> None:
    """Train on the embedded emoji, export, verify, translate, and write one report to look at.

    A small generator learns from unpaired pictures of 64x64 to turn flat emoji into three-dimensional ones. The report
    compares it with a smaller one that was distilled beforehand; its path is the last line printed.
    """
    started = time.monotonic()
    files = Demo(output.resolve())
    prepare_folder(files.folder)
    with training_side():
        from ..demo.report import write_report
        from ..demo.timing import rehearse, training_seconds

    config = configuration()
    LOGGER.info("1 of 4: rehearsing what follows the training, and training")
    rest = rehearse(files, config)
    seconds = training_seconds(60 * minutes, time.monotonic() - started, rest)
    LOGGER.info("training for %.1f minutes; what follows takes about %.1f", seconds / 60, rest / 60)
    result = train_generators(config, files, seconds)
    if result.interrupted:
        raise click.Abort
    LOGGER.info("2 of 4: exporting and verifying both directions")
    reports = {direction: export_direction(files, direction) for direction in DIRECTIONS}
    LOGGER.info(
        "3 of 4: translating %d pictures each way and a video, and writing a page for browsers",
        len(list(files.pictures("A").iterdir())),
    )
    translate_pictures(files)
    write_page(files)
    LOGGER.info("4 of 4: measuring, and writing the report")
    page = write_report(files, config, result.step, reports, started)
    click.echo(page)
    if not all(report.passed for report in reports.values()):
        raise CycleganError("an artefact differs from PyTorch by more than its gate allows; the report says where")
