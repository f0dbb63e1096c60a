"""Tar shards (the WebDataset layout) become folders of pictures, once."""

import logging
import os
import shutil
import tarfile
from collections import Counter
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path, PurePosixPath

from ....runtime.errors import DatasetError
from ..cache.contents import make_room
from ..pictures import TRAINING_SUFFIXES
from ..progress import counted

LOGGER = logging.getLogger(__name__)

SHARD_SUFFIXES = (".tar", ".tar.gz", ".tgz")
PARTIAL = ".partial-"
LATEST = float(2**33)  # seconds since 1970, the year 2242: tar files may name times that no disk takes


def find_shards(folder: Path) -> list[Path]:
    """Return the shards that lie in a folder, by name."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        shards = [entry.name for entry in entries if _is_shard(entry)]
    return [folder / name for name in sorted(shards)]


def _is_shard(entry: os.DirEntry[str]) -> bool:
    return entry.name.endswith(SHARD_SUFFIXES) and entry.name[0] != "." and entry.is_file()


def unpack_shards(shards: Iterable[Path], target: Path) -> None:
    """Unpack the pictures of shards that are not yet below `target`, and remove those of shards that are gone.

    A shard is known by its name, size and time; each is unpacked whole or not at all.

    Raises:
        DatasetError: a shard cannot be read.
        OSError: the target cannot be written, or has not so much room.
    """
    target.mkdir(parents=True, exist_ok=True)
    wanted = {_folder_name(shard): shard for shard in shards}
    for path in target.iterdir():
        if path.name not in wanted:
            shutil.rmtree(path)
    missing = {name: shard for name, shard in wanted.items() if not (target / name).exists()}
    make_room(target.parent, sum(shard.stat().st_size for shard in missing.values()))
    with counted(f"unpacking {target.name}", len(missing), "shards") as advance:
        for name, shard in missing.items():
            _unpack_whole(shard, target / name)
            advance()


def _unpack_whole(shard: Path, folder: Path) -> None:
    partial = folder.with_name(f"{PARTIAL}{folder.name}")
    partial.mkdir()
    try:
        _unpack(shard, partial)
        partial.rename(folder)
    except (tarfile.TarError, EOFError) as error:
        raise DatasetError(f"{shard} is no tar file that can be read ({error}); is it whole?") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)  # what is half gives its room back


def _folder_name(shard: Path) -> str:
    status = shard.stat()
    identity = b"%d %d " % (status.st_size, status.st_mtime_ns) + os.fsencode(shard.name)
    return f"{shard.name.partition('.')[0][:50]}-{sha256(identity).hexdigest()[:16]}"


def _unpack(shard: Path, target: Path) -> None:
    left_out: Counter[str] = Counter()
    try:
        file = shard.open("rb")
    except OSError as error:
        raise DatasetError(f"{shard} cannot be read: {error.strerror}") from error
    with file, tarfile.open(fileobj=file, mode="r|*") as members:
        for member in members:
            name = PurePosixPath(member.name)
            if member.isdir():
                continue
            if not member.isfile():
                left_out["links or devices"] += 1
                continue
            if name.suffix.lower() not in TRAINING_SUFFIXES:
                left_out[name.suffix or "without a suffix"] += 1
                continue
            parts = [part for part in name.parts if part not in ("/", "..", ".")]  # nothing leaves the target
            path = target.joinpath(*parts)
            path.parent.mkdir(parents=True, exist_ok=True)
            source = members.extractfile(member)
            assert source is not None  # of a file
            with path.open("wb") as copy:
                shutil.copyfileobj(source, copy)
            mtime = min(max(0.0, member.mtime), LATEST)  # as it is, whenever the shard is unpacked
            os.utime(path, (mtime, mtime))
    if left_out:
        LOGGER.info("%s: left out %s", shard, ", ".join(f"{count} {kind}" for kind, count in left_out.items()))
