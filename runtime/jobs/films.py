"""The films of a folder job: videos, and pictures of several frames, each translated as `translate FILE` does it."""

from dataclasses import asdict, dataclass, field
from pathlib import Path

from ..control import Control
from ..errors import CycleganError, InputError
from ..frame import FrameTranslator
from ..pipeline.opening import open_in_time
from ..pipeline.outputs import OutputOptions, make_outputs
from ..pipeline.run import PATIENCE, run
from ..sources.animation import AnimationSource, open_animation
from ..video import VIDEO_SUFFIXES, Encoding, VideoSource, open_video


@dataclass(frozen=True)
class FilmOptions:
    """How the films of a folder are read and written."""

    encoding: Encoding = field(default_factory=Encoding)
    deinterlace: bool = False

    def of_pixels(self) -> dict[str, object]:
        """Return what decides the pixels of a result; nothing by default, as the first manifests have it."""
        encoding = {} if self.encoding == Encoding() else {"encoding": asdict(self.encoding)}
        return encoding | ({"deinterlace": True} if self.deinterlace else {})


def open_film(path: Path, *, deinterlace: bool = False) -> VideoSource | AnimationSource | None:
    """Open a file whose frames follow one another; None for a picture.

    Raises:
        InputError: it is damaged.
    """
    is_video = path.suffix.lower() in VIDEO_SUFFIXES
    return open_video(path, deinterlace=deinterlace) if is_video else open_animation(path)


def translate_film(
    path: Path, target: Path, translator: FrameTranslator, film_options: FilmOptions, control: Control
) -> None:
    """Translate one film into a file.

    Raises:
        InputError: it cannot be read, or not whole; what can be seen of it is written.
        ModelError, OutputError: it cannot be translated or written.
        KeyboardInterrupt: it was stopped before its end.
    """
    source = open_in_time(lambda: open_film(path, deinterlace=film_options.deinterlace), str(path))
    if source is None:
        raise InputError(f"{path} holds one frame only")
    own = Control(control.stop, control.paused)  # counts of its own
    options = OutputOptions(film_options.encoding, overwrite=True)
    several = isinstance(source, AnimationSource)
    outputs = make_outputs([str(target)], source.format, own, options, several=several)
    stats = run(source, translator, *outputs, control=own, patience=PATIENCE)
    if stats.interrupted:
        raise KeyboardInterrupt
    if stats.failed:
        raise CycleganError(f"{path}: {stats.failed} of {stats.read} frames failed; the others are in {target}")
