"""A file is whole or not there: working names, their place in the end, locks, and what killed processes left behind.

Every working file is a new one of ours: its name has a random part and is created exclusively, so that neither a file
that exists nor what a link points to is ever written into. There are two kinds. `replacing` hides its file, whose name
begins with a dot; `growing` shows it as NAME.partial-XXXXXXXX.SUFFIX, because an unfinished video can be played.

On Windows nothing is locked: a file that is held open there could not be moved into place.
"""

import errno
import glob
import logging
import os
import re
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, BinaryIO

from .errors import FileOutputError, OutputError

if sys.platform != "win32":
    import fcntl

LOGGER = logging.getLogger(__name__)

# Errors of the disk, after which no other file can be written either.
_OF_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.ENXIO, errno.ENODEV, errno.ESTALE}

MAX_NAME = 255  # bytes, of every usual file system
MAX_PATH = 4000  # bytes: Linux takes 4095
HIDDEN = re.compile(r"\.cyclegan-(?P<process>\d+)-[0-9a-f]{16}\.partial(\.\w+)?")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a working file beside `path`; once the block has written it, put it in `path`'s place.

    Its name keeps the suffix, because writers choose the format by it, and begins with a dot, so that whoever lists the
    folder passes it by. Whatever goes wrong, `path` holds either what it held before or the whole new file. Where
    `path` is a link, the link is replaced and what it points to stays as it is.

    Raises:
        OutputError: the folder or the file cannot be written.
    """
    partial: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = _create(path, lambda: f".cyclegan-{os.getpid()}-{secrets.token_hex(8)}.partial{path.suffix}")
        os.utime(partial, ns=(0, 0))  # which writing changes, even writing nothing
        yield partial
        if partial.stat().st_mtime_ns == 0:
            raise OSError("nothing was written")
        _flush(partial)
        partial.replace(path)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        if partial is not None:
            with suppress(OSError):  # it is in its place already
                partial.unlink()


def remove_hidden(folder: Path) -> None:
    """Remove the hidden working files of processes that are gone from a folder and its subfolders."""
    if os.name != "posix":  # elsewhere a process cannot be asked for without harm
        return
    removed = 0
    for path in folder.rglob(".cyclegan-*.partial*"):
        match = HIDDEN.fullmatch(path.name)
        if match and path.is_file() and not path.is_symlink() and not _is_running(int(match["process"])):
            with suppress(OSError):
                path.unlink()
                removed += 1
    if removed:
        LOGGER.info("removed what a job that was killed had not finished: %d files", removed)


@contextmanager
def growing(path: Path, is_playable: Callable[[Path], bool]) -> Iterator[Path]:
    """Give a working file NAME.partial-XXXXXXXX.SUFFIX to write a video to; once it is whole, it takes its final name.

    A block that is ended early leaves what it wrote, if that can be played; one that wrote nothing leaves nothing.

    Raises:
        OutputError: the place cannot be written, or another run is writing there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = _create(path, lambda: f"{_stem(path)}.partial-{secrets.token_hex(4)}{path.suffix}")
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
            _flush(partial)
            partial.replace(path)
    except OSError as error:
        raise _cannot_write(path, error) from error


@contextmanager
def spelled(path: Path) -> Iterator[str]:
    """Give an absolute name of an existing file that libraries in C take, which want UTF-8.

    What is none is replaced by the name of an open descriptor, of the folder or of the file; only Linux has such names.
    """
    if _is_utf8(str(path.absolute())):
        yield str(path.absolute())
        return
    place = path.parent if _is_utf8(path.name) else path
    descriptor = os.open(place, os.O_RDONLY)
    try:
        yield f"/proc/self/fd/{descriptor}" + (f"/{path.name}" if place != path else "")
    finally:
        os.close(descriptor)


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_same(one: Path, other: Path) -> bool:
    """Whether two paths are one file, by whatever links, hard ones too, or letters of another case."""
    try:
        return one.samefile(other)
    except OSError:  # one of them is not there
        return one.resolve() == other.resolve()


def open_to_append(path: Path) -> BinaryIO:
    """Open a file that grows in place, to read and append, and make it where there is none.

    Raises:
        OSError: it cannot be opened; where its name is a link, because what the link points to is not ours to write to.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    try:
        return os.fdopen(os.open(path, flags, 0o666), "a+b")
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "it is a link, which is not written through") from error
        raise


def check_path(text: str) -> str:
    """Return a path that file systems can take; an empty one means none.

    Raises:
        ValueError: it is too long, or has a NUL.
    """
    encoded = os.fsencode(text)
    if b"\0" in encoded:
        raise ValueError(f"{text[:20]!r} holds a NUL; name a file or a folder")
    if len(encoded) > MAX_PATH or max(map(len, encoded.split(b"/"))) > MAX_NAME:
        raise ValueError(
            f"{text[:20]}… is too long; a path has at most {MAX_PATH} bytes, {MAX_NAME} of them between two slashes"
        )
    return text


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
    with open_to_append(path) as file:
        lock(file)
        try:
            yield
        finally:
            unlock(file)


def is_locked(path: Path) -> bool:
    """Tell whether somebody else holds the lock of a file; one that cannot be read counts as free."""
    try:
        with path.open("rb") as file:
            lock(file)
            unlock(file)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


def _create(path: Path, make_name: Callable[[], str]) -> Path:
    """Create an empty file beside `path`; nobody can guess its name and put something there before."""
    while True:
        partial = path.with_name(make_name())
        with suppress(FileExistsError):
            os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            return partial


def _stem(path: Path) -> str:
    """Return the stem of a name in UTF-8, cut where the random part would make it too long for the file system."""
    stem = path.stem.encode(errors="replace").decode()
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


def _flush(partial: Path) -> None:
    """Bring a file to the disk, so that no crash leaves an empty one under the final name."""
    with partial.open("r+b") as written:  # for writing, or Windows refuses the fsync
        os.fsync(written.fileno())


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def remedy(error: Exception) -> str:
    """Say what to do about an error of writing."""
    match getattr(error, "errno", None):
        case errno.ENOSPC | errno.EDQUOT | errno.EFBIG:
            return "make room on the disk, or choose another place"
        case errno.ENAMETOOLONG:
            return "choose a shorter name"
        case errno.EINVAL:
            return "the container does not take what it was given; name another one, such as .mkv"
        case _:
            return "choose a place that can be written"


def _cannot_write(path: Path, error: OSError) -> OutputError:
    kind = OutputError if error.errno in _OF_DISK else FileOutputError
    return kind(f"cannot write {path}: {error.strerror or error}; {remedy(error)}")
