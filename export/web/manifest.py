"""What a page says of itself: `models.json`, which the page reads, and to which a second export adds.

Imports nothing heavy: `cyclegan info` needs neither torch nor an engine for it.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from ...runtime.errors import ArtefactError

MANIFEST = "models.json"
SCHEMA_VERSION = 1

PagePrecision = Literal["fp16", "fp32"]


def _inside(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or parts[0] == "/" or ".." in parts:
        raise ValueError(f"{path!r} lies outside the folder")
    return path


class PublishedFile(BaseModel):
    """A file of the folder, as a visitor's browser must receive it; `path` is relative, with slashes."""

    model_config = ConfigDict(extra="allow", frozen=True)

    path: Annotated[str, AfterValidator(_inside)]
    bytes: int = Field(ge=0)
    sha256: str

    @classmethod
    def of(cls, folder: Path, path: str, **others: int) -> "PublishedFile":
        """Describe a file that is there."""
        data = (folder / path).read_bytes()
        return cls(path=path, bytes=len(data), sha256=hashlib.sha256(data).hexdigest(), **others)


class PublishedModel(BaseModel):
    """A generator of the page: its file by precision, the side it is used at, in pixels, and its metadata."""

    model_config = ConfigDict(extra="allow")

    name: str
    usual: int = Field(ge=1)
    files: dict[PagePrecision, PublishedFile] = Field(min_length=1)
    metadata: dict[str, Any] = Field(description="that of the files, without their precision")


class RuntimeFiles(BaseModel):
    """One build of ONNX Runtime Web: its module, the module that starts it, and its WebAssembly in gzip."""

    model_config = ConfigDict(extra="allow", frozen=True)

    module: str
    factory: str
    binary: PublishedFile  # with `unpacked_bytes`


class Manifest(BaseModel):
    """The whole `models.json`."""

    model_config = ConfigDict(extra="allow")

    schema_version: int = SCHEMA_VERSION
    cyclegan_edge: str
    models: list[PublishedModel]
    runtimes: dict[str, RuntimeFiles]

    def to_text(self) -> str:
        """Return the JSON that `read_manifest` reads."""
        return self.model_dump_json(indent=1) + "\n"

    @property
    def files(self) -> Iterator[PublishedFile]:
        """Give every file whose checksum is known."""
        for model in self.models:
            yield from model.files.values()
        for runtime in self.runtimes.values():
            yield runtime.binary


def is_page(path: Path) -> bool:
    """Whether a path is a folder that says of itself that it is a page."""
    try:
        return (path / MANIFEST).is_file()
    except OSError:  # a folder that may not be looked into
        return False


def read_manifest(folder: Path) -> Manifest:
    """Return what a folder says of itself.

    Raises:
        ArtefactError: it is no page of ours, is damaged, or is of a newer version.
    """
    path = folder / MANIFEST
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ArtefactError(f"cannot read {path}: {error.strerror}; export the page again") from error
    except ValidationError as error:
        detail = error.errors()[0]
        where = ".".join(str(part) for part in detail["loc"]) or "the text itself"
        raise ArtefactError(f"{path} is damaged ({where}: {detail['msg']}); export the page again") from error
    if manifest.schema_version > SCHEMA_VERSION:
        raise ArtefactError(
            f"{path} was written by a newer cyclegan-edge (schema {manifest.schema_version}, this version reads up to "
            f"{SCHEMA_VERSION}); upgrade cyclegan-edge, or export the page into another folder"
        )
    return manifest


def check_files(folder: Path, manifest: Manifest) -> None:
    """Make sure that the files of a page are those that it describes.

    Raises:
        ArtefactError: one is missing, cut or changed.
    """
    for file in manifest.files:
        path = folder / file.path
        try:
            found = PublishedFile.of(folder, file.path)
        except OSError as error:
            raise ArtefactError(f"cannot read {path}: {error.strerror}; export the page again") from error
        if (found.bytes, found.sha256) != (file.bytes, file.sha256):
            raise ArtefactError(f"{path} was cut or changed after it was exported; export the page again")
