"""From what the user named to a source and its sinks, before any work is done. (Folders are in `folder`.)"""

import re
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from fractions import Fraction
from glob import has_magic
from pathlib import Path
from threading import Event

from ..contract import PICTURE_SUFFIXES
from ..control import Control
from ..errors import InputError, UsageError
from ..frame import Frame, Source
from ..sinks import picture_sink, sequence_sink
from ..sinks.views import Overlay, View, viewed
from ..sources import PictureSource, SinglePicture, read_whole
from ..sources.network import SCHEMES
from ..sources.sequence import SequenceSource, is_sequence
from ..video import CONTAINERS, VIDEO_SUFFIXES, Encoding, VideoFormat, VideoSource, open_video, video_sink
from .run import Outlet

STILL = VideoFormat(Fraction(25))  # how pictures would follow one another in a recording
VIRTUAL_CAMERA = "virtual-camera"


@dataclass(frozen=True)
class Show:
    """How frames go into the sinks."""

    encoding: Encoding = field(default_factory=Encoding)
    view: View = "translated"
    overlay: bool = False
    overwrite: bool = False


@dataclass(frozen=True)
class Wiring:
    """A source and its sinks."""

    source: Source
    outlets: Sequence[Outlet]
    outputs: Sequence[str]  # as the user will find them
    skipped: int = 0  # files that were finished before
    is_video: bool = False  # frames belong together


def connect(given: str, outputs: Sequence[str], control: Control, show: Show) -> Wiring:
    """Find out what `given` is, and where its translation goes.

    Args:
        given: a camera (0, /dev/video0), a picture, a video, "a glob*.png", frames_%05d.png, an address with ://, -
            (raw frames on standard input), screen: or test:bars.
        outputs: each a file, a folder, frames_%05d.png, window, http://127.0.0.1:PORT, virtual-camera, - or null.
        control: what stops the source, and tells its counts to those who show them.
        show: how frames go into the sinks.

    Raises:
        InputError: there is nothing to read.
        UsageError: something is misspelt, or an output is the input or of a kind that does not go with it.
        OutputError: there is no display for a window.
    """
    if len(set(outputs)) < len(outputs):
        raise UsageError("an output is named twice; give each its own name")
    if "window" in outputs:
        from ..sinks.window import open_window

        open_window()  # before PyAV is imported: on Linux the windows of OpenCV may hang after it
    path = Path(given)
    if path.is_file() and path.suffix.lower() in PICTURE_SUFFIXES:
        return _connect_picture(path, outputs, control, show)
    if path.is_file() and path.suffix.lower() in VIDEO_SUFFIXES:
        return _connect_video(path, outputs, control, show)
    source = _open_stream(given, control.stop)
    if source is not None:
        for output in outputs:
            if _is_file(output) and Path(output).exists() and not show.overwrite:
                raise UsageError(f"{output} exists; name another file, or replace it with --overwrite")
        outlets = _outlets(outputs, source.format, control, show)
        return Wiring(source, outlets, outputs, is_video=True)
    if has_magic(given):
        return _connect_pictures(given, outputs, control, show)
    if path.exists():
        known = ", ".join(sorted(PICTURE_SUFFIXES | VIDEO_SUFFIXES))
        raise InputError(f"{given} is no picture or video that is known by its name ({known})")
    raise InputError(f"there is no file or folder {given}; name a picture, a folder of pictures, a video or a camera")


def _open_stream(given: str, stop: Event) -> VideoSource | None:
    """Open what is no file; None where it must be one."""
    if re.fullmatch(r"-(\?.*)?", given):
        from ..sources.raw import RawSource

        return RawSource(given)
    if re.fullmatch(r"(\d+|/dev/video\d+)(\?.*)?", given):
        from ..sources.camera import open_camera

        return open_camera(given, stop)
    if given.startswith("test:"):
        from ..sources.bars import BarsSource

        return BarsSource(given, stop)
    if given.startswith("screen:"):
        from ..sources.screen import open_screen

        return open_screen(given, stop)
    if given.partition("://")[0].lower() in SCHEMES and "://" in given:
        from ..sources.network import open_stream

        return open_stream(given, stop)
    return SequenceSource(given) if is_sequence(given) else None


def _connect_picture(given: Path, outputs: Sequence[str], control: Control, show: Show) -> Wiring:
    todo, skipped = _unfinished(given, outputs, PICTURE_SUFFIXES, show.overwrite)
    if not todo:
        return Wiring(PictureSource(given.parent, ()), (), outputs, skipped)
    outlets = []
    for output in todo:
        if isinstance(output, Path):
            sink = viewed(picture_sink(output.parent, name=output.name), show.view)
            outlets.append(Outlet(sink, str(output)))
        else:
            outlets += _outlets([output], STILL, control, show)
    pixels, profile = read_whole(given)
    source = SinglePicture(Frame(pixels, given, profile=profile))
    return Wiring(source, outlets, [str(output) for output in todo], skipped)


def _connect_video(given: Path, outputs: Sequence[str], control: Control, show: Show) -> Wiring:
    todo, skipped = _unfinished(given, outputs, CONTAINERS, show.overwrite)
    if not todo:
        return Wiring(PictureSource(given.parent, ()), (), outputs, skipped)
    source = open_video(given)
    outlets = _outlets([str(output) for output in todo], source.format, control, show)
    return Wiring(source, outlets, [str(output) for output in todo], skipped, is_video=True)


def _connect_pictures(pattern: str, outputs: Sequence[str], control: Control, show: Show) -> Wiring:
    """Connect the pictures that a pattern stands for, by their names below its fixed part, to folders."""
    fixed = Path(pattern)
    while has_magic(str(fixed)):
        fixed = fixed.parent
    paths = sorted(fixed.glob(str(Path(pattern).relative_to(fixed))))
    names = [path.relative_to(fixed) for path in paths if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file()]
    if not names:
        raise InputError(f"there is no picture {pattern}")
    outlets = []
    for output in outputs:
        if not _is_file(output):
            outlets += _outlets([output], STILL, control, show)
            continue
        if Path(output).suffix and not Path(output).is_dir():
            raise UsageError(f"{pattern} stands for several pictures, so the output must be a folder; {output} is none")
        if any((Path(output) / name).exists() for name in names) and not show.overwrite:
            raise UsageError(f"{output} holds some of them; name another folder, or replace them with --overwrite")
        if Path(output).resolve() == fixed.resolve():
            raise UsageError(f"the output is the input, {fixed}; name another folder")
        outlets.append(Outlet(viewed(picture_sink(Path(output)), show.view), output))
    return Wiring(PictureSource(fixed, names), outlets, outputs)


def _outlets(outputs: Sequence[str], format: VideoFormat, control: Control, show: Show) -> list[Outlet]:  # noqa: A002
    """Make the sinks of a moving source; a window brings one more, for what its keys ask to keep."""
    outlets = []
    for output in outputs:
        if output != "window":
            outlets.append(_outlet(output, format, control, show))
            continue
        from ..sinks.recording import Keepsake
        from ..sinks.window import Window

        keepsake = Keepsake(Path(), format)
        window = Window(control, keepsake, show.view, overlay=show.overlay)
        outlets.append(Outlet(window.sink(), output, newest_only=True, in_caller=True, idle=window.serve_keys))
        outlets.append(Outlet(keepsake.sink(), "keepsakes"))
    return outlets


def _outlet(output: str, format: VideoFormat, control: Control, show: Show) -> Outlet:  # noqa: A002 - the video's
    """Make the sink of a moving source."""
    overlay = Overlay(control.stats) if show.overlay else None
    if output == "null":
        return Outlet(nullcontext(lambda frame: None), output)
    if output.startswith("http://"):
        from ..sinks.mjpeg import mjpeg_sink, split_address

        split_address(output)
        return Outlet(viewed(mjpeg_sink(output, control.stats), show.view, overlay), output, newest_only=True)
    if output.partition(":")[0] == VIRTUAL_CAMERA:
        from ..sinks.virtual_camera import virtual_camera_sink

        camera = virtual_camera_sink(output.partition(":")[2] or None, format.rate)
        return Outlet(viewed(camera, show.view, overlay), output, newest_only=True)
    if output == "-":
        from ..sinks.raw import raw_sink

        return Outlet(viewed(raw_sink(), show.view, overlay), output)
    if is_sequence(output):
        return Outlet(viewed(sequence_sink(Path(output)), show.view, overlay), output)
    if Path(output).suffix.lower() not in CONTAINERS:
        raise UsageError(
            f"a moving picture cannot be written as {output}; name a file in {', '.join(sorted(CONTAINERS))}, "
            "or numbered pictures such as frame_%05d.png"
        )
    sink = video_sink(Path(output), format.rate, like=format, encoding=show.encoding)
    return Outlet(viewed(sink, show.view, overlay), output)


def _target(given: Path, output: Path, suffixes: frozenset[str]) -> Path:
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


def _is_file(output: str) -> bool:
    """Whether an output is a file or folder, rather than something that shows or takes frames."""
    shows = output in ("null", "window", "-") or output.startswith("http://")
    return not shows and output.partition(":")[0] != VIRTUAL_CAMERA


def _unfinished(
    given: Path, outputs: Sequence[str], suffixes: frozenset[str], overwrite: bool
) -> tuple[list[Path | str], int]:
    """Return the outputs that are to be made, files as paths, and how many were finished before."""
    todo: list[Path | str] = []
    for output in outputs:
        if not _is_file(output) or is_sequence(output):
            todo.append(output)
        elif not (target := _target(given, Path(output), suffixes)).is_file() or overwrite:
            todo.append(target)
    return todo, len(outputs) - len(todo)
