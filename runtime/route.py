"""From the two places that the user named to a source and a sink, before any work is done."""

from dataclasses import dataclass
from pathlib import Path

from .contract import PICTURE_SUFFIXES
from .errors import InputError, UsageError
from .frame import Frame, Sink, Source
from .sinks import picture_sink
from .sources import PictureSource, SinglePicture, read_whole
from .video import CONTAINERS, VIDEO_SUFFIXES, open_video, video_sink


@dataclass(frozen=True)
class Route:
    """What to read, where to write it, and how many files need nothing because they were finished before."""

    source: Source
    sink: Sink
    output: Path
    skipped: int = 0
    is_video: bool = False


def open_route(given: Path, output: Path, *, overwrite: bool) -> Route:
    """Find out what `given` is and where its translation goes; folders are `folder`'s.

    A picture or video goes to a file, or into a folder under its own name. Files are written whole or not at all, so
    one that exists is finished and is left alone, unless `overwrite` is set.

    Raises:
        InputError: there is nothing to read, or it is no picture, video or folder of pictures.
        UsageError: the output is the input, or of a kind that does not go with it.
    """
    if not given.exists():
        raise InputError(f"there is no file or folder {given}; name a picture, a folder of pictures or a video")
    kind = given.suffix.lower()
    if kind in PICTURE_SUFFIXES:
        return _picture_route(given, target_of(given, output, PICTURE_SUFFIXES), overwrite)
    if kind in VIDEO_SUFFIXES:
        return _video_route(given, target_of(given, output, CONTAINERS), overwrite)
    known = ", ".join(sorted(PICTURE_SUFFIXES | VIDEO_SUFFIXES))
    raise InputError(f"{given} is no picture or video that is known by its name ({known})")


def _picture_route(given: Path, target: Path, overwrite: bool) -> Route:
    if target.is_file() and not overwrite:
        return _nothing_to_do(target)
    pixels, profile = read_whole(given)
    frame = Frame(pixels, Path(target.name), profile=profile)
    return Route(SinglePicture(frame), picture_sink(target.parent), target)


def _video_route(given: Path, target: Path, overwrite: bool) -> Route:
    if target.is_file() and not overwrite:
        return _nothing_to_do(target)
    source = open_video(given)
    sink = video_sink(target, source.format.rate, like=source.format)
    return Route(source, sink, target, is_video=True)


def _nothing_to_do(target: Path) -> Route:
    return Route(PictureSource(target.parent, ()), picture_sink(target.parent), target, skipped=1)


def target_of(given: Path, output: Path, suffixes: frozenset[str]) -> Path:
    """Return the file that a single file is translated to.

    Raises:
        UsageError: it is of a kind that does not go with the input, or is the input.
    """
    target = output / given.name if output.is_dir() or not output.suffix else output
    if target.suffix.lower() not in suffixes:
        raise UsageError(
            f"{given.name} cannot be written as {target}; name a file that ends in {', '.join(sorted(suffixes))}, "
            "or a folder that exists"
        )
    if target.resolve() == given.resolve():
        raise UsageError(f"the output is the input, {given}; name another file")
    return target
