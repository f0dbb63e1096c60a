"""`cyclegan info`."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...runtime.commands.options import PathType, json_option
from ...runtime.errors import printable, training_side

if TYPE_CHECKING:
    from ...runtime.backends.base import Backend

ENGINE_SUFFIX = ".engine"


@click.command()
@click.argument("file", type=PathType())
@json_option
def info(file: Path, as_json: bool) -> None:
    """Describe FILE: an exported model, a folder of export --to web, a checkpoint, or a run (its latest checkpoint)."""
    from ..web.manifest import is_page

    describe = {".onnx": _artefact_facts, ENGINE_SUFFIX: _engine_facts}.get(file.suffix.lower(), _checkpoint_facts)
    facts = _page_facts(file) if is_page(file) else describe(file)
    if as_json:
        click.echo(json.dumps(facts))
        return
    lines = list(_flatten(facts))
    width = max(len(name) for name, _ in lines)
    for name, value in lines:
        shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        click.echo(printable(f"{name:<{width}}  {shown}"))


def _artefact_facts(path: Path) -> dict[str, Any]:
    """Describe an ONNX file with what the edge install has."""
    from ...runtime.backends import open_backend
    from ...runtime.metadata import parse_metadata

    with closing(open_backend(path, device="cpu")) as backend:
        metadata = parse_metadata(backend.properties, path)
        pixels = {} if metadata else _foreign_facts(backend, path)
    facts = {"kind": "artefact" if metadata else "ONNX model of another tool"} | _file_facts(path)
    facts |= {"input": str(backend.input), "output": str(backend.output)}
    return facts | (metadata.model_dump(mode="json") if metadata else pixels)


def _foreign_facts(backend: "Backend", path: Path) -> dict[str, Any]:
    """Describe what a model of another tool does with pixels, or why it cannot be run."""
    from ...runtime.backends.interface import read_interface
    from ...runtime.errors import ArtefactError

    try:
        interface = read_interface(backend, None, path)
    except ArtefactError as error:
        return {"runs": False, "reason": str(error)}
    names = ("input_layout", "output_layout", "input_range", "output_range", "size", "one_by_one")
    return {"runs": True} | {name: getattr(interface, name) for name in names} | {"assumed": list(interface.assumed)}


def _engine_facts(path: Path) -> dict[str, Any]:
    """Describe a TensorRT engine by what lies beside it; neither a GPU nor the library is needed."""
    from ...runtime.backends.engine_file import read_description, read_plan

    description = read_description(path)
    read_plan(path, description)
    return (
        {"kind": "engine"}
        | _file_facts(path)
        | description.model_dump(mode="json", by_alias=True, exclude={"plan_sha256"})
    )


def _page_facts(folder: Path) -> dict[str, Any]:
    """Describe a page by its `models.json`, once its files are known to be those that it describes."""
    from ..web.manifest import check_files, read_manifest

    manifest = read_manifest(folder)
    check_files(folder, manifest)
    models = {
        model.name: {"usual_side": model.usual}
        | model.metadata
        | {"files": {precision: file.model_dump() for precision, file in model.files.items()}}
        for model in manifest.models
    }
    return {
        "kind": "page for browsers",
        "folder": str(folder),
        "bytes": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
        "cyclegan_edge": manifest.cyclegan_edge,
        "engines": list(manifest.runtimes),
        "models": models,
    }


def _checkpoint_facts(source: Path) -> dict[str, Any]:
    with training_side():
        from ...trainer.checkpoints.checkpoint import find_checkpoint, load_checkpoint, restored_config

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
