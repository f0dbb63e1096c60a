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
from ..pictures import TRAINING_SUFFIXES
from ..progress import counted

LOGGER = logging.getLogger(__name__)

SHARD_SUFFIXES = (".tar", ".tar.gz", ".tgz")
PARTIAL = ".partial-"


def find_shards(folder: Path) -> list[Path]:
    """Return the shards that lie in a folder, by name."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.name.endswith(SHARD_SUFFIXES) and entry.name[0] != "."]
    return [folder / name for name in sorted(names)]


def unpack_shards(shards: Iterable[Path], target: Path) -> None:
    """Unpack the pictures of shards that are not yet below `target`, and remove those of shards that are gone.

    A shard is known by its name, size and time; each is unpacked whole or not at all.

    Raises:
        DatasetError: a shard cannot be read.
        OSError: the target cannot be written.
    """
    target.mkdir(parents=True, exist_ok=True)
    wanted = {_folder_name(shard): shard for shard in shards}
    for path in target.iterdir():
        if path.name not in wanted:
            shutil.rmtree(path)
    missing = {name: shard for name, shard in wanted.items() if not (target / name).exists()}
    with counted(f"unpacking {target.name}", len(missing), "shards") as advance:
        for name, shard in missing.items():
            partial = target / f"{PARTIAL}{name}"
            partial.mkdir()
            try:
                _unpack(shard, partial)
            except (tarfile.TarError, EOFError) as error:
                raise DatasetError(f"{shard} is no tar file that can be read ({error}); is it whole?") from error
            partial.rename(target / name)
            advance()


def _folder_name(shard: Path) -> str:
    status = shard.stat()
    digest = sha256(f"{status.st_size} {status.st_mtime_ns}".encode()).hexdigest()[:8]
    return f"{shard.name.partition('.')[0]}-{digest}"


def _unpack(shard: Path, target: Path) -> None:
    others: Counter[str] = Counter()
    with tarfile.open(shard, "r|*") as members:
        for member in members:
            name = PurePosixPath(member.name)
            if not member.isfile():
                continue
            if name.suffix.lower() not in TRAINING_SUFFIXES:
                others[name.suffix] += 1
                continue
            parts = [part for part in name.parts if part not in ("/", "..", ".")]  # nothing leaves the target
            path = target.joinpath(*parts)
            path.parent.mkdir(parents=True, exist_ok=True)
            source = members.extractfile(member)
            assert source is not None  # of a file
            with path.open("wb") as file:
                shutil.copyfileobj(source, file)
            os.utime(path, (member.mtime, member.mtime))  # as it is, whenever the shard is unpacked
    if others:
        LOGGER.info("%s: left out %s", shard, ", ".join(f"{count} {suffix}" for suffix, count in others.items()))
