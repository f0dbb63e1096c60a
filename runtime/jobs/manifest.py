"""What became of each file of a folder job: one line of JSON each, appended as it happens.

The last line about a file counts. A line that a kill cut short is passed by: the file it spoke of is done again.
While a job writes it, it is locked, so that two jobs never meet in one folder (see `lock`).
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from io import TextIOWrapper
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Literal, Self

from ..errors import OutputError
from ..files import lock, open_to_append, unlock

NAME = ".cyclegan-manifest.jsonl"  # in the job's output folder; hidden, so that it is no picture of anybody's

Status = Literal["started", "done", "failed"]


@dataclass(frozen=True)
class Work:
    """A file and how it is to be translated; work that is equal need not be done twice."""

    path: str  # relative to the input folder, with "/"
    size: int  # bytes
    mtime_ns: int
    model: str  # the artefact's sha256
    options: str  # sha256 of the options that change pixels


@dataclass(frozen=True)
class Record:
    """One line: work, and what became of it."""

    work: Work
    status: Status
    seconds: float = 0.0
    error: str = ""


class Manifest:
    """The records of a folder job; threads may add to it."""

    def __init__(self, path: Path | None) -> None:
        """Read what there is; nothing is written before the first record is added, and without a path never."""
        self.path = path
        self._records = {record.work.path: record for record in _read(path)} if path else {}
        self._file: TextIOWrapper | None = None
        self._lock = Lock()

    def claim(self) -> None:
        """Keep other jobs away until it is closed, and read what there is; a new one is claimed by its first record.

        Raises:
            OutputError: another job has claimed it, or it cannot be written.
        """
        if self.path is None or not self.path.exists():
            return
        with self._lock:
            self._open(self.path)
            self._records = {record.work.path: record for record in _read(self.path)}

    def get(self, path: str) -> Record | None:
        """Return the last record about a file."""
        return self._records.get(path)

    def add(self, record: Record) -> None:
        """Append a record; it survives the process from here on.

        Raises:
            OutputError: the manifest cannot be written, or another job has claimed it.
        """
        with self._lock:
            if self.path is not None:
                self._write(self.path, record)
            self._records[record.work.path] = record

    def records(self) -> list[Record]:
        """Return the last record about each file."""
        return list(self._records.values())

    def close(self) -> None:
        """Close the file; adding opens it again."""
        with self._lock:
            if self._file is not None:
                with suppress(OSError):  # `add` has reported a full disk
                    self._file.flush()
                unlock(self._file)
                with suppress(OSError):
                    self._file.close()
                self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, path: Path, record: Record) -> None:
        file = self._file or self._open(path)
        try:
            file.write(to_line(record) + "\n")
            file.flush()
        except OSError as error:
            raise _cannot_write(path, error) from error

    def _open(self, path: Path) -> TextIOWrapper:
        try:
            self._file = _open_to_append(path)
        except BlockingIOError:
            raise OutputError(
                f"another job is writing into {path.parent}; wait for its end, or name another folder"
            ) from None
        except OSError as error:
            raise _cannot_write(path, error) from error
        return self._file


def to_line(record: Record) -> str:
    """Return a record as one line of JSON."""
    fields = asdict(record)
    fields = fields.pop("work") | fields
    line = json.dumps(fields, ensure_ascii=False)
    try:
        line.encode()
    except UnicodeEncodeError:  # a name that is no UTF-8; escaped, it is read back as it was
        line = json.dumps(fields)
    return line


def from_line(line: str) -> Record | None:
    """Read a record; None where the line is none, or was cut short."""
    try:
        fields = json.loads(line)
        work = Work(**{name: fields.pop(name) for name in Work.__dataclass_fields__})
        return Record(work, **fields)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _read(path: Path) -> Iterator[Record]:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:  # none yet, or none that can be read: then nothing is known to be done
        return
    for line in text.split("\n"):
        record = from_line(line)
        if record is not None:
            yield record


def _open_to_append(path: Path) -> TextIOWrapper:
    """Open and lock a file; a `BlockingIOError` says that another has locked it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = open_to_append(path)
    try:
        lock(file)
        if file.tell():
            file.seek(-1, 2)
            if file.read(1) != b"\n":  # a kill cut the last line short
                file.write(b"\n")
    except OSError:
        file.close()
        raise
    return TextIOWrapper(file, encoding="utf-8")


def _cannot_write(path: Path, error: OSError) -> OutputError:
    return OutputError(f"cannot write {path}: {error.strerror or error}; choose a place that can be written")
