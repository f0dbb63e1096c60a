"""Half-written pictures that a job left behind when it was killed (see `errors.replacing`), and their end."""

import logging
import os
import re
from contextlib import suppress
from pathlib import Path

LOGGER = logging.getLogger(__name__)

LEFTOVER = re.compile(r"\.(?P<process>\d+)-\d+\.partial(\.\w+)?")


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of processes that are gone from a folder and its subfolders."""
    if os.name != "posix":  # elsewhere a process cannot be asked for without harm
        return
    removed = 0
    for path in folder.rglob(".*.partial*"):
        match = LEFTOVER.fullmatch(path.name)
        if match and path.is_file() and not _is_running(int(match["process"])):
            with suppress(OSError):
                path.unlink()
                removed += 1
    if removed:
        LOGGER.info("removed what a job that was killed had not finished: %d files", removed)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        return True
    return True
