"""Where each picture of a folder is written, and whether two would meet or one would replace what it must not."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path

from ..errors import UsageError
from ..sinks.pictures import written_name
from ..video import CONTAINERS, VIDEO_SUFFIXES


def target_name(name: Path, picture_format: str | None) -> Path:
    """Return the relative path of a result: the file's own, or with the suffix of `picture_format`.

    A video of a kind that is not written becomes an MP4, a HEIC picture a PNG.
    """
    suffix = name.suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        return name if suffix in CONTAINERS else name.with_suffix(".mp4")
    return written_name(name) if picture_format is None else name.with_suffix(f".{picture_format}")


def refuse_collisions(root: Path, output: Path, names: Sequence[Path], picture_format: str | None) -> None:
    """Check every result's name before anything is written.

    Raises:
        UsageError: two pictures have one result, a result is an input, or a folder has the name of a result.
    """
    inputs = {(root / name).resolve() for name in names}
    identities = {identity for name in names if (identity := _identity(root / name))}
    folds = folds_names(output)
    taken: dict[str, Path] = {}
    for name in names:
        target = target_name(name, picture_format)
        key = unicodedata.normalize("NFC", target.as_posix()).casefold() if folds else target.as_posix()
        if key in taken:
            raise UsageError(
                f"{taken[key]} and {name} would both be written to {output / target}; rename one of them"
                + ("" if picture_format is None else ", or let each keep its format"),
                about=() if picture_format is None else ("picture_format",),
            )
        taken[key] = name
        if (output / target).resolve() in inputs or _identity(output / target) in identities:
            raise UsageError(f"{output / target} is one of the inputs; name another output folder")
        if (output / target).is_dir():
            raise UsageError(f"{output / target} is a folder and {name} would be written there; move it away")


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what tells files apart, whatever their names; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def folds_names(folder: Path) -> bool:
    """Whether a file system takes names that differ in case for one, as those of macOS and Windows do."""
    there = next((place for place in (folder, *folder.absolute().parents) if place.exists()), folder)
    swapped = Path(str(there.resolve()).swapcase())
    try:
        return there.samefile(swapped)
    except OSError:
        return False
