"""The cache of prepared pictures: where it is, and how a domain's pictures get into it once.

Every folder of pictures and way of preparing them has a store of its own below the cache's place. A picture is known by
its name, size and time of change, so that a store is extended and pruned when files come and go. One process builds
under a lock; others of the machine wait for it and share what it built.
"""

import hashlib
import logging
import os
import sqlite3
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .cache.build import build
from .cache.contents import held, remove_content
from .cache.store import BITS, COLUMNS, MTIME, PIECE, SIZE, DamagedStoreError, Index, StoreReader, forget, read_index
from .picture_files import PictureFiles
from .pictures import Preparation
from .training_pictures import WARNINGS, Stored, TrainingPictures

LOGGER = logging.getLogger(__name__)

Found = tuple[NDArray[np.int64], NDArray[np.bool_]]  # rows of the index, and whether each is there


def store_folder(place: Path, folder: Path, prepare: Preparation) -> Path:
    """Return the store of a folder of pictures and a preparation; its name says whose it is to a reader."""
    source = folder.resolve()
    digest = hashlib.sha256(os.fsencode(f"{source}\0{prepare.identity}")).hexdigest()[:16]
    return place / f"{source.parent.name}-{source.name}-{digest}"


def open_pictures(
    files: PictureFiles, used: PictureFiles, prepare: Preparation, place: Path | None
) -> TrainingPictures:
    """Return the pictures `used` of a folder that holds `files`, prepared in the cache as far as it can be written.

    Without a place, or where it cannot be written, pictures are decoded when they are needed.
    """
    if place is None:
        return TrainingPictures(used, prepare, None, ())
    folder = store_folder(place, files.folder, prepare)
    index = _index_or_none(folder)
    found = find_rows(index, used) if index else None
    complete = found is not None and bool(found[1].all())
    try:
        if index is None or found is None or not complete or not index.places.keys() <= set(files.names):
            index = _built(folder, files, used, prepare)
            found = find_rows(index, used)
        return _with_store(folder, index, found, used, prepare)
    except (OSError, sqlite3.Error) as error:
        reason = error.strerror or error if isinstance(error, OSError) else error
        LOGGER.log(
            logging.DEBUG if complete else logging.WARNING,  # then only what is gone could not be removed
            "prepared pictures cannot be kept in %s: %s; training goes on and decodes what is not there whenever it is "
            "needed. Make room, name another place with data.cache, or set data.cache=off", folder, reason,
        )  # fmt: skip
    try:  # what was prepared before
        index = read_index(folder)
        return _with_store(folder, index, find_rows(index, used), used, prepare)
    except (OSError, DamagedStoreError):
        return TrainingPictures(used, prepare, None, ())


def find_rows(index: Index, files: PictureFiles) -> Found:
    """Return the row of the index for each file [N, 8], and whether it is there and of the file as it is now [N]."""
    places = np.fromiter((index.places.get(name, -1) for name in files.names), np.int64, len(files))
    rows = np.zeros((len(files), len(COLUMNS)), np.int64)
    rows[places >= 0] = index.rows[places[places >= 0]]
    current = (places >= 0) & (rows[:, [SIZE, MTIME]] == files.stamps).all(axis=1)
    rows[~current] = 0
    return rows, current


def _index_or_none(folder: Path) -> Index | None:
    try:
        return read_index(folder)
    except (DamagedStoreError, OSError):
        return None


def _built(folder: Path, files: PictureFiles, used: PictureFiles, prepare: Preparation) -> Index:
    """Bring a store up to date under its lock, unless another process has just done so, and return its index."""
    folder.mkdir(parents=True, exist_ok=True)
    with held(folder):
        try:
            index = read_index(folder)
        except DamagedStoreError as error:
            LOGGER.warning("the prepared pictures in %s cannot be used: %s; they are made anew", folder, error)
            remove_content(folder)
            index = read_index(folder)
        missing = np.flatnonzero(~find_rows(index, used)[1] & (used.stamps[:, 0] >= 0))
        gone = index.places.keys() - set(files.names)
        if len(missing) or gone:
            build(folder, used, missing, gone, prepare)
        return read_index(folder)


def _with_store(folder: Path, index: Index, found: Found, used: PictureFiles, prepare: Preparation) -> TrainingPictures:
    rows, current = found
    unreadable = np.flatnonzero(current & (rows[:, BITS] == 0)).tolist()
    for place in unreadable[:WARNINGS]:
        LOGGER.warning("skipped %s: %s", used[place], index.reasons[used.names[place]])
    if len(unreadable) > WARNINGS:
        LOGGER.warning("skipped %d more files of %s", len(unreadable) - WARNINGS, used.folder)
    reader = StoreReader(folder, np.unique(rows[rows[:, BITS] > 0, PIECE]).tolist())
    with suppress(OSError):  # a place that cannot be written
        os.utime(folder)  # when it was used last
    stored = Stored(reader, rows, lambda place: forget(folder, used.names[place]))
    return TrainingPictures(used, prepare, stored, unreadable)
