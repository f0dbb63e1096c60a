"""Writes the folder: the page, its models and their description, the libraries, the service worker and the headers."""

import filecmp
import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ... import __version__
from ...runtime.errors import ArtefactError, OutputError
from ...runtime.files import replacing
from ...runtime.metadata import ArtefactMetadata, Verification
from ...runtime.web.static_folder import HEADERS
from .libraries import FOLDER as LIBRARIES
from .libraries import libraries, library, published_name
from .manifest import MANIFEST, Manifest, PagePrecision, PublishedFile, PublishedModel, RuntimeFiles, read_manifest

OWN = Path(__file__).parent / "static"
SHARED = Path(__file__).parents[2] / "runtime" / "web" / "static"  # of the server's page
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
    """A generator for a page: its ONNX files, and the side it is used at, in pixels."""

    name: str
    files: dict[PagePrecision, Path]
    metadata: ArtefactMetadata
    usual: int


def write_web(models: list[WebModel], folder: Path) -> Path:
    """Write a page for `models` into `folder`; models of other names that a page there has already stay.

    Raises:
        OutputError: the folder holds something else, or cannot be written.
        ArtefactError: the libraries are damaged.
    """
    before = check_place(folder)
    for each in libraries():
        each.check()
    for source, place in (*_page_files(), *_library_files()):
        _copy(source, folder, place)
    published = {model.name: _publish(model, folder) for model in models}
    manifest = Manifest(
        cyclegan_edge=__version__,
        models=[*published.values(), *(each for each in before if each.name not in published)],
        runtimes={name: _runtime(folder, *parts) for name, parts in RUNTIMES.items()},
    )
    _write(folder / "_headers", "/*\n" + "".join(f"  {name}: {value}\n" for name, value in HEADERS.items()))
    _write(folder / "README.txt", _readme())
    _write_manifest(manifest, folder)
    return folder


def store_verification(verification: Verification, name: str, folder: Path) -> None:
    """Write the summary of a verification into the description of the model `name`.

    Raises:
        ArtefactError: the description is damaged.
        OutputError: the folder cannot be written.
    """
    manifest = read_manifest(folder)
    for model in manifest.models:
        if model.name == name:
            model.metadata["verification"] = verification.model_dump(mode="json")
    _write_manifest(manifest, folder)


def check_place(folder: Path) -> list[PublishedModel]:
    """Return the models of an earlier page whose files are still there; a new or empty folder has none.

    Raises:
        OutputError: the place is no folder, or holds something else.
    """
    try:
        if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
            return []
        models = read_manifest(folder).models
    except OSError as error:
        raise OutputError(f"cannot read {folder}: {error.strerror}; name another folder", about=("output",)) from error
    except ArtefactError as error:
        raise OutputError(
            f"{folder} holds no page that this export could add to; name another folder ({error})", about=("output",)
        ) from error
    return [each for each in models if all((folder / file.path).is_file() for file in each.files.values())]


def _write_manifest(manifest: Manifest, folder: Path) -> None:
    """Write models.json, and a service worker that knows of it."""
    _write(folder / MANIFEST, manifest.to_text())
    _write(folder / "sw.js", _service_worker(folder, [*(place for _, place in _page_files()), MANIFEST]))


def _page_files() -> Iterator[tuple[Path, str]]:
    """Give the page's own files and where they lie in the folder: those of the server's page, and ours."""
    for path in sorted(SHARED.iterdir()):
        if path.is_file() and path.name not in SERVER_ONLY:
            yield path, path.name if path.name == "index.html" else f"static/{path.name}"
    for path in sorted(OWN.iterdir()):
        if path.is_file() and path.name != "sw.js":
            yield path, f"static/{path.name}"


def _library_files() -> Iterator[tuple[Path, str]]:
    for each in libraries():
        for path in each.sources:
            yield path, f"{LIBRARIES.name}/{each.package}/{published_name(path)}"


def _publish(model: WebModel, folder: Path) -> PublishedModel:
    """Copy a model's files; returns its part of the manifest."""
    files = {
        precision: PublishedFile.of(folder, _copy(path, folder, f"models/{model.name}-{precision}.onnx"))
        for precision, path in model.files.items()
    }
    metadata = model.metadata.model_dump(mode="json", exclude={"precision"})
    return PublishedModel(name=model.name, usual=model.usual, files=files, metadata=metadata)


def _runtime(folder: Path, module: str, factory: str) -> RuntimeFiles:
    unpacked = library("onnxruntime-web").files[f"{factory}.wasm"].bytes
    binary = PublishedFile.of(folder, f"{ORT}/{factory}.wasm.gz", unpacked_bytes=unpacked)
    return RuntimeFiles(module=f"{ORT}/{module}", factory=f"{ORT}/{factory}.js", binary=binary)


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
    """Copy a file, unless the same one is there; returns its place."""
    if (folder / place).is_file() and filecmp.cmp(source, folder / place, shallow=False):
        return place
    with replacing(folder / place) as partial:
        shutil.copyfile(source, partial)
    return place


def _write(path: Path, text: str) -> None:
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")
