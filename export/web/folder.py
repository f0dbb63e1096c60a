"""Writes the folder: the page, its models and their description, the libraries, the service worker and the headers."""

import gzip
import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ... import __version__
from ...runtime.errors import OutputError, UsageError
from ...runtime.files import replacing
from ...runtime.metadata import ArtefactMetadata
from ...runtime.web.static_folder import HEADERS
from .libraries import FOLDER as LIBRARIES
from .libraries import libraries, published_name

OWN = Path(__file__).parent / "static"
SHARED = Path(__file__).parents[2] / "runtime" / "web" / "static"  # of the server's page
MANIFEST = "models.json"
SCHEMA_VERSION = 1
# Of the server's page, what only speaks to a server; the translator is replaced by ours.
SERVER_ONLY = {"login.html", "server.js", "server_live.js", "server_video.js", "stream.js", "translator.js"}

ORT = "libraries/onnxruntime-web"
RUNTIMES = {
    "wasm": ("ort.wasm.min.js", "ort-wasm-simd-threaded"),
    "webgpu": ("ort.jspi.min.js", "ort-wasm-simd-threaded.jspi"),
}

README = """\
A page that translates pictures, the camera and videos on its visitor's own device. Made by cyclegan-edge {version}.

Put this folder on any static host, as it is. Pages that are opened as files do not run; to try it here:
    cyclegan serve --static .
`_headers` is read by hosts that know the format; on all others the service worker (sw.js) sets what threads need.

The page: CycleGAN Edge, Apache-2.0.{libraries}
"""


@dataclass(frozen=True)
class WebModel:
    """A generator for a page: ONNX files by precision ("fp16", "fp32"), and the side it is used at, in pixels."""

    name: str
    files: dict[str, Path]
    metadata: ArtefactMetadata
    usual: int

    def __post_init__(self) -> None:
        """Refuse what no canvas gives or shows."""
        for channels in (self.metadata.input_channels, self.metadata.output_channels):
            if channels not in (1, 3):
                raise UsageError(f"a page shows pictures of 1 or 3 channels, and {self.name} has {channels}")
        if self.metadata.io != "uint8":
            raise UsageError("a page takes pixels, uint8, in and out", about=("io",))


def write_web(models: list[WebModel], folder: Path) -> Path:
    """Write a page for `models` into `folder`; models of other names that a page there has already stay.

    Raises:
        OutputError: the folder holds something else, or cannot be written.
        ArtefactError: the libraries are damaged.
    """
    before = _models_of(folder)
    for library in libraries():
        library.check()
    shell = [_copy(source, folder, place) for source, place in _page_files()]
    for source, place in _library_files():
        _copy(source, folder, place)
    described = {model.name: _describe(model, folder) for model in models}
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "cyclegan_edge": __version__,
        "models": [*described.values(), *(each for each in before if each["name"] not in described)],
        "runtimes": {name: _runtime(folder, *parts) for name, parts in RUNTIMES.items()},
    }
    _write(folder / MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
    _write(folder / "_headers", "/*\n" + "".join(f"  {name}: {value}\n" for name, value in HEADERS.items()))
    _write(folder / "README.txt", _readme())
    _write(folder / "sw.js", _service_worker(folder, [*shell, MANIFEST]))
    return folder


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return what a folder says of itself.

    Raises:
        OutputError: it is no page of ours.
    """
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if manifest["schema_version"] != SCHEMA_VERSION:
            raise KeyError("schema_version")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OutputError(
            f"{folder} holds no page of cyclegan export; name another folder", about=("output",)
        ) from error
    return manifest


def _models_of(folder: Path) -> list[dict[str, Any]]:
    """Return the models of an earlier export whose files are still there; an empty folder has none."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return []
    models = read_manifest(folder)["models"]
    return [each for each in models if all((folder / file["path"]).is_file() for file in each["files"].values())]


def _page_files() -> Iterator[tuple[Path, str]]:
    """Give the page's own files and where they lie in the folder: those of the server's page, and ours."""
    for path in sorted(SHARED.iterdir()):
        if path.is_file() and path.name not in SERVER_ONLY:
            yield path, path.name if path.name == "index.html" else f"static/{path.name}"
    for path in sorted(OWN.iterdir()):
        if path.is_file() and path.name != "sw.js":
            yield path, f"static/{path.name}"


def _library_files() -> Iterator[tuple[Path, str]]:
    for library in libraries():
        for path in library.sources:
            yield path, f"{LIBRARIES.name}/{library.package}/{published_name(path)}"


def _describe(model: WebModel, folder: Path) -> dict[str, Any]:
    """Copy a model's files; returns its part of the manifest."""
    files = {
        precision: _described(folder, _copy(path, folder, f"models/{model.name}-{precision}.onnx"))
        for precision, path in model.files.items()
    }
    metadata = model.metadata.model_dump(mode="json", exclude={"precision"})
    return {"name": model.name, "usual": model.usual, "files": files, "metadata": metadata}


def _runtime(folder: Path, module: str, factory: str) -> dict[str, Any]:
    binary = _described(folder, f"{ORT}/{factory}.wasm.gz")
    unpacked = len(gzip.decompress((folder / binary["path"]).read_bytes()))
    return {
        "module": f"{ORT}/{module}",
        "factory": f"{ORT}/{factory}.js",
        "binary": binary | {"unpacked_bytes": unpacked},
    }


def _described(folder: Path, place: str) -> dict[str, Any]:
    data = (folder / place).read_bytes()
    return {"path": place, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _service_worker(folder: Path, shell: list[str]) -> str:
    """Return the service worker: another version whenever any file of the page is another."""
    digest = hashlib.sha256()
    for place in sorted(shell):
        digest.update(place.encode() + hashlib.sha256((folder / place).read_bytes()).digest())
    paths = ["./", *(place for place in shell if place != "index.html")]
    head = f"const VERSION = {json.dumps(digest.hexdigest()[:16])};\nconst SHELL = {json.dumps(paths)};\n"
    return head + (OWN / "sw.js").read_text(encoding="utf-8")


def _readme() -> str:
    lines = [f"\nlibraries/{one.package}: version {one.version}, {one.licence}." for one in libraries()]
    return README.format(version=__version__, libraries="".join(lines))


def _copy(source: Path, folder: Path, place: str) -> str:
    with replacing(folder / place) as partial:
        shutil.copyfile(source, partial)
    return place


def _write(path: Path, text: str) -> None:
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")
