"""Where the pictures of a domain lie on this machine: in their folder, or in the cache, from shards or from afar."""

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path, PurePosixPath

from ....runtime.errors import DatasetError, OutputError
from ....runtime.files import replacing
from ....runtime.listing import list_files
from ...config import is_address
from ..cache.contents import ORIGIN, cache_place, default_place, held, make_room
from ..pictures import TRAINING_SUFFIXES
from .remote import RemoteFolder, remove_others
from .shards import find_shards, unpack_shards

LOGGER = logging.getLogger(__name__)


def local_folder(dataroot: str, name: str, cache: str) -> Path:
    """Return the folder that holds, or will hold, the pictures of DATAROOT/`name`; see `bring_in`."""
    place = cache_place(cache) or default_place()
    folder = _copy(place, dataroot) / name if is_address(dataroot) else Path(dataroot) / name
    return _unpacked(place, folder) / name if find_shards(folder) else folder


def bring_in(dataroot: str, name: str, cache: str) -> Path:
    """Copy what lies behind an address, unpack what lies in shards, and return the folder of the pictures.

    What is in the cache already, or was begun, is not brought in again. Of several processes one does it.

    Raises:
        DatasetError: the address does not answer and nothing was copied before, or a shard cannot be read.
        UsageError: nothing that is installed reads such an address.
        OutputError: the cache cannot be written.
    """
    place = cache_place(cache) or default_place()
    folder = Path(dataroot) / name
    if is_address(dataroot):
        copy = _copy(place, dataroot)
        folder = copy / name
        with _writing(copy, dataroot):
            _update_copy(RemoteFolder(dataroot), copy, name)
    shards = find_shards(folder)
    if not shards:
        return folder
    if beside := len(list_files(folder, TRAINING_SUFFIXES).names):
        LOGGER.warning(
            "%s holds shards and %d pictures; the shards are taken, the pictures are left out", folder, beside
        )
    unpacked = _unpacked(place, folder)
    with _writing(unpacked, str(folder)):
        unpack_shards(shards, unpacked / name)
    return unpacked / name


def _update_copy(remote: RemoteFolder, copy: Path, name: str) -> None:
    try:
        files = remote.list(name)
    except DatasetError as error:
        if not (copy / name).is_dir():
            raise
        LOGGER.warning("%s; taking what was copied before", error)
        return
    if not files and name.startswith("train"):
        raise DatasetError(f"there is no file in {remote.address}/{name}; a dataset has trainA/ and trainB/")
    (copy / name).mkdir(parents=True, exist_ok=True)
    there = sum(path.stat().st_size for path in (copy / name).rglob("*") if path.is_file())
    make_room(copy, max(0, sum(file.size or 0 for file in files) - there))
    remote.fetch(files, copy)
    remove_others(files, copy, name)


@contextmanager
def _writing(folder: Path, origin: str) -> Iterator[None]:
    """Hold the lock of a folder of the cache that is filled from `origin`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with held(folder, f"bringing in {origin}"):
            with replacing(folder / ORIGIN) as partial:
                partial.write_bytes(os.fsencode(origin))
            os.utime(folder)  # when it was used last
            yield
    except (OSError, sqlite3.Error) as error:
        reason = error.strerror or error if isinstance(error, OSError) else error
        raise OutputError(
            f"cannot bring {origin} into the cache {folder.parent}: {reason}; make room, or name another place in "
            "the variable CYCLEGAN_CACHE or with data.cache"
        ) from error


def _copy(place: Path, address: str) -> Path:
    return place / _name(PurePosixPath(address).name or "root", address.rstrip("/"))


def _unpacked(place: Path, folder: Path) -> Path:
    return place / _name(f"{folder.parent.name}-{folder.name}-shards", str(folder.resolve()))


def _name(shown: str, origin: str) -> str:
    return f"{shown}-{sha256(os.fsencode(origin)).hexdigest()[:16]}"
