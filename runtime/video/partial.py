"""A video's name while it is being written, and where it ends early."""

import glob
import logging
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import OutputError
from ..lock import is_locked, locked

LOGGER = logging.getLogger(__name__)

MAX_NAME = 255  # bytes, of every usual file system


@contextmanager
def growing(path: Path, is_playable: Callable[[Path], bool]) -> Iterator[Path]:
    """Give the path to write a video to; once the block has written it whole, it takes its final name.

    The path is a new, empty file NAME.partial-XXXXXXXX.SUFFIX of our own: neither a file that exists nor what a link
    points to is ever written into. A block that is ended early leaves what it wrote, if that can be played; one
    that wrote nothing leaves nothing.

    Raises:
        OutputError: the place cannot be written, or another run is writing there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = _create(path)
        with locked(partial):
            try:
                _refuse_a_second_writer(path, partial)
                yield partial
            except BaseException:
                _keep_or_remove(partial, is_playable)
                raise
            if not partial.exists() or partial.stat().st_size == 0:  # it was ended before its first frame
                partial.unlink(missing_ok=True)
                return
            with partial.open("r+b") as written:  # for writing, or Windows refuses the fsync
                os.fsync(written.fileno())
            partial.replace(path)
    except OSError as error:
        raise OutputError(
            f"cannot write {path}: {error.strerror or error}; choose a place that can be written"
        ) from error


def _create(path: Path) -> Path:
    """Create the empty file that a video is written to; nobody can guess its name and put something there before."""
    while True:
        partial = path.with_name(f"{_stem(path)}.partial-{secrets.token_hex(4)}{path.suffix}")
        with suppress(FileExistsError):
            os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            return partial


def _stem(path: Path) -> str:
    """Return the stem of a name, cut where the random part would make the name too long for the file system."""
    stem = path.stem
    while len(os.fsencode(f"{stem}.partial-01234567{path.suffix}")) > MAX_NAME:
        stem = stem[:-1]
    return stem


def _refuse_a_second_writer(path: Path, own: Path) -> None:
    """Raise an `OutputError` where another run holds the lock of a file that will be `path`."""
    for other in path.parent.glob(f"{glob.escape(_stem(path))}.partial-????????{glob.escape(path.suffix)}"):
        if other != own and is_locked(other):
            raise OutputError(f"another run is writing {other}; wait for its end, or name another file")


def _keep_or_remove(partial: Path, is_playable: Callable[[Path], bool]) -> None:
    if not partial.is_file():
        return
    if is_playable(partial):
        LOGGER.warning("what was written so far is in %s", partial)
    else:
        with suppress(OSError):
            partial.unlink()
