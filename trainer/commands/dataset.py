"""`cyclegan dataset check` and `cyclegan dataset cache`."""

import json
import re
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ...runtime.errors import CycleganError, OutputError, UsageError, printable, training_side
from .options import DATASET, PATH

if TYPE_CHECKING:
    from ..data.cache.contents import StoreFacts
    from ..data.inspection import Inspection


UNITS = {"": 1, "B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
MARKS = {"problem": "!", "warning": "-", "note": "+"}


@click.group()
def dataset() -> None:
    """Check datasets before training on them; see and bound the cache of prepared pictures."""


@dataset.command()
@click.argument("dataroot", type=DATASET)
@click.option("--sheet", type=PATH, help="Draw some pictures of every folder into this PNG.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as one JSON object, for programs.")
def check(dataroot: str, sheet: Path | None, as_json: bool) -> None:
    """Report what is in DATAROOT/trainA, trainB, testA and testB, and what is wrong with it.

    A line marked ! is a problem and makes the exit code 1: a file that cannot be decoded, or more than one in a hundred
    test pictures that are also in training. Lines marked - deserve a look (duplicates, flat pictures, imbalance); lines
    marked + are for information.
    """
    with training_side():
        from ..data.contact_sheet import COLUMNS, ROWS, save_contact_sheet
        from ..data.inspection import inspect_dataset

    if sheet is not None and sheet.suffix.lower() != ".png":
        raise OutputError(f"the contact sheet becomes a PNG; name it {sheet.stem or 'sheet'}.png")
    inspection, pictures = inspect_dataset(dataroot)
    if sheet is not None:
        counts = {name: facts.count for name, facts in inspection.folders.items() if facts.count}
        blocks = {f"{name} · {count} pictures": pictures.spread(name, COLUMNS * ROWS) for name, count in counts.items()}
        save_contact_sheet(blocks, sheet)
    if as_json:
        click.echo(json.dumps(asdict(inspection)))
    else:
        click.echo(printable("\n".join(_lines(inspection))))
    if inspection.num_problems:
        raise CycleganError(f"{dataroot} has problems, marked ! above" if not as_json else f"{dataroot} has problems")


def _lines(inspection: "Inspection") -> list[str]:
    lines = []
    for name, facts in inspection.folders.items():
        sizes = [f"{width:g}x{height:g}" for width, height in zip(facts.widths, facts.heights, strict=True)]
        kinds = ", ".join(f"{count} {kind}" for kind, count in facts.kinds.items())
        lines.append(f"{name:<7} {facts.count:>6} pictures · from {sizes[0]} over {sizes[1]} to {sizes[2]} · {kinds}")
    return lines + [f"{MARKS[finding.level]} {finding.text}" for finding in inspection.findings]


@dataset.command()
@click.argument("dataroot", type=DATASET, required=False)
@click.option("--cache", "place", metavar="DIR", help="The cache, as `cyclegan train --cache` names it.")
@click.option("--limit", metavar="SIZE|none", help="Bound the cache, such as 50GB, now and for runs to come.")
@click.option("--clear", is_flag=True, help="Remove what is in it, of DATAROOT alone where that is given.")
@click.option("--json", "as_json", is_flag=True, help="Print what is in the cache as one JSON object.")
def cache(dataroot: str | None, place: str | None, limit: str | None, clear: bool, as_json: bool) -> None:
    """Show, bound or clear the cache of prepared pictures that training reads from.

    Removing is always safe: a run that is training reads on, and the next one prepares its pictures again.
    """
    with training_side():
        from ..data.cache.contents import cache_place, list_stores, read_limit, remove_stores, set_limit, stores_of

    folder = cache_place(place or "")
    if folder is None:
        raise UsageError("--cache off is no folder; name the one that was trained with, or leave it out")
    bound = None if limit in (None, "none") else _bytes(str(limit))
    try:
        if limit is not None:
            for store in set_limit(folder, bound):
                click.echo(printable(f"removed {store.folder}"), err=True)
        stores = list_stores(folder)
        stores = stores if dataroot is None else stores_of(dataroot, stores)
        kept = remove_stores(stores) if clear else []
        stores = kept if clear else stores
    except OSError as error:
        raise OutputError(f"cannot change the cache {folder}: {error.strerror}; make it writable") from error
    if as_json:
        facts = [
            asdict(store) | {"folder": str(store.folder), "source_is_gone": store.source_is_gone} for store in stores
        ]
        click.echo(json.dumps({"folder": str(folder), "limit": read_limit(folder), "stores": facts}))
    else:
        click.echo(printable("\n".join(_cache_lines(folder, stores, read_limit(folder)))))
    if kept:
        raise CycleganError("a process is preparing the pictures in what is left; wait for it, then clear again")


def _cache_lines(folder: Path, stores: "list[StoreFacts]", limit: int | None) -> list[str]:
    lines = []
    for store in stores:
        source = f"{store.source} · {store.preparation}" if store.source else "cannot be read, and will be made anew"
        state = "" if store.usable or not store.source else " · of another version, and will be made anew"
        state += " · that folder is gone" if store.source_is_gone else ""
        days = int(time.time() - store.used) // 86400
        used = f"{days} days ago" if days else "today"
        held = f"{store.num_pictures} pictures · {_size(store.num_bytes)} · used {used}"
        lines.append(f"{store.folder.name}: {held} · {source}{state}")
    total = _size(sum(store.num_bytes for store in stores))
    bound = f", limit {_size(limit)}" if limit is not None else ""
    lines.append(f"{folder}: {total} in {len(stores)} stores{bound}")
    if gone := [store for store in stores if store.source_is_gone]:
        lines.append(
            f"{_size(sum(store.num_bytes for store in gone))} of it are of folders that are not there any more; "
            "cyclegan dataset cache FOLDER --clear makes room"
        )
    return lines


def _size(number: int) -> str:
    unit = next(name for name in ("TB", "GB", "MB", "kB", "B") if number >= UNITS[name] or name == "B")
    return f"{number / UNITS[unit]:.3g} {unit}"


def _bytes(text: str) -> int:
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,6})?) ?(TB|GB|MB|kB|KB|B|)", text)
    if match is None:
        raise UsageError(f"--limit {text} is no size; write one such as 50GB, or none")
    return int(float(match[1]) * UNITS[match[2]])
