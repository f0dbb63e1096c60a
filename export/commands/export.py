"""`cyclegan export`."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...runtime.commands.console import print_wide, spinner
from ...runtime.commands.options import PathType, json_option
from ...runtime.errors import UsageError, training_side
from ..request import DIRECTIONS, Request
from .options import images_option, request_options

if TYPE_CHECKING:
    from ..targets import Product


@click.command()
@click.argument("source", type=PathType())
@click.option(
    "--direction", type=click.Choice(list(DIRECTIONS)), default="AtoB", show_default=True, help="Generators to export."
)
@request_options
@images_option
@click.option("--output", type=PathType(), help="Folder to write to.  [default: the run's exports/, else here]")
@json_option
def export(
    source: Path, direction: str, request: Request, images: Path | None, output: Path | None, as_json: bool
) -> None:
    """Export the generators of SOURCE as ONNX files, TensorRT engines or a web page, and compare each with PyTorch.

    SOURCE is a run folder, a checkpoint, or official weights (a folder of latest_net_G_A.pth files, or one of them).
    A file replaces an older one of its name. The comparison is stored beside it: NAME.verify.json, and NAME.verify.html
    to look at. A file that differs from PyTorch by more than its gate allows is kept, and the command exits 1. Where an
    engine cannot run on this machine, the command says that it is not verified. The target triton writes a model
    repository, OUTPUT/triton; web writes OUTPUT/NAME-web, a folder for any static host whose page runs the model in the
    visitor's browser.
    """
    with training_side():
        from ..targets import export_source
        from ..verification.report import fail_if_missed

    if images and not request.verify:
        raise UsageError("--images names pictures to verify with, but --no-verify was given too; leave one of them out")
    products: list[Product] = []
    making = export_source(source, DIRECTIONS[direction], request, images=images, output=output)
    while product := _next(making, f"exporting {source.name}"):
        if not as_json:
            _print_product(product, products)
        products.append(product)
    if as_json:
        click.echo(json.dumps([_as_dict(product) for product in products]))
    fail_if_missed([(product.path, product.report) for product in products if product.report])


def _next(making: "Iterator[Product]", text: str) -> "Product | None":
    with spinner(text):
        return next(making, None)


def _print_product(product: "Product", before: "list[Product]") -> None:
    """Print where a file lies, and the tables that were not printed for another file already."""
    from ..quantization.report import quantisation_table
    from ..verification.table import report_table

    click.echo(str(product.path))
    if product.quantisation and product.quantisation not in [each.quantisation for each in before]:
        print_wide(quantisation_table(product.quantisation))
    if product.report and product.report not in [each.report for each in before]:
        print_wide(report_table(product.report))


def _as_dict(product: "Product") -> dict[str, Any]:
    parts = {"verification": product.report, "quantisation": product.quantisation}
    return {"artefact": str(product.path)} | {
        name: part.model_dump(mode="json") if part else None for name, part in parts.items()
    }
