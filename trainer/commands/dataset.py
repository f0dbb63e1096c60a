"""`cyclegan dataset check`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ...runtime.errors import CycleganError, OutputError

if TYPE_CHECKING:
    from ..data.inspection import Inspection


MARKS = {"problem": "!", "warning": "-", "note": "+"}


@click.group()
def dataset() -> None:
    """Check datasets before training on them."""


@dataset.command()
@click.argument("dataroot", type=click.Path(path_type=Path))
@click.option("--sheet", type=click.Path(path_type=Path), help="Draw some pictures of every folder into this PNG.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as one JSON object, for programs.")
def check(dataroot: Path, sheet: Path | None, as_json: bool) -> None:
    """Report what is in DATAROOT/trainA, trainB, testA and testB, and what is wrong with it.

    A line marked ! is a problem and makes the exit code 1: a file that cannot be decoded, or more than one in a hundred
    test pictures that are also in training. Lines marked - deserve a look (duplicates, flat pictures, imbalance); lines
    marked + are for information.
    """
    from ..data.contact_sheet import save_contact_sheet
    from ..data.inspection import inspect_dataset

    if sheet is not None and sheet.suffix.lower() != ".png":
        raise OutputError(f"the contact sheet becomes a PNG; name it {sheet.with_suffix('.png')}")
    inspection, pictures = inspect_dataset(dataroot)
    if sheet is not None:
        save_contact_sheet({name: [picture.thumbnail for picture in found] for name, found in pictures.items()}, sheet)
    if as_json:
        click.echo(json.dumps(asdict(inspection)))
    else:
        click.echo("\n".join(_lines(inspection)))
    if inspection.num_problems:
        raise CycleganError(f"{dataroot} has problems, marked ! above" if not as_json else f"{dataroot} has problems")


def _lines(inspection: "Inspection") -> list[str]:
    lines = []
    for name, facts in inspection.folders.items():
        sizes = [f"{width:g}x{height:g}" for width, height in zip(facts.widths, facts.heights, strict=True)]
        kinds = ", ".join(f"{count} {kind}" for kind, count in facts.kinds.items())
        lines.append(f"{name:<7} {facts.count:>6} pictures · from {sizes[0]} over {sizes[1]} to {sizes[2]} · {kinds}")
    return lines + [f"{MARKS[finding.level]} {finding.text}" for finding in inspection.findings]
