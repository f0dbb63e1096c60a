"""From what the user named to a source and its sinks, before any work is done. (Folders are in `folder`.)"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from glob import has_magic
from pathlib import Path
from threading import Event

from ..contract import PICTURE_SUFFIXES
from ..control import Control
from ..errors import InputError, UsageError
from ..files import is_same
from ..frame import Frame, Source
from ..sinks import picture_sink
from ..sinks.animation import ANIMATIONS, PAGED
from ..sinks.pictures import written_name
from ..sinks.views import viewed
from ..sources import PictureSource, SinglePicture, read_whole
from ..sources.animation import AnimationSource, open_animation
from ..sources.network import SCHEMES
from ..sources.pictures import PICTURE_NAMES, readable_suffixes
from ..sources.sequence import SequenceSource, is_sequence
from ..video import CONTAINERS, VIDEO_SUFFIXES, VideoFormat, VideoSource, open_video
from .opening import open_in_time
from .outputs import FILM_ANIMATIONS, OutputOptions, is_file, make_outputs, refuse_existing
from .run import Output

STILL = VideoFormat(Fraction(25))  # how pictures would follow one another in a recording


@dataclass(frozen=True)
class Endpoints:
    """A source and its sinks."""

    source: Source
    outputs: Sequence[Output]
    targets: Sequence[str]  # as the user will find them
    skipped: int = 0  # files that were finished before
    is_video: bool = False  # frames belong together


def connect(
    address: str, targets: Sequence[str], control: Control, options: OutputOptions, *, deinterlace: bool = False
) -> Endpoints:
    """Find out what `address` is, and where its translation goes.

    Args:
        address: a camera (0, /dev/video0), a picture, a video, "a glob*.png", frames_%05d.png, an address with ://, -
            (raw frames on standard input), screen: or test:bars.
        targets: each a file, a folder, frames_%05d.png, window, http://127.0.0.1:PORT, virtual-camera, - or null.
        control: stops the source, and holds its counts for those who show them.
        options: how frames go into the sinks.
        deinterlace: make whole frames of the interlaced ones of a video file.

    Raises:
        InputError: there is nothing to read.
        UsageError: something is misspelt, or an output is the input or of a kind that does not go with it.
        OutputError: there is no display for a window.
    """
    names = [str(Path(target).resolve()) if is_file(target) else target for target in targets]
    if len(set(names)) < len(names):
        raise UsageError("an output is named twice; give each its own name")
    if "window" in targets:
        from ..sinks.window import open_window

        open_window()  # before PyAV is imported: on Linux the windows of OpenCV may hang after it
    path = Path(address)
    exists, animation = open_in_time(lambda: _look_at(path), address)
    if animation is not None:
        return _connect_animation(animation, targets, control, options)
    if exists and path.suffix.lower() in PICTURE_NAMES:
        return _connect_picture(path, targets, control, options)
    if exists and path.suffix.lower() in VIDEO_SUFFIXES:
        return _connect_video(path, targets, control, options, deinterlace)
    source = _open_stream(address, control.stop)
    if source is not None:
        inputs = source.paths if isinstance(source, SequenceSource) else []
        refuse_existing(targets, inputs, options)
        outputs = make_outputs(targets, source.format, control, options, live=source.live)
        return Endpoints(source, outputs, targets, is_video=True)
    if has_magic(address):
        return _connect_pictures(address, targets, control, options)
    if path.exists():
        known = ", ".join(sorted(readable_suffixes() | VIDEO_SUFFIXES))
        raise InputError(f"{address} is no picture or video that is known by its name ({known})")
    raise InputError(f"there is no file or folder {address}; name a picture, a folder of pictures, a video or a camera")


def _look_at(path: Path) -> tuple[bool, AnimationSource | None]:
    """Return whether there is a file, and the file itself where it holds a picture of several frames.

    Raises:
        InputError: it is a pipe, or the picture holds too many frames.
    """
    if path.is_fifo():
        raise InputError(f"{path} is a pipe, which can be read but once; save it as a file, or name - for raw frames")
    exists = path.is_file()
    return exists, open_animation(path) if exists else None


def _open_stream(address: str, stop: Event) -> VideoSource | None:
    """Open what is no file; None where it must be one."""
    if re.fullmatch(r"-(\?.*)?", address):
        from ..sources.raw import RawSource

        return RawSource(address)
    if re.fullmatch(r"(\d+|/dev/video\d+)(\?.*)?", address):
        from ..sources.camera import open_camera

        return open_camera(address, stop)
    if address.startswith("test:"):
        from ..sources.bars import BarsSource

        return BarsSource(address, stop)
    if address.startswith("screen:"):
        from ..sources.screen import open_screen

        return open_screen(address, stop)
    if address.partition("://")[0].lower() in SCHEMES and "://" in address:
        from ..sources.network import open_stream

        return open_stream(address, stop)
    return SequenceSource(address) if is_sequence(address) else None


def _connect_picture(path: Path, targets: Sequence[str], control: Control, options: OutputOptions) -> Endpoints:
    todo, skipped = _unfinished(path, targets, PICTURE_SUFFIXES, options.overwrite)
    if not todo:
        return Endpoints(PictureSource(path.parent, ()), (), targets, skipped)
    outputs = []
    for target in todo:
        if isinstance(target, Path):
            sink = viewed(picture_sink(target.parent, name=target.name), options.view)
            outputs.append(Output(sink, str(target)))
        else:
            outputs += make_outputs([target], STILL, control, options)
    pixels, profile = open_in_time(lambda: read_whole(path), str(path))
    source = SinglePicture(Frame(pixels, path, profile=profile))
    return Endpoints(source, outputs, [str(target) for target in todo], skipped)


def _connect_animation(
    animation: AnimationSource, targets: Sequence[str], control: Control, options: OutputOptions
) -> Endpoints:
    """Connect a picture of several frames: an animation is a film, and pages go to pages."""
    kinds = PAGED if animation.is_paged else ANIMATIONS | CONTAINERS
    todo, skipped = _unfinished(animation.path, targets, kinds, options.overwrite)
    if not todo:
        return Endpoints(PictureSource(animation.path.parent, ()), (), targets, skipped)
    refuse_existing([target for target in targets if is_sequence(target)], [animation.path], options)
    outputs = make_outputs([str(target) for target in todo], animation.format, control, options, several=True)
    return Endpoints(animation, outputs, [str(target) for target in todo], skipped, is_video=True)


def _connect_video(
    path: Path, targets: Sequence[str], control: Control, options: OutputOptions, deinterlace: bool
) -> Endpoints:
    todo, skipped = _unfinished(path, targets, CONTAINERS | FILM_ANIMATIONS, options.overwrite)
    if not todo:
        return Endpoints(PictureSource(path.parent, ()), (), targets, skipped)
    refuse_existing([target for target in targets if is_sequence(target)], [path], options)
    source = open_in_time(lambda: open_video(path, deinterlace=deinterlace), str(path))
    outputs = make_outputs([str(target) for target in todo], source.format, control, options)
    return Endpoints(source, outputs, [str(target) for target in todo], skipped, is_video=True)


def _connect_pictures(pattern: str, targets: Sequence[str], control: Control, options: OutputOptions) -> Endpoints:
    """Connect the pictures that a pattern stands for, by their names below its fixed part, to folders."""
    fixed = Path(pattern)
    while has_magic(str(fixed)):
        fixed = fixed.parent
    paths = sorted(fixed.glob(str(Path(pattern).relative_to(fixed))))
    names = [path.relative_to(fixed) for path in paths if path.suffix.lower() in PICTURE_NAMES and path.is_file()]
    if not names:
        raise InputError(f"there is no picture {pattern}")
    if len({written_name(name) for name in names}) < len(names):
        raise UsageError(f"two of {pattern} would be written to one file, because HEIC becomes PNG; rename one of them")
    outputs = []
    for target in targets:
        if not is_file(target):
            outputs += make_outputs([target], STILL, control, options)
            continue
        if Path(target).suffix and not Path(target).is_dir():
            raise UsageError(f"{pattern} stands for several pictures, so the output must be a folder; {target} is none")
        if any((Path(target) / written_name(name)).exists() for name in names) and not options.overwrite:
            raise UsageError(
                f"{target} holds some of them; name another folder, or overwrite them", about=("overwrite",)
            )
        if any(is_same(Path(target) / written_name(name), fixed / name) for name in names):
            raise UsageError(f"the output is the input, {fixed}; name another folder")
        outputs.append(Output(viewed(picture_sink(Path(target)), options.view), target))
    return Endpoints(PictureSource(fixed, names), outputs, targets)


def _target(path: Path, target: Path, suffixes: frozenset[str]) -> Path:
    """Return the file that a single file is translated to.

    Raises:
        UsageError: it is of a kind that does not go with the input, or is the input.
    """
    target = target / written_name(path).name if target.is_dir() or not target.suffix else target
    if target.suffix.lower() not in suffixes:
        raise UsageError(
            f"{path.name} cannot be written as {target}; name a file that ends in {', '.join(sorted(suffixes))}, "
            "or a folder that exists"
        )
    if is_same(target, path):
        raise UsageError(f"the output is the input, {path}; name another file")
    return target


def _unfinished(
    path: Path, targets: Sequence[str], suffixes: frozenset[str], overwrite: bool
) -> tuple[list[Path | str], int]:
    """Return the targets that are to be made, files as paths, and how many were finished before."""
    todo: list[Path | str] = []
    for target in targets:
        if not is_file(target) or (suffixes is not PICTURE_SUFFIXES and is_sequence(target)):
            todo.append(target)
            continue
        file = _target(path, Path(target), suffixes)
        if overwrite or not file.is_file():
            todo.append(file)
    return todo, len(targets) - len(todo)
