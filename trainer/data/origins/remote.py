"""Files behind an address become files of this machine, through fsspec; what was interrupted goes on."""

import logging
import os
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO

from ....runtime.errors import DatasetError, UsageError
from ....runtime.files import open_to_append
from ..ordered import in_order
from ..progress import counted

LOGGER = logging.getLogger(__name__)

BLOCK = 1 << 20
ATTEMPTS = 5
PAUSE = 1.0  # seconds before the second attempt, twice as long before each further one
VERSIONS = "versions"  # file of what was copied: a line of name, tab and version for each
# What file systems call the marks by which they tell one version of a file from another.
MARKS = (
    "ETag", "etag", "sha256", "md5Hash", "blob_id", "mtime", "LastModified", "last_modified", "updated", "created",
)  # fmt: skip


@dataclass(frozen=True)
class RemoteFile:
    """A file behind an address: its path there, its name here (relative, with "/"), and its version as a digest."""

    path: str
    name: str
    size: int | None
    version: str


class RemoteFolder:
    """A folder behind an address such as s3://bucket/horses."""

    def __init__(self, address: str) -> None:
        """Find what reads such an address.

        Raises:
            UsageError: nothing that is installed does.
        """
        try:
            from fsspec.core import url_to_fs

            self._files, root = url_to_fs(address)
        except (ImportError, ValueError) as error:
            raise UsageError(
                f'{address} cannot be read here: {error}; pip install "cyclegan-edge[remote]" reads http and https, '
                "s3fs reads s3, gcsfs reads gs and huggingface_hub reads hf"
            ) from error
        self.address = address
        self._root = str(root).rstrip("/")

    def list(self, folder: str) -> list[RemoteFile]:
        """Return the files below a folder; none where there is no such folder.

        Raises:
            DatasetError: the address does not answer.
        """
        try:
            self._files.invalidate_cache()  # lists of before, which this process may have read
            found = self._files.find(f"{self._root}/{folder}", detail=True)
        except FileNotFoundError:
            return []
        except Exception as error:  # every library has its own
            raise DatasetError(f"cannot list {self.address}/{folder}: {error or type(error).__name__}") from error
        listed = []
        for path, info in found.items():
            name = str(path).removeprefix(f"{self._root}/")
            if name.startswith(f"{folder}/") and ".." not in PurePosixPath(name).parts:
                marks = " ".join(f"{mark}={info[mark]}" for mark in MARKS if info.get(mark))
                version = sha256(f"{info.get('size')} {marks}".encode()).hexdigest()[:16]
                listed.append(RemoteFile(str(path), name, info.get("size"), version))
        return sorted(listed, key=lambda file: file.name)

    def fetch(self, files: Iterable[RemoteFile], target: Path) -> None:
        """Copy files below `target`, several at once; what is there already, or was begun, is not copied again.

        Raises:
            DatasetError: one cannot be read after several attempts.
            OSError: the target cannot be written.
        """
        target.mkdir(parents=True, exist_ok=True)
        known = _read_versions(target)
        missing = [file for file in files if known.get(file.name) != file.version or not _is_whole(file, target)]
        lock = threading.Lock()
        with open_to_append(target / VERSIONS) as versions:

            def copy(file: RemoteFile) -> None:
                self._copy(file, target / file.name)
                with lock:
                    versions.write(os.fsencode(f"{file.name}\t{file.version}\n"))
                    versions.flush()

            with counted(f"copying {self.address}", len(missing), "files") as advance:
                for _ in in_order(copy, missing):
                    advance()

    def _copy(self, file: RemoteFile, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        digest = sha256(os.fsencode(path.name)).hexdigest()[:16]
        partial = path.with_name(f".{digest}-{file.version}.partial")  # of this version; hidden from who lists
        for attempt in range(ATTEMPTS):
            try:
                size = self._files.info(file.path).get("size") if file.size is None else file.size
                self._append(file.path, size, partial)
                break
            except FileNotFoundError as error:
                raise DatasetError(f"{file.path} of {self.address} is not there any more; start again") from error
            except _DiskError as error:
                raise OSError(error.args[0].errno, error.args[0].strerror) from error
            except Exception as error:  # every library has its own
                LOGGER.debug("%s: %s", file.path, error)
                if attempt == ATTEMPTS - 1:
                    raise DatasetError(
                        f"cannot copy {file.path} from {self.address}: {error or type(error).__name__}; start again to "
                        "go on from there"
                    ) from error
                time.sleep(PAUSE * 2**attempt)
        partial.replace(path)

    def _append(self, path: str, size: int | None, partial: Path) -> None:
        """Add to a partial file what it lacks; where the size is not known, all."""
        try:
            local = open_to_append(partial)
        except OSError as error:
            raise _DiskError(error) from error
        with local:
            begun = local.tell()
            if size is None or begun > size:
                local.truncate(0)
                begun = 0
            if begun != size:
                with self._files.open(path, "rb", block_size=BLOCK) as source:
                    _go_to(begun, source, local)
                    while block := source.read(BLOCK):
                        _write(block, local)
            length = local.seek(0, os.SEEK_END)
        if size is not None and length != size:
            raise ConnectionError(f"it ended after {length} of {size} bytes")


def _go_to(begun: int, source: IO[bytes], local: BinaryIO) -> None:
    try:
        if begun:
            source.seek(begun)
    except ValueError:  # a server that sends all or nothing
        local.truncate(0)


def _write(block: bytes, local: BinaryIO) -> None:
    try:
        local.write(block)
        local.flush()
    except OSError as error:
        raise _DiskError(error) from error


class _DiskError(Exception):
    """An error of this machine's disk, which no attempt at the network mends."""


def remove_others(files: Iterable[RemoteFile], target: Path, folder: str) -> None:
    """Remove from a whole copy what is not behind the address any more, and what was begun of older versions."""
    names = {file.name for file in files}
    for path in (target / folder).rglob("*"):
        if path.is_file() and path.relative_to(target).as_posix() not in names:
            path.unlink()


def _is_whole(file: RemoteFile, target: Path) -> bool:
    path = target / file.name
    return path.is_file() and file.size in (None, path.stat().st_size)


def _read_versions(target: Path) -> dict[str, str]:
    path = target / VERSIONS
    lines = os.fsdecode(path.read_bytes()).split("\n") if path.exists() else []
    return dict(line.split("\t") for line in lines if line.count("\t") == 1)
