"""`cyclegan bench`."""

import json
from dataclasses import asdict
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import CycleganError, printable
from .options import MAX_BATCH, NumberRange, PathType, backend_option, device_option, json_option, parse_size

if TYPE_CHECKING:
    from ..machine.bench import Result


@click.command()
@click.argument("artefacts", nargs=-1, required=True, type=PathType(), metavar="ARTEFACT…")
@backend_option
@device_option
@click.option(
    "--size",
    metavar="HxW",
    callback=parse_size,
    help="Height and width of the pictures.  [default: the size that the artefact is pinned to, else 256x256]",
)
@click.option(
    "--seconds",
    type=NumberRange(0, 3600),
    default=3.0,
    show_default=True,
    help="Length of each measurement; at least ten batches run.",
)
@click.option(
    "--batch-size",
    "batch_sizes",
    type=click.IntRange(1, MAX_BATCH),
    multiple=True,
    default=(1,),
    show_default=True,
    help="Pictures translated together; give it several times to compare.",
)
@json_option
def bench(
    artefacts: tuple[Path, ...],
    backend: str,
    device: str,
    size: tuple[int, int] | None,
    seconds: float,
    batch_sizes: tuple[int, ...],
    as_json: bool,
) -> None:
    """Measure the speed of artefacts in every installed engine, on every device that is present.

    --backend and --device measure one engine or device only. Columns: "cold" is the time from an engine that is not
    yet imported to the first picture; "engine" is the engine alone; "end to end" is from a picture to its translation.
    Times are milliseconds per batch, fps counts pictures. A measurement that fails is reported in its row, and the
    command ends with exit code 1.
    """
    from ..machine.bench import bench, find_cases
    from ..machine.doctor import in_words, machine

    cases = [
        case
        for artefact in artefacts
        for case in find_cases(
            artefact, backend=backend, device=device, size=size, seconds=seconds, batch_sizes=batch_sizes
        )
    ]
    results = list(bench(cases))
    if as_json:
        click.echo(json.dumps({"machine": machine(), "results": [asdict(result) for result in results]}))
    else:
        click.echo(in_words(machine()))
        click.echo(printable(_table(results)))
    failed = sum(bool(result.error) for result in results)
    if failed:
        raise CycleganError(f"{failed} of {len(results)} cases failed; see the table")


def _table(results: "list[Result]") -> str:
    """Lay the results out in columns, times in milliseconds."""
    measured = ["p50", "p90", "p99", "fps"]
    rows = [["", "", "", "", "", "", "", "engine", "", "", "", "end to end"]]
    rows.append(["artefact", "engine", "device", "precision", "size", "batch", "cold", *measured, *measured])
    for result in results:
        row = [result.artefact, result.backend, result.device]
        if result.engine and result.end_to_end and result.size:
            height, width = result.size
            row += [result.precision, f"{height}x{width}", f"{result.batch_size}", f"{result.cold_ms:.0f}"]
            for latency in (result.engine, result.end_to_end):
                row += [f"{value:.1f}" for value in (latency.p50_ms, latency.p90_ms, latency.p99_ms, latency.fps)]
        rows.append(row)
    widths = [max(map(len, column)) for column in zip_longest(*rows, fillvalue="")]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    errors = [f"{result.artefact} in {result.backend} on {result.device}: {result.error}" for result in results]
    return "\n".join([*lines, *(line for line, result in zip(errors, results, strict=True) if result.error)])
