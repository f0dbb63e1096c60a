"""The server's temporary folder, and those that killed servers left behind."""

import logging
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from time import time

from ..files import is_locked, lock

LOGGER = logging.getLogger(__name__)

PREFIX = "cyclegan-serve-"
_LOCK = "lock"
_YOUNGEST = 60.0  # seconds; a younger folder may not be locked yet


class TemporaryFolder:
    """A folder that its owner alone can read; it is locked for as long as its server lives."""

    def __init__(self) -> None:
        """Make it, after removing what servers that are gone have left."""
        _remove_abandoned(Path(tempfile.gettempdir()))
        self._folder = tempfile.TemporaryDirectory(prefix=PREFIX)
        self._lock = (self.path / _LOCK).open("wb")
        lock(self._lock)

    @property
    def path(self) -> Path:
        """The folder."""
        return Path(self._folder.name)

    def remove(self) -> None:
        """Remove it with everything in it."""
        self._lock.close()
        self._folder.cleanup()


def _remove_abandoned(place: Path) -> None:
    if os.name != "posix":  # where nothing is locked
        return
    removed = 0
    for folder in place.glob(f"{PREFIX}*"):
        with suppress(OSError):  # somebody else's, or just removed
            lock_file = folder / _LOCK
            mine = folder.lstat().st_uid == os.getuid() and not folder.is_symlink()
            if mine and time() - lock_file.lstat().st_mtime > _YOUNGEST and not is_locked(lock_file):
                shutil.rmtree(folder)
                removed += 1
    if removed:
        LOGGER.info("removed the temporary files of %d servers that were killed", removed)
