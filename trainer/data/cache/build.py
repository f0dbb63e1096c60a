"""Preparing the pictures that a store lacks: by several threads, in an order that a kill can interrupt anywhere."""

import logging
import sqlite3
import time
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..ordered import in_order
from ..picture_files import PictureFiles
from ..pictures import UNREADABLE, Pixels, Preparation
from ..progress import counted
from .contents import make_room
from .store import StoreWriter, stored_bytes

LOGGER = logging.getLogger(__name__)

COMMIT_SECONDS = 2.0  # of work that a kill may cost
FIRST = 16  # pictures after which the room that all will take is estimated, and again at four times as many each
ATTEMPTS = 3  # at a file that changes while it is read


@dataclass(frozen=True)
class Prepared:
    """A file as it was when it was decoded; `pixels` None where it is no readable picture, for that `reason`."""

    size: int
    mtime: int
    pixels: Pixels | None
    reason: str = ""


def build(
    folder: Path, files: PictureFiles, missing: NDArray[np.int64], gone: Iterable[str], prepare: Preparation
) -> None:
    """Add the files at the places `missing` to a store and remove the names `gone`; the caller holds its lock.

    Where there is no room, what was added is removed again. An interruption keeps what was done.

    Raises:
        OSError, sqlite3.Error: the store cannot be written.
    """
    about = {"source": str(files.folder.resolve()), "preparation": prepare.identity}
    with closing(StoreWriter(folder, about)) as writer:
        writer.remove(gone)
        if len(missing):
            started = time.monotonic()
            LOGGER.info("preparing %d pictures of %s in %s", len(missing), files.folder, folder)
            try:
                _add(writer, folder, files, missing.tolist(), prepare)
            except (OSError, sqlite3.Error):
                with suppress(OSError, sqlite3.Error):
                    writer.undo()
                raise
            except KeyboardInterrupt:
                writer.commit()
                raise
            LOGGER.info("prepared them in %.0f s", time.monotonic() - started)
        writer.commit()
        with suppress(OSError, sqlite3.Error):  # another time, then
            writer.compact()


def _add(writer: StoreWriter, folder: Path, files: PictureFiles, missing: list[int], prepare: Preparation) -> None:
    committed, taken, estimated = time.monotonic(), 0, FIRST
    results = in_order(lambda place: prepare_file(files[place], prepare), missing)
    with counted(f"preparing {files.folder.name}", len(missing)) as advance:
        for number, (place, prepared) in enumerate(zip(missing, results, strict=True), start=1):
            if prepared is not None:
                taken += _store(writer, files.names[place], prepared)
            if number == estimated:
                make_room(folder, taken // number * (len(missing) - number))
                estimated *= 4
            if time.monotonic() - committed > COMMIT_SECONDS:
                writer.commit()
                committed = time.monotonic()
            advance()


def _store(writer: StoreWriter, name: str, prepared: Prepared) -> int:
    if prepared.pixels is None:
        writer.add_unreadable(name, prepared.size, prepared.mtime, prepared.reason)
        return 0
    writer.add(name, prepared.size, prepared.mtime, prepared.pixels)
    height, width, channels = prepared.pixels.shape
    return stored_bytes(height, width, channels, 8 * prepared.pixels.itemsize)


def prepare_file(path: Path, prepare: Preparation) -> Prepared | None:
    """Decode a file that may be changing; None where it has gone, or may be read another time."""
    for _ in range(ATTEMPTS):
        try:
            before = path.stat()
            pixels, reason = prepare(path), ""
        except UNREADABLE as error:
            if isinstance(error, OSError) and error.errno is not None:  # the disk's or the network's, not the picture's
                LOGGER.warning("cannot read %s: %s", path, error.strerror)
                return None
            pixels, reason = None, f"it is no readable picture ({error})"
        with suppress(OSError):
            after = path.stat()
            if (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns):
                return Prepared(before.st_size, before.st_mtime_ns, pixels, reason)
    return None
