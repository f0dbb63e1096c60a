"""`cyclegan verify`."""

from pathlib import Path

import click

from ...runtime.commands.console import print_wide, spinner
from ...runtime.commands.options import PathType, json_option
from ...runtime.errors import training_side
from .options import images_option


@click.command()
@click.argument("artefact", type=PathType())
@click.option("--reference", required=True, type=PathType(), help="Run folder or checkpoint that it was exported from.")
@images_option
@click.option("--calibration", type=PathType(), help="Folder of pictures that export --freeze-norm was given.")
@click.option("--backend", default="auto", show_default=True, help="Engine to verify in; auto: every engine installed.")
@click.option("--report", "page", type=PathType(), help="Write the report as a page to this FILE.html.")
@json_option
def verify(
    artefact: Path,
    reference: Path,
    images: Path | None,
    calibration: Path | None,
    backend: str,
    page: Path | None,
    as_json: bool,
) -> None:
    """Run ARTEFACT in every engine and compare it with the checkpoint that it was exported from.

    The artefact is not changed. Where a comparison misses its gate, the first layer that differs is named and the
    command exits 1.
    """
    with training_side():
        from ...trainer.checkpoints.checkpoint import load_generator
        from ..artefact import Artefact
        from ..graph.freeze_norm import freeze_norms
        from ..graph.picture_norm import norm_by_picture
        from ..pictures import named_pictures, verification_pictures
        from ..quantization.calibration import read_calibration
        from ..verification.page import save_page
        from ..verification.report import fail_if_missed
        from ..verification.table import report_table
        from ..verification.verify import verify_artefact

    opened = Artefact.open(artefact)
    metadata = opened.metadata
    generator = load_generator(reference.resolve(), metadata.direction, metadata.source.weights)
    if metadata.batch_norm == "picture":
        generator = norm_by_picture(generator)
    calibrating = named_pictures(calibration) if calibration else []
    if calibrating:
        generator = freeze_norms(generator, read_calibration(calibrating, generator, metadata.size))
    pictures = verification_pictures(images, generator)
    with spinner(f"verifying {artefact.name}"):
        report = verify_artefact(opened, generator, pictures, calibration=calibrating, backend=backend)
    if page:
        save_page(report, page)
    if as_json:
        click.echo(report.model_dump_json())
    else:
        print_wide(report_table(report))
    fail_if_missed([(artefact, report)])
