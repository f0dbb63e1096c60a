"""`cyclegan profile`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ...runtime.commands.console import print_wide, spinner
from ...runtime.commands.options import NumberRange, PathType, json_option, parse_size
from ...runtime.errors import training_side
from ...runtime.files import replacing

if TYPE_CHECKING:
    from rich.table import Table

    from ...runtime.backends.base import Precision
    from ..profiling.layers import Layer, Profile


SHOWN = 0.005  # share of the time below which a layer is not listed by itself


@click.command()
@click.argument("artefact", type=PathType())
@click.option(
    "--backend",
    default="auto",
    show_default=True,
    help="Engine: openvino or onnxruntime; auto: the one that cyclegan translate takes.",
)
@click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16"]),
    default="auto",
    show_default=True,
    help="Number format that openvino computes in; auto: its own choice.",
)
@click.option(
    "--size",
    metavar="HxW",
    callback=parse_size,
    help="Height and width of the picture.  [default: the size that the artefact is pinned to, else 256x256]",
)
@click.option(
    "--seconds",
    type=NumberRange(0, 3600),
    default=3.0,
    show_default=True,
    help="Length of the measurement; at least five pictures run.",
)
@click.option(
    "-o",
    "--output",
    type=PathType(),
    help="Folder for NAME.profile.json and the chart NAME.profile.svg.",
)
@json_option
def profile(
    artefact: Path,
    backend: str,
    precision: "Precision",
    size: tuple[int, int] | None,
    seconds: float,
    output: Path | None,
    as_json: bool,
) -> None:
    """Show how long each layer of ARTEFACT takes in an engine on this CPU.

    MACs are multiplications with their additions, of convolutions and matrix products only. Memory traffic is what a
    layer reads and writes, weights included, by the shapes in the graph.
    """
    with training_side():
        from ..profiling.chart import save_chart
        from ..profiling.layers import profile as measure

    with spinner(f"profiling {artefact.name}"):
        result = measure(artefact, backend=backend, precision=precision, size=size, seconds=seconds)
    if output:
        with replacing(output / f"{artefact.stem}.profile.json") as partial:
            partial.write_text(json.dumps(result.as_dict(), indent=1) + "\n", encoding="utf-8")
        save_chart(result, output / f"{artefact.stem}.profile.svg")
    if as_json:
        click.echo(json.dumps(result.as_dict()))
        return
    print_wide(profile_table(result))


def profile_table(result: "Profile") -> "Table":
    """Lay a profile out, a line for each layer that takes a share worth showing."""
    from rich.table import Table

    height, width = result.size
    title = f"{result.artefact} in {result.backend}, {result.precision}, {height}x{width}: "
    title += f"{result.ms:.2f} ms a picture, median of {result.runs}"
    kinds = ", ".join(f"{kind} {ms / result.layers_ms:.0%}" for kind, ms in result.by_kind().items())
    table = Table(title=title, caption=f"by kind: {kinds}", title_justify="left", caption_justify="left")
    table.add_column("part")
    table.add_column("layer")
    for heading in ("ms", "share", "MMAC", "GMAC/s", "parameters", "traffic MB"):
        table.add_column(heading, justify="right")
    shown = [layer for layer in result.layers if layer.ms >= SHOWN * result.layers_ms]
    for layer in shown:
        table.add_row(layer.part, layer.layer, *_numbers([layer], result))
    hidden = [layer for layer in result.layers if layer not in shown]
    if hidden:
        table.add_row("", f"{len(hidden)} layers below {SHOWN:.1%} each", *_numbers(hidden, result))
    table.add_section()
    total = [f"{result.layers_ms:.2f}", "", f"{result.macs / 1e6:,.0f}", f"{result.macs / result.layers_ms / 1e6:.1f}"]
    table.add_row(
        "all", f"{len(result.layers)} layers", *total, f"{result.parameters:,}", f"{result.traffic / 1e6:,.0f}"
    )
    return table


def _numbers(layers: "list[Layer]", result: "Profile") -> list[str]:
    ms, macs = sum(layer.ms for layer in layers), sum(layer.macs for layer in layers)
    parameters, traffic = sum(layer.parameters for layer in layers), sum(layer.traffic for layer in layers)
    return [
        f"{ms:.2f}",
        f"{ms / result.layers_ms:.1%}",
        f"{macs / 1e6:,.0f}" if macs else "",
        f"{macs / ms / 1e6:.1f}" if macs and ms else "",
        f"{parameters:,}" if parameters else "",
        f"{traffic / 1e6:.1f}" if traffic else "",
    ]
