"""What the user named as outputs becomes sinks: files, numbered pictures, windows, addresses, raw frames."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from ..control import Control
from ..errors import UsageError
from ..files import is_same
from ..frame import Sink
from ..sinks import sequence_sink
from ..sinks.animation import ANIMATIONS, PAGED, animation_sink
from ..sinks.views import Overlay, View, viewed
from ..sources.sequence import find_numbered, is_sequence
from ..video import CONTAINERS, Encoding, VideoFormat, video_sink
from ..video.parts import parts_sink
from .run import Output

VIRTUAL_CAMERA = "virtual-camera"
FILM_ANIMATIONS = frozenset({".gif", ".webp"})  # that any film may become; .png is one only where its source is


@dataclass(frozen=True)
class OutputOptions:
    """How frames go into the sinks."""

    encoding: Encoding = field(default_factory=Encoding)
    view: View = "translated"
    overlay: bool = False
    overwrite: bool = False


def is_file(target: str) -> bool:
    """Whether an output is a file or folder, rather than something that shows or takes frames."""
    shows = target in ("null", "window", "-") or target.startswith("http://")
    return not shows and target.partition(":")[0] != VIRTUAL_CAMERA


def refuse_existing(targets: Sequence[str], inputs: Sequence[Path], options: OutputOptions) -> None:
    """Check the files that a moving source would replace.

    Raises:
        UsageError: one is an input, or exists and is not to be replaced.
    """
    for target in targets:
        if not is_file(target):
            continue
        files = list(find_numbered(Path(target)).values()) if is_sequence(target) else [Path(target)]
        for file in files:
            if any(is_same(file, path) for path in inputs):
                raise UsageError(f"the output {file} is an input; name another file")
            if file.exists() and not options.overwrite:
                raise UsageError(f"{file} exists; name another file, or overwrite it", about=("overwrite",))


def make_outputs(
    targets: Sequence[str],
    format: VideoFormat,  # noqa: A002 - the word of the source
    control: Control,
    options: OutputOptions,
    *,
    several: bool = False,
    live: bool = False,
) -> list[Output]:
    """Make the sinks of a moving source; a window brings one more, for what its keys ask to keep.

    `several`: the source is a picture of several frames, so that one of these, such as .png, can be its output.
    `live`: it may change its size, and goes on in a new file then.
    """
    outputs = []
    for target in targets:
        if target != "window":
            outputs.append(_make_output(target, format, control, options, several, live))
            continue
        from ..sinks.recording import Recording
        from ..sinks.window import Window

        recording = Recording(Path(), format)
        window = Window(control, recording, options.view, overlay=options.overlay)
        outputs.append(Output(window.sink(), target, newest_only=True, in_caller=True, idle=window.serve_keys))
        outputs.append(Output(recording.sink(), "recording"))
    return outputs


def _make_output(
    target: str,
    format: VideoFormat,  # noqa: A002 - the word of the source
    control: Control,
    options: OutputOptions,
    several: bool,
    live: bool,
) -> Output:
    """Make the sink of a moving source."""
    overlay = Overlay(control.stats) if options.overlay else None
    if target == "null":
        return Output(nullcontext(lambda frame: None), target)
    if target.startswith("http://"):
        from ..sinks.mjpeg import mjpeg_sink, split_address

        split_address(target)
        return Output(viewed(mjpeg_sink(target, control.stats), options.view, overlay), target, newest_only=True)
    if target.partition(":")[0] == VIRTUAL_CAMERA:
        from ..sinks.virtual_camera import virtual_camera_sink

        camera = virtual_camera_sink(target.partition(":")[2] or None, format.rate)
        return Output(viewed(camera, options.view, overlay), target, newest_only=True)
    if target == "-":
        from ..sinks.raw import raw_sink

        return Output(viewed(raw_sink(), options.view, overlay), target)
    if is_sequence(target):
        return Output(viewed(sequence_sink(Path(target)), options.view, overlay), target)
    suffix = Path(target).suffix.lower()
    if suffix in (ANIMATIONS | PAGED if several else FILM_ANIMATIONS):
        return Output(viewed(animation_sink(Path(target), format.rate, format.loops), options.view, overlay), target)
    if suffix not in CONTAINERS:
        raise UsageError(
            f"a moving picture cannot be written as {target}; name a file in {', '.join(sorted(CONTAINERS))}, "
            "or numbered pictures such as frame_%05d.png"
        )

    def make_sink(path: Path) -> Sink:
        return video_sink(path, format.rate, like=format, encoding=options.encoding)

    sink = parts_sink(Path(target), make_sink) if live else make_sink(Path(target))
    return Output(viewed(sink, options.view, overlay), target)
