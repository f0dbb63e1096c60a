"""Where the cache of prepared pictures is, what is in it, and how it is kept within bounds. Reads no picture."""

import errno
import logging
import os
import re
import shutil
import sqlite3
import stat
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ....runtime.errors import OutputError
from ....runtime.files import is_locked, locked, replacing
from .store import INDEX, VERSION

LOGGER = logging.getLogger(__name__)

LOCK = "lock"
ORIGIN = "origin"  # file of a folder that was brought in: where from
POLL_SECONDS = 0.2
RECENT_SECONDS = 3600.0
LIMIT = "limit"  # file with the bytes that the cache may take; none: as many as the disk has
RESERVE = 0.02  # share of the disk that is left to others
NAMED = re.compile(r".+-[0-9a-f]{16}")  # as `store_folder` names it


def default_place() -> Path:
    """Return the folder that CYCLEGAN_CACHE names, or one among the caches of this user.

    Raises:
        OutputError: this user has no home folder, as in some containers, and nothing else names one.
    """
    if named := os.environ.get("CYCLEGAN_CACHE"):
        return Path(named)
    windows = os.environ.get("LOCALAPPDATA") if sys.platform == "win32" else None
    if base := os.environ.get("XDG_CACHE_HOME") or windows:
        return Path(base) / "cyclegan-edge"
    try:
        home = Path.home()
    except RuntimeError as error:
        raise OutputError(
            "this user has no home folder to keep prepared pictures in; name one in the variable CYCLEGAN_CACHE, or "
            "set data.cache"
        ) from error
    caches = {"win32": "AppData/Local", "darwin": "Library/Caches"}.get(sys.platform, ".cache")
    return home / caches / "cyclegan-edge"


def cache_place(setting: str) -> Path | None:
    """Return the place that `data.cache` names: a folder, empty for the user's own; None for "off"."""
    if setting == "off":
        return None
    if not setting:
        return default_place()
    return Path(os.path.expanduser(setting))  # noqa: PTH111 - which leaves ~nobody as it is


@contextmanager
def held(folder: Path, doing: str = "") -> Iterator[None]:
    """Hold the lock of a folder of the cache; where another process does, say what it is doing and wait.

    Raises:
        OSError: the folder cannot be written.
    """
    with ExitStack() as stack:
        waited = False
        while True:
            try:
                stack.enter_context(locked(folder / LOCK))
                break
            except BlockingIOError:
                if not waited:
                    LOGGER.info("another process is %s; waiting for it", doing or f"preparing the pictures in {folder}")
                waited = True
                time.sleep(POLL_SECONDS)
        yield


@dataclass(frozen=True)
class StoreFacts:
    """One store, or one folder that was brought in: what it was made from, and what it takes."""

    folder: Path
    source: str  # the folder of the pictures; empty where the index cannot be read
    preparation: str
    num_pictures: int
    num_bytes: int  # of pixels or files
    used: float  # seconds since 1970
    usable: bool  # its version is ours

    @property
    def source_is_gone(self) -> bool:
        """Whether the folder of the pictures is not there any more."""
        return self.source != "" and "://" not in self.source and not Path(self.source).is_dir()

    def holds(self, dataroot: str) -> bool:
        """Tell whether the pictures are of this dataset."""
        if "://" in dataroot:
            return f"{self.source}/".startswith(f"{dataroot.rstrip('/')}/")
        return self.source != "" and Path(self.source).is_relative_to(os.path.realpath(dataroot))


def list_stores(place: Path) -> list[StoreFacts]:
    """Return the stores of a cache, the latest used first."""
    stores = []
    for folder in place.iterdir() if place.is_dir() else ():
        with suppress(FileNotFoundError):  # somebody clears it meanwhile
            if _is_store(folder):
                stores.append(_facts(folder))
    return sorted(stores, key=lambda store: -store.used)


def stores_of(dataroot: str, stores: list[StoreFacts]) -> list[StoreFacts]:
    """Return the stores of a dataset: what was prepared of it, and of what was brought in for it."""
    own = [store for store in stores if store.holds(dataroot)]
    for store in own:  # which grows meanwhile
        own += [other for other in stores if other not in own and other.holds(str(store.folder))]
    return [store for store in stores if store in own]


def remove_stores(stores: Iterable[StoreFacts]) -> list[StoreFacts]:
    """Remove stores; returns those that stay, because a process is building them.

    Raises:
        OSError: the cache cannot be written.
    """
    kept = []
    for store in stores:
        try:
            with locked(store.folder / LOCK):
                _remove_all(store.folder)
                (store.folder / LOCK).unlink(missing_ok=True)
                with suppress(OSError):  # somebody put a file of his own there
                    store.folder.rmdir()
        except BlockingIOError:
            kept.append(store)
    return kept


def remove_content(folder: Path) -> None:
    """Remove the index and the pixels of a store, the index first."""
    for path in [*folder.glob(f"{INDEX}*"), *folder.glob("*.pixels")]:
        path.unlink(missing_ok=True)


def _remove_all(folder: Path) -> None:
    if (folder / ORIGIN).is_file():
        for path in folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != LOCK:
                path.unlink()
    remove_content(folder)


def read_limit(place: Path) -> int | None:
    """Return how many bytes the cache may take; None where that was not said."""
    try:
        return int((place / LIMIT).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def set_limit(place: Path, limit: int | None) -> list[StoreFacts]:
    """Bound a cache, now and for all runs to come; returns the stores that were removed, the longest unused first.

    Raises:
        OutputError, OSError: the cache cannot be written.
    """
    if limit is None:
        (place / LIMIT).unlink(missing_ok=True)
        return []
    with replacing(place / LIMIT) as partial:
        partial.write_text(str(limit), encoding="ascii")
    return _shrink(list_stores(place), limit)


def make_room(folder: Path, needed: int) -> None:
    """Make sure that a folder of the cache can take `needed` bytes more.

    Where the cache is bounded, others are removed for it, but none that was used within the last hour.

    Raises:
        OSError: there is not so much room.
    """
    limit = read_limit(folder.parent)
    if limit is not None:
        others = [store for store in list_stores(folder.parent) if store.folder != folder]
        unused = [store for store in others if store.used < time.time() - RECENT_SECONDS]
        free = limit - _pixel_bytes(folder) - sum(store.num_bytes for store in others)
        if needed > free + sum(store.num_bytes for store in unused):
            raise OSError(errno.ENOSPC, f"about {_gigabytes(needed)} are needed, and its limit is {_gigabytes(limit)}")
        _shrink(unused, sum(store.num_bytes for store in unused) - max(0, needed - free))
    disk = shutil.disk_usage(folder)
    if needed > disk.free - RESERVE * disk.total:
        text = f"about {_gigabytes(needed)} are needed, and {_gigabytes(disk.free)} of the disk are free"
        raise OSError(errno.ENOSPC, text)


def _shrink(stores: list[StoreFacts], limit: int) -> list[StoreFacts]:
    """Remove the longest unused stores until the others take no more than `limit`."""
    removed = []
    total = sum(store.num_bytes for store in stores)
    for store in sorted(stores, key=lambda store: store.used):
        if total <= limit:
            break
        if not remove_stores([store]):
            removed.append(store)
            total -= store.num_bytes
    return removed


def _is_store(path: Path) -> bool:
    if not NAMED.fullmatch(path.name) or not path.is_dir():
        return False
    return (path / INDEX).is_file() or (path / ORIGIN).is_file() or is_locked(path / LOCK)


def _facts(folder: Path) -> StoreFacts:
    if (folder / ORIGIN).is_file():
        origin = os.fsdecode((folder / ORIGIN).read_bytes())
        sizes = _file_sizes(folder.glob("*/**/*"))
        return StoreFacts(folder, origin, "files", len(sizes), sum(sizes), folder.stat().st_mtime, usable=True)
    about, count, version = {}, 0, 0
    with (
        suppress(sqlite3.Error),
        closing(sqlite3.connect(f"{(folder / INDEX).absolute().as_uri()}?mode=ro", uri=True)) as database,
    ):
        about = {key: os.fsdecode(value) for key, value in database.execute("SELECT key, value FROM about")}
        (count,) = database.execute("SELECT count(*) FROM pictures WHERE bits > 0").fetchone()
        (version,) = database.execute("PRAGMA user_version").fetchone()
    return StoreFacts(
        folder=folder,
        source=about.get("source", ""),
        preparation=about.get("preparation", ""),
        num_pictures=count,
        num_bytes=_pixel_bytes(folder),
        used=folder.stat().st_mtime,
        usable=version == VERSION,
    )


def _pixel_bytes(folder: Path) -> int:
    return sum(_file_sizes(folder.glob("*.pixels")))


def _file_sizes(paths: Iterable[Path]) -> list[int]:
    sizes = []
    for path in paths:
        with suppress(FileNotFoundError):  # somebody clears it meanwhile
            status = path.stat()
            if stat.S_ISREG(status.st_mode):
                sizes.append(status.st_size)
    return sizes


def _gigabytes(number: int) -> str:
    return f"{number / 1e9:.1f} GB"
