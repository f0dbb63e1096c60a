"""The two JavaScript libraries that a page brings along, kept in `libraries/` as their npm packages hold them.

No wheel that is kept up ships ONNX Runtime Web, so its files are part of this package: an export needs no network.
"""

import gzip
import hashlib
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from pydantic import BaseModel, TypeAdapter

from ...runtime.errors import ArtefactError

FOLDER = Path(__file__).parent / "libraries"


class LibraryFile(BaseModel):
    """A file as its npm package holds it, not packed."""

    bytes: int
    sha256: str


class Library(BaseModel):
    """An npm package at its pinned version; `files` are those that are taken from it, by their names."""

    package: str
    version: str
    licence: str
    files: dict[str, LibraryFile]

    @property
    def sources(self) -> Iterator[Path]:
        """Give every file to be copied, the licence included; WebAssembly is packed with gzip."""
        yield from sorted(path for path in (FOLDER / self.package).iterdir() if path.is_file())

    def check(self) -> None:
        """Make sure that the files are those of the npm package.

        Raises:
            ArtefactError: one is missing or was changed.
        """
        for name, file in self.files.items():
            path = FOLDER / self.package / (f"{name}.gz" if name.endswith(".wasm") else name)
            try:
                data = path.read_bytes()
                data = gzip.decompress(data) if path.suffix == ".gz" else data
            except (OSError, EOFError, zlib.error) as error:
                raise ArtefactError(f"{path} cannot be read ({error}); install cyclegan-edge again") from error
            if hashlib.sha256(data).hexdigest() != file.sha256:
                raise ArtefactError(f"{path} is not that of {self.package} {self.version}; install cyclegan-edge again")


@cache
def libraries() -> list[Library]:
    """Return the libraries, as `libraries.json` lists them."""
    return TypeAdapter(list[Library]).validate_json((FOLDER / "libraries.json").read_bytes())


def library(package: str) -> Library:
    """Return the library that is an npm package."""
    return next(each for each in libraries() if each.package == package)


def published_name(path: Path) -> str:
    """Return the name of a library's file in a page: a host may not know .mjs, and every one knows .js."""
    return path.name.replace(".mjs", ".js")
