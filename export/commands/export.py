"""`cyclegan export`."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...runtime.commands.console import print_wide, spinner
from ...runtime.commands.options import json_option
from ...runtime.errors import BackendError, UsageError, training_side
from .options import DIRECTIONS, images_option, request_options

if TYPE_CHECKING:
    from ..targets import Product

LOGGER = logging.getLogger(__name__)


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "--direction", type=click.Choice(list(DIRECTIONS)), default="AtoB", show_default=True, help="Which generator."
)
@request_options
@click.option(
    "--calibration",
    type=click.Path(path_type=Path),
    help="Folder of pictures that int8's ranges, or --freeze-norm's statistics, are measured on.",
)
@images_option
@click.option(
    "--output", type=click.Path(path_type=Path), help="Folder to write to.  [default: the run's exports/, else here]"
)
@click.option("--no-verify", is_flag=True, help="Do not compare the files with PyTorch.")
@json_option
def export(
    source: Path,
    direction: str,
    wanted: dict[str, Any],
    calibration: Path | None,
    images: Path | None,
    output: Path | None,
    no_verify: bool,
    as_json: bool,
) -> None:
    """Turn the generators of SOURCE into ONNX files or TensorRT engines, and compare those with PyTorch.

    SOURCE is a run folder, a checkpoint, or official weights (a folder of latest_net_G_A.pth files, or one of them).
    Each file takes the place of an older one; the comparison is stored beside it as NAME.verify.json and as a page,
    NAME.verify.html. A file that misses its gate is kept, and the command exits 1. An engine that cannot run here is
    told to be unproven. triton writes a model repository, OUTPUT/triton.
    """
    with training_side():
        from ...trainer.checkpoints.checkpoint import load_generator
        from ..pictures import named_pictures, verification_pictures
        from ..request import Request
        from ..targets import base_name, produce
        from ..verification.report import fail_if_missed

    _check_verifiable(no_verify, images)
    source = source.resolve()
    calibrating = tuple(named_pictures(calibration)) if calibration else ()
    request = Request(**wanted, calibration=calibrating, verify=not no_verify)
    folder = output or (source / "exports" if source.is_dir() else Path())
    generators = [load_generator(source, each, request.weights) for each in DIRECTIONS[direction]]
    request.check(generators)
    pictures = [[] if no_verify else verification_pictures(images, generator) for generator in generators]
    products: list[Product] = []
    for generator, held_out in zip(generators, pictures, strict=True):
        making = produce(generator, request, folder, held_out)
        while product := _next(making, f"exporting {base_name(generator, request)}"):
            if not as_json:
                _print_product(product, products)
            products.append(product)
    if as_json:
        click.echo(json.dumps([_as_dict(product) for product in products]))
    fail_if_missed({product.path: product.report for product in products if product.report})


def _check_verifiable(no_verify: bool, images: Path | None) -> None:
    """Find out before anything is written whether the files can be verified, if they shall be."""
    from ...runtime.backends import available_backends

    if no_verify and images:
        raise UsageError("--images names pictures to verify with, but --no-verify was given too; leave one of them out")
    if not no_verify and not available_backends():
        raise BackendError(
            'no engine is installed to verify with; install some with: pip install "cyclegan-edge[cpu]", '
            "or give --no-verify"
        )


def _next(making: "Iterator[Product]", text: str) -> "Product | None":
    with spinner(text):
        return next(making, None)


def _print_product(product: "Product", before: "list[Product]") -> None:
    """Print where a file lies, and what has not been told of another one already."""
    from ..quantization.report import quantisation_table
    from ..verification.table import report_table

    click.echo(str(product.path))
    if product.quantisation and product.quantisation not in [each.quantisation for each in before]:
        print_wide(quantisation_table(product.quantisation))
    if product.report and product.report not in [each.report for each in before]:
        print_wide(report_table(product.report))


def _as_dict(product: "Product") -> dict[str, Any]:
    parts = {"verification": product.report, "quantisation": product.quantisation}
    told = {name: part.model_dump(mode="json") if part else None for name, part in parts.items()}
    return {"artefact": str(product.path)} | told
