"""`cyclegan export`, `cyclegan verify` and `cyclegan info`."""

import hashlib
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..runtime.errors import BackendError, CycleganError, InputError, UsageError
from ..runtime.options import parse_size

if TYPE_CHECKING:
    from ..runtime.metadata import IO, Direction
    from ..trainer.checkpoint import LoadedGenerator, Weights
    from .graph import Precision
    from .report import VerificationReport

LOGGER = logging.getLogger(__name__)

DIRECTIONS: dict[str, tuple["Direction", ...]] = {"AtoB": ("AtoB",), "BtoA": ("BtoA",), "both": ("AtoB", "BtoA")}


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "--direction", type=click.Choice(list(DIRECTIONS)), default="AtoB", show_default=True, help="Which generator."
)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16"]),
    default="fp32",
    show_default=True,
    help="fp16: convolutions in half, normalisation and pixels in FP32.",
)
@click.option("--size", metavar="HxW", callback=parse_size, help="Pin height and width.  [default: any size]")
@click.option(
    "--io",
    type=click.Choice(["uint8", "float"]),
    default="uint8",
    show_default=True,
    help="uint8: NHWC pixels in and out; float: the bare generator, NCHW in [-1, 1].",
)
@click.option(
    "--weights",
    type=click.Choice(["ema", "raw"]),
    default="ema",
    show_default=True,
    help="Averaged weights where the run keeps any, or those of the last step.",
)
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    help="Folder of pictures to verify with.  [default: the dataset's testA or testB]",
)
@click.option(
    "--output", type=click.Path(path_type=Path), help="Folder to write to.  [default: the run's exports/, else here]"
)
@click.option("--no-verify", is_flag=True, help="Do not compare the files with PyTorch.")
@click.option("--json", "as_json", is_flag=True, help="Print what was written, and the reports, as JSON.")
def export(
    source: Path,
    direction: str,
    precision: "Precision",
    size: tuple[int, int] | None,
    io: "IO",
    weights: "Weights",
    images: Path | None,
    output: Path | None,
    no_verify: bool,
    as_json: bool,
) -> None:
    """Turn the generators of SOURCE into ONNX files, and compare those with PyTorch.

    SOURCE is a run folder, a checkpoint, or official weights (a folder of latest_net_G_A.pth files, or one of them).
    Each NAME.onnx takes the place of an older one; the comparison is stored beside it as NAME.verify.json. A file that
    misses its gate is kept, and the command exits 1.
    """
    with training_side():
        from ..trainer.checkpoint import load_generator
        from .onnx_export import export_onnx
        from .report import report_path

    _check_verifiable(no_verify, images)
    source = source.resolve()
    folder = output or (source / "exports" if source.is_dir() else Path())
    generators = [load_generator(source, each, weights) for each in DIRECTIONS[direction]]
    pictures = [[] if no_verify else _pictures(images, generator) for generator in generators]
    reports: dict[Path, VerificationReport | None] = {}
    for generator, held_out in zip(generators, pictures, strict=True):
        path = folder / _file_name(generator, precision, size, io, weights)
        with spinner(f"exporting {path.name}"):
            export_onnx(generator, path, precision=precision, io=io, size=size)
            report_path(path).unlink(missing_ok=True)  # it tells of the file that was here before
        if not as_json:
            click.echo(str(path))
        reports[path] = None if no_verify else _verify_and_record(path, generator, held_out, quiet=as_json)
    if as_json:
        dumped = {path: report and report.model_dump(mode="json") for path, report in reports.items()}
        click.echo(json.dumps([{"artefact": str(path), "verification": report} for path, report in dumped.items()]))
    _fail_if_missed([path for path, report in reports.items() if report and not report.passed])


@click.command()
@click.argument("artefact", type=click.Path(path_type=Path))
@click.option(
    "--reference", required=True, type=click.Path(path_type=Path), help="The run folder or checkpoint it came from."
)
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    help="Folder of pictures to verify with.  [default: the dataset's testA or testB]",
)
@click.option("--backend", default="auto", show_default=True, help="An engine; auto: every one that is installed.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def verify(artefact: Path, reference: Path, images: Path | None, backend: str, as_json: bool) -> None:
    """Compare ARTEFACT with the checkpoint it came from, in every engine; nothing is written.

    Exits 1 where a comparison misses its gate.
    """
    with training_side():
        from ..trainer.checkpoint import load_generator
        from .verify import read_metadata, verify_artefact

    metadata = read_metadata(artefact)
    generator = load_generator(reference.resolve(), metadata.direction, metadata.source.weights)
    pictures = _pictures(images, generator)
    with spinner(f"verifying {artefact.name}"):
        report = verify_artefact(artefact, generator, pictures, backend=backend)
    if as_json:
        click.echo(report.model_dump_json())
    else:
        _print_table(report)
    _fail_if_missed([] if report.passed else [artefact])


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print it as one JSON object.")
def info(file: Path, as_json: bool) -> None:
    """Say what FILE is: an exported model, a checkpoint, or the latest checkpoint of a run folder."""
    facts = _artefact_facts(file) if file.suffix.lower() == ".onnx" else _checkpoint_facts(file)
    if as_json:
        click.echo(json.dumps(facts))
        return
    lines = list(_flatten(facts))
    width = max(len(name) for name, _ in lines)
    for name, value in lines:
        click.echo(f"{name:<{width}}  {', '.join(map(str, value)) if isinstance(value, list) else value}")


def _artefact_facts(path: Path) -> dict[str, Any]:
    """Describe an ONNX file with what the edge install has."""
    from ..runtime.backends import open_backend
    from ..runtime.metadata import parse_metadata

    with closing(open_backend(path, device="cpu")) as backend:
        metadata = parse_metadata(backend.properties, path)
    facts = {"kind": "artefact" if metadata else "ONNX model of another tool"} | _file_facts(path)
    facts |= {"input": str(backend.input), "output": str(backend.output)}
    return facts | (metadata.model_dump(mode="json") if metadata else {})


def _checkpoint_facts(source: Path) -> dict[str, Any]:
    with training_side():
        from ..trainer.checkpoint import find_checkpoint, load_checkpoint, restored_config

    path = find_checkpoint(source)
    content = load_checkpoint(path)
    config = restored_config(content, path)
    return {
        "kind": "checkpoint",
        **_file_facts(path),
        "schema_version": content["schema_version"],
        **content["progress"],
        "networks": config.networks.model_dump(),
        "crop_size": config.data.crop_size,
        "dataroot": config.data.dataroot,
        "averaged_weights": config.optim.ema_halflife > 0,
    }


def _file_facts(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return {"file": str(path), "bytes": path.stat().st_size, "sha256": sha256}


def _flatten(facts: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Give every value with its path, `source.name`; absent ones are left out."""
    for name, value in facts.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{name}.")
        elif value is not None:
            yield prefix + name, value


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


def _verify_and_record(
    path: Path, generator: "LoadedGenerator", pictures: list[Path], quiet: bool
) -> "VerificationReport":
    from .verify import record, verify_artefact

    with spinner(f"verifying {path.name}"):
        report = verify_artefact(path, generator, pictures)
        record(report, path)
    if not quiet:
        _print_table(report)
    return report


def _file_name(
    generator: "LoadedGenerator", precision: str, size: tuple[int, int] | None, io: str, weights: str
) -> str:
    """Name an artefact by what sets it apart: `NAME-AtoB-fp16`, then whatever is not the default."""
    parts = [generator.name, generator.direction, precision]
    parts += [f"{size[0]}x{size[1]}"] if size else []
    parts += [io] if io != "uint8" else []
    parts += [weights] if weights != "ema" else []
    return "-".join(parts) + ".onnx"


def _pictures(images: Path | None, generator: "LoadedGenerator") -> list[Path]:
    """Return the pictures to verify with: those the user named, else the held-out ones of the domain that goes in."""
    from ..trainer.data import domain_folder, list_pictures

    if images is not None:
        pictures = list_pictures(images)
        if not pictures:
            raise InputError(f"there is no picture in {images}; give a folder of pictures to be translated")
        return pictures
    data = generator.config.data
    return (
        list_pictures(domain_folder(data, "test", "A" if generator.direction == "AtoB" else "B"))
        if data.dataroot
        else []
    )


def _print_table(report: "VerificationReport") -> None:
    from rich.console import Console

    from .report import report_table

    Console(width=None if sys.stdout.isatty() else 120).print(report_table(report))


def _fail_if_missed(paths: list[Path]) -> None:
    if paths:
        names = ", ".join(path.name for path in paths)
        raise CycleganError(f"{names}: not the same as PyTorch within the gate; the file is kept, do not ship it")


@contextmanager
def training_side() -> Iterator[None]:
    """Turn a library that the edge install leaves out into a sentence that says how to get it."""
    try:
        yield
    except ModuleNotFoundError as error:
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
