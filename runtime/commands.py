"""`cyclegan translate`: a picture, a folder of pictures or a video through an exported model."""

import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .errors import CycleganError
from .options import parse_size

if TYPE_CHECKING:
    from .route import Route
    from .stats import Stats
    from .translator import Fit, Translator

LOGGER = logging.getLogger(__name__)


@click.command()
@click.option("-m", "--model", required=True, type=click.Path(path_type=Path), help="The artefact, an ONNX file.")
@click.option(
    "-i", "--input", "given", required=True, type=click.Path(path_type=Path), help="A picture, a folder or a video."
)
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="A folder for a folder (the tree is mirrored); a file or a folder for a file.",
)
@click.option("--backend", default="auto", show_default=True, help="auto, openvino or onnxruntime.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:1.")
@click.option(
    "--fit",
    type=click.Choice(["native", "stretch"]),
    default="native",
    show_default=True,
    help="native: at each picture's own size; stretch: resized to --size and back.",
)
@click.option(
    "--size", metavar="HxW", callback=parse_size, help="Size to stretch to; by default the artefact's pinned one."
)
@click.option("--batch-size", type=click.IntRange(1), default=1, show_default=True, help="Pictures run together.")
@click.option("--overwrite", is_flag=True, help="Make files anew that were finished before.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object.")
def translate(
    model: Path,
    given: Path,
    output: Path,
    backend: str,
    device: str,
    fit: "Fit",
    size: tuple[int, int] | None,
    batch_size: int,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Translate a picture, a folder or a video; everything comes out at the size it came in.

    Files that were finished by an earlier run are left alone. Of a video the pictures are translated; its sound is
    not carried over.
    """
    from .pipeline import run
    from .route import open_route
    from .translator import load

    route = open_route(given, output, overwrite=overwrite)
    if route.skipped:
        LOGGER.info("finished before and left alone: %d (--overwrite makes them anew)", route.skipped)
    with load(model, backend=backend, device=device, fit=fit, size=size) as translator, _progress(route) as watch:
        stats = run(route.source, translator, route.sink, batch_size=batch_size, watch=watch)
        summary = _summary(route, translator, stats)
    click.echo(json.dumps(summary) if as_json else _sentence(summary))
    if stats.failed:
        raise CycleganError(f"{stats.failed} of {stats.read} frames could not be read; see above")


@contextmanager
def _progress(route: "Route") -> Iterator[Callable[["Stats"], None]]:
    """Show a bar where stderr is a terminal, unless `-q` was given; yield what moves it on."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    hidden = not sys.stderr.isatty() or not LOGGER.isEnabledFor(logging.INFO)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=hidden) as bar:
        task = bar.add_task("translating", total=route.source.total)
        yield lambda stats: bar.update(task, completed=stats.frames + stats.failed)


def _summary(route: "Route", translator: "Translator", stats: "Stats") -> dict[str, Any]:
    return {
        "translated": 1 if route.is_video else stats.frames,
        "skipped": route.skipped,
        "failed": stats.failed,
        "frames": stats.frames,
        "seconds": round(stats.seconds, 3),
        "fps": round(stats.fps, 2),
        "engine": translator.backend.name,
        "device": translator.backend.device,
        "precision": translator.backend.precision,
        "output": str(route.output),
    }


def _sentence(summary: dict[str, Any]) -> str:
    return (
        "translated {translated}, skipped {skipped}, failed {failed} · {frames} frames, {fps} a second · "
        "{engine} on {device}, precision {precision} · {output}"
    ).format_map(summary)
