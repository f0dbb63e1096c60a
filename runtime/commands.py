"""`cyclegan translate`: a picture, a folder of pictures or a video through an exported model."""

import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .errors import CycleganError, UsageError
from .options import parse_size

if TYPE_CHECKING:
    from .jobs import OnError
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
@click.option(
    "--on-error",
    type=click.Choice(["skip", "stop"]),
    default="skip",
    show_default=True,
    help="Of a folder: whether a file that fails is passed over or ends the job.",
)
@click.option("--retry-failed", is_flag=True, help="Of a folder: try those again that failed in an earlier run.")
@click.option("--watch", "watched", is_flag=True, help="Of a folder: go on with new files as they come, until Ctrl-C.")
@click.option(
    "--format",
    "picture_format",
    type=click.Choice(["png", "jpg", "webp", "tif", "bmp"]),
    help="Of a folder: write all pictures in this format; by default each keeps its own.",
)
@click.option("--ray", metavar="auto|ADDRESS", help="Of a folder: work on the Ray cluster at this address.")
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
    on_error: "OnError",
    retry_failed: bool,
    watched: bool,
    picture_format: str | None,
    ray: str | None,
    as_json: bool,
) -> None:
    """Translate a picture, a folder or a video; everything comes out at the size it came in.

    Files that were finished by an earlier run are left alone. What became of each file of a folder is kept in a
    manifest in the output folder, so that a job that was killed goes on where it was. Of a video the pictures are
    translated; its sound is not carried over.
    """
    settings: dict[str, Any] = {"backend": backend, "device": device, "fit": fit, "size": size}
    if given.is_dir():
        from .folder import FolderOptions, translate_folder

        options = FolderOptions(overwrite, retry_failed, picture_format, on_error, watched, ray)
        summary = translate_folder(
            given, output, model, settings, options, batch_size=batch_size, progress=_progress
        ).summary()
    else:
        if on_error != "skip" or retry_failed or watched or picture_format or ray:
            raise UsageError(f"{given} is no folder: leave out --on-error, --retry-failed, --watch, --format and --ray")
        summary = _translate_file(given, output, model, settings, batch_size, overwrite)
    click.echo(json.dumps(summary) if as_json else _sentence(summary))
    if summary["failed"]:
        what = "pictures" if given.is_dir() else "frames"
        raise CycleganError(f"{summary['failed']} of {summary['read']} {what} failed; see above")


def _translate_file(
    given: Path, output: Path, model: Path, settings: dict[str, Any], batch_size: int, overwrite: bool
) -> dict[str, Any]:
    from .pipeline import run
    from .route import open_route
    from .translator import load

    route = open_route(given, output, overwrite=overwrite)
    if route.skipped:
        LOGGER.info("finished before and left alone: %d (--overwrite makes them anew)", route.skipped)
    with load(model, **settings) as translator, _progress(route.source.total) as watch:
        stats = run(route.source, translator, route.sink, batch_size=batch_size, watch=watch)
        return _summary(route, translator, stats)


@contextmanager
def _progress(total: int | None) -> Iterator[Callable[["Stats"], None]]:
    """Show a bar where stderr is a terminal, unless `-q` was given; yield what moves it on."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    hidden = not sys.stderr.isatty() or not LOGGER.isEnabledFor(logging.INFO)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=hidden) as bar:
        task = bar.add_task("translating", total=total)
        yield lambda stats: bar.update(task, completed=stats.frames + stats.failed)


def _summary(route: "Route", translator: "Translator", stats: "Stats") -> dict[str, Any]:
    return {
        "translated": 1 if route.is_video else stats.frames,
        "skipped": route.skipped,
        "failed": stats.failed,
        "read": stats.read,
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
