"""`cyclegan verify`."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ...runtime.commands.console import print_wide, spinner
from ...runtime.commands.options import PathType, json_option
from ...runtime.errors import UsageError, training_side
from .options import images_option

if TYPE_CHECKING:
    from ...runtime.metadata import ArtefactMetadata
    from ...trainer.checkpoints.checkpoint import LoadedGenerator
    from ..verification.report import VerificationReport


@click.command()
@click.argument("artefact", type=PathType())
@click.option("--reference", required=True, type=PathType(), help="Run folder or checkpoint that it was exported from.")
@images_option
@click.option(
    "--calibration", type=PathType(), help="Folder of pictures that export --freeze-norm or --norm-floor was given."
)
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
    command exits 1. A folder of export --to web runs in headless Chromium, one model after the other; then --json
    prints a list, and --report writes FILE-MODEL.html for each.
    """
    with training_side():
        from ..artefact import Artefact
        from ..verification.page import check_page_name, save_page
        from ..verification.report import fail_if_missed
        from ..verification.table import report_table
        from ..verification.verify import verify_artefact
        from ..web.manifest import is_page
        from ..web.target import compare_page, page_models

    if page:
        check_page_name(page)  # before minutes of comparing
    comparisons: dict[str, tuple[ArtefactMetadata, Callable[..., VerificationReport]]]
    if of_page := is_page(artefact):
        if backend != "auto":
            raise UsageError("--backend names an engine of this machine, and a page brings its own; leave it out")
        models = page_models(artefact)
        comparisons = {model.name: (model.metadata, partial(compare_page, model, artefact)) for model in models}
    else:
        opened = Artefact.open(artefact)
        comparisons = {artefact.name: (opened.metadata, partial(verify_artefact, opened, backend=backend))}
    reports = []
    for name, (metadata, compare) in comparisons.items():
        generator, pictures, calibrating = _reference(metadata, reference, images, calibration)
        with spinner(f"verifying {name}"):
            reports.append(compare(generator, pictures, calibration=calibrating))
        if page:
            save_page(reports[-1], page.with_stem(f"{page.stem}-{name}") if of_page else page)
        if not as_json:
            print_wide(report_table(reports[-1]))
    if as_json:
        texts = [report.model_dump_json() for report in reports]
        click.echo(f"[{', '.join(texts)}]" if of_page else texts[0])
    fail_if_missed([(artefact, report) for report in reports])


def _reference(
    metadata: "ArtefactMetadata", reference: Path, images: Path | None, calibration: Path | None
) -> "tuple[LoadedGenerator, list[Path], list[Path]]":
    """Return the generator as it was exported, the pictures to compare on, and those it was calibrated with."""
    from ...trainer.checkpoints.checkpoint import load_generator
    from ..graph.freeze_norm import freeze_norms
    from ..graph.norm_floor import floor_generator
    from ..graph.picture_norm import norm_by_picture
    from ..pictures import named_pictures, verification_pictures
    from ..quantization.calibration import read_calibration

    generator = load_generator(reference.resolve(), metadata.direction, metadata.source.weights)
    if metadata.batch_norm == "picture":
        generator = norm_by_picture(generator)
    calibrating = named_pictures(calibration) if calibration else []
    if calibrating:
        measured = read_calibration(calibrating, generator, metadata.size)
        floor = metadata.norm_floor
        generator = floor_generator(generator, measured, floor) if floor else freeze_norms(generator, measured)
    return generator, verification_pictures(images, generator), calibrating
