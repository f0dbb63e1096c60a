"""The files of a folder that can be used, and an account of all the others: nothing is left out in silence."""

import logging
import os
from collections import Counter, deque
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

LOGGER = logging.getLogger(__name__)

ARCHIVE_RESIDUE = "__MACOSX"  # what macOS adds to a ZIP file: names of pictures, but no pictures
_NAMED_AT_MOST = 3  # of the names of one kind, in the summary


@dataclass(frozen=True)
class Listing:
    """The files in a folder and its subfolders."""

    root: Path
    names: list[str] = field(default_factory=list)  # of the files, relative to the root with "/", sorted as paths are
    others: list[Path] = field(default_factory=list)  # files of other kinds, relative to the root, sorted
    unreadable: list[Path] = field(default_factory=list)  # folders that cannot be listed, and links that lead nowhere
    repeated: list[Path] = field(default_factory=list)  # linked folders that were listed under another name already

    @property
    def files(self) -> list[Path]:
        """The files, relative to the root."""
        return [Path(name) for name in self.names]

    def summary(self) -> str:
        """Return one line about everything that was left out; empty where that is nothing.

        For example "left out: 3 files of other kinds (.heic 2, .txt 1: a.heic, b.heic, notes.txt)".
        """
        parts = []
        if self.others:
            kinds = Counter(path.suffix.lower() or "no suffix" for path in self.others)
            counts = ", ".join(f"{kind} {count}" for kind, count in kinds.most_common())
            parts.append(f"{_count(self.others, 'file')} of other kinds ({counts}: {_names(self.others)})")
        if self.unreadable:
            parts.append(
                f"{_count(self.unreadable, 'entry', 'entries')} that cannot be read ({_names(self.unreadable)})"
            )
        if self.repeated:
            parts.append(f"{_count(self.repeated, 'linked folder')} listed already ({_names(self.repeated)})")
        return f"left out of {self.root}: {'; '.join(parts)}" if parts else ""


def list_files(root: Path, suffixes: Collection[str], *, outside: Path | None = None) -> Listing:
    """List the files in a folder and its subfolders whose suffix, in lower case, is one of `suffixes`.

    Linked folders are followed, each folder once. Names that begin with a dot, `__MACOSX` and the folder `outside`,
    where results are written, are passed over. A folder that does not exist, or cannot be read, lists nothing.

    Args:
        root: the folder.
        suffixes: such as ".png".
        outside: a folder to pass over, unless it holds the root itself.

    Returns:
        the files, and the account of what was left out; `Listing.summary` says it in one line.
    """
    listing = Listing(root)
    results = _identity(outside) if outside is not None and not _holds(outside, root) else None
    seen: set[tuple[int, int]] = set()
    # Own folders come before linked ones: a file is listed by its real place where it has one below the root.
    waiting = deque([""])
    while waiting:
        folder = waiting.popleft()
        identity = _identity(root / folder)
        if identity is None:
            listing.unreadable.append(Path(folder))
        elif identity in seen:
            listing.repeated.append(Path(folder))
        elif identity != results:
            seen.add(identity)
            _list(listing, folder, suffixes, waiting)
    listing.names.sort(key=lambda name: name.replace("/", "\0"))  # which sorts before every other sign
    listing.others.sort()
    listing.unreadable.sort()
    return listing


def _list(listing: Listing, folder: str, suffixes: Collection[str], waiting: deque[str]) -> None:
    """Add the files of one folder to the listing, and its subfolders to those that wait.

    Names are texts: of a hundred thousand files, paths take seconds.
    """
    try:
        with os.scandir(listing.root / folder) as entries:
            found = list(entries)
    except OSError as error:
        LOGGER.debug("%s cannot be listed: %s", listing.root / folder, error)
        listing.unreadable.append(Path(folder))
        return
    prefix = f"{folder}/" if folder else ""
    own, linked = [], []
    for entry in found:
        if entry.name.startswith(".") or entry.name == ARCHIVE_RESIDUE:
            continue
        name = prefix + entry.name
        match _kind(entry):
            case "folder":
                own.append(name)
            case "linked folder":
                linked.append(name)
            case "file" if name[name.rfind(".") :].lower() in suffixes:
                listing.names.append(name)
            case "file":
                listing.others.append(Path(name))
            case _:
                listing.unreadable.append(Path(name))
    waiting.extendleft(sorted(own))
    waiting.extend(sorted(linked))


def _kind(entry: os.DirEntry[str]) -> Literal["folder", "linked folder", "file", "neither"]:
    try:
        if entry.is_dir():
            return "linked folder" if entry.is_symlink() else "folder"
        return "file" if entry.is_file() else "neither"  # a link that leads nowhere, a pipe, a device
    except OSError:  # links in a circle
        return "neither"


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _holds(outer: Path, inner: Path) -> bool:
    return inner.resolve().is_relative_to(outer.resolve())


def _count(paths: list[Path], noun: str, plural: str = "") -> str:
    return f"{len(paths)} {noun if len(paths) == 1 else plural or noun + 's'}"


def _names(paths: list[Path]) -> str:
    shown = ", ".join(map(str, paths[:_NAMED_AT_MOST]))
    return shown + (", …" if len(paths) > _NAMED_AT_MOST else "")
