"""Prepared pictures on disk: files of raw pixels that only grow, and an index of what lies where.

A store is a folder. `NNNN.pixels` hold one picture after another, each [H, W, C] and then the checksums of its strips;
`index.sqlite` says which file of the dataset lies where. What the index names is never overwritten, so a reader needs
no lock and a killed writer leaves nothing wrong: pixels reach the disk before the transaction that names them does.

Pixels are read at their place, not mapped into memory. Both share the pages of the system between processes, but
mapped pages count as memory of every process, and a file that was cut off meanwhile would end the run by a signal
where a read raises an error.
"""

import os
import sqlite3
import sys
import threading
import weakref
import zlib
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ....runtime.files import open_to_append
from ..pictures import Pixels

VERSION = 2
INDEX = "index.sqlite"
FILE_BYTES = 1 << 30  # of pixels in a file, after which the next one begins
STRIP_BYTES = 256 << 10  # of pixels that have one checksum, and so the least that is read

# A picture in the index: of its file size and time of change; of its pixels where they are and their shape. `bits` is
# 8 or 32 (float32), and 0 of a file that is no readable picture.
COLUMNS = ("size", "mtime", "piece", "start", "height", "width", "channels", "bits")
SIZE, MTIME, PIECE, START, HEIGHT, WIDTH, CHANNELS, BITS = range(len(COLUMNS))
Row = NDArray[np.int64]  # [8], as COLUMNS names them

SCHEMA = f"""
CREATE TABLE IF NOT EXISTS about (key TEXT PRIMARY KEY, value BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS pieces (number INTEGER PRIMARY KEY, length INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS pictures (
    name BLOB PRIMARY KEY, {", ".join(f"{column} INTEGER NOT NULL" for column in COLUMNS)}, reason TEXT
) WITHOUT ROWID;
PRAGMA user_version = {VERSION};
"""


class DamagedStoreError(Exception):
    """What is stored is not what was written, or was written by another version; the text says what is wrong."""


@dataclass(frozen=True)
class Index:
    """What a store holds: `rows` int64 [N, 8] with the place of each name in them, and why pictures are missing."""

    places: dict[str, int]
    rows: NDArray[np.int64]
    reasons: dict[str, str]


def read_index(folder: Path) -> Index:
    """Read what a store holds; a folder without an index holds nothing.

    Raises:
        DamagedStoreError: it cannot be used, and is to be built anew.
        OSError: it cannot be read.
    """
    path = folder / INDEX
    if not path.exists():
        return Index({}, np.empty((0, len(COLUMNS)), np.int64), {})
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=60)) as database:
            _check_version(database)
            return _checked(folder, *_read_rows(database))
    except sqlite3.OperationalError as error:
        raise OSError(f"{path}: {error}") from error
    except (sqlite3.Error, ValueError, TypeError) as error:
        raise DamagedStoreError(f"its index cannot be read ({error})") from error


def _check_version(database: sqlite3.Connection) -> None:
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version != VERSION:
        raise DamagedStoreError(f"it is of version {version}, and this is {VERSION}")


def _read_rows(database: sqlite3.Connection) -> tuple[Index, dict[int, int]]:
    database.execute("BEGIN")  # all that follows sees one state
    names = [os.fsdecode(name) for (name,) in database.execute("SELECT name FROM pictures ORDER BY name")]
    numbers = database.execute(f"SELECT {', '.join(COLUMNS)} FROM pictures ORDER BY name")
    rows = np.fromiter(chain.from_iterable(numbers), np.int64, len(names) * len(COLUMNS))
    reasons = database.execute("SELECT name, reason FROM pictures WHERE reason IS NOT NULL")
    return Index(
        dict(zip(names, range(len(names)), strict=True)),
        rows.reshape(-1, len(COLUMNS)),
        {os.fsdecode(name): reason for name, reason in reasons},
    ), dict(database.execute("SELECT number, length FROM pieces").fetchall())


def _checked(folder: Path, index: Index, lengths: dict[int, int]) -> Index:
    """Return the index once every piece is found to be as long as it was when it was named."""
    for number in np.unique(index.rows[index.rows[:, BITS] > 0, PIECE]).tolist():
        piece = piece_path(folder, number)
        length = piece.stat().st_size if piece.exists() else -1
        if length < lengths.get(number, sys.maxsize):
            raise DamagedStoreError(f"{piece.name} is missing" if length < 0 else f"{piece.name} was cut off")
    return index


def piece_path(folder: Path, number: int) -> Path:
    """Return the file of pixels of that number."""
    return folder / f"{number:04}.pixels"


def stored_bytes(height: int, width: int, channels: int, bits: int) -> int:
    """Return what a picture takes in a store."""
    row = width * channels * bits // 8
    return height * row + 4 * -(-height // _strip_rows(row))


def _strip_rows(row_bytes: int) -> int:
    return max(1, STRIP_BYTES // row_bytes)


def forget(folder: Path, name: str) -> None:
    """Remove a damaged picture from the index, if it can be written, so that it is prepared again."""
    address = f"{(folder / INDEX).absolute().as_uri()}?mode=rw"  # which makes no new one where it was cleared
    with suppress(sqlite3.Error), closing(sqlite3.connect(address, uri=True, timeout=10)) as database, database:
        database.execute("DELETE FROM pictures WHERE name = ?", (os.fsencode(name),))


class StoreReader:
    """Reads pixels; may be used by several threads."""

    def __init__(self, folder: Path, numbers: Iterable[int]) -> None:
        """Open the pieces, so that they can be read though somebody tidies the store.

        Raises:
            OSError: one cannot be opened.
        """
        self._pieces = {number: _Piece(piece_path(folder, number)) for number in numbers}

    def read(self, row: Row, rows: slice) -> Pixels:
        """Return some rows [h, W, C] of the picture that a row of the index names.

        Raises:
            DamagedStoreError: a checksum is wrong.
            OSError: it cannot be read.
        """
        piece, start, height, width, channels, bits = row[PIECE:].tolist()
        row_bytes = width * channels * bits // 8
        high = _strip_rows(row_bytes)
        first, last = rows.start // high, -(-rows.stop // high)  # strips
        top, bottom = first * high, min(last * high, height)
        file = self._pieces[piece]
        pixels = file.read(start + top * row_bytes, (bottom - top) * row_bytes)
        sums = file.read(start + height * row_bytes + 4 * first, 4 * (last - first)).view(np.uint32)
        if not np.array_equal(_checksums(pixels, high * row_bytes), sums):
            raise DamagedStoreError("a checksum is wrong")
        values: Pixels = pixels if bits == 8 else pixels.view(np.float32)
        return values.reshape(bottom - top, width, channels)[rows.start - top : rows.stop - top]


class _Piece:
    """One open file, read at any place by any thread."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb", buffering=0)
        weakref.finalize(self, self._file.close)  # a run reads as long as it lives
        self._lock = threading.Lock()

    def read(self, start: int, length: int) -> NDArray[np.uint8]:
        values = np.empty(length, np.uint8)
        rest = values.data
        while rest:
            count = self._read_into(rest, start + length - len(rest))
            if not count:
                raise OSError(f"{self._file.name} was cut off")
            rest = rest[count:]
        return values

    def _read_into(self, view: memoryview, start: int) -> int:
        if hasattr(os, "preadv"):
            return os.preadv(self._file.fileno(), [view], start)
        with self._lock:  # Windows has no reading at a place
            self._file.seek(start)
            return self._file.readinto(view) or 0


def _checksums(pixels: NDArray[np.uint8], strip_bytes: int) -> NDArray[np.uint32]:
    strips = range(0, len(pixels), strip_bytes)
    return np.array([zlib.crc32(pixels[start : start + strip_bytes].data) for start in strips], np.uint32)


class StoreWriter:
    """Adds pictures to a store and removes them; whoever makes one holds the store's lock."""

    def __init__(self, folder: Path, about: dict[str, str]) -> None:
        """Open a store, or make it; `about` says what it is made from.

        Raises:
            OSError, sqlite3.Error: the place cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._database = sqlite3.connect(folder / INDEX, timeout=60)
        self._database.executescript(SCHEMA)
        self._database.executemany(
            "INSERT OR REPLACE INTO about VALUES (?, ?)", [(key, os.fsencode(value)) for key, value in about.items()]
        )
        lengths = dict(self._database.execute("SELECT number, length FROM pieces").fetchall())
        self._number = max(lengths, default=0)
        self._length = self._length_before = lengths.get(self._number, 0)
        self._number_before = self._number
        self._remove_unnamed(lengths)
        self._piece = open_to_append(piece_path(folder, self._number))
        self._piece.truncate(self._length)  # what a killed writer had not named
        self._added: list[str] = []

    def add(self, name: str, size: int, mtime: int, pixels: Pixels) -> None:
        """Store one picture [H, W, C]; `commit` makes it lasting."""
        if self._length >= FILE_BYTES:
            self._begin_piece()
        values = np.ascontiguousarray(pixels)
        raw = values.reshape(-1).view(np.uint8)
        self._piece.write(raw.data)
        self._piece.write(_checksums(raw, _strip_rows(values[0].nbytes) * values[0].nbytes).data)
        height, width, channels = values.shape
        bits = 8 * values.itemsize
        self._insert(name, (size, mtime, self._number, self._length, height, width, channels, bits), None)
        self._length += stored_bytes(height, width, channels, bits)

    def add_unreadable(self, name: str, size: int, mtime: int, reason: str) -> None:
        """Remember that a file is no readable picture, and why."""
        reason = reason.encode(errors="backslashreplace").decode()  # it may hold a name
        self._insert(name, (size, mtime, 0, 0, 0, 0, 0, 0), reason)

    def remove(self, names: Iterable[str]) -> None:
        """Forget pictures; `compact` gives their room back."""
        self._database.executemany("DELETE FROM pictures WHERE name = ?", ((os.fsencode(name),) for name in names))

    def commit(self) -> None:
        """Bring what was done so far to the disk."""
        self._piece.flush()
        os.fsync(self._piece.fileno())
        self._database.execute("INSERT OR REPLACE INTO pieces VALUES (?, ?)", (self._number, self._length))
        self._database.commit()

    def undo(self) -> None:
        """Remove all that this writer added, the pixels first: it may be that the disk is full."""
        with suppress(OSError):  # what is still to be flushed finds no room
            self._piece.close()
        os.truncate(piece_path(self._folder, self._number_before), self._length_before)
        for number in range(self._number_before + 1, self._number + 1):
            piece_path(self._folder, number).unlink(missing_ok=True)
        self._database.rollback()
        self.remove(self._added)
        self._database.execute("DELETE FROM pieces WHERE number > ?", (self._number_before,))
        self._database.execute(
            "INSERT OR REPLACE INTO pieces VALUES (?, ?)", (self._number_before, self._length_before)
        )
        self._database.commit()

    def compact(self) -> None:
        """Move what is left of pieces of which less than half is named, and remove them."""
        used = "SELECT piece, sum(height * width * channels * bits / 8) FROM pictures WHERE bits > 0 GROUP BY piece"
        taken = dict(self._database.execute(used).fetchall())
        lengths = dict(self._database.execute("SELECT number, length FROM pieces").fetchall())
        sparse = [number for number, length in lengths.items() if length and 2 * taken.get(number, 0) < length]
        for number in sparse:
            self._move(number)

    def close(self) -> None:
        """Close the files; what was not committed is lost."""
        with suppress(OSError):
            self._piece.close()
        self._database.close()

    def _insert(self, name: str, row: tuple[int, ...], reason: str | None) -> None:
        values = (os.fsencode(name), *row, reason)  # as bytes, for not every name is UTF-8
        self._database.execute(f"INSERT OR REPLACE INTO pictures VALUES ({', '.join('?' * len(values))})", values)
        self._added.append(name)

    def _begin_piece(self) -> None:
        self.commit()
        self._piece.close()
        self._number += 1
        self._length = 0
        self._piece = open_to_append(piece_path(self._folder, self._number))
        self._piece.truncate(0)

    def _move(self, number: int) -> None:
        if number == self._number or self._length >= FILE_BYTES:
            self._begin_piece()
        reader = _Piece(piece_path(self._folder, number))
        query = "SELECT name, start, height, width, channels, bits FROM pictures WHERE bits > 0 AND piece = ?"
        for name, start, *shape in self._database.execute(query, (number,)).fetchall():
            self._piece.write(reader.read(start, stored_bytes(*shape)).data)
            self._database.execute(
                "UPDATE pictures SET piece = ?, start = ? WHERE name = ?", (self._number, self._length, name)
            )
            self._length += stored_bytes(*shape)
        self._database.execute("DELETE FROM pieces WHERE number = ?", (number,))
        self.commit()
        piece_path(self._folder, number).unlink()

    def _remove_unnamed(self, lengths: dict[int, int]) -> None:
        for path in self._folder.glob("*.pixels"):
            if path.stem.isdecimal() and int(path.stem) not in lengths:
                path.unlink()
