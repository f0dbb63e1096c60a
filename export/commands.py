"""`cyclegan export` and `cyclegan verify`."""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..runtime.errors import BackendError, CycleganError, InputError, UsageError
from ..runtime.options import json_option, together
from .options import parse_capabilities, parse_size_range, parse_targets

if TYPE_CHECKING:
    from rich.table import Table

    from ..runtime.metadata import Direction
    from ..trainer.checkpoint import LoadedGenerator
    from .report import VerificationReport
    from .targets import Product

LOGGER = logging.getLogger(__name__)

DIRECTIONS: dict[str, tuple["Direction", ...]] = {"AtoB": ("AtoB",), "BtoA": ("BtoA",), "both": ("AtoB", "BtoA")}


images_option = click.option(
    "--images",
    type=click.Path(path_type=Path),
    help="Folder of pictures to verify with.  [default: the dataset's testA or testB]",
)
request_options = together(
    "wanted",
    click.option(
        "--to",
        "targets",
        metavar="LIST",
        default="onnx",
        show_default=True,
        callback=parse_targets,
        help="onnx, tensorrt, tensorrt-rtx, triton, or several with commas.",
    ),
    click.option(
        "--precision",
        type=click.Choice(["fp32", "fp16", "int8"]),
        default="fp32",
        show_default=True,
        help="fp16: convolutions in half; int8: convolutions in integers; normalisation and pixels always in FP32.",
    ),
    click.option(
        "--size",
        "sizes",
        metavar="HxW",
        callback=parse_size_range,
        help="Pin height and width, or for engines bound them: MIN:OPT:MAX.  [default: any size]",
    ),
    click.option(
        "--io",
        type=click.Choice(["uint8", "float"]),
        default="uint8",
        show_default=True,
        help="uint8: NHWC pixels in and out; float: the bare generator, NCHW in [-1, 1].",
    ),
    click.option(
        "--weights",
        type=click.Choice(["ema", "raw"]),
        default="ema",
        show_default=True,
        help="Averaged weights where the run keeps any, or those of the last step.",
    ),
    click.option(
        "--freeze-norm",
        is_flag=True,
        help="Normalise every picture by the statistics of --calibration: faster, steadier, other colours.",
    ),
    click.option(
        "--batch-norm",
        type=click.Choice(["evaluation", "picture"]),
        default="evaluation",
        show_default=True,
        help="Statistics of a batch norm: those of training, or of each picture, as the official test without --eval.",
    ),
    click.option(
        "--keep-float",
        type=click.IntRange(min=0),
        default=0,
        show_default=True,
        help="Leave so many of the layers that int8 costs most in float.",
    ),
    click.option(
        "--batch-size",
        type=click.IntRange(min=1),
        help="Largest batch of an engine, and that Triton puts together.  [default: 1; with triton 8]",
    ),
    click.option("--tf32", is_flag=True, help="Let an FP32 engine round its factors to 10 bits: faster, less exact."),
    click.option(
        "--workspace",
        "workspace_mib",
        type=click.IntRange(min=1),
        metavar="MIB",
        help="Memory that an engine's layers may use.",
    ),
    click.option(
        "--compute-capability",
        "compute_capabilities",
        metavar="LIST",
        callback=parse_capabilities,
        help="Build a tensorrt-rtx engine for these, such as 8.9,12.0.  [default: every GPU that it supports]",
    ),
)


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
        from ..trainer.checkpoint import load_generator
        from .targets import Request, base_name, produce

    _check_verifiable(no_verify, images)
    source = source.resolve()
    calibrating = tuple(_named_pictures(calibration)) if calibration else ()
    request = Request(**wanted, calibration=calibrating, verify=not no_verify)
    folder = output or (source / "exports" if source.is_dir() else Path())
    generators = [load_generator(source, each, request.weights) for each in DIRECTIONS[direction]]
    request.check(generators)
    pictures = [[] if no_verify else _pictures(images, generator) for generator in generators]
    products: list[Product] = []
    for generator, held_out in zip(generators, pictures, strict=True):
        making = produce(generator, request, folder, held_out)
        while product := _next(making, f"exporting {base_name(generator, request)}"):
            if not as_json:
                _print_product(product, products)
            products.append(product)
    if as_json:
        click.echo(json.dumps([_as_dict(product) for product in products]))
    _fail_if_missed({product.path: product.report for product in products if product.report})


@click.command()
@click.argument("artefact", type=click.Path(path_type=Path))
@click.option(
    "--reference", required=True, type=click.Path(path_type=Path), help="The run folder or checkpoint it came from."
)
@images_option
@click.option(
    "--calibration", type=click.Path(path_type=Path), help="The pictures that a file of --freeze-norm was made with."
)
@click.option("--backend", default="auto", show_default=True, help="An engine; auto: every one that is installed.")
@click.option("--report", "page", type=click.Path(path_type=Path), help="Write the report as a page, FILE.html.")
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
    """Compare ARTEFACT with the checkpoint it came from, in every engine; the artefact stays as it is.

    Exits 1 where a comparison misses its gate; then the first layer that differs is named.
    """
    with training_side():
        from ..trainer.checkpoint import load_generator
        from .calibration import read_calibration
        from .freeze_norm import freeze_norms
        from .picture_norm import norm_by_picture
        from .report import report_table
        from .report_page import save_page
        from .verify import read_metadata, verify_artefact

    metadata = read_metadata(artefact)
    generator = load_generator(reference.resolve(), metadata.direction, metadata.source.weights)
    if metadata.batch_norm == "picture":
        generator = norm_by_picture(generator)
    calibrating = _named_pictures(calibration) if calibration else []
    if calibrating:
        generator = freeze_norms(generator, read_calibration(calibrating, generator, metadata.size))
    pictures = _pictures(images, generator)
    with spinner(f"verifying {artefact.name}"):
        report = verify_artefact(artefact, generator, pictures, calibration=calibrating, backend=backend)
    if page:
        save_page(report, page)
    if as_json:
        click.echo(report.model_dump_json())
    else:
        _print(report_table(report))
    _fail_if_missed({artefact: report})


def _check_verifiable(no_verify: bool, images: Path | None) -> None:
    """Find out before anything is written whether the files can be verified, if they shall be."""
    from ..runtime.backends import available_backends

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
    from .report import quantisation_table, report_table

    click.echo(str(product.path))
    if product.quantisation and product.quantisation not in [each.quantisation for each in before]:
        _print(quantisation_table(product.quantisation))
    if product.report and product.report not in [each.report for each in before]:
        _print(report_table(product.report))


def _as_dict(product: "Product") -> dict[str, Any]:
    parts = {"verification": product.report, "quantisation": product.quantisation}
    told = {name: part.model_dump(mode="json") if part else None for name, part in parts.items()}
    return {"artefact": str(product.path)} | told


def _pictures(images: Path | None, generator: "LoadedGenerator") -> list[Path]:
    """Return the pictures to verify with: those the user named, else the held-out ones of the domain that goes in."""
    from ..trainer.data import domain_folder, list_pictures

    if images is not None:
        return _named_pictures(images)
    data = generator.config.data
    return (
        list_pictures(domain_folder(data, "test", "A" if generator.direction == "AtoB" else "B"))
        if data.dataroot
        else []
    )


def _named_pictures(folder: Path) -> list[Path]:
    from ..trainer.data import list_pictures

    pictures = list_pictures(folder)
    if not pictures:
        raise InputError(f"there is no picture in {folder}; give a folder of pictures to be translated")
    return pictures


def _print(table: "Table") -> None:
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else 120).print(table)


def _fail_if_missed(reports: "dict[Path, VerificationReport]") -> None:
    failed = {path.name: report for path, report in reports.items() if not report.passed}
    missed = ", ".join(name for name, report in failed.items() if not all(row.passed for row in report.comparisons))
    if missed:
        raise CycleganError(f"{missed}: not the same as PyTorch within the gate; the file is kept, do not ship it")
    if failed:
        raise CycleganError(f"{', '.join(failed)}: no real picture to judge it on; the file is kept, give --images")


@contextmanager
def training_side() -> Iterator[None]:
    """Turn a library that the edge install leaves out into a sentence that says how to get it."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == __package__.partition(".")[0]:
            raise  # a fault of ours, which no installation mends
        raise BackendError(
            f'this needs {error.name}, which is not installed; install it with: pip install "cyclegan-edge[train]"'
        ) from error


@contextmanager
def spinner(text: str) -> Iterator[None]:
    """Show that something goes on where stderr is a terminal, unless `-q` was given."""
    from rich.console import Console

    if not sys.stderr.isatty() or not LOGGER.isEnabledFor(logging.INFO):
        yield
        return
    with Console(stderr=True).status(text):
        yield
