"""One writer at a time: the system's lock on a file, which goes with the process that holds it.

On Windows nothing is locked: a file that is held open there could not be moved into place.
"""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, BinaryIO

if sys.platform != "win32":
    import fcntl

LOGGER = logging.getLogger(__name__)


def lock(file: BinaryIO) -> None:
    """Lock an open file until `unlock`, or the end of the process; where the file system has no locks, do nothing.

    Raises:
        BlockingIOError: somebody else has locked it.
    """
    if sys.platform == "win32":
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError as error:
        LOGGER.debug("%s cannot be locked: %s", file.name, error)


def unlock(file: IO[Any]) -> None:
    """Give the lock back: closing the file alone would leave it with a child process that is just being started."""
    if sys.platform != "win32":
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_UN)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file, which is made where there is none.

    Raises:
        BlockingIOError: somebody else has locked it.
        OSError: it cannot be opened.
    """
    if sys.platform == "win32":
        yield
        return
    with path.open("ab") as file:
        lock(file)
        try:
            yield
        finally:
            unlock(file)


def is_locked(path: Path) -> bool:
    """Whether somebody else holds the lock of a file; one that cannot be read counts as free."""
    try:
        with path.open("rb") as file:
            lock(file)
            unlock(file)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False
