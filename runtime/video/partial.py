"""A video's name while it is being written, and where it ends early."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import OutputError
from ..lock import locked

LOGGER = logging.getLogger(__name__)


@contextmanager
def growing(path: Path, is_playable: Callable[[Path], bool]) -> Iterator[Path]:
    """Give the path to write a video to; once the block has written it whole, it takes its final name.

    A block that is ended early leaves what it wrote, if that can be played; one that wrote nothing leaves nothing.

    Raises:
        OutputError: the place cannot be written, or another run is writing there.
    """
    partial = path.with_name(f"{path.stem}.partial{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(partial):
            try:
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
    except BlockingIOError:
        raise OutputError(f"another run is writing {partial}; wait for its end, or name another file") from None
    except OSError as error:
        raise OutputError(
            f"cannot write {path}: {error.strerror or error}; choose a place that can be written"
        ) from error


def _keep_or_remove(partial: Path, is_playable: Callable[[Path], bool]) -> None:
    if not partial.is_file():
        return
    if is_playable(partial):
        LOGGER.warning("what was written so far is in %s", partial)
    else:
        with suppress(OSError):
            partial.unlink()
